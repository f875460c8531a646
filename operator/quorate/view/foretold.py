"""What would be if nodes were lost, and why a guest is where it is, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from quorate.core.capacity import Loss, Move
from quorate.core.explain import Explanation, Verdict
from quorate.core.types import Instant
from quorate.core.world import GuestView, NodeView
from quorate.view import words
from quorate.view.columns import Row, columns, hanging

UNNAMED = "-"


@dataclass(frozen=True, slots=True)
class LossesView:
    """One line for each loss: the table of N-1."""

    losses: Sequence[Loss]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [_loss(loss) for loss in self.losses]
        yield from columns(console, ("IF LOST", "VERDICT", "GUESTS", "WITHOUT A NODE"), rows)


def _loss(loss: Loss) -> Row:
    said = [loss.quorum] if loss.quorum else [f"{move.guest.sid}: {move.reason}" for move in loss.unplaced]
    cells = (", ".join(loss.nodes), verdict(loss), str(len(loss.moves)), str(len(loss.unplaced)))
    return Row(tuple(Text(cell) for cell in cells), why="; ".join(said), marked=not loss.survived)


def verdict(loss: Loss) -> str:
    if loss.survived:
        return "ok"
    return "no quorum" if loss.quorum else "NOT ok"


@dataclass(frozen=True, slots=True)
class LossView:
    """Guest by guest: from where, and to where."""

    loss: Loss

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(sentence(self.loss))
        if self.loss.moves:
            yield Text()
            rows = [_move(move, preview=bool(self.loss.quorum)) for move in self.loss.moves]
            yield from columns(console, ("GUEST", "FROM", "TO"), rows)


def sentence(loss: Loss) -> str:
    """What the loss would mean, in one sentence."""
    lost = f"if {' and '.join(loss.nodes)} {'is' if len(loss.nodes) == 1 else 'are'} lost"
    count = len(loss.moves) - len(loss.unplaced)
    if loss.quorum:
        return (
            f"{lost}: no quorum ({loss.quorum}): nothing is recovered until nodes are back, or expected says otherwise"
        )
    if not loss.moves:
        return f"{lost}: no guest is concerned"
    recovered = f"{words.plural(count, 'guest')} {'recovers' if count == 1 else 'recover'} elsewhere"
    if not loss.unplaced:
        return f"{lost}: {recovered}"
    return f"{lost}: {recovered}, {words.plural(len(loss.unplaced), 'guest')} would have no node"


def _move(move: Move, *, preview: bool) -> Row:
    """In parentheses: where it would go, once there is quorum again."""
    to = f"({move.node})" if preview and move.node else move.node or UNNAMED
    cells = (move.guest.sid, move.source, to)
    return Row(tuple(Text(cell) for cell in cells), why=move.reason, marked=move.node is None)


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """What it does, what it waits for, and what is to be said of each node."""

    found: Explanation
    now: Instant

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        found, status = self.found, self.found.status
        yield from hanging(
            console, Text(f"{found.guest.sid}  "), f"{words.state(status.state)}: {status.message or UNNAMED}"
        )
        if found.until is not None:
            yield Text(f"This ends {words.deadline(found.until, self.now)}.")
        yield Text(_best(found))
        yield Text()
        yield from columns(console, ("NODE", "CAN START IT"), [self._verdict(one) for one in found.verdicts])

    def _verdict(self, one: Verdict) -> Row:
        best = one.node == self.found.best
        can = "no" if one.refusal else "yes, best" if best else "yes"
        said = [*(["it is here"] if one.here else []), *([one.refusal] if one.refusal else []), *one.merits]
        return Row((Text(one.node), Text(can)), why="; ".join(said))


def _best(found: Explanation) -> str:
    here = next((one.node for one in found.verdicts if one.here), None)
    if found.best is None:
        return "If it had to start now, no node could run it."
    again = " again" if here == found.best else ""
    stays = (
        ". While it runs it stays where it is, unless a rule, a lost Storage or a person moves it"
        if here and not again
        else ""
    )
    return f"If it had to start now, it would start on {found.best}{again}{stays}."


@dataclass(frozen=True, slots=True)
class NodePicture:
    """How a node is, what is awaited of it and until when, what is not as it should be, and its guests."""

    node: NodeView
    guests: Sequence[GuestView]
    now: Instant

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        node, status = self.node, self.node.status
        does = f"{words.state(status.state)}: {status.message or UNNAMED}"
        yield from hanging(console, Text(f"{node.name}  "), does)
        incident = status.incident
        if incident is not None and incident.release_by is not None:
            yield Text(f"Its guests are released {words.deadline(incident.release_by, self.now)}.")
        for condition in status.conditions:
            if condition.status != "True" and condition.type not in {"Ready", "Reconciling", "Stalled"}:
                yield from hanging(console, Text(f"{condition.type} no: "), condition.message)
        if self.guests:
            yield Text()
            yield from columns(console, ("GUEST", "STATE"), [_guest(one) for one in self.guests])


def _guest(one: GuestView) -> Row:
    return Row((Text(one.status.guest or one.key.sid), Text(words.state(one.status.state))), why=one.status.message)
