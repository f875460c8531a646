"""Regression scenarios of Proxmox VE HA, played on the simulator: which nodes are fenced, who runs where at the end.

A file of this form is an object with `scenarios`: a list of {name, nodes, hardware_status, manager_status, service_config,
rules, datacenter, static_usage, dynamic_usage, cmdlist, expect: {final}}. Each batch of commands takes place 100 s after
the one before, the first at 20 s. Facts are compared, not seconds: Proxmox VE takes two minutes for what takes 20 s here.

What is another thing here is mapped as follows. A service that the file puts on a node starts there, if it can. A node
that resets itself stays off until it is powered on, which plugs its network in as well. `cfs NODE` fails for the
manager replicas only: they are no part of a node. `crm NODE stop` ends the leading replica. Guests are containers,
of which a migration is a relocation; where a `vm:` is migrated by hand behind the manager's back, each `vm:` is a virtual
machine, and gets a migration that Quorate knows nothing of (their hardware goes on naming the node that it left,
which does not count). Kubernetes has no lock of a guest that a backup could leave behind: there is nothing to remove. A
scenario that begins with services in fence is brought there: its node loses power under its services, and when it is
suspected all others go down; that fence itself is not compared. `fa:abcdef` fails its first b
starts (on node f only, if that is there) and its first c migrations, because their target takes nobody at that moment,
and does not stop (d).
"""

import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from quorate.api.schema import Json
from quorate.core.types import GUEST_LABEL, GuestKey, GuestState
from quorate.sim.bugs import listening
from quorate.sim.engine import unhurried
from quorate.sim.machine import Behaviour
from quorate.sim.people import command, edit_cluster, edit_guest
from quorate.sim.scenario import Names, understand
from quorate.sim.server import KUBE_NODES, OURS
from quorate.sim.world import NAMESPACE, GuestSetting, MachineSetting, Setting, Simulation
from tests.peers.outcome import Difference, Outcome, listed

Case = dict[str, Any]
FIRST_S: Final = 20.0
BETWEEN_S: Final = 100.0
MOMENT_S: Final = 10.0
AFTERWARDS_S: Final = 240.0
LEAD_S: Final = 60.0
NEVER_S: Final = 1e9
REBOOT_S: Final = 20.0
ROUND_S: Final = 20.0
MEASURED_EVERY_S: Final = 10.0
POLICY: Final = {
    "conditional": "Conditional",
    "freeze": "Freeze",
    "failover": "Failover",
    "migrate": "Migrate",
}
WANTED: Final = {
    "started": "Started",
    "enabled": "Started",
    "stopped": "Stopped",
    "disabled": "Disabled",
    "ignored": "Ignored",
}
STATES: Final = {"started": {"Started"}, "stopped": {"Stopped"}, "error": {"Error"}, "freeze": {"Freeze"}}
"""Their state of a service -> ours; of states that are not here nothing is compared."""


def run(path: Path, verbose: bool = False) -> Outcome:
    """Play every scenario of the file. Raises OSError, ValueError, KeyError or TypeError."""
    outcome = Outcome(listed=listed("proxmox"))
    for case in json.loads(path.read_text())["scenarios"]:
        play = Play(case)
        with listening(play.simulation.broken), unhurried():
            play.run()
        differences = compare(case, play)
        if verbose and differences:
            print(f"{case['name']}: {case['purpose']}: {case['cmdlist']}")
        outcome.settle(case["name"], differences)
    return outcome


class Play:
    """One scenario.

    `fenced`: nodes that were lost and proven dead; `left`: those that went down cleanly; `empty`: those that were lost with
    nothing on them; `begun`: those whose fence had begun before, `in_fence`: with services on them.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.crs = (case["datacenter"] or {}).get("crs") or {}
        self.nodes = tuple(case["nodes"])
        self.names = {sid: _name(sid) for sid in self._sids()}
        self.failures: Counter[str] = Counter()
        self.moves_fail = Counter({sid: _digit(sid, 2) for sid in self.names})
        self.fenced: set[str] = set()
        self.empty: set[str] = set()
        began = (case["manager_status"] or {}).get("node_status", {})
        self.begun = {node for node, state in began.items() if state == "fence"}
        services = (case["manager_status"] or {}).get("service_status", {}).values()
        self.in_fence = {one["node"] for one in services if one.get("state") == "fence"} & self.begun
        self.usage: dict[str, dict[str, float]] = {
            sid: {"cpu": float(one.get("cpu", 0)), "mem": float(one.get("mem", 0))}
            for sid, one in (case["dynamic_usage"] or {}).items()
        }
        self._measured_s = -MEASURED_EVERY_S
        self.left: set[str] = set()
        self.unknown: list[tuple[str, str]] = []
        machines = {
            name: MachineSetting(requests=self._requests(sid), protected=False, made=False)
            for sid, name in self.names.items()
            if self._is_machine(sid)
        }
        self.simulation = Simulation(
            Setting(nodes=self.nodes, guests={}, virtual=machines, firmware_s=NEVER_S, cluster=self._cluster())
        )

    def _sids(self) -> list[str]:
        """Every service that is there at first or is added later."""
        added = [words[1] for _, words in self.commands if words[0] == "service"]
        return list(dict.fromkeys([*self.case["service_config"], *added]))

    @property
    def commands(self) -> list[tuple[float, list[str]]]:
        """(moment, words) of every command."""
        found, at_s = [], FIRST_S
        for batch in self.case["cmdlist"]:
            extra = 0.0
            for line in batch:
                words = line.split()
                if words[0] == "delay":
                    extra += float(words[1])
                else:
                    found.append((at_s, words))
            at_s += BETWEEN_S + extra
        return found

    # -- what is at first -------------------------------------------------------------------------------------------

    def _cluster(self) -> Json:
        ha = (self.case["datacenter"] or {}).get("ha") or {}
        spec: Json = {"rules": [self._rule(one) for one in self.case["rules"] or []]}
        spec["shutdownPolicy"] = POLICY[ha.get("shutdown_policy", "conditional")]
        scheduling: Json = {"mode": {"static": "Static", "dynamic": "Dynamic"}.get(self.crs.get("ha", ""), "Basic")}
        if self.crs.get("ha-rebalance-on-start"):
            scheduling["rebalanceOnStart"] = True
        if self.crs.get("ha-auto-rebalance"):
            rounds = int(self.crs.get("ha-auto-rebalance-hold-duration", 3))
            method = {"topsis": "Topsis"}.get(self.crs.get("ha-auto-rebalance-method", ""), "BruteForce")
            scheduling["autoRebalance"] = {"hold": f"{rounds * ROUND_S:g}s", "method": method}
        return spec | {"scheduling": scheduling}

    def _rule(self, raw: Case) -> Json:
        rule: Json = {
            "name": raw["id"],
            "guests": {"names": [f"{NAMESPACE}/{self.names[sid]}" for sid in raw["resources"]]},
        }
        if raw.get("disable"):
            rule["disabled"] = True
        if raw["type"] == "node-affinity":
            nodes = [{"name": node, "priority": priority} for node, priority in raw["nodes"].items()]
            return rule | {"nodeAffinity": {"nodes": nodes, "strict": bool(raw.get("strict"))}}
        affinity = {"positive": "Together", "negative": "Apart"}[raw["affinity"]]
        return rule | {"guestAffinity": {"affinity": affinity}}

    def _begin(self) -> None:
        simulation = self.simulation
        for name, machine in simulation.machines.items():
            if name in self._off() and not self.in_fence:
                machine.power_off()
            machine.around = replace(machine.around, behaviour=partial(self._behaviour, name))
            hardware = self.case["hardware_status"].get(name) or {}
            if "maxmem" in hardware:
                self._size(name, hardware)
        for sid, config in self.case["service_config"].items():
            self._add(sid, config["node"], config.get("state"), config)

    def _size(self, node: str, hardware: Case) -> None:
        whole = {"cpu": str(hardware["maxcpu"]), "memory": str(hardware["maxmem"])}
        size = {"allocatable": whole, "capacity": whole}
        store = self.simulation.server.store
        store.update(KUBE_NODES, ("", node), lambda old: old | {"status": old["status"] | size}, status=True)

    def _add(self, sid: str, node: str, state: str | None, config: Case) -> None:
        name = self.names[sid]
        guest = {"virtualMachine": {"name": name}} if self._is_machine(sid) else self._template(sid)
        spec: Json = {"state": WANTED[state or "disabled"]}
        for theirs, ours in (("max_restart", "maxRestart"), ("max_relocate", "maxRelocate")):
            if theirs in config:
                spec[ours] = int(config[theirs])
        if "failback" in config:
            spec["failback"] = bool(int(config["failback"]))
        self.failures[name] = _digit(sid, 1)
        if self.simulation.virtual is not None and self._is_machine(sid):
            setting = self.simulation.setting.virtual[name]
            self.simulation.virtual.make(name, replace(setting, strategy="Halted"))
            self.simulation.virtual.protect(name, name, replace(setting, spec=spec))
        else:
            self.simulation.add_guest(name, GuestSetting(spec | {"guest": guest}))
        began = (self.case["manager_status"] or {}).get("service_status", {}).get(sid, {})
        edit_status: Json = {"node": node}
        if began.get("state") == "error":
            edit_status["state"] = GuestState.ERROR.value
        store = self.simulation.server.store
        store.update(OURS["haresources"], (NAMESPACE, name), lambda old: old | {"status": edit_status}, status=True)

    def _is_machine(self, sid: str) -> bool:
        """Virtual machines are played where one is migrated behind the manager's back: a Pod is bound to its node."""
        return sid.startswith("vm:") and any("manual-migrate" in words for _, words in self.commands)

    def _requests(self, sid: str) -> dict[str, str]:
        size = (self.case["static_usage"] or {}).get(sid)
        return {"cpu": str(size["maxcpu"]), "memory": str(round(size["maxmem"]))} if size is not None else {}

    def _template(self, sid: str) -> Json:
        container: Json = {"name": "main", "image": "guest"}
        if requests := self._requests(sid):
            container["resources"] = {"requests": requests}
        pod: Json = {"containers": [container]}
        return {"container": {"spec": pod}}

    def _behaviour(self, node: str, key: GuestKey) -> Behaviour:
        sid = next((sid for sid, name in self.names.items() if name == key.name), "")
        only = _digit(sid, 5)
        if self.failures[key.name] > 0 and (not only or node.endswith(str(only))):
            self.failures[key.name] -= 1
            return Behaviour(fails=True)
        return Behaviour(stops_s=NEVER_S if _digit(sid, 3) else 1.0)

    # -- what happens -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        self._begin()
        if self.in_fence:
            self._come_to_the_fence()
        began_s = self.simulation.engine.now_s
        ends_s = began_s + FIRST_S + AFTERWARDS_S + BETWEEN_S * len(self.case["cmdlist"])
        for at_s, words in self.commands:
            self._until(began_s + at_s)
            self._happen(words)
            ends_s = max(ends_s, began_s + at_s + AFTERWARDS_S)
        self._until(ends_s)
        self.simulation.end()

    def _come_to_the_fence(self) -> None:
        """A scenario that begins in the middle of one: its nodes are lost under their services, then all others go down."""
        self._until(LEAD_S)
        for node in sorted(self.in_fence):
            self._word(f"power off {node}")
        while self.simulation.engine.now_s < 2 * LEAD_S and not all(map(self._incident, self.in_fence)):
            self._until(self.simulation.engine.now_s + 1.0)
        for node in self._off():
            self.simulation.machines[node].power_off()

    def _off(self) -> list[str]:
        """The nodes that are off when the scenario begins."""
        hardware = self.case["hardware_status"]
        return [name for name in self.nodes if (hardware.get(name) or {}).get("power") != "on"]

    def _incident(self, node: str) -> Json | None:
        incident: Json | None = ((self.simulation.node(node) or {}).get("status") or {}).get("incident")
        return incident

    def _until(self, until_s: float) -> None:
        simulation = self.simulation
        while simulation.engine.now_s < until_s:
            if self.usage and simulation.engine.now_s >= self._measured_s + MEASURED_EVERY_S:
                self._measured_s = simulation.engine.now_s
                self._measure()
            simulation.run(min(until_s, simulation.engine.now_s + 1.0))
            for name in self.nodes:
                incident = self._incident(name)
                if incident is not None and incident.get("evidence"):
                    self.fenced.add(name)

    def _measure(self) -> None:
        """What metrics.k8s.io says now: each guest uses what the scenario has it use, a node what its guests use."""
        totals = {node: [0.0, 0.0] for node in self.nodes}
        for sid, usage in self.usage.items():
            name = self.names[sid]
            for node in self.simulation.where(name):
                totals[node][0] += usage["cpu"]
                totals[node][1] += usage["mem"]
                self._say("pods", NAMESPACE, name, {"containers": [{"name": "main", "usage": _used(**usage)}]})
        for node, (cpu, mem) in totals.items():
            self._say("nodes", "", node, {"usage": _used(cpu, mem)})

    def _say(self, kind: str, namespace: str, name: str, measured: Json) -> None:
        store = self.simulation.server.store
        resource = store.resources[f"{kind}.metrics.k8s.io"]
        body: Json = {"timestamp": self.simulation.moment(), **measured}
        if self.simulation.find(resource, namespace, name) is not None:
            store.update(resource, (namespace, name), lambda old: old | body)
        else:
            labels = {GUEST_LABEL: name} if namespace else {}
            store.create(resource, namespace, {"metadata": {"name": name, "labels": labels}, **body})

    def _happen(self, words: list[str]) -> None:
        deed = getattr(self, f"_on_{words[0].replace('-', '_')}", None)
        if deed is None:
            self.unknown.append((words[1], words[0]))
        else:
            deed(*words[1:])

    def _word(self, sentence: str) -> None:
        machines = tuple(self.simulation.setting.virtual)
        names = Names(self.nodes, tuple(self.simulation.managers), tuple(self.names.values()), machines=machines)
        understand(sentence, names).happen(self.simulation)

    def _lost(self, node: str) -> None:
        """Nothing ran there when it was lost: there is nothing to be proven."""
        if not any(self.simulation.where(name) == [node] for name in self.names.values()):
            self.empty.add(node)

    def _on_power(self, node: str, how: str) -> None:
        if how == "off":
            self._lost(node)
        self._word(f"power {how} {node}")
        if how == "on":
            self._word(f"heal {node}")

    def _on_network(self, node: str, how: str) -> None:
        if how == "off":
            self._lost(node)
        self._word(f"{'heal' if how == 'on' else 'cut'} {node}")

    def _on_shutdown(self, node: str) -> None:
        self.left.add(node)
        self._word(f"shut down {node}")

    def _on_reboot(self, node: str) -> None:
        self.left.add(node)
        machine = self.simulation.machines[node]
        machine.firmware_s = REBOOT_S
        self._word(f"reboot {node}")

    def _on_cfs(self, _node: str, _what: str, how: str) -> None:
        for name in self.simulation.managers:
            link = self.simulation.managers[name].link
            link.weather = replace(link.weather, error=1.0 if how == "fail" else 0.0)

    def _on_restart_lrm(self, node: str) -> None:
        self._word(f"kill agent of {node}")

    def _on_skip_round(self, *_: str) -> None:
        """Rounds have no beat here."""

    def _on_crm(self, node: str, verb: str, *more: str) -> None:
        match verb:
            case "stop":
                self._word("kill leader")
            case "enable-node-maintenance":
                self._word(f"put {node} into maintenance")
            case "disable-node-maintenance":
                self._word(f"take {node} out of maintenance")
            case "disarm-ha":
                self._word(f"disarm {more[0].capitalize()} ending in 100000s")
            case "arm-ha":
                self._word("arm")
            case _:
                self.unknown.append((node, verb))

    def _on_service(self, sid: str, verb: str, *more: str) -> None:
        name = self.names[sid]
        match verb:
            case "migrate" | "relocate":
                self._move(sid, verb, more[0])
            case "stop":
                self._word(f"set {name} Stopped")
            case "manual-migrate" if self._is_machine(sid):
                self._word(f"migrate {name} to {more[0]} by hand")
            case "lock":
                pass  # holds nothing up here
            case "delete":
                self._word(f"delete {name}")
            case "add" if more[2:] == ("1",):
                self._take_under_ha(sid, more[0], more[1])
            case "add":
                self._add(sid, more[0], more[1] if len(more) > 1 else None, {})
            case "set-static-stats" | "set-dynamic-stats":
                self._sized(sid, dict(zip(more[::2], more[1::2], strict=True)), dynamic="dynamic" in verb)
            case _ if verb in WANTED:
                self._word(f"set {name} {WANTED[verb]}")
            case _:
                self.unknown.append((sid, verb))

    def _take_under_ha(self, sid: str, node: str, state: str) -> None:
        """One that runs there already, which no rebalancing on start moves: here it is started there."""
        scheduling = self._cluster()["scheduling"]
        edit_cluster(self.simulation, scheduling=scheduling | {"rebalanceOnStart": False})
        self._add(sid, node, state, {})
        self._until(self.simulation.engine.now_s + MOMENT_S)
        edit_cluster(self.simulation, scheduling=scheduling)

    def _move(self, sid: str, verb: str, node: str) -> None:
        """A migration that fails is one whose target takes nobody at that moment."""
        refused = self.moves_fail[sid] > 0
        self.moves_fail[sid] -= 1
        if refused:
            self._word(f"taint {node} for {MOMENT_S:g}s")
            self._until(self.simulation.engine.now_s + MOMENT_S / 2)
        command(self.simulation, self.names[sid], f"{verb} {node}")

    def _sized(self, sid: str, stats: dict[str, str], *, dynamic: bool) -> None:
        """Requests are a part of the template here: another size is another template."""
        if dynamic:
            before = self.usage.setdefault(sid, {"cpu": 0.0, "mem": 0.0})
            before.update({key: float(stats[key]) * (1 << 20 if key == "mem" else 1) for key in stats})
            return
        usage = dict((self.case["static_usage"] or {}).get(sid) or {})
        usage.update(maxcpu=float(stats["maxcpu"]), maxmem=float(stats["maxmem"]) * (1 << 20))
        self.case["static_usage"] = {**(self.case["static_usage"] or {}), sid: usage}
        if not self._is_machine(sid):
            edit_guest(self.simulation, self.names[sid], guest=self._template(sid))

    def message(self, sid: str) -> str:
        """What its status says."""
        return str((((self.simulation.guest(self.names[sid])) or {}).get("status") or {}).get("message", ""))


def _name(sid: str) -> str:
    return sid.replace(":", "-")


def _used(cpu: float, mem: float) -> Json:
    return {"cpu": f"{round(cpu * 1000)}m", "memory": str(round(mem))}


def _digit(sid: str, at: int) -> int:
    """The digit of `fa:abcdef` at that place, 0 where there is none."""
    found = re.fullmatch(r"fa:(\d+)", sid)
    return int(found[1][at]) if found is not None and len(found[1]) > at else 0


# -- the end ------------------------------------------------------------------------------------------------------------


def compare(case: Case, play: Play) -> list[Difference]:
    """Every difference, in words, and the deviation that it falls under by what is in the scenario and came of it."""
    final, found = case["expect"]["final"], []
    for sid, verb in dict.fromkeys(play.unknown):
        found.append(Difference(f"not played: {sid} {verb}", UNKNOWN.get(verb, "")))
    found += [Difference(f"violation: {one.text}") for one in play.simulation.truth.violations]
    apart = play.left | play.begun
    theirs, here = set(final["fenced_nodes"]) - apart, play.fenced - apart
    if theirs != here:
        rule = "nothing-to-fence" if here <= theirs and theirs - here <= play.empty else ""
        found.append(Difference(f"fenced: {sorted(theirs)} there, {sorted(here)} here", rule))
    by_hand = {words[1] for _, words in play.commands if "manual-migrate" in words}
    placed = {
        sid: (one["node"],) if sid in by_hand and one["running_on"] else tuple(one["running_on"])
        for sid, one in final["services"].items()
    }
    ours = {sid: tuple(play.simulation.where(play.names[sid])) for sid in placed}
    differ = [sid for sid in placed if placed[sid] != ours[sid]]
    if differ and not tied(placed, ours, case):
        told = "; ".join(f"{sid} on {list(placed[sid])} there, on {list(ours[sid])} here" for sid in differ)
        found.append(Difference(told, about_places(case, play, differ)))
    for sid, one in final["services"].items():
        state = play.simulation.state(play.names[sid])
        stale = one["state"] == "started" and not placed[sid]  # nobody leads who could say otherwise
        if sid not in differ and not stale and state not in STATES.get(one["state"], {state}) | {"Ignored"}:
            rule = "a-failed-stop-is-awaited" if _digit(sid, 3) else ""
            found.append(Difference(f"{sid} is {one['state']} there, {state} here", rule))
    return found


UNKNOWN: Final = {"manual-migrate": "pods-do-not-move"}
"""What cannot be done here -> the deviation that says why."""


def about_places(case: Case, play: Play, differ: list[str]) -> str:
    """The deviation that explains why these services are elsewhere, "" for none."""
    messages = [play.message(sid) for sid in differ]
    policy = ((case["datacenter"] or {}).get("ha") or {}).get("shutdown_policy")
    there = {sid: tuple(one["running_on"]) for sid, one in case["expect"]["final"]["services"].items()}
    found = {
        "memory-is-a-limit": any("memory" in message for message in messages) or overfull(case, there),
        "failover-at-once": policy == "failover" and bool(play.left),
        "containers-relocate": any(_digit(sid, 2) for sid in play.names),
        "pods-do-not-move": any(verb == "manual-migrate" for _, verb in play.unknown),
    }
    return next((rule for rule, holds in found.items() if holds), "")


def overfull(case: Case, where: dict[str, tuple[str, ...]]) -> bool:
    """Does a node hold more memory than it has, by what its services request?"""
    sizes = case["static_usage"] or {}
    for node in case["nodes"]:
        held = sum(sizes.get(sid, {}).get("maxmem", 0) for sid, at in where.items() if at == (node,))
        if held > (case["hardware_status"].get(node) or {}).get("maxmem", held):
            return True
    return False


def tied(there: dict[str, tuple[str, ...]], here: dict[str, tuple[str, ...]], case: Case) -> bool:
    """Another choice among equals.

    The same run; of those that no rule is about the same are where they began; every node that is like it holds the like,
    where those count by their size and all others by name; and nobody is on a node that a rule prefers less.
    """
    if {sid for sid, where in there.items() if where} != {sid for sid, where in here.items() if where}:
        return False
    rules = [one for one in case["rules"] or [] if not one.get("disable")]
    for one in rules:
        if one["type"] == "node-affinity":
            priority = {(node,): rank for node, rank in one["nodes"].items()}
            if any(priority.get(there.get(sid, ())) != priority.get(here.get(sid, ())) for sid in one["resources"]):
                return False
    ruled = {sid for one in rules for sid in one["resources"]}
    began = {sid: (one["node"],) for sid, one in case["service_config"].items() if sid in there and sid not in ruled}
    if any((there[sid] == node) != (here[sid] == node) for sid, node in began.items()):
        return False
    sizes = case["static_usage"] or {}

    def load(where: dict[str, tuple[str, ...]]) -> Counter[tuple[str, ...]]:
        found = []
        for node in case["nodes"]:
            hardware = case["hardware_status"].get(node) or {}
            kind = f"{hardware.get('maxcpu')}/{hardware.get('maxmem')}"
            held = [sid if sid in ruled else json.dumps(sizes.get(sid)) for sid, at in where.items() if at == (node,)]
            found.append((kind, *sorted(held)))
        return Counter(found)

    return load(there) == load(here)
