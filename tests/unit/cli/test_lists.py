"""`nodes`, `list`, `history`, and what `-o pve` prints."""

import json

import pytest
import yaml

from quorate.api.wire import format_instant
from quorate.core.types import NodeName
from tests.unit.cli.conftest import fill
from tests.unit.view import pictures
from tests.unit.view.test_history import event, recovered


def test_nodes_for_people(run, prod):
    lines = run("nodes").out.splitlines()
    assert lines[0] == "Cluster     prod  quorate  3 of 3 votes, need 2"
    assert lines[2].split() == ["n1", "online", "1", "0s", "Hardware", "5s", "armed", "1"]


def test_nodes_says_why_one_is_not_as_wished(run, stub):
    fill(stub, pictures.node_lost())
    assert "waiting for its Lease to expire" in run("nodes").out


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_nodes_and_guests_for_programs(run, prod, form, read):
    (first, *_) = read(run("nodes", "-o", form).out)["nodes"]
    assert (first["cluster"], first["name"], first["votes"], first["state"]) == ("prod", "n1", 1, "Online")
    (guest,) = read(run("list", "-o", form).out)["guests"]
    assert (guest["guest"], guest["state"], guest["maxRestart"], guest["images"]) == (
        "ct:shop/web",
        "Started",
        1,
        ["web:1"],
    )


def test_nodes_and_list_of_nothing(run, stub):
    assert run("nodes").out == "there is no Cluster yet: quorate cluster create NAME\n"
    assert run("list").out == "no guest is under HA yet: quorate add NAME --image IMAGE\n"


def test_list_for_people(run, stub):
    wished = {"maxRestart": 3, "storage": [{"name": "media", "path": "/srv"}], "comment": "owned by shop"}
    fill(stub, pictures.whole())
    stub.put(pictures.guest(name="api", state="Stopped", **wished))
    rows = [line.split() for line in run("list").out.splitlines()]
    assert " ".join(rows[1]) == "ct:shop/api stopped 3 1 prod web:1 media:/srv owned by shop"
    assert " ".join(rows[2]) == "ct:shop/web started 1 1 prod web:1 -"


def test_list_of_one_namespace(run, prod):
    assert "ct:shop/web" in run("list", "-n", "shop").out
    assert "ct:shop/web" not in run("list", "-n", "other").out


def test_as_proxmox_prints_it(run, prod):
    assert run("status", "-o", "pve").out.splitlines()[0] == "quorum OK"
    assert run("nodes", "-o", "pve").out.splitlines()[-1] == "0x00000003          1 n3"
    prod.put(pictures.guest(comment="hello"))
    assert run("list", "-o", "pve").out == (
        "ct:shop/web\n\tcomment hello\n\tmax_relocate 1\n\tmax_restart 1\n\tstate started\n"
    )


def test_the_exit_code_of_status_does_not_depend_on_the_form(run, stub):
    fill(stub, pictures.quorum_lost())
    assert run("status", "-o", "pve").code == 2
    assert run("status", "-w", "-o", "pve").code == 64


class TestHistory:
    @pytest.fixture
    def past(self, stub):
        fill(stub, pictures.whole())
        stub.put(pictures.guest(recovered()))
        for one in (
            event("HAResource", "web", "GuestStarted", 5, "Starting -> Started: runs on n2"),
            event("Cluster", "prod", "LeaderChanged", 4000, "quorate-0 leads, term 4"),
            event("Node", "n2", "NodeReturned", 9, "it is back"),
        ):
            stub.put({"apiVersion": "events.k8s.io/v1", "kind": "Event", **one})
        return stub

    def test_for_people_with_the_newest_last(self, run, past):
        ended = run("history")
        lines = ended.out.splitlines()
        assert lines[0].split() == ["TIME", "(UTC)", "OBJECT", "REASON", "WHAT", "HAPPENED"]
        assert lines[1].split()[:3] == ["2026-11-18", "10:00:00", "Cluster"]
        assert "ct:shop/web" in lines[-1]
        assert "GuestStarted" in lines[-1]
        assert "Kubernetes keeps Events for about an hour" in ended.err

    def test_of_a_guest(self, run, past):
        found = json.loads(run("history", "web", "-o", "json").out)["history"]
        assert {one["object"] for one in found} == {"ct:shop/web"}
        assert {one["recorded"] for one in found} == {"Event", "status"}

    def test_of_a_node_with_the_guests_it_lost(self, run, past):
        found = json.loads(run("history", "n1", "-o", "json").out)["history"]
        assert {one["object"] for one in found} == {"ct:shop/web"}
        assert {one["reason"] for one in found} >= {"NodeLost", "Recovered"}
        (returned,) = json.loads(run("history", "n2", "-o", "json").out)["history"]
        assert returned["object"] == "Node n2"

    def test_since(self, run, past):
        reasons = [one["reason"] for one in json.loads(run("history", "--since", "6s", "-o", "json").out)["history"]]
        assert reasons == ["GuestStarted"]
        assert run("history", "--since", "1s").out == "nothing is known to have happened within 1s\n"
        ended = run("history", "--since", "yesterday")
        assert (ended.code, "--since: 'yesterday' is not a duration" in ended.err) == (64, True)

    def test_of_what_nobody_knows(self, run, past):
        ended = run("history", "n4")
        assert ended.code == 1
        assert "no guest and no node is named 'n4' (known: ct:shop/web, n1, n2, n3)" in ended.err

    def test_what_is_gone_still_has_a_history(self, run, past):
        one = event("HAResource", "old", "GuestStopped", 20)
        past.put({"apiVersion": "events.k8s.io/v1", "kind": "Event", **one})
        assert "GuestStopped" in run("history", "shop/old").out

    def test_of_one_namespace_with_what_belongs_to_none(self, run, past):
        found = json.loads(run("history", "-n", "shop", "-o", "json").out)["history"]
        assert {one["object"] for one in found} == {"ct:shop/web", "Cluster prod", "Node n2"}


def test_times_are_those_of_the_statuses(run, stub):
    fill(stub, pictures.whole())
    stub.put(pictures.guest(pictures.guest_status(recovery=recovered().recovery, node=NodeName("n2"))))
    (first, *_) = json.loads(run("history", "-o", "json").out)["history"]
    assert first["at"] == format_instant(pictures.ago(60))
