"""Automatic rebalancing of any cluster: few at a time, each move for the better, within memory and rules, and to an end."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.actions import Plan
from quorate.core.board import board_of
from quorate.core.ledger import ledger_of
from quorate.core.load import NOTHING, Size, room_for
from quorate.core.plan import plan
from quorate.core.rebalance import imbalance, loads_of
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.status import Arming, ClusterStatus, GuestStatus
from quorate.core.types import GuestKey, GuestState, InstanceId, Instant, NodeName, RebalanceMethod, SchedulingMode, Uid
from quorate.core.world import AutoRebalance, Scheduling, World
from tests.unit.core.test_ledger import GIB, member, sized
from tests.unit.core.worlds import WALL, world

NODES = ("n1", "n2", "n3", "n4")
NAMES = "abcdefghij"


def who(letters: str) -> Guests:
    return Guests(tuple(GuestKey("default", letter) for letter in letters))


RULES = (
    Rule("apart", who("abc"), peers=GuestAffinity(Affinity.APART)),
    Rule("together", who("de"), peers=GuestAffinity(Affinity.TOGETHER)),
    Rule("on", who("fg"), nodes=NodeAffinity((NodePriority(NodeName("n1"), 2), NodePriority(NodeName("n2"), 2)))),
    Rule("only", who("h"), nodes=NodeAffinity((NodePriority(NodeName("n3")),), strict=True)),
)


@st.composite
def clusters(draw: st.DrawFn) -> World:
    nodes = tuple(
        member(name, cpu=draw(st.sampled_from([4000, 16_000])), memory=draw(st.sampled_from([16, 32])) * GIB,
               others=Size(0, draw(st.integers(0, 4)) * GIB))
        for name in NODES
    )  # fmt: skip
    guests = []
    for letter in NAMES[: draw(st.integers(1, len(NAMES)))]:
        one = sized(
            letter,
            draw(st.sampled_from(NODES)),
            cpu=draw(st.sampled_from([100, 400])),
            memory=draw(st.integers(0, 4)) * GIB,
            ready_since=Instant(WALL - 3_600_000),
        )
        guests.append(_running(one, one.status.instance.node))
    auto = AutoRebalance(
        threshold=draw(st.integers(1, 60)),
        margin=draw(st.integers(1, 40)),
        hold_s=0.0,
        method=draw(st.sampled_from(list(RebalanceMethod))),
        max_moves=draw(st.integers(1, 3)),
    )
    made = world(nodes=nodes, guests=tuple(guests))
    rules = tuple(draw(st.lists(st.sampled_from(RULES), unique=True)))
    spec = replace(made.cluster.spec, scheduling=Scheduling(SchedulingMode.STATIC, auto=auto), rules=rules)
    return replace(
        made, cluster=replace(made.cluster, spec=spec, status=ClusterStatus(quorate=True, ever_quorate=True))
    )


def _running(one, node):
    """The guest, running there as if it had for long."""
    uid, name = Uid(f"pod-{one.key.name}"), NodeName(node)
    instance = replace(one.status.instance, id=InstanceId(one.key.name), uid=uid, node=name, nonce=f"{node}.1")
    pod = replace(one.pod, uid=uid, node=name, instance=instance.id, nonce=instance.nonce)
    status = replace(one.status, instance=instance, node=name, state=GuestState.STARTED, target=None)
    return replace(one, status=status, pod=pod)


def moves(made: Plan, because: str = "unevenly loaded") -> dict[GuestKey, NodeName]:
    return {
        GuestKey(write.ref.namespace, write.ref.name): write.status.target
        for write in made.statuses
        if isinstance(write.status, GuestStatus) and write.status.target is not None and _said(write.status, because)
    }


def _said(status: GuestStatus, because: str) -> bool:
    return because in status.message or status.state is GuestState.RELOCATE


def uneven(made: World) -> float:
    return imbalance(loads_of(ledger_of(made, SchedulingMode.STATIC, {one.name: one.status for one in made.nodes})))


def moved(made: World, to: dict[GuestKey, NodeName], status: ClusterStatus) -> World:
    """The World once all that is to move has arrived, and the hold is over."""
    guests = tuple(_running(one, to[one.key]) if one.key in to else one for one in made.guests)
    nodes = tuple(replace(one, status=replace(one.status, arming=Arming(1, wanted=True))) for one in made.nodes)
    return replace(made, guests=guests, nodes=nodes, cluster=replace(made.cluster, status=status))


@settings(max_examples=150, deadline=None)
@given(clusters())
def test_few_move_at_a_time_each_for_the_better_and_it_comes_to_an_end(made):
    auto = made.cluster.spec.scheduling.auto
    at_first = made
    for _ in range(60):
        decided = plan(made)
        found = moves(decided)
        by_rules = {
            key for key in found if board_of(made).book.terms and not board_of(made).at_rest(key, _node(made, key))
        }
        for_load = {key: node for key, node in found.items() if key not in by_rules}
        assert len(for_load) <= auto.max_moves
        if not found:
            break
        _fits(made, for_load)
        _allowed(made, for_load)
        status = next((w.status for w in decided.statuses if isinstance(w.status, ClusterStatus)), made.cluster.status)
        after = moved(made, found, status)
        if for_load and not by_rules:
            assert uneven(made) * 100 > auto.threshold
            assert uneven(after) <= uneven(made) * (1 - auto.margin / 100) + 1e-9
        made = after
    else:
        raise AssertionError(f"it goes on for ever: {at_first}")


def _node(made: World, key: GuestKey) -> NodeName:
    return next(one.status.instance.node for one in made.guests if one.key == key)


def _fits(made: World, found: dict[GuestKey, NodeName]) -> None:
    """While they move they may be on both nodes."""
    for node in made.nodes:
        coming = [one for one in made.guests if found.get(one.key) == node.name]
        there = [one for one in made.guests if one.status.instance.node == node.name]
        asked = sum((one.spec.template.size for one in coming), NOTHING)
        taken = sum((one.spec.template.size for one in there), node.others)
        assert not coming or room_for(node.kube.size - taken, asked, overcommit_cpu=False) is None


def _allowed(made: World, found: dict[GuestKey, NodeName]) -> None:
    board = board_of(made)
    for key, node in found.items():
        terms = board.terms(key)
        assert board.forbids(key, node) is None
        assert terms is None or not terms.together
        assert terms is None or terms.priority(node) >= terms.priority(_node(made, key))
