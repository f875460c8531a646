"""One-shot commands: the annotation `quorate.dev/command: "<id> <verb> <arguments>"`, executed once for each new id.

The annotation stays where it is (GitOps never replays it); `status.lastCommand` holds the id and what became of it.
"""

from dataclasses import dataclass

from quorate.core import migrating
from quorate.core.board import Board
from quorate.core.draft import Draft
from quorate.core.place import Candidate
from quorate.core.quick import replace
from quorate.core.status import CommandResult, GuestStatus
from quorate.core.types import GuestKey, GuestState, NodeName
from quorate.core.world import GuestView

VERBS = ("migrate NODE", "relocate NODE", "reset")
ALREADY = "already"
"""How a result ends when nothing had to be done."""


@dataclass(frozen=True, slots=True)
class Command:
    id: str
    verb: str
    arguments: tuple[str, ...]


def pending(draft: Draft) -> Command | None:
    """The command that has not been carried out yet."""
    return unanswered(draft.guest, draft.status)


def unanswered(guest: GuestView, status: GuestStatus) -> Command | None:
    """The command of a guest of which its status does not say what became of it."""
    words = guest.command.split()
    if not words:
        return None
    command = Command(words[0], words[1] if len(words) > 1 else "", tuple(words[2:]))
    last = status.last_command
    return None if last is not None and last.id == command.id else command


def carry_out(draft: Draft) -> GuestState | None:
    """Carry out a pending command, if any: the state to go to, None to stay. Its result is recorded in any case."""
    command = pending(draft)
    if command is None or not draft.room.quorate:
        return None
    match command.verb:
        case "relocate" | "migrate":
            result, state = _relocate(draft, command)
        case "reset":
            result, state = _reset(draft)
        case other:
            result, state = f"unknown command {other!r}: use one of {', '.join(VERBS)}", None
    accepted = state is not None or result.endswith(ALREADY)
    draft.status = replace(draft.status, last_command=CommandResult(command.id, command.verb, result, accepted))
    draft.note("CommandDone" if accepted else "CommandRefused", f"{command.verb}: {result}", warning=not accepted)
    return state


def refuse(draft: Draft, why: str) -> None:
    """Answer a pending command, if any, with a refusal: one that waited would be carried out when nobody expects it."""
    command = pending(draft)
    if command is not None and draft.room.quorate:
        result = CommandResult(command.id, command.verb, f"refused: {why}", accepted=False)
        draft.status = replace(draft.status, last_command=result)
        draft.note("CommandRefused", f"{command.verb}: {result.result}", warning=True)


def _relocate(draft: Draft, command: Command) -> tuple[str, GuestState | None]:
    if len(command.arguments) != 1:
        return f"{command.verb} takes the name of one node", None
    target = NodeName(command.arguments[0])
    candidates = {candidate.view.name: candidate for candidate in draft.room.candidates()}
    if target not in candidates:
        return f"unknown node {target!r}: the nodes of this cluster are {', '.join(sorted(candidates))}", None
    if not draft.is_in(GuestState.STARTED) or draft.instance is None:
        return f"refused: a guest is relocated while it is Started, it is {draft.status.state}", None
    source = draft.instance.node
    if source == target:
        return f"it is on {target} {ALREADY}", None
    board = draft.room.board
    draft.room.saw(draft.guest.key, draft.status)
    reason = _in_the_way(draft, draft.guest.key, candidates[target])
    if reason is not None:
        return f"refused: {target}: {reason}", None
    along = companions(board, draft.guest.key, target)
    for peer in along:
        reason = _in_the_way(draft, peer, candidates[target])
        if reason is not None:
            return f"refused: {peer.sid} would have to come along, and {target}: {reason}", None
    full = _no_room(draft, along, target)
    if full is not None:
        return f"refused: {target}: {full}", None
    draft.status = replace(draft.status, target=target)
    follows = consequences(board, draft.guest.key, target)
    if command.verb == "migrate" and draft.guest.spec.machine:
        why = migrating.fixed(draft)
        if not why:
            return f"migrating from {source} to {target}{follows}", GuestState.MIGRATE
        return f"relocating from {source} to {target}, it cannot be migrated live: {why}{follows}", GuestState.RELOCATE
    return f"relocating from {source} to {target}{follows}", GuestState.RELOCATE


def _in_the_way(draft: Draft, guest: GuestKey, candidate: Candidate) -> str | None:
    view = draft.guest if guest == draft.guest.key else draft.room.board.guests[guest]
    return draft.room.rejection(view, candidate) or draft.room.board.forbids(guest, candidate.view.name)


def _no_room(draft: Draft, along: list[GuestKey], target: NodeName) -> str | None:
    """Each of them has room there; have they together?"""
    if not along:
        return None
    return draft.room.ledger.full([draft.guest, *(draft.room.board.guests[peer] for peer in along)], target)


def companions(board: Board, guest: GuestKey, target: NodeName) -> list[GuestKey]:
    """Its Together peers that run elsewhere: they move along."""
    terms = board.terms(guest)
    return [peer for peer in terms.together if board.bound_for(peer) not in {None, target}] if terms else []


def consequences(board: Board, guest: GuestKey, target: NodeName) -> str:
    """What follows from a move because of the rules, to be said with it; "" when nothing does."""
    terms = board.terms(guest)
    if terms is None:
        return ""
    along = [peer.sid for peer in companions(board, guest, target) if board.wanted(peer)]
    said = f"; {', '.join(along)} {'comes' if len(along) == 1 else 'come'} along" if along else ""
    better = sorted(node for node, one in (terms.nodes or {}).items() if one > terms.priority(target))
    if better and board.guests[guest].spec.failback:
        said += f"; it returns to {' or '.join(better)} by rule {terms.node_rule}, unless its failback is set to false"
    return said


def _reset(draft: Draft) -> tuple[str, GuestState | None]:
    if not draft.is_in(GuestState.ERROR):
        return f"nothing to reset: it is {draft.status.state}", None
    return "out of Error: it is tried anew", leave_error(draft)


def leave_error(draft: Draft) -> GuestState:
    """Forget what led to Error. While the old instance is unproven or its Pod is there, stop it first."""
    draft.status = replace(draft.status, restarts=0, failed_nodes=(), next_try=None, target=None, rejected_template="")
    return GuestState.REQUEST_STOP if draft.instance is not None or draft.pod is not None else GuestState.QUEUED
