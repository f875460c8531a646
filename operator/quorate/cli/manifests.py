"""What is installed, made from manifests/ as `kubectl kustomize` makes it; tests hold the two together.

Only what manifests/ uses is understood: resources, labels, images with a tag, patches of one object by JSON Patch. Another
field is an error, and not left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonpatch
import yaml

Raw = dict[str, Any]
KUSTOMIZATION: Final = "kustomization.yaml"
_FIELDS: Final = frozenset({"apiVersion", "kind", "resources", "labels", "images", "patches"})
_FIRST: Final = ("Namespace", "CustomResourceDefinition", "ServiceAccount")
_LAST: Final = ("Deployment", "DaemonSet")
"""Kinds in the order in which they must come; between them the order of the files."""


def directory() -> Path:
    """manifests/: in the package when it is installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "manifests"
    return inside if inside.is_dir() else package.parents[1] / "manifests"


def built(overlay: str) -> list[Raw]:
    """The objects of an overlay, in the order in which they can be applied. Raises ValueError, OSError."""
    made = list(_built(directory() / "overlays" / overlay))
    return sorted(made, key=lambda one: _rank(str(one["kind"])))


def _rank(kind: str) -> int:
    if kind in _FIRST:
        return _FIRST.index(kind)
    return len(_FIRST) + 1 + _LAST.index(kind) if kind in _LAST else len(_FIRST)


def pod_template(made: Raw) -> Raw | None:
    """The Pods' template of a workload."""
    return (made.get("spec") or {}).get("template") if made["kind"] in _LAST else None


def _built(folder: Path) -> Iterator[Raw]:
    told = yaml.safe_load((folder / KUSTOMIZATION).read_text())
    if unknown := set(told) - _FIELDS:
        raise ValueError(f"{folder / KUSTOMIZATION}: {', '.join(sorted(unknown))} is not understood here")
    for made in _resources(folder, told["resources"]):
        result = made
        for patch in told.get("patches", ()):
            if patch["target"] == {"kind": made["kind"], "name": made["metadata"]["name"]}:
                result = jsonpatch.apply_patch(result, yaml.safe_load(patch["patch"]))
        for label in told.get("labels", ()):
            _label(result, label)
        for image in told.get("images", ()):
            _tag(result, image)
        yield result


def _resources(folder: Path, names: list[str]) -> Iterator[Raw]:
    for name in names:
        where = folder / name
        if where.is_dir():
            yield from _built(where)
        else:
            yield from (one for one in yaml.safe_load_all(where.read_text()) if one)


def _label(made: Raw, label: Raw) -> None:
    if label.get("includeSelectors"):
        raise ValueError("labels with includeSelectors are not understood here")
    made["metadata"].setdefault("labels", {}).update(label["pairs"])
    template = pod_template(made)
    if label.get("includeTemplates") and template is not None:
        template["metadata"]["labels"].update(label["pairs"])


def _tag(made: Raw, image: Raw) -> None:
    for container in ((pod_template(made) or {}).get("spec") or {}).get("containers", ()):
        if container["image"].partition(":")[0] == image["name"]:
            container["image"] = f"{image['name']}:{image['newTag']}"
