"""`quorate fence confirm`: shown first, asked, and bound to one incident of one boot."""

from dataclasses import replace

import pytest

from quorate.core.status import Returns
from quorate.core.types import Instant, Stage
from tests.unit.cli.conftest import fill
from tests.unit.cli.stub import Answer, kubeconfig
from tests.unit.view import pictures

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
N1 = "/apis/quorate.dev/v1alpha1/nodes/n1"


@pytest.fixture
def lost(stub):
    """n1 is lost, and no watchdog bounds it."""
    fill(stub, pictures.node_lost(release_by=None))
    stub.answer("POST", REVIEWS, Answer(201, {"status": {"userInfo": {"username": "ada@example.org"}}}))
    return stub


def test_it_names_incident_boot_and_user(run, lost):
    ended = run("fence", "confirm", "n1", "-y")
    assert ended.code == 0
    (write,) = lost.writes
    assert (write.method, write.path, write.query) == ("PATCH", N1, {"fieldManager": ["quorate-cli"]})
    assert write.body == {"metadata": {"annotations": {"quorate.dev/fence-confirm": "n1-abc/boot/ada@example.org"}}}
    assert ended.out.startswith(
        "n1: ada@example.org vouches that it is off (incident n1-abc). Next: its guests recover"
    )


def test_it_shows_the_incident_and_what_it_means(run, lost):
    shown = run("fence", "confirm", "n1", "-y").err
    assert "Incident n1-abc: n1 was lost 3s ago (no heartbeat for 8.7s)." in shown
    assert "Guests that start elsewhere once it is proven off: ct:shop/web." in shown
    assert "If it is not off, they run twice" in shown


def test_an_armed_node_is_not_released_earlier(run, stub):
    fill(stub, pictures.node_lost())
    ended = run("fence", "confirm", "n1", "-y")
    assert "no later than 11:06:52 UTC (in 11s); confirming does not make that earlier" in ended.err
    assert "its guests are released when its Lease has expired, not before" in ended.out


def test_where_nobody_can_be_asked_who_we_are_the_kubeconfig_says_it(run, stub):
    fill(stub, pictures.node_lost(release_by=None))
    stub.answer("POST", REVIEWS, Answer(404, {"message": "404 page not found"}))
    run("fence", "confirm", "n1", "-y")
    value = stub.writes[-1].body["metadata"]["annotations"]["quorate.dev/fence-confirm"]
    assert value == "n1-abc/boot/ada"


def test_somebody_must_vouch(run, stub, tmp_path):
    fill(stub, pictures.node_lost(release_by=None))
    stub.answer("POST", REVIEWS, Answer(404, {}))
    nobody = kubeconfig(tmp_path / "nobody", stub.url, user="")
    ended = run("fence", "confirm", "n1", "-y", "--kubeconfig", str(nobody))
    assert ended.code == 1
    assert "it names no user, and somebody must vouch" in ended.err
    assert not stub.writes


class TestRefused:
    def test_without_an_open_incident(self, run, prod):
        ended = run("fence", "confirm", "n1", "-y")
        assert ended.code == 1
        assert "n1 has no open incident (it is Online: renews its Lease). There is nothing to confirm" in ended.err
        assert not prod.writes

    def test_when_it_is_fenced_already(self, run, stub):
        fenced = pictures.lost(release_by=None, stage=Stage.FENCED)
        stub.put(pictures.node("n1", replace(fenced, guests=0)))
        ended = run("fence", "confirm", "n1", "-y")
        assert ended.code == 1
        assert "n1 is fenced already (incident n1-abc)" in ended.err
        stub.put(pictures.node("n1", replace(fenced, guests=1)))
        assert run("fence", "confirm", "n1", "-y").code == 0, "there may be a guest that its evidence does not speak of"

    def test_an_unknown_node(self, run, prod):
        ended = run("fence", "confirm", "n9", "-y")
        assert (ended.code, ended.err) == (1, "error: no Node is named 'n9' (known: n1, n2, n3)\n")

    def test_without_a_terminal_and_without_y(self, run, lost):
        ended = run("fence", "confirm", "n1")
        assert ended.code == 64
        assert "Say -y if you are sure" in ended.err
        assert not lost.writes

    def test_when_the_answer_is_no(self, run, lost, terminal):
        terminal("n\n")
        ended = run("fence", "confirm", "n1")
        assert ended.code == 130
        assert "Is n1 certainly off" in ended.err
        assert not lost.writes


def test_when_the_answer_is_yes(run, lost, terminal):
    terminal("y\n")
    assert run("fence", "confirm", "n1").code == 0
    assert len(lost.writes) == 1


class TestRelease:
    def fenced(self, stub, *, guests=0, returns=None):
        status = replace(pictures.lost(release_by=None, stage=Stage.FENCED, guests=guests), returns=returns)
        fill(stub, replace(pictures.node_lost(), nodes=(pictures.node("n1", status), pictures.node("n2"))))
        stub.answer("POST", REVIEWS, Answer(201, {"status": {"userInfo": {"username": "ada"}}}))

    def test_a_boot_that_never_ended_gets_its_lease_back_by_name(self, run, stub):
        self.fenced(stub)
        ended = run("fence", "release", "n1", "-y")
        assert ended.code == 0
        (write,) = stub.writes
        assert write.body == {"metadata": {"annotations": {"quorate.dev/fence-release": "n1-abc/boot/ada"}}}
        assert "Boot boot of it has never ended" in ended.err
        assert "n1: ada lets it come back (incident n1-abc). Next: it gets its Lease back" in ended.out

    def test_a_boot_that_is_held_back_is_let_go(self, run, stub):
        self.fenced(stub, returns=Returns(2, "boot2", pictures.NOW, Instant(pictures.NOW + 60_000)))
        ended = run("fence", "release", "n1", "-y")
        (write,) = stub.writes
        assert write.body == {"metadata": {"annotations": {"quorate.dev/fence-release": "n1-abc/boot2/ada"}}}
        assert "Next: guests may start there" in ended.out

    def test_there_must_be_something_to_release(self, run, stub):
        fill(stub, pictures.whole())
        assert "n1 is not fenced" in run("fence", "release", "n1", "-y").err
        fill(stub, pictures.node_lost())
        assert "but not fenced yet" in run("fence", "release", "n1", "-y").err
        self.fenced(stub, guests=2)
        ended = run("fence", "release", "n1", "-y")
        assert ended.code == 1
        assert "its 2 guests are still recorded there" in ended.err
        assert stub.writes == []
