"""What a Node says of its fence devices, and what is recorded of their use."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic.types import JsonValue

from quorate.api.common import DNS_LABEL, Duration, Model, ObjectName, Timestamp, rule
from quorate.core.sequence import Purpose, Step

OURS: Final = frozenset(
    {"action", "option", "delay", "method", "nodename", "quiet", "verbose", "verbose_level", "debug", "debug_file"}
)
"""Parameters that Quorate sets by itself, or that would keep it from seeing what a device says."""
NO_PROOF: Final = frozenset({"missing_as_off", "network_fencing", "record_only"})
"""Parameters by which an agent says off of a machine that it has not found, or has only cut from the network."""
PROGRAMS: Final = ("_path", "_script")
"""Parameters that end so name a program that the fence agent would run, as the manager."""
RUNS: Final = frozenset({"exec", "ssh_options", "sudo", "use_sudo"})
"""Others that make it run one: ssh has an option for that (ProxyCommand)."""
NO_POWER: Final = frozenset(
    {
        "fence_ack_manual",
        "fence_brocade",
        "fence_cisco_mds",
        "fence_compute",
        "fence_dummy",
        "fence_evacuate",
        "fence_heuristics_ping",
        "fence_heuristics_resource",
        "fence_ifmib",
        "fence_kdump",
        "fence_mpath",
        "fence_ovh",
        "fence_rcd_serial",
        "fence_sanbox2",
        "fence_sanlock",
        "fence_sbd",
        "fence_scsi",
        "fence_zvmip",
    }
)
"""Agents that switch no machine's power (many only cut it from network or storage), or cannot say whether it is off."""
_LINE: Final = r"^[^\x00-\x1f\x7f]*$"
_PARAMETER: Final = r"^[A-Za-z0-9_.]+$"
"""Fence agents strip a name and take - for _: there must be one way only to write each."""


def refused(name: str) -> str:
    """Why a parameter of that name cannot be given; empty: it can."""
    if not re.fullmatch(_PARAMETER, name):
        return f"{name!r}: a parameter's name has letters, digits, _ and . only: write - as _"
    if name in OURS:
        return f"{name} is set by Quorate: remove it"
    if name in NO_PROOF:
        return f"{name} makes the agent say off of a machine that may run: remove it"
    if name.endswith(PROGRAMS) or name in RUNS:
        return f"{name} names a program for the manager to run: remove it"
    return ""


def _parameters(given: dict[str, str]) -> dict[str, str]:
    for name in given:
        if why := refused(name):
            raise ValueError(why)
    return given


def _agent(name: str) -> str:
    if name in NO_POWER:
        raise ValueError(f"{name} cannot switch a machine's power off and tell that it is off")
    return name


def _every_parameter(condition: str, message: str) -> JsonValue:
    """Every parameter's `name` must be so."""
    every = f"self.all(device, !has(device.parameters) || device.parameters.all(name, {condition}))"
    return rule(every, message)


def _none_of(names: frozenset[str], what: str = "name") -> str:
    listed = ", ".join(f"'{name}'" for name in sorted(names))
    return f"!({what} in [{listed}])"


def _all(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


_NO_PROGRAM: Final = " && ".join([*(f"!name.endsWith('{end}')" for end in PROGRAMS), _none_of(RUNS)])
DEVICE_RULES: Final[list[JsonValue]] = [
    _every_parameter(
        f"name.matches('{_PARAMETER}')", "a parameter's name has letters, digits, _ and . only: write - as _"
    ),
    _every_parameter(_none_of(OURS), f"{_all(OURS)} are set by Quorate: remove them from parameters"),
    _every_parameter(
        _NO_PROGRAM, "a parameter that names a program for the manager to run is not allowed: remove it from parameters"
    ),
    _every_parameter(
        _none_of(NO_PROOF),
        f"{_all(NO_PROOF)} make an agent say off of a machine that may run: remove them from parameters",
    ),
    rule(
        f"self.all(device, {_none_of(NO_POWER, 'device.agent')})",
        f"{_all(NO_POWER)} cannot switch a machine's power off and tell that it is off",
    ),
]


class SecretRef(Model):
    """A Secret in the namespace of the manager."""

    name: ObjectName
    """Its name. Each of its keys is a parameter, such as login and password; no other process is shown them."""


class FenceDeviceModel(Model):
    """One device that can switch this node's power, spoken to by a fence agent of ClusterLabs."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
    """Its name, unique on this node."""
    agent: Annotated[str, Field(min_length=7, max_length=63, pattern=r"^fence_[a-z0-9_]+$"), AfterValidator(_agent)]
    """The fence agent, for example fence_ipmilan or fence_redfish. It is installed where the manager runs."""
    parameters: Annotated[
        dict[Annotated[str, Field(max_length=63)], Annotated[str, Field(max_length=1024, pattern=_LINE)]],
        Field(max_length=32),
        AfterValidator(_parameters),
    ] = {}
    """What the agent is told beside its action, for example ip and plug. Never a password: that belongs into a Secret."""
    secret_ref: SecretRef | None = None
    """Where the rest of the parameters is. A Secret that changes is another device: a drill proves it anew."""
    level: Annotated[int, Field(ge=1, le=9)] = 1
    """All devices of the lowest level must say off; when they do not, the next level is tried."""
    timeout: Duration = "20s"
    """For one try of one action, after which the agent is killed. There are two tries."""


class NodeFencing(Model):
    """How this node is switched off from outside."""

    devices: Annotated[
        list[FenceDeviceModel],
        Field(
            max_length=8,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-validations": DEVICE_RULES,
            },
        ),
    ] = []
    """Its fence devices. What a drill has not proven (quorate drill) counts only beside the watchdog."""


class SequenceModel(Model):
    """The node's power is being switched."""

    id: Annotated[str, Field(max_length=128)]
    """Names the sequence."""
    term: int
    """The leader's term that began it; a later leader begins anew."""
    purpose: Purpose
    """Incident, Drill or PowerOn."""
    subject: Annotated[str, Field(max_length=320)]
    """The incident or the drill."""
    nonce: Annotated[str, Field(max_length=128)]
    """The boot that is to end."""
    level: int
    """The level whose devices are asked."""
    spec: Annotated[str, Field(max_length=2048)]
    """What the devices of that level were when it began, as a hash."""
    attempt: int
    """Which try."""
    step: Step
    """How far it has come."""
    began: Timestamp
    """When its first order could be given."""
    since: Timestamp
    """When this step began."""
    failures: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=16)] = []
    """What went wrong so far."""


class ProvenModel(Model):
    """A drill showed that this level switches this node."""

    level: int
    """The level."""
    spec: Annotated[str, Field(max_length=2048)]
    """What its devices were then, as a hash."""
    at: Timestamp
    """When."""
    term: int
    """The leader's term."""
    lost: Annotated[str, Field(max_length=128)]
    """The boot that it silenced."""
    back: Annotated[str, Field(max_length=128)]
    """The boot that came after it."""


class DistrustModel(Model):
    """A level that is not used before its devices change or a drill passes."""

    level: int
    """The level."""
    spec: Annotated[str, Field(max_length=2048)]
    """What its devices were then, as a hash."""
    why: Annotated[str, Field(max_length=1024)]
    """Why."""
    at: Timestamp
    """When."""


class DrilledModel(Model):
    """What became of the newest drill."""

    id: Annotated[str, Field(max_length=320)]
    """The drill as it was asked for: id/nonce/user."""
    passed: bool
    """Whether the level is proven now."""
    result: Annotated[str, Field(max_length=1024)]
    """In words."""
    at: Timestamp
    """When it ended."""


class PowerModel(Model):
    """What is recorded of the node's fence devices."""

    sequence: SequenceModel | None = None
    """What is under way."""
    proven: Annotated[list[ProvenModel], Field(max_length=9)] = []
    """The levels that a drill has proven since their devices changed last."""
    distrusted: Annotated[list[DistrustModel], Field(max_length=9)] = []
    """The levels that are not used any more."""
    drilled: DrilledModel | None = None
    """The newest drill."""
    blocked: Annotated[str, Field(max_length=1024)] = ""
    """Why the devices wait, and until when."""
