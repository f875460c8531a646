"""The count of a Cluster: what goes into its status, and what the next count reads there."""

from dataclasses import replace

from quorate.core.device import DeviceBeat
from quorate.core.override import ExpectedVotes, Override, OverrideState
from quorate.core.plan import plan
from quorate.core.quorum import Member, Memory, Rule
from quorate.core.quorum_options import QuorumDevice, QuorumOptions
from quorate.core.status import ClusterStatus, VotesStatus
from quorate.core.types import Kind, NodeName, Uid
from quorate.core.world import World
from tests.unit.core.worlds import NOW, beat, node, world

SILENT_S = 60.0


def wishing(made: World, options: QuorumOptions, **changes: object) -> World:
    spec = replace(made.cluster.spec, quorum=options, **changes)
    return replace(made, cluster=replace(made.cluster, spec=spec))


def heard(*names: str, silent: tuple[str, ...] = ()) -> World:
    nodes = [*(node(name) for name in names), *(node(name, beat=beat(name, SILENT_S)) for name in silent)]
    return world(nodes=tuple(sorted(nodes, key=lambda one: one.name)))


def written(made: World) -> ClusterStatus:
    (found,) = [write.status for write in plan(made).statuses if write.ref.kind is Kind.CLUSTER]
    return found


def after(made: World, status: ClusterStatus) -> World:
    return replace(made, cluster=replace(made.cluster, status=status))


def condition(status: ClusterStatus, name: str):
    return next((one for one in status.conditions if one.type == name), None)


def test_without_options_nothing_is_remembered_and_nothing_said():
    status = written(heard("n1", "n2", "n3"))
    assert status.quorum is None
    assert condition(status, "QuorumOptionsInForce") is None


def test_what_an_option_needs_is_remembered():
    status = written(wishing(heard("n1", "n2", "n3"), QuorumOptions(wait_for_all=True)))
    assert status.quorum.expected == 3
    assert not status.quorum.waiting
    assert [one.node for one in status.quorum.witnesses] == ["n1", "n2", "n3"]
    assert condition(status, "QuorumOptionsInForce").status == "True"


def test_waiting_survives_a_change_of_leader():
    made = wishing(heard("n1", "n2", silent=("n3",)), QuorumOptions(wait_for_all=True))
    fresh = after(made, ClusterStatus())
    first = written(fresh)
    assert not first.quorate
    assert first.message.startswith("not quorate (2 of 3 votes, need 2, and waits until all 3 have been heard at once)")
    other = replace(after(made, first), term=9, manager="m2")
    assert not written(other).quorate
    assert written(other).quorum == first.quorum


def test_an_option_that_may_not_act_is_said():
    status = written(wishing(heard("n1", "n2", "n3"), QuorumOptions(two_node=True)))
    assert condition(status, "QuorumOptionsInForce").status == "False"
    assert "Remove it" in condition(status, "QuorumOptionsInForce").message


def test_a_heard_device_makes_one_of_two_nodes_quorate():
    options = QuorumOptions(device=QuorumDevice("third", 1))
    made = wishing(heard("n1", silent=("n2",)), options)
    assert not written(made).quorate
    assert "may write that Lease" in condition(written(made), "QuorumDeviceHeard").message
    made = replace(made, device=DeviceBeat(Uid("lease"), "2", NOW - 1, moved=True))
    status = written(made)
    assert status.quorate
    assert (status.votes.text, status.device.heard) == ("2/3", True)
    assert plan(made).wake_at_s is not None


def test_the_window_of_last_man_standing_is_waited_for():
    options = QuorumOptions(wait_for_all=True, last_man_standing_s=100.0)
    witnesses = written(wishing(heard("n1", "n2", "n3", "n4", "n5"), options))
    lost = after(wishing(heard("n1", "n2", "n3", silent=("n4", "n5")), options), witnesses)
    status = written(lost)
    assert (status.quorum.left, status.quorum.expected) == (True, 5)
    silent_s = SILENT_S - 8.6  # S of the profile Fast
    assert plan(lost).wake_at_s <= NOW + 100.0 - silent_s + 0.1
    late = written(after(wishing(lost, replace(options, last_man_standing_s=50.0)), status))
    assert (late.quorum.left, late.quorum.expected) == (False, 3)


def shrunken(total: int, expected: int) -> ClusterStatus:
    votes = VotesStatus(total, total, total, total // 2 + 1)
    names = tuple(NodeName(f"n{i}") for i in range(1, expected + 1))
    return ClusterStatus(quorate=True, ever_quorate=True, votes=votes, quorum=Memory(expected, False, present=names))


def test_a_member_that_is_added_makes_a_shrunken_total_grow():
    options = QuorumOptions(wait_for_all=True, last_man_standing_s=100.0)
    made = wishing(heard("n1", "n2", silent=("n3", "n4")), options)
    assert written(after(made, shrunken(3, 2))).quorum.expected == 3


def test_a_total_that_last_man_standing_made_smaller_is_whole_again_without_that_option():
    """Two of four are no majority: the other two may be one with a manager of their own."""
    made = wishing(heard("n1", "n2", silent=("n3", "n4")), QuorumOptions(wait_for_all=True, last_man_standing_s=100.0))
    stands = after(made, shrunken(4, 2))
    assert written(stands).quorum.expected == 2
    for options in (QuorumOptions(wait_for_all=True), QuorumOptions()):
        without = written(wishing(stands, options))
        assert (without.votes.expected, without.quorate) == (4, False)


def test_nor_where_it_is_not_in_force():
    both = QuorumOptions(last_man_standing_s=100.0, device=QuorumDevice("third", 1))
    status = written(after(wishing(heard("n1", "n2", silent=("n3", "n4")), both), shrunken(4, 2)))
    assert condition(status, "QuorumOptionsInForce").status == "False"
    assert (status.votes.expected, status.quorate) == (4, False)


def test_a_persons_word_stands_without_that_option():
    expected = ExpectedVotes(2, "two burnt down", 1)
    made = wishing(heard("n1", "n2", silent=("n3", "n4")), QuorumOptions(), expected_votes=expected)
    status = written(after(made, ClusterStatus()))
    assert (status.override.state, status.votes.expected, status.quorate) == (OverrideState.ACTIVE, 2, True)
    again = plan(after(made, status)).statuses
    assert not [write for write in again if write.ref.kind is Kind.CLUSTER and not write.status.quorate]


def test_a_person_may_speak_while_it_waits_for_all():
    """A node that never comes back would keep a majority waiting for ever."""
    options = QuorumOptions(wait_for_all=True)
    made = wishing(heard("n1", "n2", silent=("n3",)), options, expected_votes=ExpectedVotes(2, "n3 burnt down", 1))
    status = written(after(made, ClusterStatus()))
    assert status.override == Override(1, 2, OverrideState.ACTIVE)
    assert status.quorate
    again = written(after(made, status))
    assert again.override.state is OverrideState.SPENT
    assert again.quorate


def test_a_persons_word_holds_for_who_lives_whoever_stood_last():
    options = QuorumOptions(wait_for_all=True, last_man_standing_s=10.0)
    made = wishing(
        heard("n5", silent=("n1", "n2", "n3", "n4")), options, expected_votes=ExpectedVotes(1, "four burnt down", 1)
    )
    stood = Memory(3, waiting=True, witnesses=(Member(NodeName("n1"), "n1.1"), Member(NodeName("n2"), "n2.1")))
    status = written(after(made, ClusterStatus(ever_quorate=True, votes=VotesStatus(3, 5, 1, 2), quorum=stood)))
    assert status.quorate


def test_a_word_for_more_than_live_goes_on_waiting_for_all_of_them():
    options = QuorumOptions(wait_for_all=True)
    made = heard("n1", "n2", silent=("n3", "n4", "n5"))
    made = wishing(made, options, expected_votes=ExpectedVotes(3, "n4 and n5 burnt down", 1))
    status = written(after(made, ClusterStatus()))
    assert status.votes.rule is Rule.WAITING_FOR_ALL
    again = after(made, replace(status, message=""))
    assert written(again).votes.rule is Rule.WAITING_FOR_ALL
    assert not written(again).quorate


def test_a_word_that_is_spent_leaves_nothing_behind():
    made = wishing(heard("n1", "n2", "n3"), QuorumOptions(), expected_votes=ExpectedVotes(1, "lost", 1))
    said = ClusterStatus(
        quorate=True,
        ever_quorate=True,
        override=Override(1, 1, OverrideState.ACTIVE),
        quorum=Memory(expected=2, waiting=False),
        votes=VotesStatus(2, 3, 2, 2),
    )
    status = written(after(made, said))
    assert status.override.state is OverrideState.SPENT
    assert status.quorum is None
    assert status.votes.expected == 3
