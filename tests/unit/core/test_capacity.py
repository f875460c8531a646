"""If nodes are lost: who goes where, who has no node, and what the Cluster says of it."""

from dataclasses import replace

import pytest

from quorate.core.capacity import KEPT, Survey, finding, inputs, survey
from quorate.core.capacity_status import CapacityStatus, Unplaced
from quorate.core.load import Size
from quorate.core.plan import plan
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.status import VotesStatus
from quorate.core.types import GuestKey, GuestState, NodeName, NodeState, SchedulingMode, Wanted
from quorate.core.world import Scheduling
from tests.unit.core.test_ledger import GIB, member, sized
from tests.unit.core.worlds import world

NODES = ("n1", "n2", "n3")


def asked(*guests, nodes=None, rules=(), mode=SchedulingMode.STATIC, tolerate=1, total=None):
    nodes = nodes or tuple(member(name) for name in NODES)
    made = world(nodes=nodes, guests=tuple(sorted(guests, key=lambda one: one.key)))
    spec = replace(made.cluster.spec, scheduling=Scheduling(mode), rules=tuple(rules), tolerate_node_failures=tolerate)
    count = total or len(nodes)
    votes = VotesStatus(count, count, len(nodes), count // 2 + 1, "")
    return replace(made, cluster=replace(made.cluster, spec=spec, status=replace(made.cluster.status, votes=votes)))


def key(name):
    return GuestKey("default", name)


def where(loss):
    return {move.guest.name: move.node for move in loss.moves}


def test_the_guests_of_a_lost_node_go_where_there_is_room():
    made = asked(sized("a", "n1", memory=3 * GIB), sized("b", "n1", memory=3 * GIB), sized("c", "n2", memory=4 * GIB))
    loss = Survey(made).lose(("n1",))
    assert where(loss) == {"a": "n3", "b": "n3"}
    assert loss.survived


def test_one_that_has_no_room_is_named_with_the_reason_and_the_next_one_may_have_some():
    made = asked(sized("a", "n1", memory=7 * GIB), sized("b", "n1", memory=GIB), sized("c", "n2", memory=4 * GIB),
                 sized("d", "n3", memory=4 * GIB))  # fmt: skip
    loss = Survey(made).lose(("n1",))
    assert where(loss) == {"a": None, "b": "n2"}
    assert loss.unplaced[0].reason == "n2, n3: it has 4096 MiB of memory left, 7168 MiB are requested"


def test_the_order_is_that_of_recovery():
    nodes = (member("n1"), member("n2", memory=4 * GIB), member("n3", memory=GIB))
    first = replace(sized("z", "n1", memory=3 * GIB), spec=replace(sized("z", memory=3 * GIB).spec, priority=5))
    assert where(Survey(asked(sized("a", "n1", memory=3 * GIB), first, nodes=nodes)).lose(("n1",))) == {
        "z": "n2",
        "a": None,
    }


def test_rules_hold_as_they_do_at_a_recovery():
    apart = Rule("apart", Guests((key("a"), key("b"), key("c"))), peers=GuestAffinity(Affinity.APART))
    made = asked(*(sized(name, node) for name, node in zip("abc", NODES, strict=True)), rules=(apart,))
    loss = Survey(made).lose(("n3",))
    assert (
        loss.unplaced[0].reason
        == "n1: rule apart keeps it apart from ct:default/a; n2: rule apart keeps it apart from ct:default/b"
    )
    strict = Rule("on", Guests((key("a"),)), nodes=NodeAffinity((NodePriority(NodeName("n1")),), strict=True))
    assert where(Survey(asked(sized("a", "n1"), rules=(strict,))).lose(("n1",))) == {"a": None}


def test_those_that_are_together_look_for_a_node_once_more_when_all_have_looked():
    pair = Rule("pair", Guests((key("a"), key("b"))), peers=GuestAffinity(Affinity.TOGETHER))
    nodes = (member("n1"), member("n2", memory=4 * GIB), member("n3", others=Size(0, GIB)))
    first = replace(sized("a", "n1"), spec=replace(sized("a").spec, priority=1))
    made = asked(first, sized("b", "n1", memory=6 * GIB), nodes=nodes, rules=(pair,))
    assert where(Survey(made).lose(("n1",))) == {"a": "n3", "b": "n3"}


def test_several_lost_together_leave_less():
    guests = [sized(name, node, memory=4 * GIB) for name, node in zip("abc", NODES, strict=True)]
    made = asked(*guests, total=1)
    assert Survey(made).lose(("n1",)).survived
    assert len(Survey(made).lose(("n1", "n2")).unplaced) == 1


def test_without_quorum_nothing_would_be_recovered():
    loss = Survey(asked(sized("a", "n1"))).lose(("n1", "n2"))
    assert loss.quorum == "1 of 3 votes, need 2"
    assert not loss.survived


@pytest.mark.parametrize(
    "change",
    [
        {"wanted": Wanted.STOPPED},
        {"wanted": Wanted.IGNORED},
        {"state": GuestState.ERROR},
        {"state": GuestState.IGNORED},
        {"deleting": True},
    ],
)
def test_who_would_not_be_recovered_needs_no_place(change):
    one = sized("a", "n1", memory=9 * GIB, **({"state": change["state"]} if "state" in change else {}))
    one = replace(
        one, deleting=change.get("deleting", False), spec=replace(one.spec, wanted=change.get("wanted", Wanted.STARTED))
    )
    assert Survey(asked(one)).lose(("n1",)).moves == ()


def test_one_that_is_on_its_way_there_stays_where_it_runs():
    loss = Survey(asked(sized("a", "n1", target=NodeName("n2")))).lose(("n2",))
    assert loss.moves == ()
    waits = sized("a", target=NodeName("n2"), state=GuestState.STARTING)
    assert where(Survey(asked(waits)).lose(("n2",))) == {"a": "n1"}


def test_one_question_does_not_change_the_answer_to_the_next():
    made = asked(sized("a", "n1", memory=5 * GIB), sized("b", "n2", memory=5 * GIB))
    questions = Survey(made)
    first = questions.lose(("n1",))
    questions.lose(("n2",))
    assert questions.lose(("n1",)) == first == Survey(made).lose(("n1",))


def test_memory_is_a_limit_also_where_the_number_of_guests_decides():
    nodes = (member("n1"), member("n2", memory=GIB), member("n3"))
    made = asked(sized("a", "n1", memory=2 * GIB), sized("b", "n3"), nodes=nodes, mode=SchedulingMode.BASIC)
    assert where(Survey(made).lose(("n1",))) == {"a": "n3"}
    assert where(Survey(asked(sized("a", "n1"), sized("b", "n2"), mode=SchedulingMode.BASIC)).lose(("n1",))) == {
        "a": "n3"
    }


def test_how_many_may_be_lost():
    roomy = [sized(name, node, memory=GIB) for name, node in zip("abc", NODES, strict=True)]
    found = survey(asked(*roomy))
    assert found == CapacityStatus(1, "n1 ok, n2 ok, n3 ok", "n1 and n2 lost: 1 of 3 votes, need 2")
    assert survey(asked(*roomy, tolerate=0)).survivable == 1
    full = [sized(name, node, memory=5 * GIB) for name, node in zip("abc", NODES, strict=True)]
    found = survey(asked(*full))
    assert (found.survivable, found.text) == (0, "n1 NOT ok (1 guest), n2 NOT ok (1 guest), n3 NOT ok (1 guest)")
    assert [one.guest for one in found.unplaced] == ["ct:default/a", "ct:default/b", "ct:default/c"]


def test_the_list_is_bounded_and_one_line_says_it_all_of_many_nodes():
    nodes = tuple(member(f"n{number:02}") for number in range(20))
    found = survey(asked(*(sized(f"g{i:02}", "n03", memory=9 * GIB) for i in range(20)), nodes=nodes))
    assert (len(found.unplaced), found.more) == (KEPT, 4)
    assert found.text == "n03 NOT ok (20 guests), 19 of 20 ok"


def test_only_who_is_heard_from_can_be_lost():
    lost = replace(member("n3"), status=replace(member("n3").status, state=NodeState.UNKNOWN))
    made = asked(sized("a", "n1"), nodes=(member("n1"), member("n2"), lost))
    found = survey(made)
    assert (found.survivable, found.text) == (0, "n1 NOT ok (no quorum), n2 NOT ok (no quorum)")


def unplaced(count):
    return tuple(Unplaced(f"ct:default/g{i}", "n1", "n2: no") for i in range(min(count, KEPT)))


@pytest.mark.parametrize(
    ("tolerate", "capacity", "holds", "reason", "words"),
    [
        (1, CapacityStatus(1), True, "Sufficient", "1 node can be lost now, 1 must be"),
        (0, CapacityStatus(0), True, "Sufficient", "0 nodes can be lost now, 0 must be"),
        (1, CapacityStatus(0, votes="n1 lost: 1 left"), False, "Votes", "with n1 lost: 1 left"),
        (
            1,
            CapacityStatus(0, unplaced=unplaced(1)),
            False,
            "NoPlace",
            "ct:default/g0 (of n1) would have no node (n2: no). ",
        ),
        (2, CapacityStatus(1, unplaced=unplaced(2)), False, "NoPlace", "(n2: no), and 1 more guest. They run on"),
        (1, CapacityStatus(0, unplaced=unplaced(16), more=4), False, "NoPlace", ", and 19 more guests. "),
    ],
)
def test_the_condition(tolerate, capacity, holds, reason, words):
    said = finding(asked(tolerate=tolerate), capacity)
    assert (said.holds, said.reason) == (holds, reason)
    assert words in said.message


def test_what_was_found_stands_in_the_status_until_something_else_is_found():
    made = asked(sized("a", "n1"))
    found = survey(made)

    def written(made):
        (status,) = [one.status for one in plan(made).statuses if one.ref.kind == "Cluster"]
        return status

    assert written(made).capacity is None
    first = written(replace(made, capacity=found))
    assert first.capacity == found
    assert any(one.type == "CapacitySufficient" and one.status == "True" for one in first.conditions)
    again = replace(made, cluster=replace(made.cluster, status=replace(first, message="")))
    assert written(again).capacity == found


def test_a_survey_is_due_again_only_when_its_inputs_change():
    made = asked(sized("a", "n1", memory=GIB))
    assert inputs(made) == inputs(replace(made, now_s=2000.0, entropy="another"))
    (one,) = made.guests
    for other in (
        asked(sized("a", "n2", memory=GIB)),
        asked(sized("a", "n1", memory=2 * GIB)),
        asked(sized("a", "n1", memory=GIB), tolerate=2),
        replace(made, nodes=(replace(made.nodes[0], others=Size(0, GIB)), *made.nodes[1:])),
        replace(made, guests=(replace(one, spec=replace(one.spec, wanted=Wanted.STOPPED)),)),
    ):
        assert inputs(other) != inputs(made)
