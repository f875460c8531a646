"""Small cluster situations as Pacemaker's scheduler answered them: which nodes are fenced, and where each guest ends up.

A file of this form is an object with one list of cases at least: {id, input: {nodes, guests, rules, props, defaults,
quorum}, rounds: [{inject, decisions, final, nodes}]}. A case is played on the toy cluster: what runs at first is put where
it runs, then the nodes are lost, the rules written and the failures injected, and the end is compared. Where a choice is
a tie (Pacemaker decides by node size and then by name) guests may be elsewhere if each node holds as many.
"""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quorate.core.load import Size
from quorate.core.rules import Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.types import DisarmMode, GuestKey, NodeName, SchedulingMode, ShutdownPolicy, StopTimeoutPolicy, Wanted
from quorate.core.world import Template
from tests.peers.outcome import Difference, Outcome, listed
from tests.toy import Toy

Case = dict[str, Any]
INFINITY = 1_000_000
FOREVER = 10
"""Tries where Pacemaker sets no limit (migration-threshold): more than any case injects."""
REST_S = 150.0
"""Longer than a fence, a recovery and the tries after it take."""


def run(path: Path, verbose: bool = False) -> Outcome:
    """Play every case of the file. Raises OSError, ValueError, KeyError or TypeError."""
    outcome = Outcome(listed=listed("pacemaker"))
    cases = [case for part in json.loads(path.read_text()).values() if isinstance(part, list) for case in part]
    for case in cases:
        ours = Play(case)
        try:
            ours.play()
        except AssertionError as error:
            differences = [Difference(f"it does not go as the case begins: {str(error).splitlines()[0]}")]
        else:
            differences = compare(case, ours)
        if verbose and differences:
            print(f"{case['id']}: {case['note']}: {ours.places()}, fenced {sorted(ours.fenced)}")
        outcome.settle(case["id"], differences)
    return outcome


@dataclass(frozen=True, slots=True)
class Rules:
    """What the constraints of a case say of one guest: nodes by score, and the nodes that are forbidden."""

    scores: dict[str, int]
    banned: frozenset[str]


class Play:
    """One case on the toy cluster. `fenced`: every node that was proven dead, or asked to reset itself."""

    def __init__(self, case: Case) -> None:
        self.case, self.input = case, case["input"]
        self.names = {name: NodeName(name) for name in self.input["nodes"]}
        self.toy = Toy(len(self.names))
        self._rename()
        self.fenced: set[str] = set()
        self.keys = {name: GuestKey("default", name) for name in self.input["guests"]}

    def _rename(self) -> None:
        """Call the machines as the case does."""
        toy = self.toy
        made = list(toy.machines.values())
        toy.machines = {
            name: replace(machine, name=name) for name, machine in zip(self.names.values(), made, strict=True)
        }
        kube = next(iter(toy.kube.values()))
        toy.kube = {name: replace(kube, name=name, uid=toy.uid()) for name in toy.machines}

    # -- what is at first -------------------------------------------------------------------------------------------

    def play(self) -> None:
        toy = self.toy
        for name, node in self.input["nodes"].items():
            if node.get("state") == "unseen":
                toy.power_off(name)
                toy.touch_kube(name, ready=None)
        toy.manager()
        seen = [name for name, node in self.input["nodes"].items() if node.get("state") != "unseen"]
        toy.run_until(lambda: toy.cluster.status.votes.live == len(seen), 60, "all have joined")
        self._place()
        self._size()
        if self.input.get("props", {}).get("shutdown-lock") == "true":
            self.toy.set_spec(shutdown_policy=ShutdownPolicy.FREEZE)
        if self._hands_off():
            toy.disarm(DisarmMode.IGNORE, for_s=3600)
            toy.run_until(lambda: toy.cluster.status.disarm is not None, 30, "HA is disarmed")
            toy.run(30)
        self._lose()
        self._judge()
        for guest, deed, node in (one for each in self.case["rounds"] for one in injected(each["inject"], "-F")):
            if deed in {"start", "migrate_from"}:
                self.toy.fails_on[self.keys[guest], NodeName(node)] += 1
            elif deed == "stop":
                self.toy.unstoppable.add(self.keys[guest])
        for one in self.case["rounds"]:
            self._round(injected(one["inject"], "-i"))

    def _hands_off(self) -> bool:
        """Maintenance mode of the whole cluster is what disarming is here."""
        return bool(self.input.get("props", {}).get("maintenance-mode") == "true")

    def _size(self) -> None:
        """With any placement strategy but the default one sizes count: cores, and memory in GiB."""
        if self.input.get("props", {}).get("placement-strategy", "default") == "default":
            return
        self.toy.set_scheduling(mode=SchedulingMode.STATIC)
        for name, node in self.input["nodes"].items():
            self.toy.touch_kube(name, size=size(node.get("cap")))

    def _place(self) -> None:
        """Every guest that runs at first runs where the case says, and has failed before where it says so."""
        at_first = {name: places for name in self.keys if (places := on(self.input["guests"][name]))}
        firsts = []
        for name, places in at_first.items():
            nodes = [NodePriority(NodeName(places[0]))]
            for node in self._failed_before(name):
                nodes.append(NodePriority(node, 1))
                self.toy.fails_on[self.keys[name], node] += 1
            firsts.append(Rule(f"first-{name}", Guests((self.keys[name],)), nodes=NodeAffinity(tuple(nodes), True)))
        self.toy.set_rules(*firsts)
        for name in at_first:
            self.toy.add_guest(name, template=self._template(name), max_restart=0, max_relocate=FOREVER)
        for name, places in at_first.items():
            key = self.keys[name]
            self.toy.run_until(lambda k=key, p=places: self._runs(k, p[0]), 60, f"{name} runs")  # type: ignore[misc]
        self.toy.run(90)

    def _failed_before(self, guest: str) -> list[NodeName]:
        """Where it failed once and, without a failure-timeout, that still counts."""
        meta = {**self.input.get("defaults", {}), **self.input["guests"][guest].get("meta", {})}
        if "failure-timeout" in meta:
            return []
        counter = f"fail-count-{guest}#"
        return [
            self.names[name]
            for name, node in self.input["nodes"].items()
            if any(key.startswith(counter) for key in node.get("transient", {}))
        ]

    def _runs(self, key: GuestKey, node: str) -> bool:
        return self.toy.running(key) == [node] and self.toy.guests[key].status.ready

    def _judge(self) -> None:
        """From now on the case's own rules and requests hold."""
        self.toy.set_rules(*self._rules())
        for name, raw in self.input["guests"].items():
            key, spec = self.keys[name], self._spec(name, raw)
            if key in self.toy.guests:
                self.toy.edit_guest(key, **spec)
            else:
                self.toy.add_guest(name, **spec)
        for name, node in self.input["nodes"].items():
            if node.get("standby"):
                self.toy.touch_node(name, maintenance="standby")

    def _spec(self, name: str, raw: Case) -> dict[str, object]:
        meta = {**self.input.get("defaults", {}), **raw.get("meta", {})}
        threshold = int(meta.get("migration-threshold", FOREVER))
        gives_up = any(raw.get(deed, {}).get("on-fail") in {"block", "stop"} for deed in ("monitor", "stop"))
        scores = self._said_of(name).scores
        unfenced = self.input.get("props", {}).get("stonith-enabled") == "false"
        return {
            "template": self._template(name),
            "wanted": self._wanted(name, raw, meta),
            "max_restart": 0 if gives_up else threshold - 1,
            "max_relocate": 0 if gives_up else FOREVER,
            "stop_timeout_policy": StopTimeoutPolicy.WAIT if gives_up or unfenced else StopTimeoutPolicy.FENCE,
            "stop_timeout_s": 20.0,
            "priority": max(-1000, min(1000, int(meta.get("priority", 0)))),
            "failback": max(scores.values(), default=INFINITY) > score(meta.get("resource-stickiness", 0)),
            "start_after": tuple(
                self.keys[first]
                for kind, first, then, *how in self.input.get("rules", [])
                if kind == "order" and then == name and how[0] == "Mandatory"
            ),
        }

    def _template(self, name: str) -> Template:
        """Where nothing is allowed that is not named, nodes carry a label for each guest: a Pod's node selector."""
        needed = size(self.input["guests"][name].get("need"))
        if self.input.get("props", {}).get("symmetric-cluster") != "false":
            return Template("t1", size=needed)
        for node, points in self._said_of(name).scores.items():
            if points > -INFINITY:
                labels = self.toy.kube[NodeName(node)].labels
                self.toy.touch_kube(node, labels={**labels, f"may-run-{name}": "yes"})
        return Template("t1", node_selector=((f"may-run-{name}", "yes"),), size=needed)

    def _wanted(self, name: str, raw: Case, meta: Case) -> Wanted:
        props = self.input.get("props", {})
        alone = [self.input["nodes"][place].get("maintenance") for place in on(raw) if place in self.names]
        if meta.get("is-managed") == "false" or any(alone):
            return Wanted.IGNORED
        if props.get("stop-all-resources") == "true" or meta.get("target-role") == "Stopped":
            return Wanted.STOPPED
        return Wanted.STARTED

    def _rules(self) -> list[Rule]:
        made = []
        for name, key in self.keys.items():
            affinity = self._affinity(self._said_of(name))
            if affinity is not None:
                made.append(Rule(f"nodes-{name}", Guests((key,)), nodes=affinity))
        for at, (kind, *said) in enumerate(self.input.get("rules", [])):
            if kind == "colocation" and abs(score(said[2])) >= INFINITY:
                how = Affinity.TOGETHER if score(said[2]) > 0 else Affinity.APART
                pair = Guests((self.keys[said[0]], self.keys[said[1]]))
                made.append(Rule(f"pair-{at}", pair, peers=GuestAffinity(how)))
        return made

    def _said_of(self, guest: str) -> Rules:
        found = {
            node: score(points)
            for kind, one, node, points, *_ in self.input.get("rules", [])
            if kind == "location" and one == guest
        }
        banned = {node for node, points in found.items() if points <= -INFINITY}
        return Rules({node: points for node, points in found.items() if node not in banned}, frozenset(banned))

    def _affinity(self, said: Rules) -> NodeAffinity | None:
        """Scores become priorities by their order; a ban becomes a strict rule over all other nodes."""
        scores = dict(said.scores)
        if said.banned or min(scores.values(), default=0) < 0:
            scores = {node: scores.get(node, 0) for node in self.names if node not in said.banned}
        if not scores:
            return None
        steps = sorted(set(scores.values()))
        nodes = tuple(NodePriority(self.names[node], steps.index(points)) for node, points in scores.items())
        return NodeAffinity(nodes, strict=bool(said.banned))

    # -- what happens -----------------------------------------------------------------------------------------------

    def _lose(self) -> None:
        """Nodes fall away; then quorum is as the case has it, whatever our votes would say."""
        toy, live = self.toy, 0
        for name, node in self.input["nodes"].items():
            match node.get("state", "online"):
                case "lost" | "down":
                    toy.power_off(name)
                case "leaving":
                    toy.shut_down(name)
                case "online":
                    live += 1
        toy.run_until(lambda: toy.cluster.status.votes.live <= live, 30, "the lost ones no longer count")
        if not self.input.get("quorum", True):
            toy.expect_votes(len(self.names) * 3)
        elif live * 2 <= len(self.names):
            toy.expect_votes(live)

    def _round(self, failed: list[tuple[str, str, str]]) -> None:
        toy = self.toy
        for guest, _, _ in failed:
            if self.keys[guest] in toy.unstoppable:
                toy.delete_pod_by_hand(self.keys[guest])  # it is to be stopped and started, and does not stop
            else:
                toy.delete_process(self.keys[guest])
        for _ in range(round(REST_S * 2)):
            toy.step()
            self.fenced.update(
                name
                for name, view in toy.nodes.items()
                if (view.status.incident is not None and view.status.incident.evidence)
                or view.status.reset_request is not None
            )

    # -- the end ----------------------------------------------------------------------------------------------------

    def places(self) -> dict[str, str | None]:
        return {name: next(iter(self.toy.running(key)), None) for name, key in self.keys.items()}


def size(said: Case | None) -> Size:
    """What a node has or a guest needs: {cpu, memory}, cores and GiB."""
    given = said or {}
    return Size(1000 * int(given.get("cpu", 0)), int(given.get("memory", 0)) << 30)


def on(raw: Case) -> list[str]:
    """Where a guest runs at first."""
    found = raw.get("on") or []
    return [found] if isinstance(found, str) else list(found)


def score(said: object) -> int:
    """Points of a constraint, within ±INFINITY."""
    text = str(said)
    if text.lstrip("+-") == "INFINITY":
        return -INFINITY if text.startswith("-") else INFINITY
    return max(-INFINITY, min(INFINITY, int(text)))


def injected(words: list[str], flag: str) -> list[tuple[str, str, str]]:
    """(guest, deed, node) of every `FLAG guest_deed_interval@node=code`."""
    found = []
    for at, word in enumerate(words):
        if word == flag:
            operation, _, rest = words[at + 1].partition("@")
            name, _, _ = operation.rpartition("_")
            guest, _, deed = name.partition("_")
            found.append((guest, deed, rest.partition("=")[0]))
    return found


def compare(case: Case, ours: Play) -> list[Difference]:
    """Every difference, in words, and the deviation that it falls under by what is in the case."""
    rule, found = deviation(case), []
    fenced = {one["node"] for each in case["rounds"] for one in each["decisions"] if one["do"].startswith("Fence")}
    if fenced != ours.fenced:
        found.append(Difference(f"fenced: {sorted(fenced)} there, {sorted(ours.fenced)} here", rule))
    here, last = ours.places(), case["rounds"][-1]["final"]
    theirs = {name: place(words, here.get(name), case) for name, words in last.items()}
    differ = [name for name in sorted(theirs) if theirs[name] != here.get(name)]
    if differ and not tied(theirs, here, case):
        told = "; ".join(f"{name} on {theirs[name]} there, on {here.get(name)} here" for name in differ)
        found.append(Difference(told, rule))
    return found


def place(words: list[str] | None, here: str | None, case: Case) -> str | None:
    """Where a guest runs at the end, None if nowhere.

    One that is believed to be on a lost node does not run. Of one that failed or is blocked only this is said: it is
    started nowhere else, so it may be where it was or not run at all.
    """
    if not words or case["input"]["nodes"][words[0]].get("state") == "lost":
        return None
    if {"FAILED", "BLOCKED"} & set(words):
        return here if here == words[0] else None
    return words[0]


def tied(theirs: dict[str, str | None], here: dict[str, str | None], case: Case) -> bool:
    """As many guests move, none stays away, and every node holds as many: another choice among equals."""
    if {name for name, node in theirs.items() if node} != {name for name, node in here.items() if node}:
        return False
    nodes = case["input"]["nodes"]
    sizes = {name: json.dumps(raw.get("cap"), sort_keys=True) for name, raw in nodes.items()}
    asked = {one for _, *said in case["input"].get("rules", []) for one in said if one in nodes}
    if any(here[name] != theirs[name] and {here[name], theirs[name]} & asked for name in theirs):
        return False
    loads = [Counter((sizes[node], *sorted(peers(where, node))) for node in nodes) for where in (theirs, here)]
    return loads[0] == loads[1] or moves(theirs, case) == moves(here, case) == 1


def peers(where: dict[str, str | None], node: str) -> list[int]:
    return [sum(one == node for one in where.values())]


def moves(where: dict[str, str | None], case: Case) -> int:
    guests = case["input"]["guests"]
    return sum(node not in on(guests[name]) for name, node in where.items())


def sizes_differ(nodes: Case) -> bool:
    return len({json.dumps(raw.get("cap"), sort_keys=True) for raw in nodes.values()}) > 1


def deviation(case: Case) -> str:
    """The first deviation that what is in the case falls under, "" for none."""
    given = case["input"]
    props, nodes, guests = given.get("props", {}), given["nodes"], given["guests"]
    metas = [{**given.get("defaults", {}), **raw.get("meta", {})} for raw in guests.values()]
    kinds = {kind for kind, *_ in given.get("rules", [])}
    decisions = [one for each in case["rounds"] for one in each["decisions"]]
    lost = {name for name, raw in nodes.items() if raw.get("state") == "lost"}
    used = {place for raw in guests.values() for place in on(raw)}
    moved_about = any(one["do"] in {"move", "migrate"} and one["src"] not in lost for one in decisions)
    stopped_to_make_room = any(
        one["do"] == "stop" and on(guests[one["guest"]]) == [one["node"]] and one["node"] not in lost
        for one in decisions
    )
    found = {
        "never-found-twice": any(len(on(raw)) > 1 for raw in guests.values()),
        "proof-always": props.get("stonith-enabled") == "false" and bool(lost),
        "quorum-always": not given.get("quorum", True),
        "a-guest-costs-no-node": any("fence" in str(raw.get("monitor")) for raw in guests.values())
        or "ticket" in kinds,
        "nothing-to-fence": bool(lost - used),
        "drain-stops-nobody": any(raw.get("standby") for raw in nodes.values()),
        "spread-not-packed": props.get("placement-strategy") == "minimal",
        "spread-by-share": sizes_differ(nodes) and any(not on(raw) for raw in guests.values()),
        "no-move-without-room": any("need" in raw for raw in guests.values()) and "location" in kinds,
        "no-reshuffle": moved_about and any(score(meta.get("resource-stickiness", 0)) == 0 for meta in metas),
        "running-guests-stay": stopped_to_make_room,
    }
    return next((rule for rule, holds in found.items() if holds), "")
