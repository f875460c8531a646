"""A failing run made small: what can be left out and it still fails is left out, and the rest is written as a scenario."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from quorate.core.quick import replace
from quorate.sim.chaos import Ruin, play
from quorate.sim.power import DeviceSetting
from quorate.sim.scenario import FILE, Moment, Scenario
from quorate.sim.world import MachineSetting, Setting, WorkloadSetting

MOST_RUNS: Final = 400


def shrink(found: Ruin) -> Ruin:
    """The smallest failing part of its timeline that delta debugging finds; at most MOST_RUNS runs."""
    stuck = all(one.stuck for one in found.violations)
    best, runs = found, 0

    def fails(moments: tuple[Moment, ...]) -> bool:
        nonlocal best, runs
        runs += 1
        if runs > MOST_RUNS:
            return False
        ruin = play(replace(best.scenario, timeline=moments))
        if ruin.violations and all(one.stuck for one in ruin.violations) == stuck:
            best = ruin
            return True
        return False

    _minimize(found.scenario.timeline, fails)
    return best


def _minimize(moments: tuple[Moment, ...], fails: Callable[[tuple[Moment, ...]], bool]) -> None:
    """Leave out ever smaller parts, as long as what is left fails."""
    size = max(1, len(moments) // 2)
    while moments:
        at, shorter = 0, False
        while at < len(moments):
            rest = moments[:at] + moments[at + size :]
            if fails(rest):
                moments, shorter = rest, True
            else:
                at += size
        if size == 1 and not shorter:
            return
        size = max(1, size // 2)


def write(found: Ruin, folder: Path) -> None:
    """As a scenario that can be played and committed."""
    folder.mkdir(parents=True, exist_ok=True)
    words = "\n".join(f"* {one.at_s:.3f}s: {one.text}" for one in found.violations)
    (folder / "README.md").write_text(f"# What chaos found with seed {found.seed}\n\n{words}\n")
    (folder / FILE).write_text(as_yaml(found.scenario))


def _device(setting: DeviceSetting) -> dict[str, Any]:
    return {"level": setting.level, "timeout": f"{setting.timeout_s:g}s", "takes": f"{setting.takes_s:g}s"}


def as_yaml(scenario: Scenario) -> str:
    """scenario.yaml of it."""
    setting = scenario.setting
    guests: dict[str, Any] = {}
    for name, one in setting.guests.items():
        loads = {"requests": dict(one.requests), "uses": dict(one.uses)}
        guests[name] = {**one.spec, **{key: load for key, load in loads.items() if load}}
    timeline: dict[str, list[str]] = {}
    for moment in scenario.timeline:
        timeline.setdefault(f"{moment.at_s:g}s", []).extend(one.text for one in moment.deeds)
    content: dict[str, Any] = {
        "seed": setting.seed,
        "nodes": len(setting.nodes),
        "managers": setting.managers,
        "profile": setting.profile,
        "jitter": setting.jitter,
        "firmware": f"{setting.firmware_s:g}s",
        "clocks": {name: f"{100 * (rate - 1):+.12g}%" for name, rate in setting.rates.items()},
        "guests": guests,
        **_unusual(setting),
        "devices": {
            node: {name: _device(one) for name, one in named.items()} for node, named in setting.devices.items()
        },
        "then": "mend",
        "timeline": timeline,
    }
    return yaml.safe_dump(content, sort_keys=False, width=120)


def _workload(one: WorkloadSetting) -> dict[str, Any]:
    return {
        "replicas": one.replicas,
        "claims": one.claims,
        "heedless": one.heedless,
        "protected": one.protected,
    }


def _machine(one: MachineSetting) -> dict[str, Any]:
    return {
        **one.spec,
        "strategy": one.strategy,
        "stops": f"{one.behaviour.stops_s:g}s",
        "migrates": f"{one.migrates_s:g}s",
        **({"hostname": one.hostname} if one.hostname else {}),
        "protected": one.protected,
        "pool": one.pool,
        "made": one.made,
    }


def _unusual(setting: Setting) -> dict[str, Any]:
    """What few scenarios have."""
    found: dict[str, Any] = {
        "zones": dict(setting.zones),
        "cluster": dict(setting.cluster),
        "sizes": {name: dict(size) for name, size in setting.sizes.items()},
        "device": setting.device,
        "workloads": {name: _workload(one) for name, one in setting.workloads.items()},
        "machines": {name: _machine(one) for name, one in setting.virtual.items()},
        "kernels": "" if setting.boot_ids else "shared",
    }
    if setting.measuring is not None:
        every_s, lag_s = setting.measuring.every_s, setting.measuring.lag_s
        found["measurements"] = {"every": f"{every_s:g}s", "lag": f"{lag_s:g}s"}
    return {key: value for key, value in found.items() if value}
