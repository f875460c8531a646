"""The report as text, for people. What begins with "!" needs attention; a colour is always beside a word."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from quorate.core.timing import seconds
from quorate.core.types import GuestState, Instant
from quorate.view import words
from quorate.view.columns import Row, columns, hanging, side_by_side, width_of
from quorate.view.report import Attention, ClusterReport, GuestReport, Health, NodeReport, Report, StorageReport
from quorate.view.votes import drawing

SHOWN_GUESTS: Final = 10
"""So many guests are always shown; of more only those that need attention."""
LABEL: Final = 12
SAID_BY_READY: Final = frozenset({"Reconciling", "Stalled"})
COLOURS: Final = {
    "online": "green",
    "started": "green",
    "available": "green",
    "armed": "green",
    "quorate": "bold green",
    "not quorate": "bold red",
    "silent": "bold red",
    "fence": "bold red",
    "error": "bold red",
    "none": "red",
    "not accepted": "red",
    "missing": "red",
    "unknown": "yellow",
    "gone": "yellow",
    "queued": "yellow",
    "starting": "yellow",
    "relocate": "yellow",
    "recovery": "yellow",
    "request_stop": "yellow",
    "deleting": "yellow",
    "disarming": "yellow",
    "disarmed": "bold yellow",
}


@dataclass(frozen=True, slots=True)
class StatusView:
    """Draws a report. `verbose` adds why: votes, times, conditions; `everything` shows every guest and Storage."""

    report: Report
    verbose: bool = False
    everything: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        blocks = [list(block) for block in self._blocks(console)]
        for number, block in enumerate(block for block in blocks if block):
            if number:
                yield Text()
            yield from block

    def _blocks(self, console: Console) -> Iterator[Iterator[Text]]:
        report = self.report
        yield _attention(console, report.attention, report.now)
        for cluster in report.clusters:
            yield self._header(console, cluster)
            yield _attention(console, cluster.attention, report.now)
            if self.verbose:
                yield _reasons(console, cluster)
            yield self._nodes(console, cluster)
            yield self._guests(console, "HA RESOURCE", cluster.guests)
        if report.strays:
            yield self._guests(console, "HA RESOURCE WITHOUT A CLUSTER", report.strays)
        yield self._storages(console)
        for cluster in report.clusters:
            yield _capacity(console, cluster)

    def _header(self, console: Console, cluster: ClusterReport) -> Iterator[Text]:
        votes = cluster.votes
        word = "quorate" if cluster.quorate else "not quorate"
        name = Text(f"{cluster.name}  ").append_text(_coloured(word))
        counted = (
            f"{votes.live} of {votes.expected} votes, need {votes.needed}" if votes.total else "no votes counted yet"
        )
        name.append(f"  {counted}")
        left = [("Cluster", name), ("Manager", _manager(cluster, self.report.now)), ("Guests", _guest_count(cluster))]
        right = [("Fencing", _fencing(cluster)), ("Storage", _storage_count(self.report))]
        if cluster.rules:
            right.append(("Rules", Text(cluster.rules)))
        yield from _pairs(console, left, right)
        critical = any(line.health is Health.CRITICAL for line in cluster.attention)
        if cluster.sentence and (self.verbose or not critical):
            yield from hanging(console, _label("Now"), cluster.sentence)

    def _nodes(self, console: Console, cluster: ClusterReport) -> Iterator[Text]:
        if cluster.nodes:
            yield from _node_table(console, cluster, self.report.now, verbose=self.verbose)

    def _guests(self, console: Console, title: str, guests: tuple[GuestReport, ...]) -> Iterator[Text]:
        if not guests:
            return
        shown, count = self._shown(guests)
        yield Text(f"{title} ({count})", style="bold")
        if shown:
            headings = ("GUEST", "WANT", "STATE", "NODE", "-> NODE", "TRIES")
            yield from columns(console, headings, [_guest(guest, verbose=self.verbose) for guest in shown])

    def _shown(self, guests: tuple[GuestReport, ...]) -> tuple[tuple[GuestReport, ...], str]:
        """Those to show, and what the title says of the rest."""
        total = len(guests)
        concerns = tuple(guest for guest in guests if guest.health is not Health.HEALTHY)
        need = f"{len(concerns)} of {total} need attention" if concerns else f"{total}, all as wished"
        if self.everything or total <= SHOWN_GUESTS:
            return guests, need
        return concerns, f"{need}, -A shows all"

    def _storages(self, console: Console) -> Iterator[Text]:
        storages = self.report.storages
        if not (self.verbose or self.everything):
            storages = tuple(one for one in storages if one.health is not Health.HEALTHY)
        if storages:
            yield from columns(
                console, ("STORAGE", "TYPE", "SHARED", "NODES", "STATE"), [_storage(s) for s in storages]
            )


@dataclass(frozen=True, slots=True)
class NodesView:
    """Draws the members alone, Cluster after Cluster: their names and counts stand above them."""

    report: Report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.report.clusters:
            yield Text("there is no Cluster yet: quorate cluster create NAME")
        for number, cluster in enumerate(self.report.clusters):
            if number:
                yield Text()
            word, votes = "quorate" if cluster.quorate else "not quorate", cluster.votes
            head = Text(f"{cluster.name}  ").append_text(_coloured(word))
            yield (
                _label("Cluster")
                .append_text(head)
                .append(f"  {votes.live} of {votes.expected} votes, need {votes.needed}")
            )
            if cluster.nodes:
                yield from _node_table(console, cluster, self.report.now, verbose=True)
            else:
                yield Text("no node has joined yet")


def _node_table(console: Console, cluster: ClusterReport, now: Instant, *, verbose: bool) -> list[Text]:
    rows = [_node(node, now, verbose=verbose) for node in cluster.nodes]
    return columns(console, ("NODE", "STATE", "VOTES", "BEAT", "WATCHDOG", "GUESTS"), rows)


def _attention(console: Console, lines: tuple[Attention, ...], now: Instant) -> Iterator[Text]:
    for line in lines:
        style = "bold red" if line.health is Health.CRITICAL else "yellow"
        yield from hanging(console, Text.assemble(("! ", style)), attention_text(line, now))


def attention_text(line: Attention, now: Instant) -> str:
    """Object, finding, until when, what then; and what to do."""
    text = f"{line.object}: {line.finding}"
    if line.until is not None:
        text += f", {words.deadline(line.until, now)}"
    if line.then:
        text += f"; then {line.then}"
    return f"{text}. {line.remedy}" if line.remedy else text


def _reasons(console: Console, cluster: ClusterReport) -> Iterator[Text]:
    """Why it is so: the votes, the times, the conditions."""
    for number, line in enumerate(drawing(cluster).splitlines()):
        yield (_label("Votes" if number == 0 else "")).append(line)
    if cluster.timing is not None:
        timing = cluster.timing
        yield from hanging(
            console,
            _label("Timing"),
            f"{timing.profile} ({timing.why}): renewed every {seconds(timing.renew_every_s)}, time-out "
            f"{seconds(timing.timeout_s)}, watchdog {seconds(timing.watchdog_s)}; suspected after "
            f"{seconds(timing.suspect_after_s)}, released after {seconds(timing.release_after_s)}",
        )
    for number, condition in enumerate(one for one in cluster.conditions if one.type not in SAID_BY_READY):
        word = {"True": "yes", "False": "no"}.get(condition.status, "unknown")
        text = Text(f"{condition.type} {word} ({condition.reason}): {condition.message}")
        yield from hanging(console, _label("Conditions" if number == 0 else ""), text)


def _capacity(console: Console, cluster: ClusterReport) -> Iterator[Text]:
    if cluster.capacity and cluster.quorate:
        yield from hanging(console, Text("If one more node fails: "), cluster.capacity)


def _pairs(console: Console, left: list[tuple[str, Text]], right: list[tuple[str, Text]]) -> Iterator[Text]:
    ours = [_label(label).append_text(text) for label, text in left]
    theirs = [_label(label).append_text(text) for label, text in right]
    start = max(line.cell_len for line in ours) + 4
    if width_of(console) >= start + max(line.cell_len for line in theirs):
        yield from side_by_side(ours, theirs, start=start)
        return
    for label, text in (*left, *right):
        yield from hanging(console, _label(label), text)


def _manager(cluster: ClusterReport, now: Instant) -> Text:
    manager = cluster.manager
    seen = f", {words.since(manager.renewed, now)} ago" if manager.renewed is not None else ""
    if not manager.name:
        return Text("none yet")
    text = Text(f"{manager.name}, term {manager.term}{seen}")
    return text.append("  ").append_text(_coloured("silent")) if manager.silent else text


def _fencing(cluster: ClusterReport) -> Text:
    word, _, count = cluster.fencing.lower().partition(" ")
    text = _coloured(word or "-").append(f" {count}" if count else "")
    timing = cluster.timing
    if timing is not None:
        text.append(f" (watchdog {seconds(timing.watchdog_s)}, released after {seconds(timing.release_after_s)})")
    return text


def _guest_count(cluster: ClusterReport) -> Text:
    states = Counter(guest.state for guest in cluster.guests)
    if not states:
        return Text("none yet: quorate add NAME --image IMAGE")
    text = Text()
    for state in GuestState:
        if states[state]:
            text.append("  " if text else "").append(f"{states[state]} ").append_text(_coloured(words.state(state)))
    return text


def _storage_count(report: Report) -> Text:
    states = Counter(storage.state for storage in report.storages)
    if not states:
        return Text("none")
    return Text("  ").join(Text(f"{states[state]} ").append_text(_coloured(state.lower())) for state in sorted(states))


def _node(node: NodeReport, now: Instant, *, verbose: bool) -> Row:
    watchdog = _coloured(node.watchdog_text if verbose and node.watchdog != "not accepted" else node.watchdog)
    if node.release_by is not None:
        watchdog = Text.assemble((words.left(node.release_by, now), "bold"))
    return Row(
        cells=(
            Text(node.name),
            _coloured(words.state(node.state)),
            Text(str(node.votes)),
            Text("taken" if node.taken else words.since(node.renewed, now)),
            watchdog,
            Text(str(node.guests)),
        ),
        why=node.why,
        marked=node.health is not Health.HEALTHY,
    )


def _guest(guest: GuestReport, *, verbose: bool) -> Row:
    why, recovery = guest.why, guest.recovery
    if not why and verbose and recovery is not None and recovery.duration_s is not None:
        why = f"recovered from {recovery.node} in {seconds(recovery.duration_s)}"
    target = f"({guest.target})" if guest.preview and guest.target else guest.target
    return Row(
        cells=(
            Text(guest.guest),
            Text(words.state(guest.want)),
            _coloured(words.state(guest.state)),
            Text(guest.node or "-"),
            Text(target),
            Text(guest.tries),
        ),
        why=why,
        marked=guest.health is not Health.HEALTHY,
    )


def _storage(storage: StorageReport) -> Row:
    return Row(
        cells=(
            Text(storage.name),
            Text(storage.type),
            Text("yes" if storage.shared else "no"),
            Text(storage.nodes),
            _coloured(storage.state.lower()),
        ),
        why=storage.why,
        marked=storage.health is not Health.HEALTHY,
    )


def _label(word: str) -> Text:
    return Text.assemble((f"{word:<{LABEL}}", "bold"))


def _coloured(word: str, key: str = "") -> Text:
    return Text.assemble((word, COLOURS.get(key or word, "")))
