"""Fence devices of a lab as tests use them: given, broken, drilled, and what is known of them."""

import base64
from typing import Any

from quorate.core.sequence import Power
from quorate.core.status import Incident
from quorate.core.types import DRILL_ANNOTATION, SYSTEM_NAMESPACE, EvidenceKind
from quorate.kube.resources import NODES, SECRETS
from tests.lab.scene import Scene


def password(scene: Scene) -> str:
    return scene.files.fence_password.read_text()


def keep_secret(scene: Scene, **parameters: str) -> None:
    """The Secret of all devices, with these parameters and no others."""
    data = {name: base64.b64encode(text.encode()).decode() for name, text in parameters.items()}
    path = SECRETS.path("bmc", SYSTEM_NAMESPACE)
    if scene.api.get(path).code == 404:
        scene.api.post(SECRETS.path(namespace=SYSTEM_NAMESPACE), {"metadata": {"name": "bmc"}, "data": data}).ok()
    else:
        scene.api.merge(path, {"data": data}).ok()


def give_device(scene: Scene, node: str, **changes: Any) -> None:
    parameters = {"socket": str(scene.files.control), "plug": node}
    scene.give_device(node, **{"name": "bmc", "agent": "fence_lab", "parameters": parameters, **changes})


def break_device(scene: Scene, node: str, how: str) -> None:
    scene.files.node(node).fence_device.write_text(how)


def power(scene: Scene, node: str) -> Power:
    return scene.node(node).power or Power()


def ready(scene: Scene, node: str) -> tuple[str, str]:
    """Reason and message of its condition DevicesReady."""
    found = [one for one in scene.node(node).conditions if one.type == "DevicesReady"]
    return (found[0].reason, found[0].message) if found else ("", "")


async def drill(scene: Scene, node: str = "node1", name: str = "d1") -> Power:
    """Have it switched off and on, and wait for what became of it."""
    value = f"{name}/{scene.node(node).nonce}/admin"
    scene.api.merge(NODES.path(node), {"metadata": {"annotations": {DRILL_ANNOTATION: value}}}).ok()

    def judged() -> Power | None:
        found = power(scene, node)
        return found if found.drilled is not None and found.drilled.id == value else None

    done: Power = await scene.until("the drill to end", judged)
    return done


async def proven(scene: Scene, node: str = "node1") -> None:
    """It has a device of the lab's that works, and a drill passes."""
    give_device(scene, node)
    await passed(scene, node)


async def passed(scene: Scene, node: str = "node1") -> None:
    """A drill of the device that it has passes, and the cluster is whole again."""
    found = await drill(scene, node)
    assert found.drilled is not None
    assert found.drilled.passed, found.drilled.result
    await scene.until_whole()


def evidence(scene: Scene, node: str = "node1") -> list[EvidenceKind]:
    incident = scene.incident(node)
    return [one.kind for one in incident.evidence] if incident is not None else []


async def released_by_power_off(scene: Scene, node: str = "node1") -> Incident:
    """It loses its power, and what its devices say is the proof."""
    scene.switch(node, "power-off")
    await scene.until("it to be released", lambda: evidence(scene, node))
    incident = scene.incident(node)
    assert incident is not None
    assert [one.kind for one in incident.evidence] == [EvidenceKind.POWER_OFF]
    return incident


async def comes_back(scene: Scene, node: str = "node1") -> None:
    await scene.until("its power to come on, and it to be a member again", lambda: scene.is_online(node))
