"""The committed CRDs are what the models say, and nothing that a structural schema may not be."""

import subprocess
import sys
from pathlib import Path

import pytest

from quorate.api.crd import KINDS, crd, files

ROOT = Path(__file__).parents[3]


def test_the_committed_files_are_current():
    committed = {file.name: file.read_text() for file in (ROOT / "crds").glob("quorate.dev_*.yaml")}
    assert committed == files(), "run `make crds`"


def test_generation_does_not_depend_on_the_process():
    code = "from quorate.api.crd import files; print(hash(tuple(sorted(files().items()))) and repr(files()))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def nodes(schema, path="") -> list[tuple[str, dict]]:
    found = [(path, schema)]
    for name, sub in schema.get("properties", {}).items():
        found += nodes(sub, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            found += nodes(schema[key], f"{path}[]")
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
class TestEveryKind:
    def schema(self, kind):
        return crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    def test_every_field_is_described(self, kind):
        bare = [
            path
            for path, schema in nodes(self.schema(kind))
            if "description" not in schema and "[]" not in path and path.split(".")[1:2] not in ([], ["metadata"])
        ]
        assert [path for path in bare if path not in {".apiVersion", ".kind"}] == []

    def test_everything_is_bounded(self, kind):
        unbounded = [
            path
            for path, schema in nodes(self.schema(kind))
            if path.startswith(".spec") and schema.get("type") == "array" and "maxItems" not in schema
        ]
        assert unbounded == []

    def test_the_server_fills_in_nothing_in_a_status(self, kind):
        found = [
            path for path, schema in nodes(self.schema(kind)) if path.startswith(".status") and "default" in schema
        ]
        assert found == [".status"]  # that nobody has looked at it

    def test_nothing_that_kubernetes_refuses(self, kind):
        for path, schema in nodes(self.schema(kind)):
            assert not {"$ref", "anyOf", "oneOf", "title", "const", "uniqueItems"} & set(schema), path

    def test_columns_point_at_fields_that_exist(self, kind):
        known = {path for path, _ in nodes(self.schema(kind))} | {".metadata.creationTimestamp"}
        for column in crd(kind)["spec"]["versions"][0]["additionalPrinterColumns"]:
            assert column["jsonPath"] in known
