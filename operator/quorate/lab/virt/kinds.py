"""KubeVirt's kinds for a real API server that has no KubeVirt: as much of their definitions as the stand-ins need.

Every field is kept and none is checked, other than by KubeVirt's own definitions, which tests install in their place.
"""

from collections.abc import Mapping
from typing import Any, Final

from quorate.sim.virt_objects import INSTANCE, MACHINE, MIGRATION

Json = dict[str, Any]
GROUP: Final = "kubevirt.io"
_KINDS: Final[Mapping[str, tuple[str, bool]]] = {
    MACHINE: ("vm", True),
    INSTANCE: ("vmi", False),
    MIGRATION: ("vmim", True),
}
"""Short name, and whether the status is a subresource."""
_OPEN: Final[Json] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definitions() -> list[Json]:
    """Their CustomResourceDefinitions."""
    return [_definition(kind, short, status=status) for kind, (short, status) in _KINDS.items()]


def _definition(kind: str, short: str, *, status: bool) -> Json:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "properties": {"spec": _OPEN, "status": _OPEN}, "required": ["spec"]}
    version: Json = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    if status:
        version["subresources"] = {"status": {}}
    names = {"kind": kind, "singular": kind.lower(), "plural": plural, "shortNames": [short]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
