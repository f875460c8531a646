"""A scenario: a folder with README.md, scenario.yaml and the log of a run that went as it should (expected.log).

What is wrong in scenario.yaml is said with file, line, what was found and what is allowed.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from quorate.api import quantity
from quorate.api.cluster import ClusterSpec
from quorate.api.common import Model
from quorate.api.haresource import HAResourceSpec
from quorate.api.storage import StorageSpec
from quorate.core.timing import Profile
from quorate.sim import faults, outside, people, power, standins, virtual, wishes  # noqa: F401 - they bring their words
from quorate.sim.hopes import HOPES
from quorate.sim.machine import Behaviour
from quorate.sim.outside import Measuring
from quorate.sim.words import Deed, Names, Word, WordError, duration, understand
from quorate.sim.world import GuestSetting, MachineSetting, Setting, WorkloadSetting

FILE: Final = "scenario.yaml"
LOG: Final = "expected.log"
_KEYS: Final = (
    "seed",
    "nodes",
    "managers",
    "profile",
    "guests",
    "clocks",
    "jitter",
    "firmware",
    "zones",
    "cluster",
    "sizes",
    "storages",
    "measurements",
    "device",
    "devices",
    "workloads",
    "machines",
    "kubevirt",
    "kernels",
    "timeline",
    "lasts",
    "then",
)
_BEHAVIOUR: Final = {"ready": "ready_s", "stops": "stops_s"}
_LOADS: Final = ("requests", "uses")
_SPEC: Final = tuple(one.alias or name for name, one in HAResourceSpec.model_fields.items() if name != "guest")
"""What a guest may say of its HAResource: whatever there is."""
MOST_DRIFT: Final = 0.005
MOST_NODES: Final = 32


class ScenarioError(Exception):
    """A scenario that cannot be played; the message names file, line, finding and what is allowed."""


@dataclass(frozen=True, slots=True)
class Expect:
    """`hope` holds now, or (`within_s`) at some moment from now on until then."""

    text: str
    hope: Deed
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens at a time (seconds since the start), in this order; `line` of scenario.yaml."""

    at_s: float
    what: tuple[Deed | Expect, ...]
    line: int = 0

    @property
    def deeds(self) -> tuple[Deed, ...]:
        return tuple(one for one in self.what if isinstance(one, Deed))


@dataclass(frozen=True, slots=True)
class Scenario:
    setting: Setting
    timeline: tuple[Moment, ...] = ()
    lasts_s: float | None = None
    mend: bool = False
    """At the end every fault is taken back, and every wanted guest must run."""
    folder: Path | None = field(default=None, compare=False)


def read(folder: Path) -> Scenario:
    """The scenario in a folder. Raises ScenarioError."""
    path = folder / FILE
    try:
        root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}: a scenario is a folder with {FILE} in it") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ScenarioError(f"{path}:{line}: {error.problem}") from error
    return _Reader(path).scenario(root, folder)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, node: Any, text: str) -> ScenarioError:
        line = node.start_mark.line + 1 if node is not None else 1
        return ScenarioError(f"{self.path}:{line}: {text}")

    def scenario(self, root: Any, folder: Path) -> Scenario:
        given = self.mapping(root, "a scenario", _KEYS)
        nodes = self.nodes(given.get("nodes"))
        managers = self.number(given.get("managers"), 2, least=1, most=5)
        guests = self.guests(given.get("guests"))
        devices = self.devices(given.get("devices"), nodes)
        known = sorted({name for named in devices.values() for name in named})
        machines = self.machines(given.get("machines"))
        workloads, storages = self.workloads(given.get("workloads")), self.storages(given.get("storages"))
        names = Names(
            nodes,
            [f"m{number}" for number in range(1, managers + 1)],
            list(guests),
            known,
            list(workloads),
            [f"{name}-{number}" for name, one in workloads.items() for number in range(one.replicas)],
            list(storages),
            list(machines),
        )
        setting = Setting(
            seed=self.number(given.get("seed"), 0),
            nodes=nodes,
            managers=managers,
            profile=self.choice(given.get("profile"), "Balanced", [one for one in Profile if one != "Custom"]),
            guests=guests,
            rates=self.clocks(given.get("clocks"), names),
            firmware_s=self.time(given.get("firmware"), 5.0),
            jitter=self.choice(given.get("jitter"), "false", ("true", "false")) == "true",
            zones=self.zones(given.get("zones"), names),
            cluster=self.cluster(given.get("cluster")),
            sizes=self.sizes(given.get("sizes"), names),
            storages=storages,
            measuring=self.measuring(given.get("measurements")),
            device=self.text(given["device"], "a device's name") if "device" in given else "",
            devices=devices,
            workloads=workloads,
            virtual=machines,
            kubevirt=self.choice(given.get("kubevirt"), "there", ("there", "absent")) == "there",
            boot_ids=self.choice(given.get("kernels"), "own", ("own", "shared")) == "own",
        )
        lasts = given.get("lasts")
        timeline = self.timeline(given.get("timeline"), names)
        mend = self.choice(given.get("then"), "", ("mend",)) == "mend"
        return Scenario(setting, timeline, None if lasts is None else self.time(lasts, 0.0), mend, folder)

    def mapping(self, node: Any, what: str, allowed: Collection[str] | None = None) -> dict[str, Any]:
        """Key -> node. `allowed`: the only keys."""
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, f"{what} is a mapping" + (f" with {', '.join(allowed)}" if allowed else ""))
        found: dict[str, Any] = {}
        for key, value in node.value:
            if allowed is not None and key.value not in allowed:
                raise self.fail(key, f"{key.value!r} is unknown in {what}. Allowed: {', '.join(allowed)}")
            if key.value in found:
                raise self.fail(key, f"{key.value!r} comes twice in {what}")
            found[key.value] = value
        return found

    def text(self, node: Any, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.fail(node, f"{what} is a text")
        return str(node.value)

    def number(self, node: Any, default: int, *, least: int = 0, most: int = 1 << 31) -> int:
        if node is None:
            return default
        text = self.text(node, "a number")
        if not text.isdigit() or not least <= int(text) <= most:
            raise self.fail(node, f"{text!r} is no number from {least} to {most}")
        return int(text)

    def time(self, node: Any, default: float) -> float:
        if node is None:
            return default
        try:
            return duration(self.text(node, "a time"))
        except WordError as error:
            raise self.fail(node, str(error)) from error

    def choice(self, node: Any, default: str, allowed: Collection[str]) -> str:
        if node is None:
            return default
        text = self.text(node, "a name")
        if text not in allowed:
            raise self.fail(node, f"{text!r} is unknown. Allowed: {', '.join(allowed)}")
        return text

    def cluster(self, node: Any) -> dict[str, Any]:
        """The Cluster's spec, beside profile and watchdogs."""
        if node is None:
            return {}
        self.mapping(node, "cluster")
        found: dict[str, Any] = yaml.SafeLoader("").construct_document(node)
        self.check(node, ClusterSpec, found)
        return found

    def nodes(self, node: Any) -> tuple[str, ...]:
        if isinstance(node, yaml.SequenceNode):
            names = tuple(self.text(one, "a node's name") for one in node.value)
            if not names or len(set(names)) < len(names):
                raise self.fail(node, "nodes have different names, and there is one at least")
            return names
        return tuple(f"n{number}" for number in range(1, self.number(node, 3, least=1, most=MOST_NODES) + 1))

    def guests(self, node: Any) -> dict[str, GuestSetting]:
        if node is None:
            return {"web": GuestSetting()}
        if isinstance(node, yaml.ScalarNode):
            count = self.number(node, 1, most=5000)
            return {f"g{number}": GuestSetting() for number in range(1, count + 1)}
        given = self.mapping(node, "guests")
        return {name: self.guest(value) for name, value in given.items()}

    def guest(self, node: Any) -> GuestSetting:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return GuestSetting()
        given = self.mapping(node, "a guest", (*_SPEC, *_BEHAVIOUR, *_LOADS, "fails"))
        values: dict[str, Any] = {_BEHAVIOUR[key]: self.time(given[key], 0) for key in _BEHAVIOUR if key in given}
        if "fails" in given:
            values["fails"] = self.choice(given["fails"], "false", ("true", "false")) == "true"
        loader = yaml.SafeLoader("")
        spec: dict[str, Any] = {key: loader.construct_document(given[key]) for key in _SPEC if key in given}
        self.check(node, HAResourceSpec, spec | {"guest": {"container": {"spec": {}}}})
        loads = {key: self.size(given[key]) for key in _LOADS if key in given}
        return GuestSetting(spec, Behaviour(**values), **loads)

    def size(self, node: Any) -> dict[str, str]:
        """`cpu` and `memory`, as Kubernetes writes them."""
        found = {key: self.text(value, key) for key, value in self.mapping(node, "a size", ("cpu", "memory")).items()}
        try:
            quantity.size(found)
        except ValueError as error:
            raise self.fail(node, str(error)) from error
        return found

    def sizes(self, node: Any, names: Names) -> Mapping[str, Mapping[str, str]]:
        """Node -> what it can allocate."""
        if node is None:
            return {}
        return {name: self.size(value) for name, value in self.mapping(node, "sizes", names.nodes).items()}

    def storages(self, node: Any) -> Mapping[str, Mapping[str, Any]]:
        """Name -> what the Storage's spec says."""
        found: dict[str, Mapping[str, Any]] = {}
        given = self.mapping(node, "storages") if node is not None else {}
        for name, value in given.items():
            self.mapping(value, "a storage")
            found[name] = yaml.SafeLoader("").construct_document(value)
            self.check(value, StorageSpec, dict(found[name]))
        return found

    def measuring(self, node: Any) -> Measuring | None:
        if node is None:
            return None
        given = self.mapping(node, "measurements", ("every", "lag"))
        usual = Measuring()
        every_s = self.time(given.get("every"), usual.every_s)
        if every_s <= 0:
            raise self.fail(given["every"], "measurements.every: must be longer than 0s")
        return Measuring(every_s, self.time(given.get("lag"), usual.lag_s))

    def check(self, node: Any, model: type[Model], spec: dict[str, Any]) -> None:
        """What no API server would take is wrong here as well."""
        try:
            model.model_validate(spec)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self.fail(node, f"{where}: {first['msg']}, found {first['input']!r}") from error

    def clocks(self, node: Any, names: Names) -> Mapping[str, float]:
        """Node or manager -> its clock's rate, as `+0.5%`."""
        if node is None:
            return {}
        rates = {}
        for name, value in self.mapping(node, "clocks", (*names.nodes, *names.managers)).items():
            text = self.text(value, "a clock's drift")
            try:
                drift = float(text.removesuffix("%")) / 100
            except ValueError:
                drift = 1.0
            if not text.endswith("%") or abs(drift) > MOST_DRIFT:
                raise self.fail(value, f"{text!r} is no drift: write -0.5% to +0.5%")
            rates[name] = 1 + drift
        return rates

    def zones(self, node: Any, names: Names) -> Mapping[str, str]:
        """Node -> its zone."""
        if node is None:
            return {}
        return {name: self.text(value, "a zone") for name, value in self.mapping(node, "zones", names.nodes).items()}

    def devices(self, node: Any, nodes: Collection[str]) -> dict[str, dict[str, power.DeviceSetting]]:
        """Node -> its fence devices by name."""
        if node is None:
            return {}
        return {
            name: {device: self.device(one, nodes) for device, one in self.mapping(value, "devices").items()}
            for name, value in self.mapping(node, "devices", nodes).items()
        }

    def workloads(self, node: Any) -> dict[str, WorkloadSetting]:
        """StatefulSets by name."""
        given = self.mapping(node, "workloads") if node is not None else {}
        return {name: self.workload(value) for name, value in given.items()}

    def workload(self, node: Any) -> WorkloadSetting:
        given = self.mapping(node, "a workload", ("replicas", "claims", "heedless", "protected"))
        flags = {
            key: self.choice(given[key], "", ("true", "false")) == "true"
            for key in ("claims", "heedless", "protected")
            if key in given
        }
        return WorkloadSetting(self.number(given.get("replicas"), 1, most=64), **flags)

    def machines(self, node: Any) -> dict[str, MachineSetting]:
        """Virtual machines by name."""
        given = self.mapping(node, "machines") if node is not None else {}
        return {name: self.machine(value) for name, value in given.items()}

    def machine(self, node: Any) -> MachineSetting:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return MachineSetting()
        flags = ("protected", "pool", "made")
        given = self.mapping(
            node, "a machine", (*_SPEC, *_BEHAVIOUR, "fails", "strategy", "migrates", "hostname", *flags)
        )
        values: dict[str, Any] = {_BEHAVIOUR[key]: self.time(given[key], 0) for key in _BEHAVIOUR if key in given}
        if "fails" in given:
            values["fails"] = self.choice(given["fails"], "false", ("true", "false")) == "true"
        loader = yaml.SafeLoader("")
        spec: dict[str, Any] = {key: loader.construct_document(given[key]) for key in _SPEC if key in given}
        self.check(node, HAResourceSpec, spec | {"guest": {"virtualMachine": {"name": "any"}}})
        said: dict[str, Any] = {
            key: self.choice(given[key], "", ("true", "false")) == "true" for key in flags if key in given
        }
        strategy = self.choice(
            given.get("strategy"), "Always", ("Always", "Halted", "Manual", "RerunOnFailure", "Once")
        )
        migrates_s = self.time(given.get("migrates"), 3.0)
        if "hostname" in given:
            said["hostname"] = self.text(given["hostname"], "a hostname")
        return MachineSetting(spec, Behaviour(**values), strategy, migrates_s=migrates_s, **said)

    def device(self, node: Any, nodes: Collection[str]) -> power.DeviceSetting:
        given = self.mapping(node, "a device", ("level", "timeout", "takes", "switches"))
        return power.DeviceSetting(
            level=self.number(given.get("level"), 1, least=1, most=9),
            timeout_s=self.time(given.get("timeout"), 20.0),
            takes_s=self.time(given.get("takes"), 1.0),
            switches=self.choice(given.get("switches"), "", nodes),
        )

    def timeline(self, node: Any, names: Names) -> tuple[Moment, ...]:
        if node is None:
            return ()
        moments = []
        for key, value in self.mapping(node, "timeline").items():
            whats = value.value if isinstance(value, yaml.SequenceNode) else [value]
            try:
                at_s = duration(key)
            except WordError as error:
                raise self.fail(value, f"timeline: {error}") from error
            what = tuple(self.sentence(one, names) for one in whats)
            moments.append(Moment(at_s, what, value.start_mark.line + 1))
        return tuple(sorted(moments, key=lambda one: one.at_s))

    def sentence(self, node: Any, names: Names) -> Deed | Expect:
        text = self.text(node, "what happens")
        try:
            return sentence(text, names)
        except WordError as error:
            raise self.fail(node, str(error)) from error


def sentence(text: str, names: Names) -> Deed | Expect:
    """`expect ...` and `await ... within TIME` ask for something, everything else does something. Raises WordError."""
    parts = text.split()
    hopes: Callable[[str], Deed] = lambda words: understand(words, names, _HOPES)  # noqa: E731
    if parts[:1] == ["await"]:
        if len(parts) < 4 or parts[-2] != "within":
            raise WordError(f"{text!r}: write `await ... within TIME`")
        return Expect(text, hopes(" ".join(parts[1:-2])), duration(parts[-1]))
    if parts[:1] == ["expect"] and parts[2:] != ["votes"]:
        return Expect(text, hopes(" ".join(parts[1:])))
    return understand(text, names)


_HOPES: Final[Collection[Word]] = HOPES
