"""`quorate status`: exit codes, forms, waiting and following."""

import json
from dataclasses import replace

import pytest
import yaml

from quorate.cli import status
from tests.unit.cli.conftest import fill
from tests.unit.cli.stub import Answer, kubeconfig
from tests.unit.view import pictures


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (pictures.whole(), 0),
        (replace(pictures.whole(), guests=(pictures.guest(pictures.in_error(), name="api"),)), 1),
        (pictures.node_lost(), 2),
        (pictures.quorum_lost(), 2),
    ],
    ids=["healthy", "degraded", "fencing", "not quorate"],
)
def test_the_exit_code_says_how_it_is(run, stub, picture, code):
    fill(stub, picture)
    assert run("status").code == code
    assert run("status", "-o", "json").code == code


class TestCannotTell:
    @pytest.mark.usefixtures("impatient")
    def test_nobody_answers(self, run, tmp_path):
        file = kubeconfig(tmp_path / "nobody", "http://127.0.0.1:1")
        ended = run("status", "--kubeconfig", str(file))
        assert ended.code == 3
        assert f"cannot reach the API server http://127.0.0.1:1 (context test of kubeconfig {file})" in ended.err

    def test_there_is_no_kubeconfig(self, run, monkeypatch):
        monkeypatch.setenv("KUBECONFIG", "/nowhere")
        ended = run("status")
        assert ended.code == 3
        assert "/nowhere (from $KUBECONFIG): there is no such file" in ended.err

    def test_quorate_is_not_installed(self, run, stub):
        stub.answer("GET", "/apis/quorate.dev/v1alpha1/clusters", Answer(404, {"message": "404 page not found"}))
        assert run("status").code == 3

    def test_we_may_not_look(self, run, stub):
        stub.answer("GET", "/apis/quorate.dev/v1alpha1/clusters", Answer(403, {"message": "forbidden"}))
        ended = run("status")
        assert (ended.code, ended.err) == (
            3,
            "error: not allowed: forbidden. Ask who manages the cluster for that right\n",
        )


def test_heartbeats_that_we_may_not_read_are_left_out(run, prod):
    for namespace in ("quorate-agents", "quorate-system"):
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        prod.answer("GET", path, Answer(403, {"message": "forbidden"}))
    ended = run("status")
    assert ended.code == 0
    assert "n1    online  1      -     armed" in ended.out


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_for_programs(run, stub, form, read):
    fill(stub, pictures.node_lost())
    report = read(run("status", "-o", form).out)
    (cluster,) = report["clusters"]
    assert report["health"] == cluster["health"] == "Critical"
    assert cluster["votes"] == {
        "expected": 3,
        "total": 3,
        "live": 2,
        "needed": 2,
        "text": "2/3",
        "rule": "Majority",
    }
    assert cluster["nodes"][0]["releaseBy"] == "2026-11-18T11:06:52Z"
    assert cluster["guests"][0]["state"] == "Fence"


def test_guests_of_one_namespace(run, prod):
    other = pictures.guest(pictures.guest_status(guest="ct:lab/x"), name="x")
    other["metadata"]["namespace"] = "lab"
    prod.put(other)
    assert "ct:lab/x" in run("status").out
    shown = run("status", "-n", "shop").out
    assert "ct:shop/web" in shown
    assert "ct:lab/x" not in shown


def test_options_may_stand_before_the_verb(run, prod):
    assert "ct:shop/web" not in run("-n", "lab", "status").out
    assert "ct:shop/web" in run("-n", "lab", "status", "-n", "shop").out


def test_verbose_draws_the_votes(run, prod):
    assert "^ 2 of 3 are a majority" in run("status", "-v").out


class TestWait:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(status, "LOOK_EVERY_S", 0.05)

    def test_it_comes_back_when_all_is_well(self, run, stub, monkeypatch):
        fill(stub, pictures.node_lost())
        looks = []

        def heal(self: object, seconds: float) -> None:
            looks.append(seconds)
            fill(stub, pictures.whole())

        monkeypatch.setattr("quorate.access.waiting.Deadline.pause", heal)
        ended = run("status", "--wait")
        assert (ended.code, len(looks)) == (0, 1)
        assert ended.err.startswith("waiting: n1 is lost")
        assert "all as wished" in ended.out

    def test_it_gives_up_with_what_is(self, run, stub, monkeypatch):
        fill(stub, pictures.quorum_lost())
        looks = []
        monkeypatch.setattr("quorate.access.waiting.Deadline.pause", lambda _, seconds: looks.append(seconds))
        monkeypatch.setattr("quorate.access.waiting.Deadline.passed", property(lambda _: len(looks) == 3))
        ended = run("status", "--wait", "--timeout", "200ms")
        assert ended.code == 2
        assert "not well after 0.2s" in ended.err
        assert ended.err.count("waiting: not quorate") == 1

    @pytest.mark.usefixtures("impatient")
    def test_a_server_that_is_away_is_waited_for(self, run, prod):
        away = Answer(503, {"message": "starting"}, {"Retry-After": "1"}, times=2)
        prod.answer("GET", "/apis/quorate.dev/v1alpha1/clusters", away)
        ended = run("status", "--wait")
        assert ended.code == 0
        assert "starting" in ended.err

    def test_a_timeout_that_is_none(self, run):
        ended = run("status", "--wait", "--timeout", "soon")
        assert ended.code == 64
        assert "--timeout: 'soon' is not a duration: write for example 10s" in ended.err


class TestWatch:
    def follow(self, run, monkeypatch, *between):
        """Follow through these changes, one between every two looks, and interrupt after the last."""
        steps = list(between)

        def pause(_: float) -> None:
            if not steps:
                raise KeyboardInterrupt
            steps.pop(0)()

        monkeypatch.setattr("quorate.cli.status.sleep", pause)
        return run("status", "-w")

    def test_a_picture_for_every_change_and_none_without(self, run, prod, monkeypatch):
        ended = self.follow(run, monkeypatch, lambda: None, lambda: fill(prod, pictures.node_lost()), lambda: None)
        assert ended.out.count("Cluster     prod") == 2
        assert ended.code == 2

    @pytest.mark.usefixtures("impatient")
    def test_while_nobody_answers_the_last_picture_stays_and_says_so(self, run, prod, monkeypatch):
        def away() -> None:
            prod.answer(
                "GET",
                "/apis/quorate.dev/v1alpha1/clusters",
                Answer(503, {"message": "gone"}, {"Retry-After": "0"}, 9999),
            )

        ended = self.follow(run, monkeypatch, away)
        assert "! the API server" in ended.out
        assert "; this is what was at 11:06:4" in ended.out
        assert ended.out.count("Cluster     prod") == 2

    @pytest.mark.parametrize("more", [("--wait",), ("-o", "json")])
    def test_it_is_for_people(self, run, more):
        assert run("status", "-w", *more).code == 64
