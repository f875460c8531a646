"""Virtual nodes: power, resets, freezing, clean shutdown, services that end, and nothing left behind."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quorate.lab import processes
from quorate.lab.errors import LabError, MisuseError
from quorate.lab.vnode import VirtualNode
from quorate.lab.watchdog import kill_node
from tests.lab.nodes import SLEEP, Rack
from tests.lab.waiting import eventually

MACHINE_AND_SERVICES = 3


@pytest.fixture
def rack(lab_id: str, directory: Path) -> Rack:
    return Rack(lab_id, directory)


@pytest.fixture
async def node(rack: Rack) -> AsyncIterator[VirtualNode]:
    """A node that runs."""
    found = rack.node()
    await found.power_on()
    await eventually(lambda: len(rack.running()) == MACHINE_AND_SERVICES)
    yield found
    await found.power_off()


async def test_power_off_leaves_nothing_of_the_node(node: VirtualNode, rack: Rack) -> None:
    await node.power_off()
    assert rack.running() == []
    assert node.status()["power"] == "off"
    assert rack.unplugged[-1] == "node1"
    await node.power_off()  # what is so stays so


async def test_every_boot_is_another_process_with_a_fresh_run_directory(node: VirtualNode) -> None:
    first = processes.start_ticks(node.pid or 0)
    uuid, boot_id = node.files.system_uuid.read_text(), (node.files.run / "boot-id").read_text()
    (node.files.run / "left").touch()
    (node.files.disk / "kept").touch()
    await node.power_off()
    await node.power_on()
    assert node.boot == 2
    assert processes.start_ticks(node.pid or 0) != first
    assert node.files.system_uuid.read_text() == uuid
    assert (node.files.run / "boot-id").read_text() != boot_id
    assert not (node.files.run / "left").exists()
    assert (node.files.disk / "kept").exists()


async def test_everything_on_a_node_carries_lab_node_and_boot(node: VirtualNode, rack: Rack) -> None:
    expected = {processes.LAB: rack.lab, processes.NODE: "node1", processes.BOOT: "1"}
    assert all(expected.items() <= process.marks.items() for process in rack.running())


async def test_a_machine_that_is_killed_resets_and_boots_again(node: VirtualNode, rack: Rack) -> None:
    await kill_node(rack.lab, "node1")
    await eventually(lambda: node.boot == 2 and len(rack.running()) == MACHINE_AND_SERVICES)
    assert {process.marks[processes.BOOT] for process in rack.running()} == {"2"}
    assert node.power


async def test_what_outlives_a_killed_machine_is_gone_before_it_boots_again(node: VirtualNode, rack: Rack) -> None:
    processes.send(await _first(node), signal.SIGKILL)
    await eventually(lambda: node.boot == 2 and len(rack.running()) == MACHINE_AND_SERVICES)
    assert {process.marks[processes.BOOT] for process in rack.running()} == {"2"}


async def test_power_off_during_the_firmware_s_delay_keeps_it_off(rack: Rack) -> None:
    rack.firmware_s = 600
    node = rack.node()
    await node.power_on()
    await kill_node(rack.lab, "node1")
    await eventually(lambda: node.status()["state"] == "booting")
    await node.power_off()
    assert node.status()["state"] == "off"
    await node.power_on()
    assert node.boot == 2
    await node.power_off()


async def test_freeze_stops_all_of_it_and_thaw_lets_it_go_on(node: VirtualNode, rack: Rack) -> None:
    await node.freeze()
    assert rack.states() <= {"T", "D"}
    assert node.status()["state"] == "frozen"
    await node.thaw()
    assert "T" not in rack.states()
    assert node.boot == 1


async def test_a_frozen_node_that_its_watchdog_kills_boots_unfrozen(node: VirtualNode, rack: Rack) -> None:
    await node.freeze()
    await kill_node(rack.lab, "node1")
    await eventually(lambda: node.boot == 2 and len(rack.running()) == MACHINE_AND_SERVICES)
    assert "T" not in rack.states()
    assert node.status()["state"] == "running"


async def test_verbs_that_make_no_sense_say_why(rack: Rack) -> None:
    node = rack.node()
    with pytest.raises(LabError, match="node1 does not run: its power is off"):
        await node.freeze()
    with pytest.raises(MisuseError, match=r"no verb named 'explode'; there is: freeze, network-off"):
        await node.act("explode")
    await node.act("power-on")
    await node.act("freeze")
    with pytest.raises(LabError, match="node1 is frozen: thaw it first"):
        await node.act("shutdown")
    await node.act("power-off")


async def test_a_service_that_ends_is_started_again(node: VirtualNode, rack: Rack) -> None:
    services = [process for process in rack.running() if process.pid != node.pid]
    processes.send(services[0], signal.SIGKILL)
    await eventually(lambda: processes.start_ticks(services[0].pid) != services[0].start_ticks)
    await eventually(lambda: len(rack.running()) == MACHINE_AND_SERVICES)
    assert node.boot == 1


async def test_a_service_that_cannot_start_does_not_take_the_machine_down(rack: Rack) -> None:
    rack.services = lambda _: [
        {"name": "agent", "argv": ["/no/such/agent"]},
        {"name": "other", "argv": [sys.executable, "-c", "raise SystemExit(3)"]},
        {"name": "kubelet", "argv": SLEEP},
    ]
    node = rack.node()
    await node.power_on()
    log = node.files.log / "agent.log"
    await eventually(lambda: log.exists() and log.read_text().count("/no/such/agent") >= 2)
    assert node.boot == 1
    assert len(rack.running()) >= 2
    await node.power_off()


async def test_the_agent_is_told_the_pid_of_the_machine(rack: Rack, directory: Path) -> None:
    report = f"import pathlib, sys; pathlib.Path({str(directory / 'told')!r}).write_text(sys.argv[1])"
    rack.services = lambda _: [{"name": "agent", "argv": [sys.executable, "-c", report, "{machine_pid}"]}]
    node = rack.node()
    await node.power_on()
    await eventually(lambda: (directory / "told").exists() and (directory / "told").read_text() == str(node.pid))
    await node.power_off()


async def test_a_clean_shutdown_ends_the_kubelet_first_and_the_agent_last(rack: Rack, directory: Path) -> None:
    """The stand-in kubelet drains when it hears of the shutdown, as the real one does."""
    order = directory / "order"
    rack.services = lambda _: [_recorder("agent", order), _recorder("kubelet", order)]
    node = rack.node()
    await node.power_on()
    await eventually(lambda: order.exists() and order.read_text().split() == ["up", "up"])
    await node.shutdown()
    assert order.read_text().split() == ["up", "up", "drain", "kubelet", "agent"]
    assert node.status()["power"] == "off"
    assert rack.running() == []
    await asyncio.sleep(2 * rack.firmware_s)
    assert rack.running() == []  # off means off: no reset


def _recorder(name: str, order: Path) -> dict[str, Any]:
    """A service that writes down what happens to it."""
    code = f"""
import json, os, signal, socket, sys
def note(word):
    with open({str(order)!r}, "a") as file: file.write(word + "\\n")
def end(*_):
    note({name!r})
    os._exit(0)
signal.signal(signal.SIGTERM, end)
note("up")
if {name!r} != "kubelet": signal.pause()
runtime = socket.socket(fileno=int(sys.argv[-1]))
while json.loads(runtime.recv(65536)) != {{"event": "shutdown"}}: pass
note("drain")
runtime.send(b'{{"op": "drained"}}')
signal.pause()
"""
    return {"name": name, "argv": [sys.executable, "-c", code]}


async def test_when_the_one_who_started_it_is_gone_the_machine_goes_with_all_it_runs(
    rack: Rack, directory: Path
) -> None:
    """As if the power supply had failed: a lab's daemon that crashes takes its nodes with it."""
    code = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.lab.nodes import Rack
async def main():
    await Rack({rack.lab!r}, Path({str(directory)!r})).node().power_on()
    await asyncio.Event().wait()
asyncio.run(main())
"""
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    await eventually(lambda: len(rack.running()) == MACHINE_AND_SERVICES)
    owner.kill()
    await owner.wait()
    await eventually(lambda: rack.running() == [])


async def test_the_command_line_of_services_reaches_the_machine_unharmed(rack: Rack, directory: Path) -> None:
    words = ["a b", 'quo"te', "ünïcode", "$HOME", "*"]
    told = directory / "told"
    code = f"import json, pathlib, sys; pathlib.Path({str(told)!r}).write_text(json.dumps(sys.argv[1:]))"
    rack.services = lambda _: [{"name": "agent", "argv": [sys.executable, "-c", code, *words]}]
    node = rack.node()
    await node.power_on()
    await eventually(lambda: told.exists() and told.read_text())
    assert json.loads(told.read_text()) == words
    await node.power_off()


async def _first(node: VirtualNode) -> processes.Process:
    process = processes.inspect(node.pid or 0)
    assert process is not None
    return process
