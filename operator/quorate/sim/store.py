"""The object store of an API server, without HTTP, clock or chance: compare-and-swap, finalizers, deletion, watches.

Objects are shared and never changed in place, neither by the store nor by those who read them: a change is a new object.
Everything that happens is an `Event` with a version of its own; `listeners` hear of it at once. Time and uids come in
from outside, so that a simulator can run it in virtual time and replay a run byte by byte.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from quorate.api.schema import Cause, Json, quoted, wrong
from quorate.api.wire import format_instant, parse_instant
from quorate.core.quick import quick
from quorate.core.types import Instant
from quorate.sim.errors import ApiError, invalid
from quorate.sim.selection import Matches

Place = tuple[str, str]
"""(namespace, name); the namespace of cluster-scoped objects is empty."""

_KEPT = ("uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_NOT_WRITTEN = ("name", "namespace", *_KEPT)
"""What a change of an object leaves as it is, whatever is wanted."""
_NOTHING: tuple[object, ...] = ("", None, [], {})


@dataclass(frozen=True, eq=False)
class Resource:
    """What the store must know of a kind. `status`: it is a subresource."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    status: bool

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def table(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def admit(self, new: Json, old: Json | None) -> list[Cause]:  # noqa: ARG002
        """Fill in what only the server may set, and say what is wrong; `old` is the object as it is, or None."""
        return []

    def refusal(self, code: int, reason: str, name: str, text: str) -> ApiError:
        """A refusal about one object; `{}` in the text stands for it."""
        details = {"name": name, "group": self.group, "kind": self.plural}
        return ApiError(code, reason, text.replace("{}", f'{self.table} "{name}"'), details)


@quick
@dataclass(frozen=True, slots=True)
class Event:
    """One change: `old` is None for a creation, `new` for a removal."""

    version: int
    resource: Resource
    old: Json | None
    new: Json | None

    def seen(self, matches: Matches) -> tuple[str, Json] | None:
        """What a watch is told of it: an object that leaves the selection is deleted for it."""
        was = self.old is not None and matches(self.old)
        if self.new is not None and matches(self.new):
            return ("MODIFIED" if was else "ADDED"), self.new
        if self.old is None or not was:
            return None
        return "DELETED", self.old | {"metadata": self.old["metadata"] | {"resourceVersion": str(self.version)}}


class Store:
    """All objects of one cluster. `now` is the wall clock, `history` how many changes watches can catch up on."""

    def __init__(
        self, resources: Iterable[Resource], now: Callable[[], Instant], new_uid: Callable[[], str], history: int = 8192
    ) -> None:
        self.resources = {resource.table: resource for resource in resources}
        self.version = 0
        self.listeners: list[Callable[[Event], None]] = []
        self._tables: dict[str, dict[Place, Json]] = {table: {} for table in self.resources}
        self._log: deque[Event] = deque(maxlen=history)
        self.now, self._new_uid = now, new_uid

    def fork(self) -> "Store":
        """A copy to try something on: nobody hears of what happens to it."""
        other = Store(self.resources.values(), self.now, self._new_uid)
        other.restore(self.everything(), self.version)
        return other

    def restore(self, objects: Iterable[tuple[Resource, Json]], version: int) -> None:
        """Add what was saved. Versions go on from `version`; no older watch can be resumed."""
        for resource, found in objects:
            self._tables[resource.table][place_of(found)] = found
        self.version = version
        self._log.clear()

    def roll_back(self, objects: Iterable[tuple[Resource, Json]], version: int) -> None:
        """Nothing is there but what was saved, as of that version: somebody restored a copy."""
        for table in self._tables.values():
            table.clear()
        self.restore(objects, version)

    def forget_history(self) -> None:
        """No watch can be resumed any more. Most of what a store holds is what its objects once were."""
        self._log.clear()

    def everything(self) -> list[tuple[Resource, Json]]:
        """All objects of all kinds."""
        return [(one, found) for one in self.resources.values() for found in self._tables[one.table].values()]

    def get(self, resource: Resource, place: Place) -> Json:
        """One object. Raises ApiError 404."""
        if place in self._tables[resource.table]:
            return self._tables[resource.table][place]
        raise resource.refusal(404, "NotFound", place[1], "{} not found")

    def find(self, resource: Resource, place: Place) -> Json | None:
        """One object, or None."""
        return self._tables[resource.table].get(place)

    def listed(self, resource: Resource, matches: Matches = bool) -> list[Json]:
        """The selected objects, sorted by namespace and name."""
        return [found for _, found in sorted(self._tables[resource.table].items()) if matches(found)]

    def watch(self, resource: Resource, version: int) -> list[Event]:
        """The changes of a kind after a version, in order. Raises ApiError 410 when some of them are forgotten."""
        return [event for event in self.since(version) if event.resource.table == resource.table]

    def since(self, version: int) -> list[Event]:
        """All changes after a version, in order. Raises ApiError 410 when some of them are forgotten."""
        oldest = self.version - len(self._log)
        if version < oldest:
            raise ApiError(410, "Expired", f"too old resource version: {version} ({oldest})")
        return list(takewhile(lambda event: event.version > version, reversed(self._log)))[::-1]

    def create(self, resource: Resource, namespace: str, wanted: Json) -> Json:
        """Add an object; `generateName` is honoured. Raises ApiError."""
        meta = {key: value for key, value in wanted["metadata"].items() if key not in _KEPT}
        meta |= {"uid": self._new_uid(), "creationTimestamp": format_instant(Instant(self.now() // 1000 * 1000))}
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + meta["uid"][-5:]
        home = self.get(self.resources["namespaces"], ("", namespace)) if resource.namespaced else {"metadata": {}}
        if "deletionTimestamp" in home["metadata"]:
            text = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise resource.refusal(403, "Forbidden", meta.get("name", ""), "{} is forbidden: " + text)
        return self._put(resource, None, wanted | {"metadata": meta | {"namespace": namespace}})

    def replace(self, resource: Resource, place: Place, wanted: Json, *, status: bool = False) -> Json:
        """PUT: the whole object, or its status; a missing Lease is created. Raises ApiError 409 for another version."""
        if place in self._tables[resource.table] or resource.kind != "Lease":
            return self.update(resource, place, lambda _: wanted, status=status)
        _check_versions(resource, {"name": place[1], "uid": ""}, {"uid": wanted["metadata"].get("uid")})
        return self.create(resource, place[0], wanted | {"metadata": wanted["metadata"] | {"name": place[1]}})

    def update(self, resource: Resource, place: Place, change: Callable[[Json], Json], *, status: bool = False) -> Json:
        """Change an object, or its status alone. What changes nothing is no event. Raises ApiError."""
        old = self.get(resource, place)
        wanted = change(old)
        if not wanted["metadata"].get("resourceVersion"):
            missing = wrong("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(resource.plural, resource.group, place[1], [missing])
        _check_versions(resource, old["metadata"], wanted["metadata"])
        if status:
            return self._put(resource, old, old | {"status": wanted.get("status")})
        meta = wanted["metadata"] | dict.fromkeys(_NOT_WRITTEN) | _kept(old["metadata"])
        new = wanted | {"metadata": meta}
        if resource.status:
            new["status"] = old.get("status")
        return self._put(resource, old, new)

    def delete(self, resource: Resource, place: Place, grace_s: int | None = None, held: Json | None = None) -> Json:
        """Ask for an object's end; it stays while a finalizer holds it or its grace period runs. Raises ApiError.

        `held` may name the uid and the resourceVersion that it must have. Returns the object as it is, or was last.
        """
        old = self.get(resource, place)
        _check_versions(resource, old["metadata"], held or {})
        grace = _grace_s(old, grace_s) if resource.kind == "Pod" else 0
        asked = int(self.now())
        if "deletionTimestamp" in old["metadata"]:
            asked = parse_instant(old["metadata"]["deletionTimestamp"])
            asked -= 1000 * old["metadata"]["deletionGracePeriodSeconds"]
        end = format_instant(Instant((asked // 1000 + grace) * 1000))
        ending = {"deletionTimestamp": end, "deletionGracePeriodSeconds": grace}
        return self._put(resource, old, old | {"metadata": old["metadata"] | ending})

    def _put(self, resource: Resource, old: Json | None, wanted: Json) -> Json:
        """What every change goes through: admission, then nothing, an event, or the end of an object."""
        new = {key: value for key, value in wanted.items() if value is not None}
        meta = {key: value for key, value in wanted["metadata"].items() if value or value not in _NOTHING}
        new["metadata"], new["apiVersion"], new["kind"] = meta, resource.api_version, resource.kind
        if causes := resource.admit(new, old) + _metadata_causes(meta, old["metadata"] if old else {}):
            raise invalid(resource.kind, resource.group, meta.get("name", ""), causes)
        place = place_of(new)
        if old is None and place in self._tables[resource.table]:
            ends = "object is being deleted: " * ("deletionTimestamp" in self.get(resource, place)["metadata"])
            raise resource.refusal(409, "AlreadyExists", place[1], ends + "{} already exists")
        if old is None or _differs(new, old):
            meta["generation"] = meta.get("generation", 0) + 1
        elif new == old:
            return new
        gone = "deletionTimestamp" in meta and not _held(new)
        return self._commit(resource, place, old, None if gone else new) or new

    def _commit(self, resource: Resource, place: Place, old: Json | None, new: Json | None) -> Json | None:
        """`new` is of this change alone until it is here: it gets its version in place."""
        self.version += 1
        if new is None:
            del self._tables[resource.table][place]
        else:
            new["metadata"]["resourceVersion"] = str(self.version)
            self._tables[resource.table][place] = new
        event = Event(self.version, resource, old, new)
        self._log.append(event)
        for listener in self.listeners:
            listener(event)
        return new


def _kept(meta: Json) -> Json:
    return {key: meta[key] for key in _NOT_WRITTEN if key in meta}


def place_of(found: Json) -> Place:
    """Where an object is stored."""
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]


def _differs(new: Json, old: Json) -> bool:
    """In what generation counts; that deletion began is part of it."""
    if ("deletionTimestamp" in new["metadata"]) != ("deletionTimestamp" in old["metadata"]):
        return True
    for key, value in new.items():
        if key not in ("metadata", "status"):
            before = old.get(key)
            if value is not before and value != before:
                return True
    return any(key not in new for key in old if key not in ("metadata", "status"))


def _held(found: Json) -> bool:
    """Is there a finalizer (a Namespace has its own in spec), or a grace period that only the kubelet can end?"""
    meta, spec = found["metadata"], found.get("spec", {})
    return bool(meta.get("finalizers") or spec.get("finalizers") or meta.get("deletionGracePeriodSeconds"))


def _grace_s(pod: Json, asked_s: int | None) -> int:
    """Only a Pod that is bound and not finished is waited for; a grace period that runs can only be shortened."""
    pending: int | None = pod["metadata"].get("deletionGracePeriodSeconds")
    if pending is not None:
        return pending if asked_s is None else min(asked_s, pending)
    if not pod["spec"].get("nodeName") or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    wished: int = pod["spec"].get("terminationGracePeriodSeconds", 30) if asked_s is None else asked_s
    return wished if wished >= 0 else 1


def _metadata_causes(meta: Json, old: Json) -> list[Cause]:
    if "name" not in meta:
        return [Cause("metadata.name", "Required", "Required value: name or generateName is required")]
    if meta.get("finalizers") is old.get("finalizers"):
        return []
    added = ", ".join(quoted(one) for one in meta.get("finalizers", ()) if one not in old.get("finalizers", ()))
    text = "no new finalizers can be added if the object is being deleted, found new finalizers []string"
    late = [Cause("metadata.finalizers", "Forbidden", f"Forbidden: {text}{{{added}}}")]
    return late if added and "deletionTimestamp" in old else []


def _check_versions(resource: Resource, found: Json, wanted: Json) -> None:
    """The precondition of a change: the same uid and the same version, where the client names them."""
    for key in ("uid", "resourceVersion"):
        if wanted.get(key) and wanted[key] != found[key]:
            text = "the object has been modified; please apply your changes to the latest version and try again"
            if key == "uid":
                text = f"the UID in the precondition ({wanted[key]}) does not match the UID in record ({found[key]})"
            raise resource.refusal(409, "Conflict", found["name"], "Operation cannot be fulfilled on {}: " + text)


def status_of(found: Json | None) -> Json:
    """An object's status; empty where there is no object, or it has none."""
    status: Json = (found or {}).get("status") or {}
    return status
