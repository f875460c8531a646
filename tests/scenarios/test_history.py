"""Everything is restored to an hour ago: nothing is done until a person accepts it and all nodes have renewed."""

from dataclasses import replace

import pytest

from quorate.core.actions import CreatePod, SetFinalizer
from quorate.core.history import judge
from quorate.core.invariants import check
from quorate.core.liveness import read
from quorate.core.plan import plan
from quorate.core.status import ClusterStatus, Remembered, Rewind
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import GuestState, Kind, NodeName
from tests.unit.core.worlds import WALL, beat, guest, instance, node, world

FAST = PROFILES[Profile.FAST]
BACKWARDS = "history runs backwards"


def running_on(toy, key, name):
    status = toy.guests[key].status
    return status.state is GuestState.STARTED and status.ready and toy.running(key) == [name]


def anew(toy):
    """All managers have ended: what comes remembers nothing."""
    for manager in toy.managers:
        manager.stopped = True
    toy.managers.clear()
    toy.manager()


@pytest.fixture
def restored(toy):
    """The guest ran on n1 when the copy was made, on n2 when it was put back, under a manager that knows neither."""
    key = toy.add_guest()
    toy.run_until(lambda: running_on(toy, key, "n1"), 20, "start")
    toy.run(5)
    copy = toy.copy()
    toy.power_off("n1")
    toy.run_until(lambda: running_on(toy, key, "n2"), 40, "recovery")
    toy.power_on("n1")
    toy.run(20)
    toy.restore(copy)
    anew(toy)
    return key


def test_nothing_is_done_and_it_is_said_until_a_person_accepts_it(toy, restored):
    pods = dict(toy.pods)
    toy.run_until(lambda: BACKWARDS in toy.cluster.status.message, 10, "it is noticed")
    before = {name: view.status for name, view in toy.nodes.items()}, toy.guests[restored].status
    toy.run(90)
    assert [pod.view.uid for pod in toy.pods.values()] == [pod.view.uid for pod in pods.values()]
    assert not any(pod.view.deleting for pod in toy.pods.values())
    assert BACKWARDS in toy.cluster.status.message
    assert "found their Leases older" in toy.cluster.status.message
    ready = next(one for one in toy.cluster.status.conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "HistoryBackwards")
    assert ({name: view.status for name, view in toy.nodes.items()}, toy.guests[restored].status) == before
    anew(toy)
    toy.run(30)
    assert BACKWARDS in toy.cluster.status.message, "the next manager finds it in the status"


def test_accepted_it_goes_on_when_every_node_has_renewed(toy, restored):
    toy.run_until(lambda: BACKWARDS in toy.cluster.status.message, 10, "it is noticed")
    toy.power_off("n3")
    toy.reset("n1")
    toy.run(20)
    toy.accept_history()
    toy.run(20)
    assert toy.cluster.status.rewind.accepted is not None
    assert "waiting for n3" in toy.cluster.status.message
    assert toy.running(restored) in ([], ["n2"]), "nothing was started meanwhile"
    toy.power_on("n3")
    toy.run_until(lambda: toy.cluster.status.rewind.ended is not None, 20, "all have renewed")
    toy.run_until(
        lambda: toy.guests[restored].status.state is GuestState.STARTED, 120, "the guest is looked after again"
    )
    toy.run_until(lambda: len(toy.running(restored)) == 1, 120, "it runs")


def test_what_was_accepted_is_no_sign_any_more_but_another_restore_is(toy, restored):
    toy.run_until(lambda: BACKWARDS in toy.cluster.status.message, 10, "it is noticed")
    toy.accept_history()
    toy.reset("n1")  # it has booted since the copy was made, and finds its Lease with its old boot's name
    toy.run_until(lambda: toy.cluster.status.rewind.ended is not None, 20, "all have renewed")
    first = toy.cluster.status.rewind.id
    anew(toy)
    copy = toy.copy()
    toy.run(60)
    assert toy.cluster.status.rewind.id == first
    assert BACKWARDS not in toy.cluster.status.message
    toy.restore(copy)
    anew(toy)
    toy.run_until(lambda: BACKWARDS in toy.cluster.status.message, 10, "it is noticed again")
    assert toy.cluster.status.rewind.id != first
    toy.run(20)
    assert toy.cluster.status.rewind.accepted is None, "the annotation in the copy names the first one"


def test_one_lease_that_somebody_puts_back_is_renewed_over(toy):
    key = toy.add_guest()
    toy.run_until(lambda: running_on(toy, key, "n1"), 20, "start")
    old = toy.copy().leases[NodeName("n1")]
    toy.run(10)
    old.version = int(toy.version())
    toy.leases[NodeName("n1")] = old
    toy.run(30)
    assert running_on(toy, key, "n1")
    assert toy.cluster.status.rewind is None
    assert toy.leases[NodeName("n1")].attestation.rewound > 0, "its agent has noticed, alone"


def test_while_others_were_not_heard_yet_it_is_not_known():
    """A manager that has just begun, and the first node that it hears has an old tale to tell."""
    nodes = (node("n1", beat=beat("n1", rewound=40)), node("n2"), node("n3", beat=beat("n3", moved=False)))
    found = judged(world(nodes=nodes))
    assert found.rewind is None
    assert "waiting to hear whether n3 did, too" in found.waiting


def test_of_two_nodes_that_renew_both_must_have_found_it():
    lone = world(nodes=(node("n1", beat=beat("n1", rewound=40)),))
    assert judged(lone).waiting
    one_of_two = world(nodes=(node("n1", beat=beat("n1", rewound=40)), node("n2")))
    assert not judged(one_of_two).waiting


def judged(found):
    return judge(found, {one.name: read(one, FAST, found.now_s) for one in found.nodes})


def test_an_agent_that_saw_orders_of_a_later_term():
    found = world(nodes=(node("n1", beat=beat("n1", highest_term=9)), node("n2"), node("n3")))
    assert "the agents of n1 have seen orders of term 9, the store knows none above 3" in judged(found).waiting
    past = Rewind("rewind-1", WALL, "x", accepted=WALL, ended=WALL, term=9)
    cluster = replace(found.cluster, status=ClusterStatus(rewind=past))
    assert not judged(replace(found, cluster=cluster)).waiting


def test_a_node_that_remembers_more_than_what_was_accepted():
    past = Rewind("rewind-1", WALL, "x", accepted=WALL, ended=WALL, nodes=(Remembered(NodeName("n1"), 40),))
    nodes = tuple(node(name, beat=beat(name, rewound=40)) for name in ("n1", "n2"))
    found = world(nodes=nodes)
    cluster = replace(found.cluster, status=ClusterStatus(rewind=past))
    assert not judged(replace(found, cluster=cluster)).waiting, "n2 alone is none"
    both = tuple(node(name, beat=beat(name, rewound=41)) for name in ("n1", "n2"))
    assert judged(replace(found, cluster=cluster, nodes=both)).waiting


def test_the_manager_itself_read_something_newer():
    made = plan(world(guests=(guest(),), rewound="the API server lists nodes as of version 7, it had come to 9"))
    assert made.actions == ()
    assert [write.ref.kind for write in made.statuses] == [Kind.CLUSTER]
    assert "it had come to 9" in made.sentence
    assert "quorate cluster accept-history" in made.sentence


def test_a_plan_that_acted_all_the_same_would_be_a_breach():
    queued = guest(status={"state": GuestState.STARTING, "instance": instance(uid=None)}, pod=None)
    fine = plan(world(guests=(queued,)))
    assert CreatePod in map(type, fine.actions)
    assert check(world(guests=(queued,)), fine) == ()
    rewound = world(guests=(queued,), rewound="older")
    assert [breach.invariant for breach in check(rewound, fine)] == [2]


def test_boots_that_are_new_do_not_outvote_the_one_that_remembers():
    """n1 and n2 have booted since the copy was made, found their old boots on their Leases, reset, and came back."""
    nodes = (
        node("n1", beat=beat("n1", holder="n1.2")),
        node("n2", beat=beat("n2", holder="n2.2")),
        node("n3", beat=beat("n3", rewound=40)),
    )
    assert "the agents of n3 found their Leases older" in judged(world(nodes=nodes)).waiting


def test_an_acceptance_that_came_back_with_the_copy_accepts_nothing_new():
    """The copy was made between the acceptance of an earlier rewind and the last node's renewal."""
    past = Rewind("rewind-1", WALL, "x", accepted=WALL)
    found = world(rewound="the API server lists nodes as of version 7, it had come to 9")
    cluster = replace(found.cluster, status=ClusterStatus(rewind=past), accepted_history="rewind-1")
    now = judged(replace(found, cluster=cluster))
    assert now.waiting
    assert now.rewind.id != "rewind-1"
    assert now.rewind.accepted is None


def test_a_dead_node_whose_node_is_deleted_is_not_awaited_for_ever():
    """It is held for its guests, and the message names its deletion as the remedy: that must work."""
    silent = beat("n3", age_s=900.0)
    nodes = (node("n1"), node("n2"), node("n3", beat=silent, held=True, deleting=True, status={"guests": 1}))
    found = world(nodes=nodes)
    for accepted, let_go in ((None, []), (WALL, [NodeName("n3")])):
        past = Rewind("rewind-1", WALL, "x", accepted=accepted)
        cluster = replace(found.cluster, status=ClusterStatus(rewind=past))
        made = plan(replace(found, cluster=cluster))
        assert [action.subject.name for action in made.actions] == let_go
        assert all(isinstance(action, SetFinalizer) and not action.present for action in made.actions)
