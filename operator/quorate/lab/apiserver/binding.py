"""Binding: how a scheduler gives a Pod its node, as pods/binding of the real server does it."""

from quorate.api.schema import Json, quoted
from quorate.lab.apiserver.kinds import Kind
from quorate.sim.errors import ApiError
from quorate.sim.store import Place, Store, status_of


def bind(store: Store, kind: Kind, place: Place, body: Json) -> None:
    """Carry out one Binding. Raises ApiError: 500 where no node is named, 409 for another Pod or one that has a node."""
    target = body.get("target") or {}
    if problem := _problem(target):
        raise ApiError(500, "", problem)
    found = store.get(kind, place)
    meta, node = found["metadata"], found["spec"].get("nodeName")
    asked = (body.get("metadata") or {}).get("uid")
    if asked and asked != meta["uid"]:
        problem = f"Precondition failed: UID in precondition: {asked}, UID in object meta: {meta['uid']}"
    elif "deletionTimestamp" in meta:
        problem = f"pod {place[1]} is being deleted, cannot be assigned to a host"
    elif node:
        problem = f'pod {place[1]} is already assigned to node "{node}"'
    if problem:
        text = f'Operation cannot be fulfilled on pods/binding "{place[1]}": {problem}'
        raise ApiError(409, "Conflict", text)
    annotations = {**(meta.get("annotations") or {}), **((body.get("metadata") or {}).get("annotations") or {})}
    bound = found | {
        "metadata": meta | ({"annotations": annotations} if annotations else {}),
        "spec": found["spec"] | {"nodeName": target["name"]},
    }
    store.update(kind, place, lambda _: bound)
    store.update(kind, place, _scheduled, status=True)


def _problem(target: Json) -> str:
    if target.get("kind") not in (None, "", "Node"):
        return f'target.kind: Unsupported value: {quoted(target["kind"])}: supported values: "Node", "<empty>"'
    return "" if target.get("name") else "target.name: Required value"


def _scheduled(pod: Json) -> Json:
    conditions = [one for one in status_of(pod).get("conditions") or () if one["type"] != "PodScheduled"]
    status = {**status_of(pod), "conditions": [*conditions, {"type": "PodScheduled", "status": "True"}]}
    return pod | {"status": status}
