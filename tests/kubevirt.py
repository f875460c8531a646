"""KubeVirt's own CRDs, read out of the Go module that KubeVirt is: what virt-operator installs, as far as Quorate uses it.

`go mod download` fetches the module from the Go module proxy once, its sum is checked, and what is needed of it is kept in
Quorate's cache: nothing of KubeVirt is in this repository. Its schemas are YAML inside of Go strings.
"""

import json
import os
import re
import subprocess
import tempfile
import zipfile
from pathlib import Path
from shutil import which
from typing import Any, Final

import yaml

from tests import real
from tests.control_plane.client import Api
from tests.control_plane.servers import CRDS, eventually

Json = dict[str, Any]
MODULE: Final = "kubevirt.io/kubevirt"
VERSION: Final = "v1.5.0"
SUM: Final = "h1:J/vHB2rwXwf5/rQIjDmK+E7wZFg0TCxyl4o0btO6QeE="
GROUP: Final = "kubevirt.io"
_SCHEMAS: Final = "pkg/virt-operator/resource/generate/components/validations_generated.go"
_KINDS: Final = {
    "VirtualMachine": (["vm", "vms"], True),
    "VirtualMachineInstance": (["vmi", "vmis"], False),
    "VirtualMachineInstanceMigration": (["vmim", "vmims"], True),
}
"""Short names, and whether the status is a subresource (components/crds.go): that of an instance is not."""
_CACHE: Final = Path(os.environ.get("QUORATE_CACHE") or Path.home() / ".cache" / "quorate")
"""Of this machine: a lab may have one of its own meanwhile."""


def crds() -> list[Json]:
    """The definitions, of this version. Skips or fails where there is no Go to fetch them with."""
    kept = _CACHE / f"kubevirt-{VERSION}" / "crds.json"
    if not kept.exists():
        found = [_definition(kind, schema) for kind, schema in _schemas(_module()).items()]
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False) as fresh:
            json.dump(found, fresh)
        Path(fresh.name).replace(kept)
    definitions: list[Json] = json.loads(kept.read_text())
    return definitions


def install(api: Api) -> None:
    """Define KubeVirt's kinds, and wait until they are served."""
    for definition in crds():
        api.post(CRDS, definition).ok()
    for definition in crds():
        path = f"/apis/{GROUP}/v1/{definition['spec']['names']['plural']}"
        eventually(lambda path=path: api.get(path).code == 200)


def _module() -> Path:
    """The module as the Go module proxy serves it."""
    if which("go") is None:
        real.cannot(f"go is not on PATH: KubeVirt's kinds come from the Go module {MODULE}")
    command = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
    environ = {**os.environ, "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    with tempfile.TemporaryDirectory() as nowhere:
        ended = subprocess.run(
            command, cwd=nowhere, env=environ, capture_output=True, text=True, timeout=300, check=False
        )
    found = json.loads(ended.stdout) if ended.stdout else {}
    if ended.returncode or "Zip" not in found:
        real.cannot(f"{' '.join(command)}: {found.get('Error') or ended.stderr.strip()}")
    assert found["Sum"] == SUM, f"{MODULE}@{VERSION} is not what it was: {found['Sum']}"
    return Path(found["Zip"])


def _schemas(module: Path) -> dict[str, Json]:
    """By kind, its openAPIV3Schema."""
    with zipfile.ZipFile(module) as packed:
        text = packed.read(f"{MODULE}@{VERSION}/{_SCHEMAS}").decode()
    pieces = dict(re.findall(r'^\t"(\w+)": `(.*?)^`', text, flags=re.MULTILINE | re.DOTALL))
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {kind: yaml.load(pieces[kind.lower()], loader)["openAPIV3Schema"] for kind in _KINDS}  # noqa: S506 it is safe


def _definition(kind: str, schema: Json) -> Json:
    short_names, status = _KINDS[kind]
    plural = f"{kind.lower()}s"
    names = {"kind": kind, "singular": kind.lower(), "plural": plural, "shortNames": short_names, "categories": ["all"]}
    subresources: Json = {"subresources": {"status": {}}} if status else {}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **subresources}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/component": "kubevirt"}},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
