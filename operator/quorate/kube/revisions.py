"""The last template of a guest that was accepted, kept as a ControllerRevision: what a recovery starts when a newer one in
the spec is refused. The newest and the one before are kept; they go with their HAResource.
"""

from collections.abc import Mapping
from typing import Any

from quorate.api import parse
from quorate.core.types import GUEST_LABEL, TEMPLATE_ANNOTATION, Uid
from quorate.kube.calls import Calls, Conflict, NotFound, Permanent
from quorate.kube.guests.pod import template_of
from quorate.kube.resources import HARESOURCES, REVISIONS

Json = dict[str, Any]


class Revisions:
    """Keeps and finds templates by their hash."""

    def __init__(self, api: Calls) -> None:
        self.api = api

    async def keep(self, guest: Mapping[str, Any], template_hash: str, template: Json) -> None:
        """Keep an accepted template, and forget those older than the one that may be in use."""
        metadata = guest["metadata"]
        namespace = metadata["namespace"]
        body = {
            "apiVersion": REVISIONS.api_version,
            "kind": REVISIONS.kind,
            "metadata": {
                "name": _name(metadata["name"], template_hash),
                "namespace": namespace,
                "labels": {GUEST_LABEL: metadata["name"]},
                "annotations": {TEMPLATE_ANNOTATION: template_hash},
                "ownerReferences": [
                    {
                        "apiVersion": HARESOURCES.api_version,
                        "kind": HARESOURCES.kind,
                        "name": metadata["name"],
                        "uid": metadata["uid"],
                        "controller": True,
                    }
                ],
            },
            "data": template,
            "revision": metadata.get("generation", 1),
        }
        path = REVISIONS.path(namespace=namespace)
        try:
            await self.api.create(path, body)
        except Conflict:
            await self._replace_orphan(guest, template_hash, body)
        in_use = (guest.get("status") or {}).get("templateHash", "")
        await self._forget(guest, {template_hash, in_use})

    async def _replace_orphan(self, guest: Mapping[str, Any], template_hash: str, body: Json) -> None:
        """The name is taken: by ourselves, or by an earlier HAResource of that name whose revision is about to go."""
        metadata = guest["metadata"]
        path = REVISIONS.path(_name(metadata["name"], template_hash), metadata["namespace"])
        found = await self.api.get(path)
        if _owned(found, Uid(metadata["uid"])):
            return
        await self.api.delete(path, uid=found["metadata"]["uid"])
        await self.api.create(REVISIONS.path(namespace=metadata["namespace"]), body)

    async def _forget(self, guest: Mapping[str, Any], keep: set[str]) -> None:
        metadata = guest["metadata"]
        path = REVISIONS.path(namespace=metadata["namespace"])
        listed = await self.api.get(path, {"labelSelector": f"{GUEST_LABEL}={metadata['name']}"})
        for found in listed.get("items", []):
            held = (found["metadata"].get("annotations") or {}).get(TEMPLATE_ANNOTATION)
            if held not in keep and _owned(found, Uid(metadata["uid"])):
                try:
                    await self.api.delete(
                        REVISIONS.path(found["metadata"]["name"], metadata["namespace"]), uid=found["metadata"]["uid"]
                    )
                except NotFound:
                    continue

    async def find(self, guest: Mapping[str, Any], template_hash: str) -> Json:
        """The template with that hash: the current one, or one that was kept. Raises Permanent when it is lost."""
        if parse.guest(guest).spec.template.hash == template_hash:
            return template_of(guest)
        metadata = guest["metadata"]
        path = REVISIONS.path(_name(metadata["name"], template_hash), metadata["namespace"])
        try:
            data = (await self.api.get(path))["data"]
        except NotFound as error:
            words = (
                f"the accepted template {template_hash} of {metadata['namespace']}/{metadata['name']} is lost "
                f"(ControllerRevision {_name(metadata['name'], template_hash)}): correct the template in the HAResource"
            )
            raise Permanent(f"GET {path}", 404, "NotFound", words) from error
        return dict(data)


def _name(guest: str, template_hash: str) -> str:
    return f"{guest}-{template_hash}"


def _owned(found: Json, uid: Uid) -> bool:
    return any(owner.get("uid") == uid for owner in found["metadata"].get("ownerReferences") or [])
