"""A whole lab: up, used, down; several side by side; and nothing left, whatever happened to its daemon."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.lab import client, processes
from quorate.lab.errors import LabError, MisuseError
from quorate.lab.files import known_labs, lab_files, labs_root, read_state
from quorate.lab.front.control import Front
from quorate.lab.options import Options
from tests.lab.scene import own_cache
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def cache() -> Iterator[Path]:
    with own_cache() as path:
        yield path


Up = Callable[..., dict[str, Any]]


@pytest.fixture
def up() -> Iterator[Up]:
    """Brings labs up and takes them down in the end."""
    started = []

    def start(name: str = "one", **options: Any) -> dict[str, Any]:
        started.append(name)
        return client.up(Options(name, **{"nodes": 1, "managers": 0, **options}))

    yield start
    for name in started:
        if name in known_labs():
            client.down(name)


def test_up_waits_for_a_daemon_that_does_not_listen_yet(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket has a name before anybody listens at it."""
    asked, status = [], client.status

    def refused_at_first(name: str) -> dict[str, Any]:
        asked.append(name)
        if len(asked) == 1:
            raise LabError("its daemon does not answer (Connection refused)")
        return status(name)

    monkeypatch.setattr(client, "status", refused_at_first)
    assert up()["phase"] == "ready"
    assert len(asked) > 1


def everything(lab: dict[str, Any]) -> list[processes.Process]:
    return processes.scan({processes.LAB: lab["id"]})


def test_up_returns_a_lab_whose_api_answers_and_whose_nodes_are_ready(kind: str, up: Up) -> None:
    lab = up(nodes=2, control_plane=kind)
    assert lab["phase"] == "ready"
    assert Path(lab["kubeconfig"]).is_file()
    assert [(node["name"], node["power"], node["state"], node["network"], node["boot"]) for node in lab["nodes"]] == [
        ("node1", "on", "running", "on", 1),
        ("node2", "on", "running", "on", 1),
    ]
    assert len({node["address"] for node in lab["nodes"]}) == 2
    assert {one["name"] for one in lab["processes"]} == {"watchdog", "api-server"}
    assert all(one["pid"] for one in lab["processes"])


def test_down_leaves_no_process_and_no_file(kind: str, up: Up, cache: Path) -> None:
    lab = up(control_plane=kind)
    assert len(everything(lab)) > 3
    state = read_state("one")
    assert client.down("one") == 0
    assert everything(lab) == []
    assert processes.start_ticks(state.daemon_pid) != state.daemon_start_ticks
    assert list((cache / "labs").iterdir()) == []


def test_with_a_front_everybody_reaches_the_api_server_by_a_way_of_its_own(kind: str, up: Up) -> None:
    lab = up(control_plane=kind, managers=1, front=True, api_servers=2, profile="Fast")
    front = Front(lab_files("one").front)
    assert set(front.ports()) == {"manager-1", "node1", "node1-api1", "node1-api2"}
    assert "front" in {one["name"] for one in lab["processes"]}
    found = {(one.client, one.code) for one in front.calls() if one.code in {200, 201}}
    assert found >= {("node1", 200), ("node1", 201)}, "the node is Ready, so its kubelet came through the front"


def test_a_profile_makes_a_cluster_that_accepts_the_labs_watchdogs(kind: str, up: Up) -> None:
    up(control_plane=kind, profile="Fast")
    # The API server took it: anything else would have been an error.
    assert client.status("one")["phase"] == "ready"


def test_a_profile_that_does_not_exist_is_refused_in_the_api_servers_words(up: Up) -> None:
    with pytest.raises(LabError, match=r"Slowish"):
        up(profile="Slowish")
    assert known_labs() == []


async def test_a_lab_whose_daemon_was_killed_is_still_taken_down_completely(up: Up, cache: Path) -> None:
    lab = up(nodes=2)
    client.act("one", "node2", "freeze")
    await kill_daemon("one")
    with pytest.raises(LabError, match=r"`quorate lab down --name one` removes what is left"):
        client.status("one")
    # What can, ends by itself; a frozen node cannot.
    await eventually(
        lambda: {one.marks[processes.NODE] for one in everything(lab) if processes.NODE in one.marks} == {"node2"}
    )
    assert client.down("one") > 0
    assert everything(lab) == []
    assert list((cache / "labs").iterdir()) == []


async def kill_daemon(name: str) -> None:
    state = read_state(name)
    os.kill(state.daemon_pid, signal.SIGKILL)
    await eventually(lambda: processes.start_ticks(state.daemon_pid) != state.daemon_start_ticks)


async def test_up_after_a_crash_clears_what_was_left(up: Up) -> None:
    first = up()
    await kill_daemon("one")
    second = up()
    assert second["id"] != first["id"]
    assert everything(first) == []


def test_a_second_lab_of_the_same_name_is_refused(up: Up) -> None:
    up()
    with pytest.raises(LabError, match="lab one is running already; its kubeconfig: "):
        up()


def test_labs_run_side_by_side(up: Up) -> None:
    one, two = up("one"), up("two")
    assert known_labs() == ["one", "two"]
    assert one["nodes"][0]["address"] != two["nodes"][0]["address"]
    assert one["kubeconfig"] != two["kubeconfig"]
    client.down("one")
    assert everything(one) == []
    assert client.status("two")["nodes"][0]["state"] == "running"


def test_nodes_are_switched_through_the_daemon(up: Up) -> None:
    up()
    assert client.act("one", "node1", "network-off")["network"] == "off"
    assert client.act("one", "node1", "network-on")["network"] == "on"
    assert client.act("one", "node1", "freeze")["state"] == "frozen"
    assert client.act("one", "node1", "thaw")["state"] == "running"
    assert client.act("one", "node1", "power-off")["state"] == "off"
    assert client.act("one", "node1", "power-on")["boot"] == 2
    assert client.act("one", "node1", "shutdown")["power"] == "off"


def test_unknown_names_are_answered_with_those_that_exist(up: Up) -> None:
    up(nodes=2)
    with pytest.raises(LabError, match=r"no node named 'node9'; there is: node1, node2"):
        client.act("one", "node9", "power-off")
    with pytest.raises(LabError, match=r"no verb named 'explode'; there is: freeze, .*thaw"):
        client.act("one", "node1", "explode")
    with pytest.raises(MisuseError, match=r"no lab named 'two'; there is: one"):
        client.status("two")
    with pytest.raises(MisuseError, match=r"no lab named 'two'; there is: one"):
        client.down("two")


def test_the_daemon_answers_nonsense_with_an_error(up: Up) -> None:
    up()
    with pytest.raises(LabError, match="no verb named 'dance'"):
        client.request("one", {"verb": "dance"})
    with pytest.raises(LabError, match="not a request"):
        client.request("one", {})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nodes": 0}, "nodes: found 0, a lab has 1 to 32"),
        ({"api_servers": 9}, "API servers: found 9, an agent gets 1 to 5 addresses"),
        ({"nodes": 33}, "nodes: found 33"),
        ({"managers": -1}, "managers: found -1"),
        ({"control_plane": "fake"}, "no control plane named 'fake'; there is: embedded, real"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(LabError, match=says):
        Options("one", **options)


@pytest.mark.parametrize("name", ["", "Big", "a/b", "-a", "a-", "a" * 33, "../up"])
def test_names_that_cannot_be_labs_are_refused(name: str) -> None:
    with pytest.raises(LabError, match="lab name"):
        lab_files(name)


def test_a_cache_too_deep_for_sockets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_CACHE", "/tmp/" + "d" * 100)
    with pytest.raises(LabError, match="set QUORATE_CACHE to a shorter directory"):
        lab_files("one")


def test_labs_live_where_xdg_and_quorate_cache_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert labs_root({"QUORATE_CACHE": "/q", "XDG_CACHE_HOME": "/x"}) == Path("/q/labs")
    assert labs_root({"XDG_CACHE_HOME": "/x"}) == Path("/x/quorate/labs")
    assert labs_root({}) == Path.home() / ".cache/quorate/labs"


def test_a_state_that_cannot_be_read_is_named(cache: Path) -> None:
    (cache / "labs" / "one").mkdir(parents=True)
    (cache / "labs" / "one" / "lab.json").write_text(json.dumps({"id": "x"}))
    with pytest.raises(LabError, match=r"lab\.json: not a lab's state"):
        client.status("one")


def test_other_systems_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(LabError, match="quorate lab needs Linux"):
        client.up(Options("one"))
