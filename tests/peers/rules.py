"""Sets of affinity rules as Proxmox VE HA judged them: which are dropped and why, and what the others mean.

A file of this form is a list of {name, nodes, rules: {id: {type, resources, nodes | affinity, strict, disable}}, dropped:
{id: [reason]}, effective: {node_priority, together, apart}}.
"""

import json
from pathlib import Path
from typing import Any

from quorate.core.contradictions import Fault
from quorate.core.rulebook import Rulebook, compile_rules
from quorate.core.rules import LAST, Affinity, GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.types import GuestKey, NodeName
from tests.peers.outcome import Difference, Outcome, listed

REASONS = {
    "resource-in-several-node-rules": Fault.SEVERAL_NODE_RULES,
    "fewer-than-two-resources": Fault.TOO_FEW_GUESTS,
    "apart-rule-larger-than-cluster": Fault.MORE_APART_THAN_PLACES,
    "together-and-apart-share-two": Fault.TOGETHER_AND_APART,
    "node-rule-priorities-with-resource-rule": Fault.SEVERAL_PRIORITIES,
    "together-rule-spans-several-node-rules": Fault.TOGETHER_UNDER_SEVERAL,
    "apart-rule-restricted-to-too-few-nodes": Fault.TOO_FEW_NODES,
}
Case = dict[str, Any]
Json = dict[str, Any]


def run(path: Path, verbose: bool = False) -> Outcome:
    """Judge every set of the file with our rulebook and compare. Raises OSError, ValueError or KeyError."""
    outcome = Outcome(listed=listed("rules"))
    for case in json.loads(path.read_text()):
        book = compiled(case)
        differences = compare(case, book)
        if verbose:
            for one in book.ignored:
                print(f"{case['name']}: {one.fault}: {one.text}")
        outcome.settle(case["name"], differences)
    return outcome


def compiled(case: Case) -> Rulebook:
    rules = tuple(_rule(name, raw) for name, raw in case["rules"].items())
    guests = {guest: {} for rule in rules for guest in rule.guests.names}
    return compile_rules(rules, guests, {NodeName(name): "" for name in case["nodes"]})


def compare(case: Case, book: Rulebook) -> list[Difference]:
    """Every difference, in words, and the deviation that it falls under by what is in the case."""
    ours, found = dropped(book), []
    for name in sorted({*ours, *case["dropped"]}):
        theirs = {REASONS[reason] for reason in case["dropped"].get(name, ())}
        here = ours.get(name, set())
        if bool(theirs) != bool(here) or not theirs <= here:
            text = f"rule {name}: ignored there for {sorted(theirs) or 'nothing'}, here for {sorted(here) or 'nothing'}"
            found.append(Difference(text, _about_dropping(case, name, theirs, here)))
    effect = effective(book, case["nodes"])
    consequence = next((one.rule for one in found), "together-joined-in-full" if _joined_in_part(case) else "")
    for what, expected in case["effective"].items():
        said = {guest: sorted(one) if isinstance(one, list) else one for guest, one in expected.items()}
        if said != effect[what]:
            found.append(Difference(f"{what}: {said} there, {effect[what]} here", consequence))
    return found


def _about_dropping(case: Case, name: str, theirs: set[Fault], here: set[Fault]) -> str:
    soft = {one for one, raw in case["rules"].items() if raw["type"] == "node-affinity" and not raw.get("strict")}
    if theirs == {Fault.TOO_FEW_NODES} and not here and soft.intersection(case["dropped"]):
        return "soft-node-rule-restricts-nobody"
    beyond = {Fault.MORE_APART_THAN_PLACES, Fault.TOO_FEW_NODES, Fault.TOGETHER_AND_APART}
    return "infeasible-sets-found" if not theirs and here <= beyond else ""


def _joined_in_part(case: Case) -> bool:
    """Is somebody there together with one who is together with others?"""
    sets = {guest: {guest, *peers} for guest, peers in case["effective"]["together"].items()}
    return any(sets.get(peer) != members for guest, members in sets.items() for peer in members)


def dropped(book: Rulebook) -> dict[str, set[Fault]]:
    found: dict[str, set[Fault]] = {}
    for one in book.ignored:
        for name in one.rules:
            found.setdefault(name, set()).add(one.fault)
    return found


def effective(book: Rulebook, nodes: list[str]) -> dict[str, Json]:
    """Our terms in the words of the file."""
    found: dict[str, Json] = {"node_priority": {}, "together": {}, "apart": {}}
    for guest, terms in book.terms.items():
        if terms.nodes is not None:
            others = {} if terms.strict else dict.fromkeys(nodes, LAST)
            found["node_priority"][_sid(guest)] = {**others, **terms.nodes}
        for what, peers in (("together", terms.together), ("apart", terms.apart)):
            if peers:
                found[what][_sid(guest)] = sorted(map(_sid, peers))
    return found


def _rule(name: str, raw: Json) -> Rule:
    guests = Guests(tuple(map(_key, raw["resources"])))
    disabled = bool(raw.get("disable"))
    if raw["type"] == "node-affinity":
        nodes = tuple(NodePriority(NodeName(node), priority) for node, priority in raw["nodes"].items())
        return Rule(name, guests, nodes=NodeAffinity(nodes, bool(raw.get("strict"))), disabled=disabled)
    affinity = {"positive": Affinity.TOGETHER, "negative": Affinity.APART}[raw["affinity"]]
    return Rule(name, guests, peers=GuestAffinity(affinity), disabled=disabled)


def _key(sid: str) -> GuestKey:
    kind, _, name = sid.partition(":")
    return GuestKey(kind, name)


def _sid(guest: GuestKey) -> str:
    return f"{guest.namespace}:{guest.name}"
