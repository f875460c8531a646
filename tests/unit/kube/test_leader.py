"""The leader's Lease: one at a time, terms that only grow, and nobody acts on a Lease that may be another's."""

import copy

import pytest

from quorate.kube.calls import Conflict, NotFound, Transient
from quorate.kube.host import Host
from quorate.kube.leader import DURATION_S, MARGIN_S, Elector


class Cluster:
    """One Lease with compare-and-swap, and a clock for each replica."""

    def __init__(self):
        self.lease = None
        self.version = 0
        self.now_s = 100.0
        self.cut = set()

    def api(self, name):
        return Api(self, name)


class Api:
    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name

    def _check(self):
        if self.name in self.cluster.cut:
            raise Transient("GET", 0, "Unreachable", "cut off")

    async def get(self, path):
        self._check()
        if self.cluster.lease is None:
            raise NotFound("GET", 404, "NotFound", "")
        return copy.deepcopy(self.cluster.lease)

    async def create(self, path, body):
        self._check()
        if self.cluster.lease is not None:
            raise Conflict("POST", 409, "AlreadyExists", "")
        return self._store(body)

    async def request(self, method, path, body, *, budget_s):
        self._check()
        if self.cluster.lease["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict("PUT", 409, "Conflict", "")
        return self._store(body)

    def _store(self, body):
        stored = copy.deepcopy(body)
        before = self.cluster.lease
        if before is None or stored["spec"] != before["spec"]:  # a write that changes nothing keeps its version
            self.cluster.version += 1
        stored["metadata"]["resourceVersion"] = str(self.cluster.version)
        self.cluster.lease = stored
        return copy.deepcopy(stored)


@pytest.fixture
def cluster():
    return Cluster()


def elector(cluster, name, floor=0):
    woken = []
    made = Elector(
        cluster.api(name), "manager-prod", name, lambda: floor, lambda: woken.append(1), Host(lambda: cluster.now_s)
    )
    made.woken = woken
    return made


async def pass_time(cluster, seconds, *electors):
    for _ in range(round(seconds)):
        cluster.now_s += 1
        for one in electors:
            await one._round() if one.api.name not in cluster.cut else None


async def test_the_first_one_leads_and_is_told(cluster):
    first = elector(cluster, "a")
    await first._round()
    assert first.valid()
    assert (first.term, first.woken) == (1, [1])


async def test_a_standby_stays_one_while_the_leader_renews(cluster):
    first, second = elector(cluster, "a"), elector(cluster, "b")
    await first._round()
    await pass_time(cluster, 30, first, second)
    assert first.valid()
    assert not second.valid()
    assert second.term == 0


async def test_it_takes_over_when_the_lease_stands_still_with_a_larger_term(cluster):
    first, second = elector(cluster, "a"), elector(cluster, "b", floor=17)
    await first._round()
    await second._round()
    cluster.cut.add("a")
    await pass_time(cluster, DURATION_S, second)
    assert second.valid()
    assert second.term == 18
    assert not first.valid()


async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(cluster):
    first, second = elector(cluster, "a"), elector(cluster, "b")
    await first._round()
    await second._round()
    cluster.cut.add("a")
    for _ in range(100):
        cluster.now_s += 0.1
        await second._round()
        assert not (first.valid() and second.valid())
    assert second.valid()


async def test_validity_counts_from_before_the_renewal_was_sent(cluster):
    first = elector(cluster, "a")
    honest = first.api.create

    async def slow(path, body):
        made = await honest(path, body)
        cluster.now_s += DURATION_S - MARGIN_S
        return made

    first.api.create = slow
    await first._round()
    assert not first.valid()


async def test_one_that_was_frozen_finds_out_at_its_next_renewal(cluster):
    first, second = elector(cluster, "a"), elector(cluster, "b")
    await first._round()
    await second._round()
    await pass_time(cluster, DURATION_S, second)
    await first._round()
    assert first.term == 0


async def test_a_lease_given_back_is_taken_at_once(cluster):
    first, second = elector(cluster, "a"), elector(cluster, "b")
    await first._round()
    await second._round()
    await first.release()
    await second._round()
    assert second.valid()
    assert second.term == 2


async def test_of_two_that_compete_one_wins(cluster):
    first, second = elector(cluster, "a"), elector(cluster, "b")
    cluster.lease = {"metadata": {"resourceVersion": "0", "name": "manager-prod"}, "spec": {"holderIdentity": ""}}
    lost = await second.api.get("")
    await first._round()
    with pytest.raises(Conflict):
        await second._write(lost, 2)
    assert first.valid()


async def test_a_leader_whose_term_was_passed_long_ago_takes_a_later_one(cluster):
    """Somebody deleted the Lease, and the replica that made it anew had not read all statuses yet."""
    found = [0]
    first = elector(cluster, "a")
    first.floor = lambda: found[0]
    await first._round()
    assert first.term == 1
    found[0] = 57
    await pass_time(cluster, 1, first)
    assert first.valid()
    assert first.term == 58
    assert cluster.lease["spec"]["leaseTransitions"] == 58


async def test_a_lease_that_was_deleted_is_made_anew_above_every_term_that_was_seen_in_it(cluster):
    first, second = elector(cluster, "a"), elector(cluster, "b", floor=4)
    await first._round()
    await second._round()
    cluster.lease["spec"]["leaseTransitions"] = 7
    await second._round()
    cluster.lease = None
    await second._round()
    assert second.term == 8


async def test_and_only_after_a_look_at_everything_since_it_was_missed(cluster):
    """Another one may have led since, under a term that only statuses tell of."""
    asked = []
    second = elector(cluster, "b", floor=4)
    second.has_listed = lambda since_s: asked.append(since_s) or len(asked) > 2
    await elector(cluster, "a")._round()
    await second._round()
    cluster.lease = None
    missed_s = cluster.now_s
    for _ in range(3):
        assert second.term == 0
        await second._round()
        cluster.now_s += 1
    assert (second.term, asked) == (5, [missed_s] * 3)
