"""The rules of the Clusters as people wrote them, and what has become of each: `quorate rules`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from quorate.core.status import ClusterStatus
from quorate.view.columns import Row, columns
from quorate.view.snapshot import Raw, Snapshot, name_of, read_status, spec_of
from quorate.view.words import line as one_line


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule. `kind` is node-affinity or guest-affinity; `guests` its guests by name and `selector` those by label.

    `says`: what is wished of them. `state`: in use, ignored, disabled, or new (no manager has judged it yet); `why` says
    why it is ignored.
    """

    cluster: str
    rule: str
    kind: str
    says: str
    state: str
    guests: tuple[str, ...] = ()
    selector: str = ""
    why: str = ""
    comment: str = ""


def rules(snapshot: Snapshot) -> tuple[RuleReport, ...]:
    """Every rule of every Cluster in the snapshot, by name."""
    found = [one for raw in snapshot.clusters for one in _of_cluster(raw)]
    return tuple(sorted(found, key=lambda one: (one.cluster, one.rule)))


def _of_cluster(raw: Raw) -> Iterator[RuleReport]:
    status, _ = read_status(raw, ClusterStatus)
    ignored = {one.name: one for one in status.ignored_rules}
    judged = status.observed_generation == raw["metadata"].get("generation", 0)
    for rule in spec_of(raw).get("rules") or ():
        guests = rule.get("guests") or {}
        name = str(rule["name"])
        if rule.get("disabled"):
            state, why = "disabled", ""
        elif name in ignored:
            state, why = "ignored", ignored[name].message
        else:
            state, why = ("in use" if judged else "new"), ""
        yield RuleReport(
            cluster=name_of(raw),
            rule=name,
            kind="node-affinity" if "nodeAffinity" in rule else "guest-affinity",
            says=says(rule),
            state=state,
            guests=tuple(sid(str(one)) for one in guests.get("names") or ()),
            selector=_selector(guests.get("selector") or {}),
            why=why,
            comment=str(rule.get("comment", "")),
        )


def says(rule: Raw) -> str:
    """What a rule wishes, in words: "on n1 (2), n2 (1), nowhere else" or "apart, by zone"."""
    nodes = rule.get("nodeAffinity")
    if nodes:
        named = (f"{one['name']} ({one['priority']})" if one.get("priority") else one["name"] for one in nodes["nodes"])
        return f"on {', '.join(named)}" + (", nowhere else" if nodes.get("strict") else " if possible")
    peers = rule.get("guestAffinity") or {}
    return str(peers.get("affinity", "")).lower() + (", by zone" if peers.get("topology") == "Zone" else "")


def sid(name: str) -> str:
    return name if ":" in name else f"ct:{name}"


def _selector(raw: Raw) -> str:
    exact = [f"{key}={value}" for key, value in sorted((raw.get("matchLabels") or {}).items())]
    more = [
        f"{one['key']} {one['operator']} ({', '.join(one.get('values') or ())})"
        for one in raw.get("matchExpressions") or ()
    ]
    return ", ".join([*exact, *more])


def pve(found: Iterable[RuleReport], raws: Iterable[Raw]) -> list[str]:
    """The lines of Proxmox VE's `rules.cfg`. What it has no word for (labels, zones) stands in a comment."""
    wishes = {(name_of(raw), str(rule["name"])): rule for raw in raws for rule in spec_of(raw).get("rules") or ()}
    lines: list[str] = []
    for one in found:
        rule = wishes[one.cluster, one.rule]
        nodes, peers = rule.get("nodeAffinity"), rule.get("guestAffinity") or {}
        said = {"resources": ",".join(one.guests)}
        if nodes:
            priority = ((node["name"], node.get("priority")) for node in nodes["nodes"])
            said["nodes"] = ",".join(f"{name}:{value}" if value else name for name, value in priority)
            said["strict"] = "1" if nodes.get("strict") else ""
        else:
            said["affinity"] = "positive" if peers.get("affinity") == "Together" else "negative"
        beyond = [f"guests: {one.selector}"] if one.selector else []
        beyond += ["by zone"] if peers.get("topology") == "Zone" else []
        said["disable"] = "1" if one.state == "disabled" else ""
        said["comment"] = one_line("; ".join(filter(None, (one.comment, *beyond))))
        kind = "node-affinity" if nodes else "resource-affinity"
        fields = (f"\t{key} {value}" for key, value in said.items() if value)
        lines += [*([""] if lines else []), f"{kind}: {one.rule}", *fields]
    return lines


@dataclass(frozen=True, slots=True)
class RulesView:
    """Draws them as a table."""

    rules: tuple[RuleReport, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.rules:
            yield Text("there are no rules: quorate rules add NAME --guests GUEST,GUEST --apart")
            return
        yield from columns(console, ("RULE", "GUESTS", "RUN", "STATE", "CLUSTER"), [_row(one) for one in self.rules])


def _row(one: RuleReport) -> Row:
    guests = ", ".join([*one.guests, *([f"[{one.selector}]"] if one.selector else [])]) or "-"
    cells = (one.rule, guests, one.says, one.state, one.cluster)
    return Row(tuple(Text(cell) for cell in cells), one.why or one.comment, marked=one.state == "ignored")
