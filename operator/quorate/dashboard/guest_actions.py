"""Actions on guests: why one is where it is, moving it, starting and stopping it, taking it out of Error, adding one."""

from typing import TYPE_CHECKING, Final

from quorate.access import adding, guests, ruled
from quorate.access.commands import fetch
from quorate.access.errors import CliError, UsageError
from quorate.access.names import NAME, the_cluster
from quorate.access.world import whole
from quorate.core import explain
from quorate.core.commands import companions
from quorate.core.status import GuestStatus
from quorate.core.types import GuestKey, GuestState, MachineKey, NodeName, Wanted
from quorate.dashboard.actions import Action, Choice, Dialog, Field, Subject, anybody, say, table
from quorate.dashboard.rights import Rights
from quorate.kube.resources import CLUSTERS
from quorate.view import words
from quorate.view.guests import workload_of
from quorate.view.snapshot import read_status

if TYPE_CHECKING:
    from quorate.access.client import Api

WAYS: Final = (
    Choice("migrate", "Migrate", "live, if it can be: it runs on while its memory is copied", on=True),
    Choice("relocate", "Relocate", "stopped here and started there"),
)
"""How a virtual machine moves. A container has no live migration: there is nothing to choose."""
AWAY: Final = "While it moves, what it serves is away for some seconds."
NOT_LIVE: Final = "If it cannot be moved live, it is stopped here and started there."
STAYS: Final = "It leaves only once the other node is ready for it, and stays there unless a rule prefers another node."
RISKS: Final = {
    Wanted.STOPPED: "What it serves is away until it is started again.",
    Wanted.STARTED: "",
}


def _explained(subject: Subject) -> explain.Explanation:
    """The planner's word on each node. Raises CliError."""
    key = subject.key
    raw = fetch(subject.memory, key)
    name = (raw.get("status") or {}).get("clusterName")
    if not name:
        raise CliError(f"{key.sid}: no Cluster looks after it yet")
    world = whole(subject.memory, the_cluster(subject.memory.items(CLUSTERS.path()), str(name)))
    found = next((one for one in world.guests if one.key == key), None)
    if found is None:
        raise CliError(
            f"{key.sid} cannot be read: see its conditions with kubectl describe har {key.name} -n {key.namespace}"
        )
    return explain.explain(world, found)


def why(subject: Subject) -> Dialog:
    """Why it is here and not elsewhere."""
    guest = subject.guest
    raw = fetch(subject.memory, subject.key)
    status, _ = read_status(raw, GuestStatus)
    lines = [f"{words.state(status.state)}: {status.message or 'no manager has looked at it yet'}"]
    if workload_of(raw):
        lines.append(f"It protects {workload_of(raw)}, which its own controller runs and moves.")
        pods = [(one.name, one.node, "yes" if one.ready else "no") for one in status.pods]
        return Dialog(f"Why {guest.guest}", tuple(lines), table("Its Pods", ("Pod", "Node", "Ready"), pods))
    said = _explained(subject)
    if said.until is not None:
        lines.append(f"This ends {words.deadline(said.until, subject.memory.now())}.")
    if status.last_termination is not None and status.last_termination.message:
        lines.append(f"Its last words on {status.last_termination.node}: {status.last_termination.message}")
    rows = [_verdict(one, said.best) for one in said.verdicts]
    return Dialog(
        f"Why {guest.guest}", tuple(lines), table("Had it to start now", ("Node", "Can start it", "Because"), rows)
    )


def _verdict(one: explain.Verdict, best: NodeName | None) -> tuple[str, str, str]:
    can = "no" if one.refusal else "yes, best" if one.node == best else "yes"
    parts = [*(["it is here"] if one.here else []), *([one.refusal] if one.refusal else []), *one.merits]
    return one.node, can, "; ".join(parts)


def show_move(subject: Subject) -> Dialog:
    """Where it can go, and who comes along."""
    guest, said = subject.guest, _explained(subject)
    along = _along(subject, said)
    count = {one.name: one.guests for cluster in subject.picture.report.clusters for one in cluster.nodes}
    free = [one.node for one in said.verdicts if not one.here and not one.refusal]
    picked = said.best if said.best in free else min(free, key=lambda node: (count.get(node, 0), node), default=None)
    choices = []
    for one in said.verdicts:
        if not one.here:
            notes = [one.refusal] if one.refusal else [*along.get(one.node, []), *one.merits]
            off, on = bool(one.refusal), one.node == picked
            choices.append(Choice(one.node, one.node, "; ".join(notes), off=off, on=on))
    runs = f"It runs on {guest.node}."
    if picked is None:
        return Dialog(
            f"Move {guest.guest}",
            (runs,),
            table("The other nodes", ("Node", "Why not"), [(one.label, one.why) for one in choices]),
            refused="No other node can take it now.",
        )
    live = isinstance(subject.key, MachineKey)
    fields = [Field("choice", "to", "To which node", choices=tuple(choices))]
    if live:
        fields.append(Field("choice", "how", "How", choices=WAYS))
    risks = (NOT_LIVE if live else AWAY,)
    return Dialog(f"Move {guest.guest}", (f"{runs} {STAYS}",), (), tuple(fields), risks, confirm="Move it")


def _along(subject: Subject, said: explain.Explanation) -> dict[str, list[str]]:
    """Who would come along to each node, because a rule keeps them together."""
    cluster = the_cluster(subject.memory.items(CLUSTERS.path()), said.status.cluster_name)
    board = ruled.board(subject.memory, dict(cluster)) if (cluster.get("spec") or {}).get("rules") else None
    if board is None or said.guest not in board.guests:
        return {}
    found = {}
    for one in said.verdicts:
        peers = [peer.sid for peer in companions(board, said.guest, one.node)]
        if peers:
            found[str(one.node)] = [f"{', '.join(peers)} {'comes' if len(peers) == 1 else 'come'} along"]
    return found


def move(api: "Api", subject: Subject) -> str:
    key, node, how = subject.key, say(subject, "to", "the node"), subject.said.get("how", "migrate")
    if how not in {"migrate", "relocate"}:
        raise UsageError(f"how: {how!r} is neither migrate nor relocate")
    answer = guests.move(api, key, how, node)
    if not answer:
        return f"{key.sid} runs there already"
    live = how == "migrate" and isinstance(key, MachineKey)
    return f"{key.sid}: {answer}. Next: it {'moves to' if live else 'is stopped, then started on'} {node}"


def _change(wanted: Wanted, word: str) -> Action:
    """An action that changes what is asked of a guest."""

    def may(rights: Rights, subject: Subject) -> bool:
        return rights.may_change(subject.key.namespace)

    def show(subject: Subject) -> Dialog:
        guest = subject.guest
        lines = (
            f"Now: {words.state(guest.state)}{f' on {guest.node}' if guest.node else ''}.",
            f"Next: {guests.NEXT[wanted]}.",
        )
        risks = (RISKS[wanted],) if RISKS[wanted] and guest.state != GuestState.STOPPED else ()
        return Dialog(f"{word} {guest.guest}", lines, risks=risks, confirm=word)

    def do(api: "Api", subject: Subject) -> str:
        return guests.change(api, subject.key, {"state": str(wanted)})

    return Action(may, show, do)


def show_reset(subject: Subject) -> Dialog:
    guest = subject.guest
    return Dialog(
        f"Reset {guest.guest}",
        (guest.why or "It is in Error.", "Its counters begin anew, and it is started again."),
        risks=("Find out first why it failed: else it fails again.",),
        confirm="Reset it",
    )


def reset(api: "Api", subject: Subject) -> str:
    key = subject.key
    return f"{key.sid}: {guests.reset(api, key)}. Next: it is started again"


def show_add(subject: Subject) -> Dialog:
    clusters = subject.picture.report.clusters
    fields = [
        Field("text", "name", "Name", hint="Small letters, digits and -"),
        Field("text", "namespace", "Namespace", "default"),
        Field("text", "image", "Image", hint="For example nginx:1.29"),
        Field("text", "command", "Command", hint="Instead of the image's own; words as in a shell", needed=False),
    ]
    if len(clusters) > 1:
        choices = tuple(Choice(one.name, one.name) for one in clusters)
        fields.append(Field("select", "cluster", "Cluster", choices=choices))
    lines = (
        "It is started on one node. If that node is lost, it starts elsewhere, once it certainly runs nowhere else.",
    )
    return Dialog("Add a guest", lines, fields=tuple(fields), confirm="Add it")


def add(api: "Api", subject: Subject) -> str:
    from shlex import split  # noqa: PLC0415 - only here

    key = GuestKey(say(subject, "namespace", "the namespace"), say(subject, "name", "the name"))
    for part, what in ((key.namespace, "namespace"), (key.name, "name")):
        if not NAME.fullmatch(part):
            raise UsageError(f"{what}: {part!r}. Write small letters, digits and -, at most 63")
    try:
        command = split(subject.said.get("command", ""))
    except ValueError as error:
        raise UsageError(f"command: {error}. Quote as in a shell") from error
    template = adding.from_image(key.name, say(subject, "image", "the image"), command)
    body = adding.resource(key, template, subject.said.get("cluster", ""))
    waits = adding.obstacles(api, body, key)
    adding.create(api, key, key.sid, body)
    follows = f"it cannot start yet: {'; '.join(waits)}" if waits else "it is started"
    return f"{key.sid} is under HA. Next: {follows}"


def _may_command(rights: Rights, subject: Subject) -> bool:
    return rights.may_command(subject.key.namespace)


def _may_add(rights: Rights, _subject: Subject) -> bool:
    return rights.may_create


GUEST_ACTIONS: Final = {
    "why": Action(anybody, why),
    "move": Action(_may_command, show_move, move),
    "start": _change(Wanted.STARTED, "Start"),
    "stop": _change(Wanted.STOPPED, "Stop"),
    "reset": Action(_may_command, show_reset, reset),
    "add": Action(_may_add, show_add, add),
}
