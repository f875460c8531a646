"""What each node carries, by what nodes are chosen by: nothing (Basic), requests (Static), or what is used (Dynamic).

It moves with the plan, as the board does: each guest's round sees where the ones before it went, so a batch spreads and
no two are promised the same memory. Requested memory is a limit in Static and in Dynamic: a kubelet refuses a Pod that its
node has no room for. Requested processor time is one as well, unless the Cluster lets it be overcommitted; a node without
room for it is then the last choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from quorate.core.load import NOTHING, Size, room_for, scores
from quorate.core.place import Rating
from quorate.core.quick import replace
from quorate.core.status import GuestStatus, NodeStatus
from quorate.core.types import CpuPolicy, GuestKey, GuestState, Instant, NodeName, NodeState, SchedulingMode
from quorate.core.world import GuestView, World

LAST_CHOICE: Final = -1.0
"""The rating of a node that is short of processor time: below every score."""


@dataclass(slots=True)
class Ledger:
    """`total`, `requested` and `load` are of the nodes that are Online and say what they can allocate.

    `load` is what scores are made of: in Static the requests again, in Dynamic what was measured (`measured`: when) and
    what those are expected to use that started since or are on their way.
    """

    mode: SchedulingMode = SchedulingMode.BASIC
    overcommit_cpu: bool = False
    total: Mapping[NodeName, Size] = field(default_factory=dict)
    requested: dict[NodeName, Size] = field(default_factory=dict)
    load: dict[NodeName, Size] = field(default_factory=dict)
    measured: Mapping[NodeName, Instant] = field(default_factory=dict)
    by_number: bool = False
    """Requests are limits, and the number of guests decides all the same."""
    _now: dict[GuestKey, GuestStatus] = field(default_factory=dict)
    """The guests that the plan has moved, and how they are counted by now."""

    @property
    def weighs(self) -> bool:
        """Does anything but the number of guests count?"""
        return self.mode is not SchedulingMode.BASIC

    def move(self, guest: GuestView, before: GuestStatus, after: GuestStatus) -> None:
        """Count a guest as that status has it, and no longer as the one before had it."""
        self._now[guest.key] = after
        if self.weighs:
            self.add(guest, before, -1)
            self.add(guest, after, 1)

    def copied(self) -> "Ledger":
        """One that can be written in without this one being changed."""
        requested = dict(self.requested)
        load = requested if self.load is self.requested else dict(self.load)
        return replace(self, requested=requested, load=load, _now=dict(self._now))

    def add(self, guest: GuestView, status: GuestStatus, sign: int) -> None:
        """Count a guest as that status has it; with -1 no longer."""
        if status.state is GuestState.ERROR and status.instance is not None and status.instance.ended:
            return
        size = guest.spec.template.size
        for node in places(status):
            self.requested[node] = _sum(self.requested.get(node, NOTHING), size, sign)
            if self.mode is SchedulingMode.DYNAMIC and not self._in_measurement(status, node):
                self.load[node] = _sum(self.load.get(node, NOTHING), self.expected(guest), sign)

    def _in_measurement(self, status: GuestStatus, node: NodeName) -> bool:
        """Is what it uses on that node part of what was measured there?"""
        if status.instance is None or status.instance.node != node or status.ready_since is None:
            return False
        return status.ready_since <= self.measured.get(node, status.ready_since)

    def expected(self, guest: GuestView) -> Size:
        """What it will add to the load of a node."""
        measured = self.mode is SchedulingMode.DYNAMIC and guest.usage is not None
        return guest.usage.size if measured and guest.usage is not None else guest.spec.template.size

    def counted(self, guest: GuestView) -> GuestStatus:
        """Its status as it is counted by now."""
        return self._now.get(guest.key, guest.status)

    def full(self, guests: Sequence[GuestView], node: NodeName) -> str | None:
        """Why a node has no room for these guests together; None if it has, or if nobody knows what it can allocate."""
        whole = self.total.get(node)
        if whole is None:
            return None
        asked, there = NOTHING, NOTHING
        for guest in guests:
            size = guest.spec.template.size
            asked += size
            if node in places(self.counted(guest)):
                there += size
        left = whole - self.requested.get(node, NOTHING) + there
        return room_for(left, asked, overcommit_cpu=self.overcommit_cpu)

    def rating(self, guest: GuestView) -> Rating | None:
        """How good a choice each of several nodes is for a guest, the higher the better; None: only their numbers count."""
        return (lambda nodes: self._rate(guest, nodes)) if self.weighs and not self.by_number else None

    def _rate(self, guest: GuestView, nodes: Sequence[NodeName]) -> dict[NodeName, float]:
        size = guest.spec.template.size
        here = places(self.counted(guest))
        roomy = [node for node in nodes if node in self.total and not self._short(size, node, here)]
        used = self.load
        if here:
            used = {**used, **{node: used.get(node, NOTHING) - self.expected(guest) for node in here}}
        found = dict.fromkeys(nodes, LAST_CHOICE)
        found.update(scores(self.expected(guest), used, self.total, roomy or nodes))
        return found

    def _short(self, size: Size, node: NodeName, here: Sequence[NodeName]) -> bool:
        requested = self.requested.get(node, NOTHING).cpu_m - (size.cpu_m if node in here else 0)
        return size.cpu_m > max(self.total[node].cpu_m - requested, 0)


def _sum(one: Size, other: Size, sign: int) -> Size:
    return Size(one.cpu_m + sign * other.cpu_m, one.memory + sign * other.memory)


def places(status: GuestStatus) -> tuple[NodeName, ...]:
    """The nodes that carry this guest or are about to."""
    instance, target = status.instance, status.target
    if instance is None:
        return () if target is None else (target,)
    return (instance.node,) if target is None or target == instance.node else (instance.node, target)


def ledger_of(
    world: World, mode: SchedulingMode, statuses: Mapping[NodeName, NodeStatus], *, by_number: bool = False
) -> Ledger:
    """Every guest counted as the World has it, and the Pods that are not ours. `mode`: the one in force."""
    if mode is SchedulingMode.BASIC:
        return Ledger()
    online = [node for node in world.nodes if statuses[node.name].state is NodeState.ONLINE and node.kube is not None]
    requested = {node.name: node.others or NOTHING for node in online}
    dynamic = mode is SchedulingMode.DYNAMIC
    ledger = Ledger(
        mode=mode,
        overcommit_cpu=world.cluster.spec.scheduling.cpu is CpuPolicy.OVERCOMMIT,
        total={node.name: node.kube.size for node in online if node.kube is not None and node.kube.size is not None},
        requested=requested,
        load={node.name: node.usage.size for node in online if node.usage is not None} if dynamic else requested,
        measured={node.name: node.usage.at for node in online if node.usage is not None} if dynamic else {},
        by_number=by_number,
    )
    for guest in world.guests:
        ledger.add(guest, guest.status, 1)
    return ledger
