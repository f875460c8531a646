"""A virtual machine on the command line: put under HA, seen, migrated live, and given back."""

from typing import Any

import pytest

from quorate.access.names import guest_key
from quorate.api.wire import to_wire
from quorate.core.status import CommandResult, Condition, GuestStatus, Instance
from quorate.core.types import GuestState, InstanceId, Instant, MachineKey, NodeName, Nonce
from tests.unit.cli.stub import Answer
from tests.unit.view import pictures

WIN = "/apis/quorate.dev/v1alpha1/namespaces/shop/haresources/win"
MACHINES = "/apis/kubevirt.io/v1/namespaces/shop/virtualmachines"
MOMENT = Instant(pictures.NOW - 60_000)


def machine(*, kept: str | None = None, strategy: str = "Always", runs: bool = True, **metadata: Any) -> dict[str, Any]:
    annotations = {"quorate.dev/run-strategy": kept} if kept is not None else {}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "win", "namespace": "shop", "annotations": annotations, **metadata},
        "spec": {"runStrategy": strategy},
        "status": {"created": runs},
    }


def guest(**changes: Any) -> dict[str, Any]:
    """The HAResource of a machine that runs on n1."""
    status = GuestStatus(
        guest="vm:shop/win",
        state=GuestState.STARTED,
        since=MOMENT,
        cluster_name="prod",
        ready=True,
        node=NodeName("n1"),
        instance=Instance(InstanceId("i1"), NodeName("n1"), Nonce("n1.1"), "", MOMENT),
        message="runs on n1",
        conditions=(Condition("Ready", "True", "Started", "runs on n1", MOMENT, 1),),
    )
    said = GuestStatus(**{**{name: getattr(status, name) for name in status.__slots__}, **changes})
    return {
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "HAResource",
        "metadata": {"name": "win", "namespace": "shop", "uid": "u-win", "resourceVersion": "5", "generation": 1},
        "spec": {"state": "Started", "guest": {"virtualMachine": {"name": "win"}}},
        "status": to_wire(said),
    }


@pytest.fixture
def with_win(prod):
    prod.put(guest())
    prod.put(machine(kept="Always", strategy="Once"))
    return prod


@pytest.mark.parametrize("text", ["vm/win", "virtualmachine/win", "vm:shop/win", "vm:win"])
def test_it_can_be_named_in_many_ways(text):
    key = guest_key(text, None, "shop")
    assert isinstance(key, MachineKey)
    assert key.sid == "vm:shop/win"


def test_one_is_put_under_ha(run, prod):
    prod.put(machine())
    ended = run("add", "vm/win", "--max-restart", "3", "--comment", "till")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "vm:shop/win is under HA. Next: it runs on where it is, its run strategy Always kept until it leaves HA, and "
        "only Quorate (quorate) places it; watch it with quorate status -w\n"
    )
    (write,) = prod.writes
    assert write.body["metadata"] == {"name": "win", "namespace": "shop"}
    assert write.body["spec"] == {"guest": {"virtualMachine": {"name": "win"}}, "maxRestart": 3, "comment": "till"}


def test_one_that_is_not_there_yet(run, prod):
    ended = run("add", "vm/win")
    assert ended.code == 0
    assert "it cannot start yet: there is no VirtualMachine win in namespace shop yet" in ended.err
    assert "Next: it is started once that is mended" in ended.out


def test_where_kubevirt_is_not_installed(run, prod):
    absent = {"reason": "NotFound", "message": "the server could not find the requested resource"}
    prod.answer("GET", MACHINES, Answer(404, absent))
    assert "it cannot start yet: KubeVirt is not installed here" in run("add", "vm/win").err


def test_one_that_somebody_else_steers_is_refused(run, prod):
    owner = {"kind": "VirtualMachinePool", "name": "desks", "controller": True}
    prod.put(machine(ownerReferences=[owner]))
    ended = run("add", "vm/win")
    assert (ended.code, prod.writes) == (1, [])
    assert "VirtualMachine win belongs to VirtualMachinePool desks, which starts and stops it" in ended.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("add vm/win --image x", "--image means nothing for a virtual machine"),
        ("add vm/win --storage a:/b -f x", "-f, --storage mean nothing for a virtual machine"),
        ("add vm/win --selector a=b", "it is named already"),
        ("add vm/Win", "its name is 'Win'"),
    ],
)
def test_a_command_line_that_cannot_be_followed(run, prod, line, said):
    ended = run(*line.split())
    assert (ended.code, prod.writes) == (64, [])
    assert said in ended.err


def test_it_is_seen(run, with_win):
    (row,) = [line.split() for line in run("status", "-A").out.splitlines() if "vm:shop/win" in line]
    assert row[:4] == ["vm:shop/win", "started", "started", "n1"]
    assert "service vm:shop/win (n1, started)" in run("status", "-o", "pve").out
    (row,) = [line.split() for line in run("list").out.splitlines() if "vm:shop/win" in line]
    assert row == ["vm:shop/win", "started", "1", "1", "prod", "VirtualMachine", "win", "-"]
    (config,) = [one for one in run("list", "-o", "pve").out.split("\n\n") if one.startswith("vm:")]
    assert "\tmax_restart 1" in config


def answering(*after: dict[str, Any], result: str = "migrating from n1 to n2", accepted: bool = True) -> Any:
    """A manager that accepts the command; each later reading finds the next of these."""
    then = list(after)

    def look(stub: Any, path: str) -> None:
        found = stub.objects.get(WIN)
        text = (found["metadata"].get("annotations") or {}).get("quorate.dev/command") if found else None
        if path != WIN or not text:
            return
        changes = then.pop(0) if len(then) > 1 else then[0]
        told = CommandResult(text.split()[0], "migrate", changes.pop("said", result), changes.pop("accepted", accepted))
        found["status"] = guest(**{"last_command": told, **changes})["status"]

    return look


def moving(message: str) -> dict[str, Any]:
    return {"state": GuestState.MIGRATE, "target": NodeName("n2"), "message": message}


def arrived(instance: str) -> dict[str, Any]:
    return {
        "node": NodeName("n2"),
        "instance": Instance(InstanceId(instance), NodeName("n2"), Nonce("n2.1"), "", MOMENT),
    }


def test_it_migrates_and_says_how_far_it_has_come(run, with_win):
    with_win.before_read = answering(moving("a place on n2"), moving("memory is sent"), arrived("i2"))
    ended = run("migrate", "vm/win", "n2", "--wait")
    assert (ended.code, ended.out) == (0, "vm:shop/win runs on n2: it moved while it ran\n")
    first, *lines = ended.err.splitlines()
    assert first == "vm:shop/win: migrating from n1 to n2"
    assert lines
    assert lines[-1].endswith("memory is sent")
    assert lines[-1].split()[0] == "0s"


def test_one_that_could_not_move_live_is_said_to_have_been_stopped(run, with_win):
    fixed = "relocating from n1 to n2, it cannot be migrated live: its disk is not shared"
    with_win.before_read = answering(arrived("i2"), result=fixed)
    ended = run("migrate", "win", "n2", "--wait")
    assert ended.out == "vm:shop/win runs on n2: it was stopped and started anew\n"
    assert ended.err == f"vm:shop/win: {fixed}\n"


def test_one_whose_migration_failed_stays_and_says_why(run, with_win):
    failed = {"said": "migrating from n1 to n2: failed, it stays on n1: the target was lost", "accepted": False}
    with_win.before_read = answering(moving("memory is sent"), moving("memory is sent"), failed)
    ended = run("migrate", "win", "n2", "--wait")
    assert ended.code == 1
    assert (
        "did not come to run on n2: it is Started, runs on n1. migrating from n1 to n2: failed, it stays on"
        in ended.err
    )


def test_not_waiting_says_what_comes(run, with_win):
    with_win.before_read = answering(moving("a place on n2"))
    assert "Next: it moves to n2 while it runs; watch it with" in run("migrate", "win", "n2").out


def test_it_leaves_ha_and_runs_on(run, with_win):
    ended = run("remove", "vm/win", "-y")
    assert ended.out == (
        "vm:shop/win is being taken out of HA. Next: VirtualMachine win gets the run strategy Always back, then it is "
        "gone from here; it is not stopped\n"
    )
    assert [(one.method, one.path) for one in with_win.writes] == [("DELETE", WIN)]


def test_what_leaving_means_is_said_before(run, with_win, terminal):
    terminal("n\n")
    ended = run("remove", "win")
    said = " ".join((ended.out + ended.err).split())
    assert "VirtualMachine win runs on, with its disks. Its run strategy is Always again, as before." in said
    assert with_win.writes == []


def test_waiting_until_it_is_let_go(run, with_win):
    ended = run("remove", "vm/win", "-y", "--wait")
    assert ended.out == "vm:shop/win is no longer under HA, VirtualMachine win has its run strategy Always\n"


def test_ignoring_it_gives_it_back(run, with_win):
    assert "its run strategy is given back" in run("set", "vm/win", "--state", "ignored").out


def test_one_that_is_not_under_ha_says_how_to_add_it(run, prod):
    assert "Add it: quorate add vm/lin -n shop" in run("set", "vm/lin", "--state", "stopped").err
