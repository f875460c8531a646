"""One manager of a toy cluster: observe, plan, act, with the preconditions that the API server would hold it to."""

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING
from unittest.mock import patch

from quorate.core import beats
from quorate.core.actions import (
    Action,
    CheckTemplate,
    CreateLease,
    CreatePod,
    Enroll,
    Plan,
    ProbeLease,
    RemovePod,
    SetFinalizer,
    SetTaint,
    StatusWrite,
    StopPod,
    TakeLease,
)
from quorate.core.invariants import check
from quorate.core.load import NOTHING
from quorate.core.plan import plan
from quorate.core.pods import ContainerView, PodView
from quorate.core.selectors import Taint
from quorate.core.status import ClusterStatus, GuestStatus, NodeStatus
from quorate.core.types import (
    FENCE_TAINT,
    GuestKey,
    Instant,
    NodeName,
    Uid,
)
from quorate.core.world import Beat, NodeView, Verdict, World
from tests.toy.limits import overfull
from tests.toy.parts import Conflict, Lease, Pod

if TYPE_CHECKING:
    from tests.toy.cluster import Toy


class Manager:
    """One manager: what it has seen of the Leases is its own; all else is in the API."""

    def __init__(self, toy: "Toy", term: int) -> None:
        self.toy = toy
        self.term = term
        self.beats: dict[NodeName, Beat] = {}
        self.missing: dict[NodeName, float] = {}
        self.verdicts: dict[GuestKey, Verdict] = {}
        self.draws = count(1)
        self.stopped = False
        self.plans = 0

    def observe(self) -> World:
        toy = self.toy
        for name in toy.nodes:
            lease = toy.leases.get(name)
            if lease is None:
                self.missing.setdefault(name, toy.now_s)
                continue
            self.missing.pop(name, None)
            self.beats[name] = beats.saw(
                self.beats.get(name),
                uid=lease.uid,
                resource_version=str(lease.version),
                holder=lease.holder,
                attestation=lease.attestation,
                now_s=toy.now_s,
            )
        nodes = tuple(
            replace(
                view,
                kube=toy.kube.get(name),
                beat=self.beats.get(name) if name in toy.leases else None,
                lease_missing_s=self.missing.get(name),
                missed=self.beats.get(name) if name not in toy.leases else None,
                others=toy.others.get(name, NOTHING),
                usage=toy.usage.get(name),
                reach=toy.reach.get(name, ()),
            )
            for name, view in sorted(toy.nodes.items())
        )
        guests = tuple(
            replace(
                view,
                pod=toy.pods[key].view if key in toy.pods else None,
                verdict=self.verdicts.get(key),
                usage=toy.guest_usage.get(key),
            )
            for key, view in sorted(toy.guests.items())
        )
        return World(
            now_s=toy.now_s,
            wall=Instant(round(toy.now_s * 1000)),
            entropy=f"{self.term}-{next(self.draws)}-{len(toy.pods)}-{toy.now_s}",
            term=self.term,
            manager=f"manager-{self.term}",
            cluster=toy.cluster,
            nodes=nodes,
            guests=guests,
            storages=tuple(toy.storages[name] for name in sorted(toy.storages)),
            kube_nodes=tuple(toy.kube[name] for name in sorted(toy.kube)),
            api_servers=1,
        )

    def decide(self) -> Plan:
        world = self.observe()
        made = plan(world)
        breaches = check(world, made)
        assert not breaches, breaches
        assert not overfull(world, made), overfull(world, made)
        with patch("quorate.core.plan.settled", lambda *_: False):
            assert plan(world) == made, (
                "the same World must give the same Plan, by the shortcut for settled guests or not"
            )
        self.plans += 1
        return made

    def settle(self) -> None:
        """Plan and act until nothing is left to do now."""
        for _ in range(20):
            if self.stopped:
                return
            made = self.decide()
            done = self.act(made)
            if not done:
                return
        raise AssertionError(f"plan() does not come to rest: {made}")

    def act(self, made: Plan, limit: int | None = None) -> int:
        """Carry a plan out as the shell does; `limit` calls and the manager dies. How many calls took effect."""
        failed, calls, effective = set(), 0, 0
        for write in made.statuses:
            if limit is not None and calls >= limit:
                return effective
            calls += 1
            try:
                self._write(write)
                effective += 1
            except Conflict:
                failed.add(write.ref)
        for action in made.actions:
            if any(ref in failed for ref in action.after):
                continue
            if limit is not None and calls >= limit:
                return effective
            calls += 1
            try:
                effective += bool(self._do(action))
            except Conflict:
                continue
        return effective

    def _write(self, write: StatusWrite) -> None:
        toy, status = self.toy, write.status
        match status:
            case ClusterStatus():
                if toy.cluster.resource_version != write.resource_version:
                    raise Conflict
                toy.cluster = replace(toy.cluster, status=status, resource_version=toy.version())
            case NodeStatus():
                view = toy.nodes.get(NodeName(write.ref.name))
                if view is None or view.resource_version != write.resource_version:
                    raise Conflict
                toy.nodes[view.name] = replace(view, status=status, resource_version=toy.version())
            case GuestStatus():
                key = GuestKey(write.ref.namespace, write.ref.name)
                guest = toy.guests.get(key)
                if guest is None or guest.resource_version != write.resource_version:
                    raise Conflict
                toy.guests[key] = replace(guest, status=status, resource_version=toy.version())

    def _do(self, action: Action) -> object:
        toy = self.toy
        match action:
            case Enroll(name):
                if name in toy.nodes:
                    raise Conflict
                toy.nodes[name] = NodeView(name, toy.uid(), "prod", resource_version=toy.version())
                return True
            case CreateLease(name):
                if name in toy.leases:
                    raise Conflict
                toy.leases[name] = Lease(toy.uid(), next(toy.versions))
                return True
            case ProbeLease(name):
                if name in self.beats:
                    self.observe()
                    self.beats[name] = beats.probed(self.beats[name], toy.now_s)
                return True
            case TakeLease():
                return self._take(action)
            case SetTaint(name, incident):
                kube = toy.kube[name]
                others = tuple(taint for taint in kube.taints if taint.key != FENCE_TAINT)
                ours = (Taint(FENCE_TAINT, "NoSchedule", incident),) if incident else ()
                toy.kube[name] = replace(kube, taints=(*others, *ours))
                return toy.kube[name] != kube
            case SetFinalizer():
                return self._finalizer(action)
            case CheckTemplate(key, template_hash):
                accepted = template_hash not in toy.rejected
                self.verdicts[key] = Verdict(template_hash, accepted, "" if accepted else "spec: Invalid")
                return True
            case CreatePod():
                return self._create(action)
            case StopPod(key, uid, version):
                pod = self._judged(key, uid, version)
                toy.end(pod)
                return True
            case RemovePod(key, uid, version):
                self._judged(key, uid, version)
                del toy.pods[key]
                return True
        raise AssertionError(action)

    def _judged(self, key: GuestKey, uid: Uid, version: str) -> Pod:
        pod = self.toy.pods.get(key)
        if pod is None or pod.view.uid != uid or pod.view.resource_version != version:
            raise Conflict
        return pod

    def _take(self, action: TakeLease) -> bool:
        lease = self.toy.leases.get(action.node)
        if action.resource_version is None:
            if lease is not None:
                raise Conflict
            lease = self.toy.leases[action.node] = Lease(self.toy.uid(), 0)
        elif lease is None or str(lease.version) != action.resource_version or lease.uid != action.uid:
            raise Conflict
        lease.version, lease.holder = next(self.toy.versions), f"fenced/{action.incident}/{action.nonce}"
        return True

    def _finalizer(self, action: SetFinalizer) -> bool:
        toy, ref = self.toy, action.subject
        if ref.kind == "HAResource":
            key = GuestKey(ref.namespace, ref.name)
            if key not in toy.guests:
                raise Conflict
            toy.touch_guest(key, held=action.present)
            if not action.present and toy.guests[key].deleting:
                del toy.guests[key]
        elif ref.kind == "Node":
            toy.touch_node(ref.name, held=action.present)
        else:
            toy.cluster = replace(toy.cluster, held=action.present, resource_version=toy.version())
        return True

    def _create(self, action: CreatePod) -> bool:
        toy, key, instance = self.toy, action.guest, action.instance
        if key in toy.pods or key not in toy.guests:
            raise Conflict
        version = next(toy.versions)
        view = PodView(
            uid=toy.uid(),
            resource_version=str(version),
            node=instance.node,
            owner=toy.guests[key].uid,
            instance=instance.id,
            nonce=instance.nonce,
            template_hash=instance.template_hash,
            held=True,
            containers=(ContainerView("gate", init=True), ContainerView("main")),
        )
        toy.pods[key] = Pod(view, version, key)
        return True
