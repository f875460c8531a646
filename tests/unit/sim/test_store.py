"""What is only the store's; what it shares with a real API server is in tests/control_plane."""

import json
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from quorate.sim.errors import ApiError
from quorate.sim.store import place_of
from tests.unit.sim.conftest import LEASES, MAPS, NODES, PODS, World, named

ONE = ("default", "one")


def code(call, *arguments, **named_arguments):
    with pytest.raises(ApiError) as refused:
        call(*arguments, **named_arguments)
    return refused.value.code


def test_time_and_uids_come_from_outside(world, store):
    made = store.create(MAPS, "default", named("one"))["metadata"]
    assert (made["uid"], made["creationTimestamp"]) == ("uid-00002", "2027-01-15T08:00:00Z")
    world.pass_s(61)
    assert store.create(MAPS, "default", named("two"))["metadata"]["creationTimestamp"] == "2027-01-15T08:01:01Z"


def test_the_same_calls_give_the_same_bytes(make):
    def run():
        world = make()
        world.store.create(PODS, "default", {"metadata": {"generateName": "web-"}, "spec": {"nodeName": "n"}})
        (pod,) = world.store.listed(PODS)
        world.pass_s(5)
        world.store.delete(PODS, place_of(pod), grace_s=7)
        return json.dumps([[event.version, event.old, event.new] for event in world.told])

    assert run() == run()


def test_objects_are_never_changed_in_place(store):
    before = store.create(NODES, "", named("n", spec={"votes": 1}, labels={"a": "b"}))
    kept = json.dumps(before)
    store.update(NODES, ("", "n"), lambda old: old | {"spec": {"votes": 2}})
    store.update(NODES, ("", "n"), lambda old: old | {"status": {"x": 1}}, status=True)
    store.delete(NODES, ("", "n"))
    assert json.dumps(before) == kept


def test_a_change_is_told_before_the_call_returns(world, store):
    made = store.create(MAPS, "default", named("one"))
    assert (world.told[-1].old, world.told[-1].new) == (None, made)
    changed = store.update(MAPS, ONE, lambda old: old | {"data": {"a": "b"}})
    assert (world.told[-1].old, world.told[-1].new) == (made, changed)
    store.delete(MAPS, ONE)
    assert (world.told[-1].old, world.told[-1].new) == (changed, None)
    assert [event.version for event in world.told] == list(range(2, 5))


def test_a_refused_change_is_none(world, store):
    made = store.create(MAPS, "default", named("one"))
    told = len(world.told)
    stale = made | {"metadata": made["metadata"] | {"resourceVersion": "1"}}
    assert code(store.replace, MAPS, ONE, stale) == 409
    assert code(store.create, MAPS, "default", named("one")) == 409
    assert code(store.delete, MAPS, ONE, held={"uid": "other"}) == 409
    assert code(store.get, MAPS, ("default", "none")) == 404
    assert (store.get(MAPS, ONE), len(world.told)) == (made, told)


def test_the_grace_period_runs_from_the_moment_it_was_asked_for(world, store):
    store.create(PODS, "default", named("one", spec={"nodeName": "n", "terminationGracePeriodSeconds": 60}))
    first = store.delete(PODS, ONE)["metadata"]
    assert first["deletionTimestamp"] == "2027-01-15T08:01:00Z"
    world.pass_s(30)
    assert store.delete(PODS, ONE)["metadata"] == first
    assert store.delete(PODS, ONE, grace_s=10)["metadata"]["deletionTimestamp"] == "2027-01-15T08:00:10Z"
    store.delete(PODS, ONE, grace_s=0)
    assert store.listed(PODS) == []


def test_a_watch_catches_up_as_far_as_the_history_goes(make):
    world = make(history=3)
    store = world.store
    began = store.version
    for number in range(5):
        store.create(MAPS, "default", named(f"m{number}"))
    assert code(store.watch, MAPS, began) == 410
    assert code(store.watch, MAPS, began + 1) == 410
    assert [place_of(event.new)[1] for event in store.watch(MAPS, began + 2)] == ["m2", "m3", "m4"]
    assert store.watch(MAPS, store.version) == []
    assert store.watch(MAPS, store.version + 9) == [], "of the future nothing is known"
    assert store.watch(PODS, began + 2) == [], "each kind for itself"


def test_a_fork_leaves_no_trace(world, store):
    made = store.create(MAPS, "default", named("one"))
    told, version = len(world.told), store.version
    fork = store.fork()
    fork.delete(MAPS, ONE)
    fork.create(MAPS, "default", named("two"))
    assert (store.listed(MAPS), store.version, len(world.told)) == ([made], version, told)


def test_what_was_saved_is_restored(make, store):
    store.create(MAPS, "default", named("one"))
    other = make().store
    other.restore(store.everything(), store.version + 10)
    assert other.everything() == store.everything()
    assert other.create(MAPS, "default", named("two"))["metadata"]["resourceVersion"] == str(store.version + 11)
    assert code(other.watch, MAPS, store.version) == 410


def test_only_a_lease_is_created_by_a_put(store):
    assert code(store.replace, MAPS, ONE, named("one")) == 404
    assert store.replace(LEASES, ONE, named("one", resourceVersion="7"))["metadata"]["uid"]
    assert code(store.replace, LEASES, ("default", "two"), named("two", uid="old")) == 409


class Histories(RuleBasedStateMachine):
    """However it came about: the events retell the state, versions only grow, what is held stays."""

    names = st.sampled_from(["a", "b", "c"])

    def __init__(self) -> None:
        super().__init__()
        self.world = World(history=10_000)
        self.store = self.world.store

    @rule(name=names, node=st.sampled_from(["", "n"]), finalizers=st.sampled_from([[], ["x/y"]]))
    def create(self, name, node, finalizers):
        self.attempt(
            lambda: self.store.create(PODS, "default", named(name, spec={"nodeName": node}, finalizers=finalizers))
        )

    @rule(name=names, number=st.integers(0, 3))
    def change(self, name, number):
        self.attempt(lambda: self.store.update(PODS, ("default", name), lambda old: old | {"number": number}))

    @rule(name=names, phase=st.sampled_from(["Running", "Failed"]))
    def report(self, name, phase):
        status = {"status": {"phase": phase}}
        self.attempt(lambda: self.store.update(PODS, ("default", name), lambda old: old | status, status=True))

    @rule(name=names)
    def release(self, name):
        def bare(old):
            return old | {"metadata": old["metadata"] | {"finalizers": []}}

        self.attempt(lambda: self.store.update(PODS, ("default", name), bare))

    @rule(name=names, grace_s=st.sampled_from([None, 0, 5]), seconds=st.integers(0, 9))
    def delete(self, name, grace_s, seconds):
        self.world.pass_s(seconds)
        before = self.found(name)
        self.attempt(lambda: self.store.delete(PODS, ("default", name), grace_s))
        if before is None:
            return
        running = before["spec"].get("nodeName") and before.get("status", {}).get("phase") != "Failed"
        pending = before["metadata"].get("deletionGracePeriodSeconds", 30 if running else 0)
        graceful = min(pending, pending if grace_s is None else grace_s) > 0
        assert (self.found(name) is None) == (not graceful and not before["metadata"].get("finalizers"))

    def found(self, name):
        return next((one for one in self.store.listed(PODS) if one["metadata"]["name"] == name), None)

    def attempt(self, change):
        with suppress(ApiError):  # not there, or there already
            change()

    @invariant()
    def events_retell_the_state(self):
        retold = {}
        for event in self.world.told:
            place = place_of(event.new or event.old)
            assert retold.pop(place, None) == event.old
            if event.new:
                retold[place] = event.new
                assert event.new["metadata"]["resourceVersion"] == str(event.version)
        assert sorted(map(json.dumps, retold.values())) == sorted(map(json.dumps, self.store.listed(PODS)))

    @invariant()
    def versions_only_grow(self):
        versions = [event.version for event in self.world.told]
        assert versions == sorted(set(versions))

    @invariant()
    def what_is_held_does_not_go(self):
        for event in self.world.told:
            if event.new is None and event.old["metadata"].get("finalizers"):
                assert "deletionTimestamp" in event.old["metadata"], "its finalizers were taken off while it was ending"


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestHistories = Histories.TestCase
