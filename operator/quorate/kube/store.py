"""What this manager has seen: raw objects by kind, their views, and each node's beats. Fed by watches, lists and answers.

An answer to a write of ours comes in here at once, so that the next plan reads its own writes and not what a watch still
has on its way. An older version never replaces a newer one, and what was deleted does not come back with a late event;
a full list (`sweep`) is the last word on what exists.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from time import monotonic
from typing import Any, Final, TypeAlias

from quorate.api import parse
from quorate.core import beats, device
from quorate.core.device import DeviceBeat
from quorate.core.load import NOTHING, Size, Usage
from quorate.core.quick import replace
from quorate.core.status import ClusterStatus, GuestStatus, NodeStatus, StorageStatus
from quorate.core.types import AGENT_NAMESPACE, GuestKey, InstanceId, NodeName, Ref, Uid
from quorate.core.world import (
    Beat,
    ClusterView,
    GuestView,
    KubeNode,
    NodeView,
    Refusal,
    StorageView,
    Verdict,
)
from quorate.kube import views
from quorate.kube.fencers.known import Known
from quorate.kube.reaches import Reaches
from quorate.kube.resources import (
    CLUSTERS,
    HARESOURCES,
    KUBE_NODES,
    LEASES,
    NODES,
    OURS,
    PODS,
    STORAGES,
    Key,
    Resource,
    key_of,
    version_of,
)
from quorate.kube.roster import Parts, Roster
from quorate.kube.workloads import Workloads

Raw = dict[str, Any]
WATCHED: Final = (CLUSTERS, NODES, HARESOURCES, STORAGES, LEASES, PODS, KUBE_NODES)
REMEMBERED_DELETIONS: Final = 4096
LONG_SILENCE_S: Final = 5.0
_SEEN_ONLY: Final = frozenset({PODS, KUBE_NODES})
_OF_GUESTS: Final = frozenset({PODS, HARESOURCES})

Parsers: TypeAlias = Mapping[Resource, Callable[[Raw], Any]]
PARSERS: Final[Parsers] = {
    CLUSTERS: parse.cluster,
    NODES: parse.node,
    HARESOURCES: parse.guest,
    STORAGES: parse.storage,
    PODS: views.pod,
    KUBE_NODES: views.kube_node,
}


def _kept(resource: Resource, raw: Raw) -> Raw:
    """What is kept of an object beside its view: of a thousand guests, who wrote which field is the larger half.

    Of our own objects and Leases the rest is needed to write them again; of all others their name and version will do.
    """
    metadata = raw["metadata"]
    if "managedFields" in metadata:
        metadata = {name: value for name, value in metadata.items() if name != "managedFields"}
    elif resource not in _SEEN_ONLY:
        return raw
    return {"metadata": metadata} if resource in _SEEN_ONLY else {**raw, "metadata": metadata}


View: TypeAlias = ClusterView | NodeView | GuestView | StorageView
"""One of our objects, by itself: without what belongs to it in other objects."""


class Store:
    """All that was seen. `changed` is called with every change that a round may want to know of."""

    def __init__(
        self, changed: Callable[[], None], clock: Callable[[], float] = monotonic, parsers: Parsers = PARSERS
    ) -> None:
        self._changed = changed
        self._parsers = parsers
        self.clock = clock
        self.raw: dict[Resource, dict[Key, Raw]] = {resource: {} for resource in WATCHED}
        self._views: dict[Resource, dict[Key, Any]] = {resource: {} for resource in WATCHED}
        self._ending: dict[Uid, float] = {}
        """Pods that are being deleted, and when that was seen first."""
        self._deleted: dict[str, float] = {}
        """uid -> the version as of which it was gone."""
        self.beats: dict[NodeName, Beat] = {}
        self.reaches = Reaches()
        self.devices: dict[str, DeviceBeat] = {}  # quorum devices by name
        self.fencers = Known(changed)
        self.workloads = Workloads(changed, clock)
        self.missing: dict[NodeName, float] = {}
        self.witnessed: set[NodeName] = set()
        """Nodes whose Lease was seen to be deleted, with its last version."""
        self.attentive: dict[str, frozenset[NodeName]] = {}
        self.verdicts: dict[Uid, Verdict] = {}
        self.refusals: dict[InstanceId, Refusal] = {}
        self.others: dict[NodeName, Size] | None = None
        """What Pods that are no guests request, by node; None while nobody has looked."""
        self.usage: dict[NodeName, tuple[str, Usage]] = {}
        self.guest_usage: dict[GuestKey, tuple[str, Usage]] = {}
        """What was measured, each with the time stamp that it came with."""
        self.troubles: dict[tuple[Resource, Key], str] = {}
        self._obstacles: dict[tuple[Resource, Key], str] = {}
        self._roster = Roster(self._views[HARESOURCES], self._parts)
        self.api_servers = 0
        self.synced = False
        self.listed_s = float("-inf")
        """When the last complete look at everything began."""
        self.unlisted = ""
        """Why the last complete look failed: a leader that has not looked since it was elected plans nothing."""
        self.watching = False
        """Changes are being told. Without it a sweep finds them, up to a minute late."""
        self.watch_restarts = 0  # how often the watching ended by itself and began anew
        # The next change of any Cluster: take it before looking, and then wait for it. Each change has one of its own.
        self.cluster_news = asyncio.Event()
        self.opened = asyncio.Event()
        """Everything was listed once since this process began."""
        self.wanted = asyncio.Event()
        """Somebody needs a complete look now."""
        self._rewound: dict[str, str] = {}
        """Cluster -> how the API server was found to be older than it had been read before, until that is recorded."""
        self._newest: dict[Resource, int] = dict.fromkeys(WATCHED, 0)

    # -- feeding ----------------------------------------------------------------------------------------------------

    def put(self, resource: Resource, raw: Raw) -> None:
        """A version of an object."""
        key, uid, version = key_of(raw), raw["metadata"].get("uid", ""), version_of(raw)
        before = self.raw[resource].get(key)
        self._newest[resource] = max(self._newest[resource], version)
        if version < self._deleted.get(uid, 0):
            return
        if before is not None and before["metadata"].get("uid") == uid and version_of(before) >= version:
            return
        self.raw[resource][key] = _kept(resource, raw)
        if resource is LEASES:
            self._lease(NodeName(key[1]), raw)
            return
        self._parse(resource, key, raw)
        if resource is PODS:
            self._ends(key, raw)
        if resource is CLUSTERS:
            self._tell_of_clusters()
        if resource is NODES and self.synced and (AGENT_NAMESPACE, key[1]) not in self.raw[LEASES]:
            self.missing.setdefault(NodeName(key[1]), self.clock())
        self._changed()

    def _ends(self, key: Key, raw: Raw) -> None:
        """When a Pod that is being deleted should have stopped. By our own clock: the API server's may be another one."""
        view, metadata = self._views[PODS].get(key), raw["metadata"]
        if view is not None and view.deleting:
            began_s = self._ending.setdefault(view.uid, self.clock())
            grace_s = float(metadata.get("deletionGracePeriodSeconds") or 0)
            self._views[PODS][key] = replace(view, stops_at_s=began_s + grace_s)

    def has_listed(self, since_s: float) -> bool:
        """Has everything been listed by a look that began after that? If not, one is asked for."""
        if self.synced and self.listed_s >= since_s:
            return True
        self.wanted.set()
        return False

    def found(self, resource: Resource, raw: Raw) -> None:
        """A live GET has returned it: it exists, whatever was heard before."""
        self._deleted.pop(raw["metadata"].get("uid", ""), None)
        self.put(resource, raw)

    def gone(self, resource: Resource, key: Key, uid: str, version: float = inf) -> None:
        """It has been deleted, or (as of `version`) it has left what is watched because a label was taken off."""
        if uid:
            self._deleted[uid] = version
            if len(self._deleted) > REMEMBERED_DELETIONS:
                del self._deleted[next(iter(self._deleted))]
        before = self.raw[resource].get(key)
        if before is None or (uid and before["metadata"].get("uid") != uid):
            return
        self._forget(resource, key)
        if resource is CLUSTERS:
            self._tell_of_clusters()
        self._changed()

    def _tell_of_clusters(self) -> None:
        news, self.cluster_news = self.cluster_news, asyncio.Event()
        news.set()

    def deleted(self, resource: Resource, last: Raw) -> None:
        """A watch has told of its end, and of the last version of it."""
        name = NodeName(key_of(last)[1])
        before = self.beats.get(name) if resource is LEASES else None
        if before is not None and before.uid == last["metadata"].get("uid"):
            self.beats[name] = views.lease(before, last, self.clock())  # also where a list had missed it first
        self.gone(resource, key_of(last), last["metadata"].get("uid", ""), version_of(last) or inf)
        if before is not None and key_of(last) not in self.raw[LEASES]:
            self.witnessed.add(name)
            self._changed()

    def sweep(self, resource: Resource, listed: Iterable[Raw], version: int) -> None:
        """A complete list, as of that version: what it lacks is gone, unless it is newer than the list."""
        self._newest[resource] = max(self._newest[resource], version)
        kept = set()
        for raw in listed:
            kept.add(key_of(raw))
            self.put(resource, raw)
        for key, raw in list(self.raw[resource].items()):
            if key not in kept and version_of(raw) <= version:
                self.gone(resource, key, raw["metadata"].get("uid", ""), version)
        if resource is LEASES:
            now_s = self.clock()
            for _, name in list(self._views[NODES]):
                if (AGENT_NAMESPACE, name) not in self.raw[LEASES]:
                    self.missing.setdefault(NodeName(name), now_s)

    def probed(self, name: NodeName, began_s: float, raw: Raw | None) -> None:
        """A live GET of a node's Lease that began then: the object, or None when there is none."""
        if raw is None:
            known = self.raw[LEASES].get((AGENT_NAMESPACE, name))
            if known is not None:
                self.gone(LEASES, (AGENT_NAMESPACE, name), known["metadata"].get("uid", ""))
            self.missing.setdefault(name, began_s)
            return
        self.put(LEASES, raw)
        beat = self.beats.get(name)
        # Whatever came in meanwhile is in the beat as well. Its very version need not be the one that was read: somebody
        # who writes the Lease all the time would keep a dead node from ever being suspected.
        if beat is not None and beat.uid == raw["metadata"].get("uid"):
            self.beats[name] = beats.probed(beat, began_s)

    def device(self, name: str, raw: Raw, began_s: float) -> None:
        """A live GET of a quorum device's Lease that began then. A renewal after a long silence wakes."""
        before = self.devices.get(name)
        renewed = str((raw.get("spec") or {}).get("renewTime") or "")
        after = device.saw(before, uid=Uid(raw["metadata"].get("uid", "")), renewed=renewed, now_s=began_s)
        self.devices[name] = after
        if after != before and (before is None or not before.moved or after.seen_s - before.seen_s > LONG_SILENCE_S):
            self._changed()

    def trouble(self, resource: Resource, key: Key, text: str = "") -> None:
        """A deed on this object cannot be done as it is (empty: it was done). The next plan says so on the object."""
        if text:
            self._obstacles[resource, key] = text
        else:
            self._obstacles.pop((resource, key), None)
        if resource is HARESOURCES:
            self._roster.touch(key)

    def found_others(self, requested: dict[NodeName, Size]) -> None:
        """What Pods that are no guests request now."""
        if requested != self.others:
            self.others = requested
            self._changed()

    def measured(self, nodes: dict[NodeName, tuple[str, Usage]], guests: dict[GuestKey, tuple[str, Usage]]) -> None:
        """What metrics.k8s.io says now. It wakes nobody: a round comes soon enough."""
        self.usage, self.guest_usage = nodes, guests
        self._roster.touch_all()

    def found_api_servers(self, count: int) -> None:
        """How many addresses the API server has: what profile Auto goes by."""
        if count != self.api_servers:
            self.api_servers = count
            self._changed()

    def open_gate(self, began_s: float) -> None:
        """Everything was listed, in a look that began then: the store speaks of the whole cluster."""
        self.synced, self.listed_s, self.unlisted = True, began_s, ""
        self.opened.set()
        self._changed()

    def versions(self, resource: Resource) -> dict[Key, tuple[str, int]]:
        """uid and version of every object of a kind, as it is known now."""
        return {key: (raw["metadata"].get("uid", ""), version_of(raw)) for key, raw in self.raw[resource].items()}

    def newest(self, resource: Resource) -> int:
        """The newest version that was ever read of a kind, of an object or a list."""
        return self._newest[resource]

    def forget(self, why: str) -> None:
        """The API server is older than it was: nothing that was read before it may be believed, but the heartbeats.

        These go on counting: what a node had renewed it has renewed, and an old sequence is no beat.
        """
        self._rewound = {view.name: why for view in self.clusters()}
        self.synced = False
        self._newest = dict.fromkeys(WATCHED, 0)
        for resource in WATCHED:
            self.raw[resource].clear()
            self._views[resource].clear()
        self._deleted.clear()
        self.missing.clear()
        self.verdicts.clear()
        self.refusals.clear()
        self.workloads.forget_all()
        self.troubles.clear()
        self._obstacles.clear()
        self._roster.touch_all()
        self._changed()

    def judge(self, uid: Uid, verdict: Verdict) -> None:
        """What the API server said to a dry run."""
        self.verdicts[uid] = verdict
        self._roster.touch_all()
        self._changed()

    def refuse(self, refusal: Refusal) -> None:
        """The API server would not make the Pod of an instance."""
        self.refusals = {refusal.instance: refusal, **dict(list(self.refusals.items())[:REMEMBERED_DELETIONS])}
        self._roster.touch_all()
        self._changed()

    def _lease(self, name: NodeName, raw: Raw) -> None:
        """Most renewals say only "still there": they move the clock and wake nobody."""
        before = self.beats.get(name)
        after = views.lease(before, raw, self.clock())
        self.beats[name] = after
        was_missing = self.missing.pop(name, None) is not None
        self.witnessed.discard(name)
        news = self.reaches.saw(name, raw, after.holder) or was_missing
        if news or any(name in names for names in self.attentive.values()) or views.material(before, after):
            self._changed()

    def _parse(self, resource: Resource, key: Key, raw: Raw) -> None:
        """The view of an object. One that cannot be read keeps its last readable form, with the trouble said."""
        if resource in _OF_GUESTS:
            self._roster.touch(key)
        try:
            view = self._parsers[resource](raw)
        except parse.UnreadableError as error:
            self.troubles[resource, key] = str(error)
            before = self._views[resource].get(key)
            if isinstance(before, GuestView | NodeView):
                self._views[resource][key] = replace(parse.without_spec(before, raw), trouble=str(error))
            return
        self.troubles.pop((resource, key), None)
        self._views[resource][key] = view
        if isinstance(view, GuestView):
            self.workloads.mind(view.key, view)
        if isinstance(view, ClusterView):
            self._recorded(view)

    def _recorded(self, cluster: ClusterView) -> None:
        """Its status asks a person to accept a rewind: from now on that is what counts, for a standby as well.

        One that was accepted before says nothing of ours: it may have come back with the copy.
        """
        rewind = cluster.status.rewind
        if rewind is not None and rewind.accepted is None:
            self._rewound.pop(cluster.name, None)

    def _forget(self, resource: Resource, key: Key) -> None:
        raw = self.raw[resource].pop(key)
        self._views[resource].pop(key, None)
        if resource in _OF_GUESTS:
            self._roster.touch(key)
        self.troubles.pop((resource, key), None)
        self._obstacles.pop((resource, key), None)
        if resource is LEASES:
            self.missing.setdefault(NodeName(key[1]), self.clock())
        elif resource is PODS:
            self._ending.pop(Uid(raw["metadata"].get("uid", "")), None)
        elif resource is HARESOURCES:
            self.verdicts.pop(Uid(raw["metadata"].get("uid", "")), None)
            self.workloads.mind(GuestKey(*key), None)
        elif resource is NODES:
            self.missing.pop(NodeName(key[1]), None)

    # -- reading ----------------------------------------------------------------------------------------------------

    def rewound_of(self, cluster: str) -> str:
        """How history was found running backwards, where the Cluster's status does not say so yet."""
        return self._rewound.get(cluster, "")

    def clusters(self) -> list[ClusterView]:
        return [self._views[CLUSTERS][key] for key in sorted(self._views[CLUSTERS])]

    def nodes(self) -> list[NodeView]:
        """Members, with their Kubernetes node and their beats."""
        return [self._node(self._views[NODES][key]) for key in sorted(self._views[NODES])]

    def node(self, name: NodeName) -> NodeView | None:
        """One member by itself: without its Kubernetes node and its beats."""
        found: NodeView | None = self._views[NODES].get(("", name))
        return found

    def _node(self, view: NodeView) -> NodeView:
        name = view.name
        present = (AGENT_NAMESPACE, name) in self.raw[LEASES]
        return replace(
            view,
            kube=self._views[KUBE_NODES].get(("", name)),
            beat=self.beats.get(name) if present else None,
            lease_missing_s=None if present else self.missing.get(name),
            missed=self.beats.get(name) if not present and name in self.witnessed else None,
            trouble=view.trouble or self._obstacles.get((NODES, ("", name)), ""),
            others=self.others.get(name, NOTHING) if self.others is not None else None,
            usage=self.usage[name][1] if name in self.usage else None,
            devices=self.fencers.devices(view),
            health=self.fencers.health(view),
            reach=self.reaches.of(name) if present else (),
            kubelet=self.workloads.kubelets.get(name),
        )

    def guests(self) -> tuple[GuestView, ...]:
        """Guests, with their Pods and what the API server said about their templates."""
        return self._roster.everyone()

    def guests_of(self, cluster: str) -> tuple[GuestView, ...]:
        """Those that belong to a Cluster."""
        return self._roster.of(cluster, [view.name for view in self.clusters()])

    def _refusal(self, view: GuestView) -> Refusal | None:
        """What the API server would not make: of a migration under way, else of the instance."""
        one = view.status.migration or view.status.instance
        return self.refusals.get(one.id) if one is not None else None

    def _parts(self, key: Key, view: GuestView) -> Parts:
        return (
            view,
            self._views[PODS].get(key),
            self.verdicts.get(view.uid),
            self._refusal(view),
            view.trouble or self._obstacles.get((HARESOURCES, key), ""),
            self.guest_usage[view.key][1] if view.key in self.guest_usage else None,
        )

    def terms(self, cluster: str) -> Iterator[int]:
        """The term in every status of a Cluster, its nodes and its guests."""
        for view in self._views[CLUSTERS].values():
            if view.name == cluster:
                yield view.status.term
        for node in self._views[NODES].values():
            if node.cluster_name == cluster:
                yield node.status.term
        for guest in self._views[HARESOURCES].values():
            if guest.status.cluster_name == cluster:
                yield guest.status.term

    def kube_nodes(self) -> list[KubeNode]:
        return [self._views[KUBE_NODES][key] for key in sorted(self._views[KUBE_NODES])]

    def storages(self, guests: Iterable[GuestView]) -> list[StorageView]:
        """Storages, with the sids of the guests that name them and what could not be done with them."""
        if not self._views[STORAGES]:
            return []
        users: dict[str, list[str]] = {}
        for guest in guests:
            for mount in guest.spec.mounts:
                users.setdefault(mount.storage, []).append(guest.key.sid)
        return [
            replace(
                view,
                used_by=tuple(users.get(view.name, ())),
                trouble=self._obstacles.get((STORAGES, key), ""),
            )
            for key, view in sorted(self._views[STORAGES].items())
        ]

    def view(self, ref: Ref) -> View | None:
        """The object as it was read last."""
        found: View | None = self._views[OURS[ref.kind]].get((ref.namespace, ref.name))
        return found

    def status(self, ref: Ref) -> ClusterStatus | NodeStatus | GuestStatus | StorageStatus | None:
        """The status of one of our objects as it was last understood; None when there is none."""
        view = self.view(ref)
        return None if view is None else view.status

    def guest_raw(self, key: GuestKey) -> Raw | None:
        return self.raw[HARESOURCES].get((key.namespace, key.name))
