"""What clients learn of the server before they use it: groups, kinds, version, OpenAPI. None of it changes."""

from typing import Any

from quorate.api.schema import Json
from quorate.lab.apiserver.kinds import Kind

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_VALIDATION = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}


def documents(kinds: list[Kind]) -> dict[str, Any]:
    """Path -> what is found there."""
    found: dict[str, Any] = dict.fromkeys(("/healthz", "/livez", "/readyz"), "ok")
    found["/version"] = {"major": "1", "minor": "34", "gitVersion": "v1.34.0+quorate"}
    groups, specs = [], {}
    for api_version in dict.fromkeys(kind.served for kind in kinds):
        group, _, version = api_version.rpartition("/")
        root = f"apis/{api_version}" if group else f"api/{api_version}"
        members = [kind for kind in kinds if kind.served == api_version]
        listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version}
        found[f"/{root}"] = listed | {"resources": [entry for kind in members for entry in _resources(kind)]}
        found[f"/openapi/v3/{root}"] = _openapi(root, members)
        specs[root] = {"serverRelativeURL": f"/openapi/v3/{root}"}
        if group:
            named = {"groupVersion": api_version, "version": version}
            groups.append({"name": group, "versions": [named], "preferredVersion": named})
            found[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **groups[-1]}
    found["/api"] = {"kind": "APIVersions", "versions": ["v1"]}
    found["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return found | {"/openapi/v3": {"paths": specs}}


def _resources(kind: Kind) -> list[Json]:
    common = {"namespaced": kind.namespaced, "kind": kind.kind, "name": kind.plural, "verbs": _VERBS}
    named = {"singularName": kind.names["singular"], "shortNames": kind.names["shortNames"]}
    entry = common | named | {"categories": kind.names.get("categories", [])}
    return [entry, common | {"name": f"{kind.plural}/status", "singularName": ""}] if kind.status else [entry]


def _openapi(root: str, kinds: list[Kind]) -> Json:
    """As much as kubectl asks: does a patch take fieldValidation (apply), and what do the fields mean (explain)?"""
    paths, schemas = {}, {}
    for kind in kinds:
        named = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        patch = {"x-kubernetes-group-version-kind": named, "parameters": [_VALIDATION], "responses": {}}
        paths[f"/{root}/{kind.plural}/{{name}}"] = {"patch": patch}
        schemas[kind.kind] = kind.schema.body | {"x-kubernetes-group-version-kind": [named]}
    return {"openapi": "3.0.0", "info": {}, "paths": paths, "components": {"schemas": schemas}}
