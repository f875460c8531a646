"""Timelines of votes, answered by corosync's votequorum, replayed on `core/quorum.py`.

Compared is what every node says after every step: whether it is quorate, its own total, the votes that it sees, and how
many it needs. A step that differed between runs of the peer itself (`repeatable` false) is played and not compared.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quorate.core.quorum_options import QuorumDevice, QuorumOptions, contradictions, in_force
from quorate.core.types import NodeName
from tests.peers._votequorum import Peer
from tests.peers.outcome import Difference, Outcome, listed

Raw = Mapping[str, Any]
OK = "ok"
LARGEST_ID = 9999


def run(path: Path, verbose: bool = False) -> Outcome:
    """Play every timeline of the file on our count and compare. Raises OSError, ValueError or KeyError."""
    outcome, checked = Outcome(listed=listed("quorum")), 0
    for case in json.loads(path.read_text())["cases"]:
        differences, facts = play(case)
        checked += facts
        outcome.settle(case["id"], differences)
    if verbose:
        print(f"{checked} facts compared")
    return outcome


def play(case: Raw) -> tuple[list[Difference], int]:
    """One timeline: what differs, and how many facts were compared.

    Where ours agrees only if a new ring speaks in another order, the peer's answer is a matter of that.
    """
    lines, checked = _play(case, _as_joined)
    rule = MESSAGE_ORDER if lines and any(not _play(case, order)[0] for order in OTHER_ORDERS) else ""
    return [Difference(line, rule) for line in lines], checked


Order = Callable[[Sequence[NodeName]], Sequence[NodeName]]
MESSAGE_ORDER = "message-order"


def _as_joined(ring: Sequence[NodeName]) -> Sequence[NodeName]:
    return ring


def _backwards(ring: Sequence[NodeName]) -> Sequence[NodeName]:
    return list(reversed(ring))


def _by_name_backwards(ring: Sequence[NodeName]) -> Sequence[NodeName]:
    return sorted(ring, reverse=True)


OTHER_ORDERS: Sequence[Order] = (sorted, _by_name_backwards, _backwards)


def _play(case: Raw, order: Order) -> tuple[list[str], int]:
    cluster = Rings.of(case["config"], order)
    if "config_error" in case:
        refused = contradictions(cluster.options)
        found = [] if refused else [f"the peer refuses this configuration, ours does not: {case['config_error']}"]
        return found, 1
    differences: list[str] = []
    checked = 0
    for number, step in enumerate(case["steps"]):
        result = cluster.apply(step["event"], case.get("start", ""))
        if not step["repeatable"]:
            continue
        lines, facts = compare(cluster, step, result)
        checked += facts
        differences += [f"step {number} {step['event']['type']}: {line}" for line in lines]
    return differences, checked


def compare(cluster: "Rings", step: Raw, result: bool) -> tuple[list[str], int]:
    """What differs after one step, and how many facts were compared."""
    found = []
    if (step["result"] == OK) != result:
        found.append(f"the peer says {step['result']!r}, ours {'ok' if result else 'rejected'}")
    running = {cluster.number(name): peer for name, peer in cluster.peers.items()}
    said = {int(number): node for number, node in step["nodes"].items()}
    if set(running) != set(said):
        found.append(f"the peer has nodes {sorted(said)}, ours {sorted(running)}")
    for number in sorted(set(running) & set(said)):
        peer, theirs = running[number], said[number]
        pairs = {
            "quorate": (theirs["quorate"], peer.quorate),
            "total_votes": (theirs["total_votes"], peer.live),
            "expected_votes": (theirs["expected_votes"], peer.memory.expected),
            "quorum": (theirs["quorum"], peer.needed),
        }
        found += [f"node {number} {word}: peer {a}, ours {b}" for word, (a, b) in pairs.items() if a != b]
    return found, 1 + 4 * len(said)


@dataclass(slots=True)
class Rings:
    """The nodes that run, and which of them see each other: partition -> nodes."""

    options: QuorumOptions
    configured: Mapping[int, int]
    expected: int | None
    highest: bool
    order: Order
    peers: dict[NodeName, Peer] = field(default_factory=dict)
    rings: dict[int, list[NodeName]] = field(default_factory=dict)
    boots: int = 0

    @classmethod
    def of(cls, config: Raw, order: Order) -> "Rings":
        breaker = str(config.get("auto_tie_breaker_node", "lowest"))
        highest = breaker == "highest"
        named = [] if breaker in {"lowest", "highest"} else [int(part) for part in breaker.split()]
        device = config.get("qdevice")
        wait = config.get("wait_for_all")
        window_ms = config.get("last_man_standing_window", 10_000)
        options = QuorumOptions(
            wait_for_all=None if wait is None else bool(wait),
            auto_tie_breaker=bool(config.get("auto_tie_breaker")),
            tie_breakers=tuple(_name(number, highest=False) for number in named),
            last_man_standing_s=window_ms / 1000 if config.get("last_man_standing") else None,
            two_node=bool(config.get("two_node")),
            device=QuorumDevice("device", device.get("votes")) if device is not None else None,
        )
        nodes = {int(number): int(votes) for number, votes in config["nodes"].items()}
        return cls(options, nodes, config.get("expected_votes"), highest, order)

    def name(self, number: int) -> NodeName:
        return _name(number, highest=self.highest)

    def number(self, name: NodeName) -> int:
        return LARGEST_ID - int(name) if self.highest else int(name)

    # -- events

    def apply(self, event: Raw, start: str) -> bool:
        """Play one event. False: the command was refused. Raises ValueError for an event that is none."""
        kind = event["type"]
        if kind == "initial":
            if start != "no node up":
                self._boot(self.configured, 0)
            return True
        handlers: dict[str, Callable[[Raw], bool | None]] = {
            "up": self._up,
            "down": self._down,
            "split": self._split,
            "join": self._join,
            "expected": self._expected,
            "votes": self._votes,
            "cancel_wait_for_all": self._cancel,
            "wait_lms_window": self._window,
            "qdevice": self._device,
        }
        if kind not in handlers:
            raise ValueError(f"event {kind!r} is not known; known are initial, {', '.join(handlers)}")
        return handlers[kind](event) is not False

    def _up(self, event: Raw) -> None:
        for number in event["nodes"]:
            self._boot([number], event["partition"])

    def _boot(self, numbers: Iterable[int], partition: int, *, greet: bool = True) -> None:
        configured = [(self.name(number), votes) for number, votes in sorted(self.configured.items())]
        options = in_force(self.options, configured).options
        device_votes = (options.device.votes or 0) if options.device is not None else 0
        total = sum(votes for _, votes in configured)
        if self.options.device is not None and self.options.device.votes is None:
            total += device_votes
        for number in numbers:
            self.boots += 1
            # A node that is in nobody's list has the votes of the first (corosync-vqsim).
            votes = self.configured.get(number, next(iter(self.configured.values())))
            peer = Peer(
                self.name(number), str(self.boots), votes, self.expected or total, options, device_votes, configured
            )
            self.peers[peer.name] = peer
            ring = self.rings.setdefault(partition, [])
            ring.append(peer.name)
            hello = peer.says()
            for name in ring if greet else ():
                self.peers[name].hears(hello)
        self._meet()

    def _down(self, event: Raw) -> None:
        gone = {self.name(number) for number in event["nodes"]}
        for name in gone:
            del self.peers[name]
            self._leave(name)
        self._meet()

    def _split(self, event: Raw) -> None:
        """Who is already in that partition keeps its place in the order of speaking, others come after."""
        for number, group in enumerate(event["groups"]):
            for name in map(self.name, group):
                if name not in self.rings.get(number, []):
                    self._leave(name)
                    self.rings.setdefault(number, []).append(name)
        self._meet()

    def _leave(self, name: NodeName) -> None:
        self.rings = {number: [one for one in ring if one != name] for number, ring in self.rings.items()}

    def _join(self, event: Raw) -> None:
        first, *others = event["partitions"]
        for number in others:
            self.rings[first] = [*self.rings.pop(number, []), *self.rings.get(first, [])]
        self._meet()

    def _expected(self, event: Raw) -> bool:
        if not self.peers[self.name(event["on"])].accepts_expected(event["value"]):
            return False
        for peer in self._ring_of(event["on"]):
            peer.told_expected(event["value"])
        return True

    def _votes(self, event: Raw) -> None:
        for peer in self._ring_of(event["on"]):
            peer.told_votes(self.name(event["node"]), event["value"])

    def _cancel(self, event: Raw) -> None:
        for peer in self._ring_of(event["on"]):
            peer.told_not_to_wait()

    def _window(self, event: Raw) -> None:
        for peer in self.peers.values():
            peer.window_passes()

    def _device(self, event: Raw) -> None:
        for number in event["nodes"]:
            peer = self.peers[self.name(number)]
            peer.flags = replace(peer.flags, device=event["on"])
            info = peer.says()
            for other in self._ring_of(number):
                other.hears(info)

    def _ring_of(self, number: int) -> Sequence[Peer]:
        ring = next(ring for ring in self.rings.values() if self.name(number) in ring)
        return [self.peers[name] for name in sorted(ring)]

    def _meet(self) -> None:
        """Every ring anew: each node says what it was, counts what is left, and hears all of its ring."""
        for ring in filter(None, self.rings.values()):
            peers = [self.peers[name] for name in self.order(ring)]
            for peer in peers:
                peer.enter(ring)
            said = [peer.says() for peer in peers]
            for peer in peers:
                peer.count()
            for info in said:
                for peer in peers:
                    peer.hears(info)


def _name(number: int, *, highest: bool) -> NodeName:
    """The name of a node: the lowest name breaks ties with us, so where the highest number does, names run backwards."""
    return NodeName(f"{LARGEST_ID - number if highest else number:04}")
