"""Who starts first: priority among those that start in one round, startAfter among those that wait for each other."""

import pytest

from quorate.core.selectors import Taint
from quorate.core.types import GuestKey, GuestState, Wanted
from tests.scenarios.looks import settled_on, state

S = GuestState


def key(name):
    return GuestKey("default", name)


def started(toy, name):
    return state(toy, key(name)) is S.STARTED and toy.guests[key(name)].status.ready


def order_condition(toy, name):
    return next((one for one in toy.guests[key(name)].status.conditions if one.type == "StartOrder"), None)


def taint(toy, *nodes):
    for node in nodes:
        toy.touch_kube(node, taints=(Taint("busy", "NoSchedule"),))


def untaint(toy, *nodes):
    for node in nodes:
        toy.touch_kube(node, taints=())


class TestStartAfter:
    def test_a_guest_starts_after_those_it_names(self, toy):
        toy.add_guest("app", start_after=(key("db"),))
        toy.add_guest("db")
        seen = []
        while not started(toy, "app"):
            toy.step()
            seen.append((bool(toy.running(key("app"))), started(toy, "db")))
        assert all(ready for running, ready in seen if running)
        assert order_condition(toy, "app") is None

    def test_so_it_is_after_the_loss_of_their_node(self, toy):
        taint(toy, "n2", "n3")
        toy.add_guest("app", start_after=(key("db"),))
        toy.add_guest("db")
        toy.run_until(lambda: started(toy, "app") and started(toy, "db"), 40, "both")
        untaint(toy, "n2", "n3")
        toy.power_off("n1")
        toy.slow.add(key("db"))
        toy.run_until(lambda: toy.running(key("db")), 40, "recovery")
        toy.run(5)
        assert toy.running(key("app")) == []
        toy.slow.discard(key("db"))
        toy.run_until(lambda: started(toy, "app") and started(toy, "db"), 60, "both")

    def test_what_it_waits_for_is_said(self, toy):
        toy.slow.add(toy.add_guest("db"))
        toy.add_guest("app", start_after=(key("db"),))
        toy.run(20)
        assert toy.guests[key("app")].status.message == "starts after ct:default/db (starting)"
        assert toy.running(key("app")) == []

    @pytest.mark.parametrize("want", [Wanted.STOPPED, Wanted.DISABLED, Wanted.IGNORED])
    def test_one_that_is_not_wanted_is_not_waited_for(self, toy, want):
        toy.add_guest("db", wanted=want)
        toy.add_guest("app", start_after=(key("db"),))
        toy.run_until(lambda: started(toy, "app"), 30, "the start")

    def test_one_in_error_is_not_waited_for(self, toy):
        toy.failing.add(toy.add_guest("db", max_restart=0, max_relocate=0))
        toy.add_guest("app", start_after=(key("db"),))
        toy.run_until(lambda: started(toy, "app"), 60, "the start")
        assert state(toy, key("db")) is S.ERROR

    def test_a_running_guest_does_not_follow_what_happens_to_the_other(self, toy):
        toy.add_guest("db")
        app = toy.add_guest("app", start_after=(key("db"),))
        toy.run_until(lambda: started(toy, "app"), 30, "the start")
        before = toy.guests[app].status.instance
        toy.edit_guest(key("db"), wanted=Wanted.STOPPED)
        toy.run(20)
        toy.edit_guest(key("db"), wanted=Wanted.STARTED)
        toy.run(20)
        assert toy.guests[app].status.instance == before


class TestBadOrder:
    def test_an_unknown_name_is_said_and_not_waited_for(self, toy):
        toy.add_guest("app", start_after=(key("nobody"),))
        toy.run_until(lambda: started(toy, "app"), 30, "the start")
        found = order_condition(toy, "app")
        assert (found.status, found.reason) == ("False", "UnknownGuest")
        assert "spec.startAfter names ct:default/nobody, and Cluster prod has no such guest" in found.message
        toy.add_guest("nobody")
        toy.run_until(lambda: order_condition(toy, "app") is None, 20, "the condition goes")

    def test_a_circle_is_said_by_each_of_its_members_and_all_start(self, toy):
        toy.add_guest("a", start_after=(key("b"),))
        toy.add_guest("b", start_after=(key("c"),))
        toy.add_guest("c", start_after=(key("a"),))
        toy.add_guest("d", start_after=(key("a"),))
        toy.run_until(lambda: all(started(toy, name) for name in "abcd"), 60, "all")
        for name in "abc":
            found = order_condition(toy, name)
            assert found.reason == "Circle"
            assert all(f"ct:default/{one}" in found.message for one in "abc")
        assert order_condition(toy, "d") is None, "it waits for one of them, and none of them for it"

    def test_one_that_names_itself(self, toy):
        toy.add_guest("a", start_after=(key("a"),))
        toy.run_until(lambda: started(toy, "a"), 30, "the start")
        assert order_condition(toy, "a").reason == "Circle"


def test_the_larger_priority_gets_the_empty_node(toy):
    """Of two guests that start in one round the more important one chooses first."""
    taint(toy, "n2", "n3")
    filler = toy.add_guest("filler")
    toy.run_until(lambda: settled_on(toy, filler, "n1"), 30, "the start")
    untaint(toy, "n2")
    toy.add_guest("aa", priority=-1)
    toy.add_guest("zz", priority=10)
    toy.run_until(lambda: started(toy, "aa") and started(toy, "zz"), 30, "both")
    assert toy.running(key("zz")) == ["n2"]
    assert toy.running(key("aa")) == ["n1"]
