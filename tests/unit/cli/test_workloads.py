"""A workload on the command line: protected, seen, and not moved."""

import json
from typing import Any

import pytest

from quorate.access.names import guest_key
from quorate.api.wire import to_wire
from quorate.core.status import Condition, GuestStatus, Timeline
from quorate.core.types import GuestKey, GuestState, IncidentId, Instant, NodeName, Nonce, Uid
from quorate.core.workloads import PodRecord
from quorate.kube.taints import foreign_taints
from tests.unit.view import pictures

DB = "/apis/quorate.dev/v1alpha1/namespaces/shop/haresources/db"
SET = "/apis/apps/v1/namespaces/shop/statefulsets/db"
MOMENT = Instant(pictures.NOW - 60_000)


def record(number: int, node: str) -> PodRecord:
    return PodRecord(f"db-{number}", Uid(f"u{number}"), NodeName(node), Nonce(f"{node}.1"), ready=True)


def protected(holds: bool = True, reason: str = "EveryNodeProvable", text: str = "2 Pods") -> dict[str, Any]:
    """The HAResource of a StatefulSet of two Pods, one of which has been recovered."""
    told = Timeline(IncidentId("n3-1"), NodeName("n3"), MOMENT, "LeaseExpired of n3", MOMENT, MOMENT)
    steps = {"removed": MOMENT, "detached": MOMENT, "volumes": ("data-db-0",), "ready": MOMENT, "duration_s": 12.5}
    conditions = (
        Condition("Ready", "True", "Started", "2 of 2 Pods Ready on n1, n2", MOMENT, 1),
        Condition("Protected", "True" if holds else "False", reason, text, MOMENT, 1),
    )
    status = GuestStatus(
        guest="wl:shop/db",
        state=GuestState.STARTED,
        since=MOMENT,
        cluster_name="prod",
        ready=True,
        pods=(record(0, "n1"), record(1, "n2")),
        recovery=Timeline(**{**{name: getattr(told, name) for name in told.__slots__}, **steps}),
        message="2 of 2 Pods Ready on n1, n2",
        conditions=conditions,
    )
    return {
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "HAResource",
        "metadata": {"name": "db", "namespace": "shop", "uid": "u-db", "resourceVersion": "5", "generation": 1},
        "spec": {"state": "Started", "guest": {"workload": {"kind": "StatefulSet", "name": "db"}}},
        "status": to_wire(status),
    }


@pytest.fixture
def with_db(prod):
    prod.put(protected())
    return prod


@pytest.mark.parametrize("text", ["sts/db", "statefulset/db", "deploy/db", "deployment/db", "wl:shop/db", "db"])
def test_it_can_be_named_in_many_ways(text):
    assert guest_key(text, None, "shop") == GuestKey("shop", "db")


def test_one_is_protected(run, prod):
    prod.put({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"}})
    ended = run("add", "sts/db", "--comment", "gold")
    assert ended.out == (
        "wl:shop/db is under HA. Next: its Pods are protected where they are; "
        "whether all are, quorate explain shop/db says\n"
    )
    (write,) = prod.writes
    assert write.body["metadata"] == {"name": "db", "namespace": "shop"}
    assert write.body["spec"] == {"guest": {"workload": {"kind": "StatefulSet", "name": "db"}}, "comment": "gold"}


def test_one_that_is_not_there_yet_is_said_to_be_missing(run, prod):
    ended = run("add", "deploy/web")
    assert ended.code == 0
    assert "nothing is protected yet: there is no Deployment web in namespace shop yet" in ended.err


def test_all_with_these_labels(run, prod):
    assert run("add", "gold", "--selector", "tier=gold,team=shop").code == 0
    workload = prod.writes[0].body["spec"]["guest"]["workload"]
    assert workload == {"kind": "StatefulSet", "selector": {"matchLabels": {"tier": "gold", "team": "shop"}}}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("add sts/db --image x", "--image means nothing for a workload"),
        ("add sts/db --max-restart 3 --failback", "--failback, --max-restart mean nothing for a workload"),
        ("add sts/db --selector a=b", "it is named already"),
        ("add db --selector ab", "--selector: 'ab' is not KEY=VALUE"),
        ("add sts/DB", "its name is 'DB'"),
    ],
)
def test_a_command_line_that_cannot_be_followed(run, prod, line, said):
    ended = run(*line.split())
    assert (ended.code, prod.writes) == (64, [])
    assert said in ended.err


@pytest.mark.parametrize("line", ["migrate db n2", "relocate sts/db n2", "reset db"])
def test_it_is_not_moved(run, with_db, line):
    ended = run(*line.split())
    assert (ended.code, with_db.writes) == (1, [])
    assert "is not for StatefulSet db: its own controller makes and places its Pods. Use kubectl" in ended.err


def test_the_status_shows_where_its_pods_are(run, with_db):
    (row,) = [line.split() for line in run("status").out.splitlines() if "wl:shop/db" in line]
    assert row[:5] == ["wl:shop/db", "started", "started", "n1,", "n2"]


def test_one_that_is_not_protected_needs_attention(run, prod):
    prod.put(
        protected(holds=False, reason="NodeCannotProveItsDeath", text="nothing would be removed: Pod db-1 (n2: no)")
    )
    assert "nothing would be removed: Pod db-1 (n2: no)" in " ".join(run("status").out.split())


def test_the_list_shows_what_it_protects(run, with_db):
    (row,) = [line.split() for line in run("list").out.splitlines() if "wl:shop/db" in line]
    assert row == ["wl:shop/db", "started", "-", "-", "prod", "StatefulSet", "db", "-"]
    (config,) = [one for one in run("list", "-o", "pve").out.split("\n\n") if one.startswith("wl:")]
    assert "max_restart" not in config


def test_explained(run, with_db):
    out = run("explain", "sts/db").out
    for part in (
        "wl:shop/db  started: 2 of 2 Pods Ready on n1, n2",
        "It protects StatefulSet db, which its own controller runs and moves.",
        "Protected yes: 2 Pods",
        "no Pod stuck there any more",
        "detached: data-db-0",
        "every Pod Ready again, 12.5s in all",
    ):
        assert part in out
    rows = [line.split() for line in out.splitlines()]
    assert ["db-1", "n2", "online", "yes"] in rows
    assert json.loads(run("explain", "db", "-o", "json").out)["workload"] == "StatefulSet db"


def test_a_node_names_it(run, with_db):
    assert "wl:shop/db" in run("explain", "n2").out


def test_its_history(run, with_db):
    out = run("history", "db").out
    assert "the Lease of n3 was taken: the Pods that are stuck there may be removed" in out
    assert "data-db-0: detached from n3" in out


def test_it_is_removed_and_runs_on(run, with_db):
    ended = run("remove", "sts/db", "-y")
    assert ended.out == ("wl:shop/db is no longer under HA. StatefulSet db runs on and is not protected any more\n")
    assert [(one.method, one.path) for one in with_db.writes] == [("DELETE", DB)]


def test_what_is_set_says_what_follows(run, with_db):
    assert "Next: Quorate keeps its hands off it" in run("set", "sts/db", "--state", "ignored").out


def test_taints_of_others_stay():
    others = [{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}]
    assert foreign_taints(others) == others
