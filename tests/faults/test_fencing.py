"""Fence devices: see the table of that name in docs/failures.md. The lab has a fence agent of its own, a process as any."""

import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quorate.core.types import SYSTEM_NAMESPACE, EvidenceKind, Stage
from quorate.kube.resources import CLUSTERS, EVENTS, HARESOURCES, LEASES, NODES, PODS, SECRETS
from quorate.lab import processes
from quorate.lab.options import Options
from tests.faults.fencing import (
    break_device,
    comes_back,
    drill,
    give_device,
    keep_secret,
    password,
    power,
    proven,
    ready,
    released_by_power_off,
)
from tests.lab.scene import Scene, played

Json = dict[str, Any]


@pytest.fixture
async def scene(kind: str) -> AsyncIterator[Scene]:
    """A lab of one's own: what devices were trusted with is remembered."""
    with played(Options("own", profile="Fast", control_plane=kind)) as scene:
        await scene.until_whole()
        scene.share_storage()
        keep_secret(scene, password=password(scene))
        yield scene


class TestProven:
    """A drill has shown that the device switches this node."""

    async def test_what_it_says_releases_the_guests_before_the_lease_has_expired(self, scene: Scene) -> None:
        await proven(scene)
        assert ready(scene, "node1") == ("Proven", "all answer, and a drill has proven them")
        await scene.start_guest()
        incident = await released_by_power_off(scene)
        assert incident.release_by is not None
        assert incident.evidence[0].at < incident.release_by
        await scene.until_runs("node2")
        await comes_back(scene)
        assert scene.machine("node1")["boot"] == 3, "the first, the one after the drill, and this one"

    async def test_it_stays_off_where_the_cluster_wishes_that(self, scene: Scene) -> None:
        scene.change_cluster(fencing={"powerOn": False})
        await proven(scene)
        await scene.start_guest()
        scene.switch("node1", "power-off")
        await scene.until_runs("node2")
        await scene.command("relocate node3")
        await scene.until_runs("node3")
        assert scene.machine("node1")["state"] == "off"
        incident = scene.incident("node1")
        assert incident is not None
        assert incident.stage is Stage.FENCED

    async def test_a_node_that_is_cut_off_is_switched_off_and_its_guest_starts_after_that(self, scene: Scene) -> None:
        await proven(scene)
        await scene.start_guest()
        scene.switch("node1", "network-off")
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2"]

    async def test_a_changed_secret_must_be_proven_anew(self, scene: Scene) -> None:
        await proven(scene)
        scene.api.merge(SECRETS.path("bmc", SYSTEM_NAMESPACE), {"metadata": {"labels": {"rotated": "1"}}}).ok()
        await scene.until("it to say so", lambda: ready(scene, "node1")[0] == "NotProven")
        assert power(scene, "node1").proven == ()


class TestBroken:
    """It does not do what it is for: the clock releases the guests as ever."""

    async def test_with_a_wrong_password_it_is_said_before_it_is_needed(self, scene: Scene) -> None:
        keep_secret(scene, password="wrong-and-never-shown")
        give_device(scene, "node1")
        await scene.until("it to be asked", lambda: "bmc was asked" in ready(scene, "node1")[1])
        said = ready(scene, "node1")[1]
        assert "bmc was asked for its status and failed (exit code 1: ERROR: Unable to connect/login" in said
        assert "correct spec.fencing.devices, its Secret, or the device" in said
        found = await drill(scene)
        assert found.drilled is not None
        assert not found.drilled.passed
        assert "Unable to connect/login" in found.drilled.result
        assert scene.machine("node1")["boot"] == 1

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"secretRef": {"name": "missing"}}, "Secret quorate-system/missing does not exist: create it"),
            ({"agent": "fence_absent"}, "fence_absent cannot be started in"),
            ({"parameters": {"plug": "node1"}}, "parameter 'socket' is missing"),
        ],
    )
    async def test_what_is_missing_is_named(self, scene: Scene, changes: Json, why: str) -> None:
        give_device(scene, "node1", **changes)
        await scene.until("it to be said", lambda: why in ready(scene, "node1")[1])

    async def test_one_that_hangs_is_killed_and_the_lease_expires_as_ever(self, scene: Scene) -> None:
        give_device(scene, "node1", timeout="3s")
        await scene.until("it to be asked", lambda: ready(scene, "node1")[0] == "NotProven")
        break_device(scene, "node1", "hangs")
        await scene.start_guest()
        scene.switch("node1", "power-off")
        await scene.until_runs("node2")
        incident = scene.incident("node1")
        assert incident is not None
        assert [one.kind for one in incident.evidence] == [EvidenceKind.LEASE_EXPIRED]
        assert any("did not answer in time" in one.why for one in incident.tried if one.kind is EvidenceKind.POWER_OFF)
        await scene.until("no fence agent to be left", lambda: scene.all("quorate.lab.fence_agent") == [])

    async def test_one_that_lies_proves_nothing_by_itself(self, scene: Scene) -> None:
        """It says off while the node is only cut from the network, and no drill has proven it: T is waited for."""
        give_device(scene, "node1")
        await scene.until("it to be asked", lambda: ready(scene, "node1")[0] == "NotProven")
        break_device(scene, "node1", "lies")
        await scene.start_guest()
        scene.switch("node1", "network-off")
        await scene.until("node1's watchdog to kill it", lambda: "node1: not petted for 5s" in scene.log("watchdog"))
        assert scene.ran_on() == ["node1"]
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2"]


class TestManagers:
    async def test_killed_while_a_device_hangs_the_next_leader_begins_anew(self, scene: Scene) -> None:
        await proven(scene)
        await scene.start_guest()
        break_device(scene, "node1", "hangs")
        scene.switch("node1", "power-off")
        await scene.until("the device to be asked", lambda: power(scene, "node1").sequence)
        first = power(scene, "node1").sequence
        leader = scene.find("manager", SERVICE=scene.leader())
        assert leader is not None
        processes.send(leader, signal.SIGKILL)
        scene.files.node("node1").fence_device.unlink()
        await scene.until_runs("node2")
        after = scene.incident("node1")
        assert first is not None
        assert after is None or after.evidence[0].kind in {EvidenceKind.POWER_OFF, EvidenceKind.LEASE_EXPIRED}
        assert scene.ran_on() == ["node1", "node2"]


class TestSecrets:
    async def test_are_in_nothing_that_is_written(self, scene: Scene) -> None:
        """In no object, no Event and no log."""
        await proven(scene)
        await scene.start_guest()
        await scene.lose("node1")
        await scene.until_runs("node2")
        secret = password(scene)
        for resource in (CLUSTERS, NODES, HARESOURCES, PODS, LEASES, EVENTS):
            assert secret not in json.dumps(scene.api.get(resource.path()).ok()), resource.plural
        for log in scene.files.log.glob("*.log"):
            assert secret not in log.read_text(errors="replace"), log.name
