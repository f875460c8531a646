"""The CRDs, made from the models: deterministic, committed in `crds/`, held to the models by a test.

pydantic's JSON schema is turned into what a structural schema may be: references inlined, `T | None` becomes T,
`const` becomes enum, titles go, and what Kubernetes refuses (`exclusiveMinimum` as a number, `additionalProperties:
false` beside properties, `uniqueItems`) is rewritten or dropped.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from quorate.api.cluster import Cluster
from quorate.api.common import Column, Resource
from quorate.api.haresource import HAResource
from quorate.api.node import Node
from quorate.api.storage import Storage
from quorate.core.types import GROUP, PART_OF, PART_OF_LABEL, VERSION

KINDS: Final[tuple[type[Resource], ...]] = (Cluster, Node, HAResource, Storage)
Schema = dict[str, Any]
UNSEEN: Final[Schema] = {"observedGeneration": -1}
"""The status of an object that nobody has looked at. kstatus, which Flux trusts, takes an object without a
status for one that is as wished; of a generation other than its own it says that it is in progress."""
_DROPPED = {"title", "$defs", "uniqueItems", "discriminator"}


def crd(kind: type[Resource]) -> Schema:
    """The CustomResourceDefinition of one kind."""
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": schema(kind)},
        "subresources": {"status": {}},
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "labels": {PART_OF_LABEL: PART_OF}},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": ["quorate"],
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": kind.plural,
                "shortNames": list(kind.short_names),
                "singular": kind.singular,
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


def schema(kind: type[Resource]) -> Schema:
    """The structural schema of one kind."""
    raw = kind.model_json_schema(by_alias=True, mode="validation")
    body = _structural(raw, raw.get("$defs", {}), ())
    body["properties"]["status"] = _undefaulted(body["properties"]["status"]) | {"default": dict(UNSEEN)}
    body["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        **body["properties"],
    }
    if kind.rules:
        body["x-kubernetes-validations"] = [dict(one) for one in kind.rules]
    return body


def _structural(node: Schema, defs: dict[str, Schema], path: tuple[str, ...]) -> Schema:
    """One schema without references and without what Kubernetes refuses. Raises ValueError on recursion."""
    node = _flatten(node, defs, path)
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        if name in path:
            raise ValueError(f"{'.'.join((*path, name))}: a structural schema cannot be recursive")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _structural({**defs[name], **beside}, defs, (*path, name))
    out: Schema = {}
    for key, value in node.items():
        if key in _DROPPED or (key == "additionalProperties" and not isinstance(value, dict)):
            continue
        if key == "const":
            out["enum"] = [value]
        elif key == "properties":
            out["properties"] = {name: _structural(sub, defs, path) for name, sub in value.items()}
        elif key in {"items", "additionalProperties"}:
            out[key] = _structural(value, defs, path)
        elif key in {"exclusiveMinimum", "exclusiveMaximum"}:
            out[key[len("exclusive") :].lower()] = value
            out[key] = True
        elif key == "default":
            if (default := _without_empties(value)) not in ("", [], {}, None):
                out["default"] = default
        else:
            out[key] = value
    if out.get("x-kubernetes-preserve-unknown-fields"):
        out.pop("additionalProperties", None)
    return _ordered(out)


def _without_empties(default: Any) -> Any:
    """An optional field's absence is no default, and the server checks an object's default as it stands."""
    if isinstance(default, dict):
        return {key: value for key, value in default.items() if value not in (None, "", [], {})}
    return default


def _undefaulted(node: Schema) -> Schema:
    """A status says what was seen: the server must not fill in what was not, but that nothing was (`UNSEEN`)."""
    out = {key: value for key, value in node.items() if key != "default"}
    if "properties" in out:
        out["properties"] = {name: _undefaulted(sub) for name, sub in out["properties"].items()}
    if "items" in out:
        out["items"] = _undefaulted(out["items"])
    return out


def _flatten(node: Schema, defs: dict[str, Schema], path: tuple[str, ...]) -> Schema:
    """`T | None` is T and optional; a single allOf is what it holds."""
    for word in ("anyOf", "allOf"):
        if word not in node:
            continue
        choices = [choice for choice in node[word] if choice.get("type") != "null"]
        if len(choices) != 1:
            raise ValueError(f"{'.'.join(path)}: a structural schema has no unions: {choices}")
        beside = {key: value for key, value in node.items() if key not in {word, "default"}}
        return _flatten({**choices[0], **beside}, defs, path)
    return node


_ORDER = ("description", "type", "format", "enum", "default", "required", "properties", "items")


def _ordered(out: Schema) -> Schema:
    """A stable order that reads well: what it is first, then its parts."""
    first = {key: out[key] for key in _ORDER if key in out}
    rest = {key: out[key] for key in sorted(out) if key not in first}
    if "description" in first:
        first["description"] = " ".join(str(first["description"]).split())
    return {**first, **rest}


def _column(column: Column) -> Schema:
    found: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.wide:
        found["priority"] = 1
    return found


def render(kind: type[Resource]) -> str:
    """The CRD as the YAML that is committed."""
    head = "# Generated from operator/quorate/api by `make crds`. Do not edit.\n"
    return head + yaml.safe_dump(crd(kind), sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """File name -> content, for every kind."""
    return {f"{GROUP}_{kind.plural}.yaml": render(kind) for kind in KINDS}


def write(directory: Path) -> None:
    """Write every CRD into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (directory / name).write_text(content)
