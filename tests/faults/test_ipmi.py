"""A fence agent of ClusterLabs, over IPMI, to a simulated controller that switches a node of the lab.

fence_ipmilan and ipmitool are those of Debian, and so is the controller (ipmi_sim of OpenIPMI): the whole way that an order
goes on real machines, but for the machine.
"""

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quorate.lab.options import Options
from tests import real
from tests.faults.fencing import comes_back, keep_secret, passed, ready, released_by_power_off
from tests.lab.scene import Scene, played

NEEDED = ("fence_ipmilan", "ipmitool", "ipmi_sim")
USER, PASSWORD = "admin", "sword-fish-7"
CONTROLLER = """
name "{node}"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{chassis} 0x20"
  user 1 true "" "" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""
BOARD = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n"
# What the controller runs: "ADDRESS get power", or "ADDRESS set power 0|1". The lab's own fence agent does the rest.
CHASSIS = """#!/bin/sh
ask() {{ printf 'action=%s\\nsocket={control}\\nplug={node}\\npassword={password}\\n' "$1" | {agent} >/dev/null; }}
case "$2 $3 $4" in
  "get power "*) ask status; case $? in 0) echo power:1;; 2) echo power:0;; *) exit 1;; esac;;
  "set power 0") ask off;;
  "set power 1") ask on;;
  *) exit 1;;
esac
"""


@pytest.fixture
async def scene(kind: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """A lab in which node1 has a management controller, and its managers the fence agent for it."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        real.cannot(f"{', '.join(missing)} missing: apt-get install fence-agents ipmitool openipmi")
    with played(Options("own", profile="Fast", control_plane=kind)) as scene:
        (scene.files.fence_agents / "fence_ipmilan").symlink_to(shutil.which("fence_ipmilan") or "")
        await scene.until_whole()
        scene.share_storage()
        with controller(scene, "node1", tmp_path) as port:
            keep_secret(scene, login=USER, password=PASSWORD)
            give_controller(scene, port)
            yield scene


@contextmanager
def controller(scene: Scene, node: str, directory: Path) -> Iterator[int]:
    """A management controller wired to that node; gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chassis = directory / "chassis"
    agent, password = scene.files.fence_agents / "fence_lab", scene.files.fence_password.read_text()
    chassis.write_text(CHASSIS.format(control=scene.files.control, node=node, password=password, agent=agent))
    chassis.chmod(0o755)
    about = {"node": node, "port": port, "chassis": chassis, "user": USER, "password": PASSWORD}
    (directory / "lan.conf").write_text(CONTROLLER.format(**about))
    (directory / "board.emu").write_text(BOARD)
    command = ("ipmi_sim", "-c", "lan.conf", "-f", "board.emu", "-s", str(directory / "state"), "-n")
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=directory, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield port
        finally:
            process.kill()


def give_controller(scene: Scene, port: int) -> None:
    parameters = {"ip": "127.0.0.1", "ipport": str(port), "lanplus": "1", "cipher": "3"}
    scene.give_device("node1", name="bmc", agent="fence_ipmilan", parameters=parameters)


async def test_it_proves_itself_and_releases_the_guests_of_a_dead_node(scene: Scene) -> None:
    await scene.until("the controller to answer", lambda: ready(scene, "node1")[0] == "NotProven")
    await passed(scene)
    await scene.start_guest()
    await released_by_power_off(scene)
    await scene.until_runs("node2")
    await comes_back(scene)


async def test_a_wrong_password_is_said_before_it_is_needed(scene: Scene) -> None:
    keep_secret(scene, login=USER, password="not-the-one")
    await scene.until("it to be said", lambda: "Unable to obtain correct plug status" in ready(scene, "node1")[1])
    assert "not-the-one" not in ready(scene, "node1")[1]
