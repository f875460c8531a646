"""What a Node's conditions say of its fence devices, before anybody needs them."""

from typing import Final

from quorate.core.conditions import Finding
from quorate.core.sequence import FenceDevice, Health, Power, Said, spec_of
from quorate.core.status import NodeStatus
from quorate.core.types import HEARD
from quorate.core.world import NodeView

FAILED: Final = frozenset({Said.FAILED, Said.TIMED_OUT})


def device_findings(node: NodeView, status: NodeStatus) -> list[Finding]:
    """Whether its fence devices would do what they are for; and if so, that they wait, or are not to be trusted."""
    power = status.power
    found = [_ready_finding(node, power or Power())] if node.devices else []
    if power is not None and power.blocked:
        found.append(Finding("FencingBlocked", True, "DevicesWait", power.blocked))
    if power is not None and power.distrusted:
        why = "; ".join(f"level {one.level}: {one.why}" for one in power.distrusted)
        remedy = "correct it, or let a drill prove it"
        found.append(
            Finding("DevicesTrusted", False, "Distrusted", f"fence devices are not used any more ({why}): {remedy}")
        )
    return found


def _ready_finding(node: NodeView, power: Power) -> Finding:
    """Found out before it is needed: each device answers, and a drill has proven its level."""
    if node.remediator:
        text = f"{node.remediator}: its fence devices are not used beside another remediator"
        return Finding("DevicesReady", False, "AnotherRemediator", text)
    said = {one.device: one for one in node.health}
    wrong = [text for device in node.devices if (text := _amiss(device, said.get(device.name), node))]
    if wrong:
        remedy = "correct spec.fencing.devices, its Secret, or the device"
        return Finding("DevicesReady", False, "DeviceFails", f"{'; '.join(wrong)}: {remedy}")
    unknown = [device.name for device in node.devices if device.name not in said]
    before = next((one for one in node.status.conditions if one.type == "DevicesReady"), None)
    stood = before.reason if before is not None else "NotAskedYet"
    if unknown and before is not None and stood == "DeviceFails":  # a new leader has not asked: so long this stands
        return Finding("DevicesReady", False, before.reason, before.message)
    proven = {(one.level, one.spec) for one in power.proven}
    levels = {one.level for one in node.devices}
    unproven = sorted(level for level in levels if (level, spec_of(node.devices, level)) not in proven)
    if unproven and unknown and stood not in {"NotProven", "Proven"}:
        return Finding("DevicesReady", False, "NotAskedYet", f"{', '.join(unknown)}: not asked yet")
    if unproven:
        named = " and ".join(str(level) for level in unproven)
        text = f"all answer, but no drill has proven level {named}: it counts only beside the watchdog"
        return Finding("DevicesReady", False, "NotProven", f"{text}. Run quorate drill {node.name}")
    return Finding("DevicesReady", True, "Proven", "all answer, and a drill has proven them")


def _amiss(device: FenceDevice, health: Health | None, node: NodeView) -> str:
    """What is wrong with a device; empty: nothing that is known."""
    if not device.readable and health is not None:
        return f"{device.name}: {health.detail}"
    if health is None or health.spec != device.spec:
        return ""
    if health.said is Said.OFF and node.status.state in HEARD:
        return (
            f"{device.name} says that the machine is off, and it renews its Lease: it is another machine's, or it lies"
        )
    if health.said in FAILED:
        return f"{device.name} was asked for its status and failed ({health.detail or 'no answer'})"
    return ""
