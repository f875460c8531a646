"""Pictures and looks as HTML. What others wrote is escaped, and what cannot be seen in it is shown as what it is.

A panel is drawn once for each look at each picture, for however many people look at it like that.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from quorate import __version__
from quorate.core.timing import seconds
from quorate.core.types import GuestState, Instant, NodeState, Wanted
from quorate.dashboard.look import ATTENTION, Look, page_of
from quorate.dashboard.picture import Picture
from quorate.dashboard.rights import Rights
from quorate.dashboard.timeline import WIDTH, draw, longest
from quorate.view import words
from quorate.view.history import when
from quorate.view.report import Attention, ClusterReport, GuestReport, Health, NodeReport, StorageReport
from quorate.view.table import attention_text

NAMES: Final = (
    "head",
    "notice",
    "tree",
    "summary",
    "alerts",
    "nodes",
    "guests",
    "storages",
    "recoveries",
    "rules",
    "log",
)
"""Every panel, in the order in which the page has them."""
KEPT: Final = 400
IN_TREE: Final = 25
"""So many guests below a node of the tree; the others are a look at that node away."""
SMALL: Final = 60
"""With so few guests the tree shows them all at first."""
IN_FLIGHT: Final = frozenset({"Starting", "RequestStop", "Migrate", "Relocate", "Fence", "Recovery"})
"""States of guests in which something goes on."""
TASKS: Final = 12
GOOD: Final = frozenset({"online", "started", "available", "armed", "quorate", "healthy", "in use", "ok"})
BAD: Final = frozenset(
    {"fence", "error", "none", "not accepted", "missing", "not quorate", "silent", "critical", "unavailable"}
)
IDLE: Final = frozenset({"stopped", "disabled", "ignored", "-", "maintenance", "freeze", "standby"})


def tone(word: str) -> str:
    """The colour of a word that stands beside it: good, bad, idle, or warn."""
    lower = word.lower()
    return "good" if lower in GOOD else "bad" if lower in BAD else "idle" if lower in IDLE else "warn"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a panel is drawn from."""

    picture: Picture
    look: Look
    rights: Rights
    switches: tuple[dict[str, Any], ...] = ()
    lab: str = ""

    @property
    def cluster(self) -> ClusterReport | None:
        return self.picture.cluster(self.look.cluster)

    @property
    def now(self) -> Instant:
        return self.picture.report.now


class Panels:
    """The templates, and what was drawn lately."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("quorate.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_shown,
        )
        self._environment.filters |= {"state": words.state, "line": words.line, "seconds": seconds, "when": when}
        self._environment.globals |= {
            "tone": tone,
            "moment": moment,
            "left": until,
            "version": __version__,
            "plural": words.plural,
            "Health": Health,
        }
        self._drawn: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self.rendered = 0

    def draw(self, name: str, seen: Seen) -> str:
        """One panel as HTML."""
        key = (name, seen.picture.version, seen.look, seen.rights)
        known = self._drawn.get(key)
        if known is None:
            known = self._drawn[key] = self.render(f"panels/{name}.html", seen=seen, **CONTENTS[name](seen))
            self.rendered += 1
            while len(self._drawn) > KEPT:
                self._drawn.popitem(last=False)
        return known

    def all(self, seen: Seen) -> dict[str, Markup]:
        """Every panel, ready to be put into a page."""
        return {name: Markup(self.draw(name, seen)) for name in NAMES}  # noqa: S704 - our own templates, which escape

    def render(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(**values)


def _shown(value: object) -> object:
    """What is written by others cannot hide anything: control characters and turned writing are shown as what they are."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return words.visible(value)
    return "" if value is None else value


def moment(at: Instant | None) -> Markup:
    """An age that goes on by itself in the browser."""
    if at is None:
        return Markup('<span class="muted">-</span>')
    iso = when(at).replace(" ", "T") + "Z"
    return Markup('<time datetime="{}" data-age="{}" title="{} UTC">{}</time>').format(
        iso, int(at), when(at), words.clock(at)
    )


def until(at: Instant) -> Markup:
    """A countdown that goes on by itself in the browser."""
    iso = when(at).replace(" ", "T") + "Z"
    return Markup('<time datetime="{}" data-until="{}" title="{} UTC">{}</time>').format(
        iso, int(at), when(at), words.clock(at)
    )


def _head(seen: Seen) -> dict[str, Any]:
    return {"cluster": seen.cluster, "clusters": seen.picture.report.clusters}


def _notice(seen: Seen) -> dict[str, Any]:
    return {"problem": seen.picture.problem, "heard": seen.picture.heard, "ready": seen.picture.version > 0}


def _summary(seen: Seen) -> dict[str, Any]:
    cluster = seen.cluster
    report = seen.picture.report
    if cluster is None:
        return {"cluster": None}
    guests = Counter(words.state(one.state) for one in cluster.guests)
    uses = [seen.picture.uses[one.name] for one in cluster.nodes if one.name in seen.picture.uses]
    storages = Counter(one.state.lower() for one in report.storages)
    return {
        "cluster": cluster,
        "nodes": Counter(words.state(one.state) for one in cluster.nodes),
        "guests": guests,
        "attention": sum(one.health is not Health.HEALTHY for one in cluster.guests),
        "storages": storages,
        "cpu": _mean([one.cpu for one in uses]),
        "memory": _mean([one.memory for one in uses]),
        "losses": losses(cluster),
        "rules": Counter(one.state for one in seen.picture.rules if one.cluster == cluster.name),
    }


def _mean(values: Sequence[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return round(sum(known) / len(known)) if known else None


def losses(cluster: ClusterReport) -> list[tuple[str, str, bool]]:
    """What the manager says of the loss of each node: its name ("" for several), the words, and whether that is well."""
    names = {one.name for one in cluster.nodes}
    found = []
    for part in filter(None, cluster.capacity.split(", ")):
        name, _, said = part.partition(" ")
        fine = part.endswith(" ok") and "NOT" not in part
        found.append((name, said, fine) if name in names else ("", part, fine))
    return found


def _alerts(seen: Seen) -> dict[str, Any]:
    report, cluster = seen.picture.report, seen.cluster
    lines = [*(cluster.attention if cluster is not None else ()), *report.attention]
    return {"lines": [_alert(line, seen.now) for line in lines], "sentence": cluster.sentence if cluster else ""}


def _alert(line: Attention, now: Instant) -> dict[str, Any]:
    level = {Health.CRITICAL: "bad", Health.DEGRADED: "warn", Health.HEALTHY: "note"}[line.health]
    node = line.object.removeprefix("Node ") if line.object.startswith("Node ") else ""
    return {"line": line, "level": level, "node": node, "text": attention_text(line, now)}


def _tree(seen: Seen) -> dict[str, Any]:
    cluster, look = seen.cluster, seen.look
    if cluster is None:
        return {"cluster": None, "branches": [], "loose": [], "storages": seen.picture.report.storages}
    below: dict[str, list[GuestReport]] = {}
    small = len(cluster.guests) <= SMALL
    counts: Counter[str] = Counter()
    names = {one.name for one in cluster.nodes}
    for guest in cluster.guests:
        counts[guest.node] += 1
        if small or guest.node in look.open:
            below.setdefault(guest.node, []).append(guest)
    branches = []
    for node in cluster.nodes:
        opened = (node.name in look.open) != small
        mine = sorted(below.get(node.name, ()), key=lambda one: one.guest) if opened else []
        more = max(0, counts[node.name] - IN_TREE)
        branches.append(
            {"node": node, "count": counts[node.name], "open": opened, "guests": mine[:IN_TREE], "more": more}
        )
    loose = [one for one in cluster.guests if one.node not in names][:IN_TREE]
    return {"cluster": cluster, "branches": branches, "loose": loose, "storages": seen.picture.report.storages}


def _nodes(seen: Seen) -> dict[str, Any]:
    cluster = seen.cluster
    switches = {one["name"]: one for one in seen.switches if seen.rights.nodes}
    rows = [_node(one, seen, switches.get(one.name)) for one in (cluster.nodes if cluster is not None else ())]
    waiting = [
        one for name, one in switches.items() if cluster is None or name not in {row["node"].name for row in rows}
    ]
    return {"rows": rows, "waiting": waiting, "lab": bool(switches), "cluster": cluster}


def _node(node: NodeReport, seen: Seen, switch: Mapping[str, Any] | None) -> dict[str, Any]:
    rights = seen.rights
    use = seen.picture.uses.get(node.name)
    maintained = node.state == NodeState.MAINTENANCE or node.why.startswith(("in maintenance", "draining"))
    return {
        "node": node,
        "use": use,
        "switch": switch,
        "maintained": maintained,
        "may_maintain": rights.nodes and (maintained or not node.incident),
        "may_confirm": rights.fence and bool(node.incident) and not node.taken,
        "may_release": rights.fence and bool(node.incident) and node.taken and not node.guests,
    }


def _guests(seen: Seen) -> dict[str, Any]:
    cluster, report = seen.cluster, seen.picture.report
    every = (*(cluster.guests if cluster is not None else ()), *report.strays)
    page = page_of(every, seen.look)
    return {"page": page, "rows": [_guest(one, seen) for one in page.rows], "attention": ATTENTION}


def _guest(one: GuestReport, seen: Seen) -> dict[str, Any]:
    kind, _, place = one.guest.partition(":")
    namespace = place.partition("/")[0]
    command, change = seen.rights.may_command(namespace), seen.rights.may_change(namespace)
    ours = kind != "wl"
    stopped = one.want in {Wanted.STOPPED, Wanted.DISABLED, Wanted.IGNORED}
    return {
        "guest": one,
        "comment": seen.picture.comments.get(one.guest, ""),
        "may_move": command and ours and one.state == GuestState.STARTED,
        "may_reset": command and ours and one.state == GuestState.ERROR,
        "may_start": change and stopped,
        "may_stop": change and one.want == Wanted.STARTED,
    }


def _storages(seen: Seen) -> dict[str, Any]:
    cluster, report = seen.cluster, seen.picture.report
    nodes = [one.name for one in cluster.nodes] if cluster is not None else []
    rows = [
        {"storage": one, "cells": [_reach(one, node, seen.picture.places.get(one.name)) for node in nodes]}
        for one in report.storages
    ]
    return {"rows": rows, "nodes": nodes}


def _reach(storage: StorageReport, node: str, places: frozenset[str] | None) -> dict[str, str]:
    """Does the node reach it, as far as is said: yes, no with the reason, or not meant for it."""
    away = next((one for one in storage.unreached if one.node == node), None)
    if places is not None and node not in places:
        return {"node": node, "word": "-", "why": "it is not for this node", "tone": "idle"}
    if away is not None:
        return {"node": node, "word": "no", "why": away.why, "tone": "bad"}
    if storage.type == "NFS":
        return {"node": node, "word": "yes", "why": "its agent reaches it", "tone": "good"}
    return {"node": node, "word": "yes", "why": "Kubernetes attaches it where it is used", "tone": "good"}


def _recoveries(seen: Seen) -> dict[str, Any]:
    told = seen.picture.recoveries
    most = longest([one.timeline for one in told])
    rows = [{"one": one, "drawing": draw(one.timeline, most)} for one in told]
    return {"rows": rows, "width": WIDTH, "scale": rows[0]["drawing"] if rows else None}


def _rules(seen: Seen) -> dict[str, Any]:
    name = seen.cluster.name if seen.cluster is not None else ""
    return {"rows": [one for one in seen.picture.rules if one.cluster == name]}


def _log(seen: Seen) -> dict[str, Any]:
    cluster = seen.cluster
    guests = [one for one in (cluster.guests if cluster is not None else ()) if one.state in IN_FLIGHT]
    nodes = [one for one in (cluster.nodes if cluster is not None else ()) if one.incident and not one.taken]
    return {
        "nodes": nodes,
        "tasks": guests[:TASKS],
        "more": max(0, len(guests) - TASKS),
        "entries": seen.picture.log[:60],
    }


CONTENTS: Final = {
    "head": _head,
    "notice": _notice,
    "tree": _tree,
    "summary": _summary,
    "alerts": _alerts,
    "nodes": _nodes,
    "guests": _guests,
    "storages": _storages,
    "recoveries": _recoveries,
    "rules": _rules,
    "log": _log,
}
