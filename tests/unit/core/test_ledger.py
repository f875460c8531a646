"""What nodes carry: limits, ratings, and what a plan has moved so far."""

from dataclasses import replace

from quorate.core.ledger import LAST_CHOICE, ledger_of
from quorate.core.load import Size, Usage
from quorate.core.types import CpuPolicy, GuestKey, GuestState, Instant, NodeName, NodeState, SchedulingMode, Uid
from quorate.core.world import GuestSpec, Scheduling, Template
from tests.unit.core.worlds import WALL, guest, instance, node, world

GIB = 1 << 30
STATIC, DYNAMIC = SchedulingMode.STATIC, SchedulingMode.DYNAMIC


def member(name, cpu=4000, memory=8 * GIB, **changes):
    found = node(name, **changes)
    return replace(found, kube=replace(found.kube, size=Size(cpu, memory)))


def sized(name, where=None, cpu=0, memory=0, usage=None, **status):
    """A guest of that size, which runs there or nowhere."""
    found = {"instance": instance(where), **status} if where else {"instance": None, **status}
    made = guest(status=found, spec={"template": Template("t1", size=Size(cpu, memory))})
    return replace(made, key=GuestKey("default", name), uid=Uid(name), usage=usage)


def ledger(*guests, nodes=None, mode=STATIC, cpu=CpuPolicy.LIMIT):
    made = world(nodes=nodes or (member("n1"), member("n2")), guests=guests)
    spec = replace(made.cluster.spec, scheduling=Scheduling(mode, cpu))
    made = replace(made, cluster=replace(made.cluster, spec=spec))
    return ledger_of(made, mode, {one.name: one.status for one in made.nodes})


def test_memory_is_a_limit_with_what_is_not_ours_counted():
    nodes = (member("n1", others=Size(0, 3 * GIB)), member("n2"))
    book = ledger(sized("a", "n1", memory=4 * GIB), nodes=nodes)
    assert book.full([sized("b", memory=GIB)], "n1") is None
    assert book.full([sized("b", memory=GIB + 1)], "n1") == "it has 1024 MiB of memory left, 1025 MiB are requested"
    assert book.full([sized("b", memory=8 * GIB)], "n2") is None


def test_two_that_come_together_need_room_for_both():
    book = ledger(sized("a", "n1", memory=5 * GIB))
    both = [sized("b", memory=2 * GIB), sized("c", memory=2 * GIB)]
    assert all(book.full([one], "n1") is None for one in both)
    assert book.full(both, "n1") == "it has 3072 MiB of memory left, 4096 MiB are requested"


def test_who_is_counted_there_needs_no_second_place():
    here = sized("a", "n1", memory=8 * GIB)
    book = ledger(here, sized("b", memory=3 * GIB, target=NodeName("n2")))
    assert book.full([here], "n1") is None
    assert book.full([sized("b", memory=6 * GIB)], "n2") == "it has 5120 MiB of memory left, 6144 MiB are requested"


def test_processor_time_is_a_limit_unless_it_may_be_overcommitted():
    there, more = sized("a", "n1", cpu=3000), sized("b", cpu=1500)
    assert ledger(there).full([more], "n1") == "it has 1 cores left, 1.5 are requested"
    loose = ledger(there, cpu=CpuPolicy.OVERCOMMIT)
    assert loose.full([more], "n1") is None
    assert loose.rating(more)(["n1", "n2"])["n1"] == LAST_CHOICE


def test_who_requests_nothing_fits_everywhere_even_on_a_node_that_is_overfull():
    book = ledger(sized("a", "n1", memory=9 * GIB))
    assert book.full([sized("b")], "n1") is None
    assert book.full([sized("b", memory=1)], "n1") == "it has 0 MiB of memory left, 1 MiB are requested"


def test_a_node_that_does_not_say_what_it_can_allocate_has_no_limit_and_comes_last():
    nodes = (node("n1"), member("n2"))
    book, big = ledger(nodes=nodes), sized("b", memory=99 * GIB)
    assert book.full([big], "n1") is None
    assert book.full([big], "n2") is not None
    assert book.rating(sized("b", memory=GIB))(["n1", "n2"]) == {"n1": LAST_CHOICE, "n2": 0.0}


def test_what_a_plan_moves_is_counted_where_it_is_by_then():
    one = sized("a", "n1", memory=5 * GIB)
    book = ledger(one)
    book.move(one, one.status, replace(one.status, target=NodeName("n2")))
    for name in ("n1", "n2"):
        assert book.full([sized("b", memory=4 * GIB)], name) is not None
    assert book.full([one], "n2") is None
    assert book.counted(one).target == "n2"


def test_one_in_error_that_has_ended_takes_nothing():
    over = sized("a", "n1", memory=8 * GIB, state=GuestState.ERROR)
    gone = replace(over, status=replace(over.status, instance=replace(over.status.instance, ended="terminated")))
    assert ledger(over).full([sized("b", memory=GIB)], "n1") is not None
    assert ledger(gone).full([sized("b", memory=GIB)], "n1") is None


def test_only_nodes_that_are_online_count():
    lost = replace(member("n2"), status=replace(node("n2").status, state=NodeState.UNKNOWN))
    assert set(ledger(nodes=(member("n1"), lost)).total) == {"n1"}


def test_in_mode_basic_nothing_is_weighed():
    book = ledger(sized("a", "n1", memory=99 * GIB), mode=SchedulingMode.BASIC)
    assert book.rating(sized("b")) is None
    assert book.full([sized("b", memory=99 * GIB)], "n1") is None


def used(cpu, memory, at=WALL):
    return Usage(Size(cpu, memory), at)


def test_dynamic_rates_by_what_is_used_and_limits_by_what_is_requested():
    nodes = (member("n1", usage=used(100, GIB)), member("n2", usage=used(3000, 6 * GIB)))
    here = sized("a", "n1", memory=6 * GIB, ready_since=Instant(WALL - 60_000), usage=used(50, GIB // 2))
    book = ledger(here, nodes=nodes, mode=DYNAMIC)
    scores = book.rating(sized("b", memory=GIB))(["n1", "n2"])
    assert scores["n1"] > scores["n2"]
    assert book.full([sized("b", memory=3 * GIB)], "n1") is not None


def test_dynamic_adds_what_is_not_in_the_measurement_yet():
    nodes = (member("n1", usage=used(0, 0)), member("n2", usage=used(0, GIB)))
    starts = sized("a", "n1", memory=4 * GIB, ready=False, ready_since=None)
    assert ledger(starts, nodes=nodes, mode=DYNAMIC).load["n1"] == Size(0, 4 * GIB)
    since = sized("a", "n1", memory=4 * GIB, ready_since=Instant(WALL + 1))
    assert ledger(since, nodes=nodes, mode=DYNAMIC).load["n1"] == Size(0, 4 * GIB)
    measured = sized("a", "n1", memory=4 * GIB, ready_since=WALL)
    assert ledger(measured, nodes=nodes, mode=DYNAMIC).load["n1"] == Size()


def test_dynamic_expects_of_a_guest_what_it_uses_if_that_is_known():
    book = ledger(mode=DYNAMIC)
    assert book.expected(sized("a", memory=4 * GIB, usage=used(10, GIB))) == Size(10, GIB)
    assert book.expected(sized("a", memory=4 * GIB)) == GuestSpec(Template("t", size=Size(0, 4 * GIB))).template.size
