"""Seeded chaos: a scenario that nobody wrote, made from a seed, with every kind of fault.

First everything comes up, then faults happen for some minutes, then all is mended (`mending.py`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from quorate.core.quick import replace
from quorate.core.rules import Affinity, Topology
from quorate.core.types import DisarmMode, SchedulingMode, ShutdownPolicy, StopTimeoutPolicy, Wanted
from quorate.sim.machine import Behaviour
from quorate.sim.outside import Measuring
from quorate.sim.play import Player
from quorate.sim.power import DeviceSetting
from quorate.sim.scenario import Moment, Scenario
from quorate.sim.truth import Violation
from quorate.sim.words import QUORUM_OPTIONS, Names, quorum_with, understand
from quorate.sim.world import NAMESPACE, GuestSetting, MachineSetting, Setting, WorkloadSetting

BEGINS_S: Final = 20.0
LASTS_S: Final = 180.0
PAUSE_S: Final = 6.0
"""Mean time between two faults."""
DEVICE: Final = "outside"
_DEVICES_EVERY: Final = 3
"""Every third seed has fence devices, so that the others stay what they were."""
_BESIDES: Final = {
    "release NODE": 4,
    "release NODE in another boot": 1,
    "watch of leases of MANAGER lags SHORT for TIME": 3,
}
"""Drawn beside the others, by a lot of its own, as are stops that hang: what the others mean stays what it was."""
_STOPPED_BY: Final = ("relocate GUEST to NODE", "delete pod of GUEST", "set GUEST Stopped", "give GUEST version NUMBER")
_WORKLOADS_EVERY: Final = 3
"""Every third seed has StatefulSets, for the same reason."""
_WITH_WORKLOADS: Final = {
    "scale WORKLOAD to NUMBER": 2,
    "scale WORKLOAD to zero": 1,
    "delete pod POD": 3,
    "power off NODE for TIME": 2,
    "reset NODE": 2,
    "freeze NODE for TIME": 2,
    "hang agent of NODE for TIME": 2,
    "stop kubelet of NODE for TIME": 1,
    "kill MANAGER for SHORT": 3,
    "take agent of NODE away for TIME": 1,
}
_NOT_WITH_WORKLOADS: Final = frozenset({"put the copy back"})
"""An old copy of a StatefulSet's Pod is started again beside the new one, by Kubernetes itself."""
_MACHINES_EVERY: Final = 3
"""Every third seed has virtual machines."""
_WITH_MACHINES: Final = {
    "migrate GUEST to NODE": 8,
    "migrations of MACHINE hang for TIME": 2,
    "migrations of MACHINE fail for TIME": 2,
    "pin MACHINE": 1,
    "put NODE into maintenance for TIME": 2,
    "relocate GUEST to NODE": 3,
    "set GUEST WANTED": 3,
    "GUEST crashes": 2,
    "delete pod of GUEST": 2,
    "force delete pod of GUEST": 2,
    "tear out pod of GUEST": 1,
    "fail pod of GUEST": 1,
    "delete GUEST": 1,
    "create GUEST again": 2,
    "delete run of MACHINE": 2,
    "give MACHINE strategy Always": 1,
    "give MACHINE strategy Halted": 1,
    "delete machine MACHINE": 1,
    "make machine MACHINE": 2,
    "stop virt-controller for TIME": 2,
    "stop virt-handler of NODE for TIME": 1,
    "power off NODE for TIME": 2,
    "reset NODE": 2,
    "freeze NODE for TIME": 2,
    "hang agent of NODE for TIME": 1,
    "stop kubelet of NODE for TIME": 1,
    "kill MANAGER for SHORT": 3,
}
_WITH_DEVICES: Final = {
    "drill NODE": 6,
    "device DEVICE of NODE hangs for TIME": 2,
    "device DEVICE of NODE fails for TIME": 2,
    "device DEVICE of NODE lies for TIME": 2,
    "wire device DEVICE of NODE to NODE": 1,
    "power off NODE": 1,
    "freeze NODE for TIME": 1,
    "let NUMBER devices work at a time": 1,
    "leave fenced nodes off": 1,
}
_PROFILES: Final = ("Fast", "Balanced", "Balanced", "Relaxed")
_MANY: Final = {
    # sentence -> how often, compared with the others; what may be left out of a sentence stands in the generator
    "power off NODE": 4,
    "power off NODE for TIME": 4,
    "power on NODE": 6,
    "reset NODE": 4,
    "freeze NODE for TIME": 6,
    "shut down NODE": 2,
    "reboot NODE": 3,
    "lose records of NODE": 1,
    "GUEST crashes": 4,
    "kill agent of NODE": 4,
    "hang agent of NODE for TIME": 4,
    "stall agent of NODE by SHORT": 3,
    "stall agent of NODE by SHORT twice": 1,
    "take agent of NODE away for TIME": 1,
    "break watchdog of NODE for TIME": 1,
    "stop kubelet of NODE for TIME": 3,
    "cut CLIENT for TIME": 6,
    "cut CLIENT to api for TIME": 3,
    "cut CLIENT from api for TIME": 3,
    "lose SHARE of answers to CLIENT for TIME": 4,
    "commit SHARE of CLIENT late for TIME": 4,
    "refuse SHARE of CLIENT for TIME": 3,
    "api down for SHORT": 2,
    "api slow SHORT for TIME": 2,
    "api fails SHARE for SHORT": 2,
    "api loses SHARE of answers for SHORT": 2,
    "api commits SHARE late for SHORT": 2,
    "kill MANAGER for SHORT": 6,
    "stop MANAGER for TIME": 4,
    "watch of MANAGER lags SHORT for TIME": 3,
    "delete pod of GUEST": 3,
    "force delete pod of GUEST": 3,
    "tear out pod of GUEST": 2,
    "fail pod of GUEST": 3,
    "delete lease of NODE": 3,
    "label lease of NODE": 2,
    "let a clone take lease of NODE": 1,
    "taint NODE for TIME": 1,
    "delete leader lease": 1,
    "confirm NODE": 2,
    "confirm NODE in another incident": 2,
    "relocate GUEST to NODE": 4,
    "set GUEST WANTED": 3,
    "give GUEST version NUMBER": 2,
    "delete GUEST": 1,
    "create GUEST again": 2,
    "put NODE into maintenance": 1,
    "put NODE into maintenance for TIME": 4,
    "take NODE out of maintenance": 2,
    "give GUEST priority NUMBER": 1,
    "start GUEST after GUEST": 2,
    "start GUEST after nobody": 1,
    "keep GUEST on NODE for TIME": 1,
    "keep GUEST on NODE or NODE": 1,
    "let GUEST prefer NODE": 1,
    "let GUEST prefer NODE then NODE": 2,
    "keep GUEST with GUEST": 3,
    "keep GUEST apart from GUEST": 4,
    "drop rules of GUEST": 3,
    "let GUEST stay": 1,
    "let GUEST fail back": 1,
    "take times of PROFILE": 1,
    "take shutdown policy POLICY": 2,
    "disarm DISARMMODE ending in TIME": 4,
    "arm": 2,
    "schedule by MODE": 2,
    "rebalance after TIME": 1,
    "leave guests in place": 1,
    "measurements lag TIME": 1,
    "count by OPTION for TIME": 2,
    "count plainly": 1,
    "stop quorum device for TIME": 1,
    "expect NUMBER votes": 1,
    "copy the store": 1,
    "put the copy back": 1,
}


@dataclass(frozen=True, slots=True)
class Ruin:
    """How one seed went."""

    seed: int
    scenario: Scenario
    violations: tuple[Violation, ...]
    faults: Counter[str]
    steps: int
    simulated_s: float

    @property
    def good(self) -> bool:
        return not self.violations


def names_of(setting: Setting) -> Names:
    devices = sorted({name for named in setting.devices.values() for name in named})
    managers = [f"m{number}" for number in range(1, setting.managers + 1)]
    pods = [f"{name}-{number}" for name, one in setting.workloads.items() for number in range(one.replicas)]
    names = Names(setting.nodes, managers, list(setting.guests), devices, list(setting.workloads), pods)
    return replace(names, machines=list(setting.virtual)) if setting.virtual else names


def scenario(seed: int, nodes: int, guests: int) -> Scenario:
    """The scenario of a seed, for that many nodes and guests."""
    random = Random(f"{seed}/{nodes}/{guests}")  # noqa: S311 - the same for each replay
    every = [f"n{number}" for number in range(1, nodes + 1)]
    managers = random.choice((1, 2, 2, 3))
    beside = Random(f"{seed}/{nodes}/{guests}/beside")  # noqa: S311 - the same for each replay
    drifting = [*every, *(f"m{number}" for number in range(1, managers + 1))]
    setting = Setting(
        seed=seed,
        nodes=tuple(every),
        managers=managers,
        profile=random.choice(_PROFILES),
        guests=_impatient(beside, {f"g{number}": _guest(random, number) for number in range(1, guests + 1)}),
        rates={name: _rate(random) for name in drifting},
        firmware_s=random.choice((2.0, 5.0, 15.0)),
        jitter=True,
        **_usage(random, every),
        cluster=_cluster(random, guests),
        device=DEVICE,
    )
    moments = list(_moments(random, names_of(setting), _MANY, PAUSE_S))
    moments.extend(_moments(beside, names_of(setting), _BESIDES, 4 * PAUSE_S))
    moments.extend(_hanging(beside, names_of(setting)))
    if seed % _DEVICES_EVERY == _DEVICES_EVERY - 1:
        lots = Random(f"{seed}/{nodes}/{guests}/devices")  # noqa: S311 - the same for each replay
        setting = replace(setting, devices={name: _some_devices(lots) for name in every if lots.random() < 0.7})
        if setting.devices:
            moments.extend(_moments(lots, names_of(setting), _WITH_DEVICES, 2 * PAUSE_S))
            moments.extend(_called_off(lots, names_of(setting)))
    if seed % _WORKLOADS_EVERY == _WORKLOADS_EVERY - 2:
        lots = Random(f"{seed}/{nodes}/{guests}/workloads")  # noqa: S311 - the same for each replay
        setting = replace(setting, workloads=_some_workloads(lots), boot_ids=lots.random() < 0.5)
        moments = [one for one in moments if not _NOT_WITH_WORKLOADS & {deed.word.pattern for deed in one.deeds}]
        moments.extend(_moments(lots, names_of(setting), _WITH_WORKLOADS, 2 * PAUSE_S))
    if seed % _MACHINES_EVERY == 0:
        lots = Random(f"{seed}/{nodes}/{guests}/machines")  # noqa: S311 - the same for each replay
        setting = replace(setting, virtual=_some_machines(lots), boot_ids=lots.random() < 0.8)
        moments = [one for one in moments if not _NOT_WITH_WORKLOADS & {deed.word.pattern for deed in one.deeds}]
        only = replace(names_of(setting), guests=list(setting.virtual))
        moments.extend(_moments(lots, only, _WITH_MACHINES, 2 * PAUSE_S))
    moments.sort(key=lambda one: one.at_s)
    return Scenario(setting, tuple(moments), mend=True)


def _some_workloads(random: Random) -> dict[str, WorkloadSetting]:
    """One or two, with and without volumes."""
    return {
        f"s{number}": WorkloadSetting(random.randint(1, 3), claims=random.random() < 0.5)
        for number in range(1, random.randint(1, 2) + 1)
    }


def _some_machines(random: Random) -> dict[str, MachineSetting]:
    """One to three, some of which run before they come under HA."""
    return {
        f"v{number}": MachineSetting(
            {"maxRestart": 3, "maxRelocate": 3, "startTimeout": f"{random.choice((20, 60))}s"},
            Behaviour(stops_s=random.choice((0.5, 1.0, 5.0))),
            random.choice(("Always", "Halted", "Halted", "Manual", "RerunOnFailure")),
            migrates_s=random.choice((1.0, 3.0, 10.0, 30.0)),
        )
        for number in range(1, random.randint(1, 3) + 1)
    }


def _some_devices(random: Random) -> dict[str, DeviceSetting]:
    """One device, or two levels of them, or two power supplies."""
    levels = random.choice(((1,), (1, 2), (1, 1), (1, 1, 2)))
    return {
        f"d{number}": DeviceSetting(level, random.choice((5.0, 20.0)), random.choice((0.2, 1.0, 4.0)))
        for number, level in enumerate(levels, 1)
    }


def sizes(seed: int, nodes: Sequence[int], guests: Sequence[int]) -> tuple[int, int]:
    """How many nodes and guests a seed has, where there is a choice: the same whatever other seeds are played."""
    random = Random(f"{seed}/sizes")  # noqa: S311 - the same for each replay
    return random.choice(nodes), random.choice(guests)


def _rate(random: Random) -> float:
    """Of a clock: in parts that a scenario's file can write, or what it says would run another way than what was found."""
    return 1 + round(random.uniform(-0.5, 0.5), 4) / 100


def _guest(random: Random, number: int) -> GuestSetting:
    """Some request less than they use, and some more."""
    spec = _spec(random, number)
    memory, used = (f"{random.choice((64, 128, 256))}Mi" for _ in range(2))
    return GuestSetting(spec, requests={"memory": memory, "cpu": "10m"}, uses={"memory": used, "cpu": "10m"})


def _impatient(random: Random, guests: Mapping[str, GuestSetting]) -> dict[str, GuestSetting]:
    """Some would rather lose their node than wait long for a stop that hangs."""
    found = {}
    for name, guest in guests.items():
        wish = {
            "stopTimeout": f"{random.choice((1, 5, 15))}s",
            "stopTimeoutPolicy": str(random.choice(list(StopTimeoutPolicy))),
        }
        found[name] = replace(guest, spec={**guest.spec, **wish}) if random.random() < 0.5 else guest
    return found


def _hanging(random: Random, names: Names) -> Iterable[Moment]:
    """Stops that hang, mostly for longer than the guest's grace period."""
    for _ in range(random.randint(0, 3)):
        at_s, guest = random.uniform(BEGINS_S, BEGINS_S + LASTS_S), random.choice(list(names.guests))
        texts = (f"stop of {guest} hangs for {random.randint(20, 120)}s", random.choice(_STOPPED_BY))
        for text in texts:
            made = sentence(random, text, replace(names, guests=[guest]))
            yield Moment(round(at_s, 2), (understand(made, names),))
            at_s += random.uniform(0.1, 5.0)


def _called_off(random: Random, names: Names) -> Iterable[Moment]:
    """Drills that somebody takes away soon, mostly while the node is off."""
    for _ in range(random.randint(0, 3)):
        at_s, node = random.uniform(BEGINS_S, BEGINS_S + LASTS_S), random.choice(list(names.nodes))
        for text in (f"drill {node}", f"call off drill of {node}"):
            yield Moment(round(at_s, 2), (understand(text, names),))
            at_s += random.uniform(0.5, 20.0)


def _usage(random: Random, nodes: Sequence[str]) -> dict[str, Any]:
    """Every node has room for all guests: that one has none is for scenarios. Zones are of different sizes."""
    zones = {name: random.choice(("left", "right")) for name in nodes} if random.random() < 0.5 else {}
    measuring = Measuring(random.choice((5.0, 15.0)), random.choice((0.0, 2.0, 20.0, 60.0)))
    return {
        "sizes": {name: {"memory": random.choice(("8Gi", "12Gi"))} for name in nodes},
        "zones": zones,
        "measuring": measuring,
    }


def _cluster(random: Random, guests: int) -> dict[str, Any]:
    """How guests are placed and moved, what a shutdown means, and what a majority is."""
    scheduling: dict[str, Any] = {
        "mode": str(random.choice(list(SchedulingMode))),
        "rebalanceOnStart": random.random() < 0.5,
    }
    if random.random() < 0.3:
        hold = f"{random.choice((5, 20, 40))}s"
        scheduling["autoRebalance"] = {"threshold": 10, "margin": 10, "hold": hold, "maxMoves": random.randint(1, 3)}
    found: dict[str, Any] = {"scheduling": scheduling, "shutdownPolicy": str(random.choice(list(ShutdownPolicy)))}
    option = random.choice((*QUORUM_OPTIONS, "device", *("",) * 4))
    if option == "device":
        found["quorum"] = {"device": {"name": DEVICE, "votes": 1}}
    elif option:
        found["quorum"] = quorum_with(option)
    if guests > 1 and random.random() < 0.3:
        pair = [f"{NAMESPACE}/g{number}" for number in random.sample(range(1, guests + 1), 2)]
        affinity = {"affinity": str(random.choice(list(Affinity))), "topology": str(random.choice(list(Topology)))}
        found["rules"] = [{"name": "drawn", "guests": {"names": pair}, "guestAffinity": affinity}]
    return found


def _spec(random: Random, number: int) -> dict[str, Any]:
    """Some guests matter more than others, and some start after another one."""
    spec: dict[str, Any] = {"maxRestart": 3, "maxRelocate": 3}
    if random.random() < 0.3:
        spec["priority"] = random.randint(-2, 2)
    if number > 1 and random.random() < 0.3:
        spec["startAfter"] = [f"{NAMESPACE}/g{random.randint(1, number - 1)}"]
    return spec


def _moments(random: Random, names: Names, many: Mapping[str, int], pause_s: float) -> Iterable[Moment]:
    patterns, weights = list(many), list(many.values())
    at_s = BEGINS_S
    while True:
        at_s = round(at_s + random.expovariate(1 / pause_s), 2)
        if at_s >= BEGINS_S + LASTS_S:
            return
        text = sentence(random, random.choices(patterns, weights)[0], names)
        yield Moment(at_s, (understand(text, names),))


def sentence(random: Random, pattern: str, names: Names) -> str:
    """A sentence of that pattern."""
    choices: dict[str, Sequence[str]] = {
        "NODE": list(names.nodes),
        "MANAGER": [*names.managers, "leader", "leader"],
        "GUEST": list(names.guests),
        "DEVICE": list(names.devices),
        "WORKLOAD": list(names.workloads),
        "POD": list(names.pods),
        "MACHINE": list(names.machines),
        "CLIENT": [*names.nodes, *names.managers, "leader"],
        "PROFILE": _PROFILES,
        "POLICY": list(ShutdownPolicy),
        "MODE": list(SchedulingMode),
        "OPTION": QUORUM_OPTIONS,
        "DISARMMODE": list(DisarmMode),
        "WANTED": list(Wanted),
    }

    def value(part: str) -> str:
        if part in choices:
            return str(random.choice(choices[part]))
        match part:
            case "TIME":
                return f"{round(random.choice((1, 3, 8, 15, 25, 40, 70)) * random.uniform(0.7, 1.3), 1)}s"
            case "SHORT":
                return f"{round(random.uniform(0.3, 9.0), 1)}s"
            case "SHARE":
                return f"{random.choice((10, 30, 60, 90))}%"
            case "NUMBER":
                return str(random.randint(1, 3))
        return part

    return " ".join(value(part) for part in pattern.split())


def play(made: Scenario) -> Ruin:
    """Play it, mend it, and see whether everything that is wanted runs again."""
    outcome = Player(made).play()
    counted = Counter(one.word.fault for moment in made.timeline for one in moment.deeds if one.word.fault)
    return Ruin(made.setting.seed, made, outcome.violations, counted, outcome.steps, outcome.simulated_s)
