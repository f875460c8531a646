"""`quorate remove`."""

import pytest

from quorate.api.wire import to_wire
from tests.unit.cli.stub import Stub
from tests.unit.view import pictures

WEB = "/apis/quorate.dev/v1alpha1/namespaces/shop/haresources/web"


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr("quorate.access.waiting.LOOK_EVERY_S", 0.001)


@pytest.fixture
def held(prod):
    """Its guest runs: a finalizer holds its HAResource."""
    prod.objects[WEB]["metadata"] |= {"uid": "u", "finalizers": ["quorate.dev/instance"]}
    return prod


def test_it_says_that_the_guest_is_stopped_and_deletes_exactly_that_one(run, held):
    ended = run("remove", "web", "-y")
    assert ended.code == 0
    assert "ct:shop/web: its HAResource is deleted, and with it its Pod. It is Started on n1." in ended.err
    assert "A container guest is stopped by that, gracefully. Its volumes and claims stay." in ended.err
    assert ended.out.startswith("ct:shop/web is being taken out of HA. Next: it is stopped, then it is gone")
    (write,) = held.writes
    assert (write.method, write.path, write.body["preconditions"]) == ("DELETE", WEB, {"uid": "u"})


def test_it_asks_and_no_means_no(run, held, terminal):
    terminal("n\n")
    assert run("remove", "web").code == 130
    assert not held.writes


def test_without_a_terminal_and_without_y_it_refuses(run, held):
    ended = run("remove", "web")
    assert ended.code == 64
    assert "Say -y if you are sure" in ended.err
    assert not held.writes


def test_an_unknown_guest_names_the_nearest(run, held):
    ended = run("remove", "wbe", "-y")
    assert (ended.code, ended.err) == (
        1,
        "error: ct:shop/wbe is not under HA (guests in shop: web). Did you mean ct:shop/web?\n",
    )
    assert "Did you mean ct:shop/web?" in run("remove", "web", "-n", "shpo", "-y").err


class TestWait:
    def stopping(self, held: Stub, looks: int) -> None:
        """It stops after so many looks."""
        seen = [0]

        def move(stub: Stub, path: str) -> None:
            raw = stub.objects.get(WEB)
            if raw is not None and raw["metadata"].get("deletionTimestamp"):
                seen[0] += 1
                raw["status"] = to_wire(pictures.guest_status(message="is being stopped on n1"))
                if seen[0] > looks:
                    del stub.objects[WEB]

        held.before_read = move

    def test_until_it_is_gone(self, run, held):
        self.stopping(held, looks=3)
        ended = run("remove", "web", "-y", "--wait")
        assert (ended.code, ended.out) == (0, "ct:shop/web has stopped and is no longer under HA\n")
        assert ended.err.count("waiting at most 300s: ct:shop/web is Started: is being stopped on n1") == 1

    def test_not_for_ever(self, run, held):
        self.stopping(held, looks=10_000)
        ended = run("remove", "web", "-y", "--wait", "--timeout", "50ms")
        assert ended.code == 1
        assert "ct:shop/web is not gone after 0.05s: ct:shop/web is Started: is being stopped on n1" in ended.err

    def test_what_is_being_deleted_already_is_only_waited_for(self, run, held):
        held.objects[WEB]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.stopping(held, looks=1)
        assert run("remove", "web", "--wait").code == 0
        assert not held.writes

    def test_a_guest_that_somebody_adds_again_is_another_one(self, run, held):
        def again(stub: Stub, path: str) -> None:
            stub.objects[WEB]["metadata"].pop("deletionTimestamp", None)

        held.before_read = again
        ended = run("remove", "web", "-y", "--wait")
        assert ended.code == 1
        assert "was put under HA again by somebody else meanwhile" in ended.err
