"""Actions on nodes and the Cluster: what a loss would mean, maintenance, a person's word on a lost node, disarm, votes."""

from typing import TYPE_CHECKING, Final

from quorate.access import disarming, expected, maintaining, vouching
from quorate.access.commands import fetch_node
from quorate.access.errors import CliError, UsageError
from quorate.access.names import the_cluster
from quorate.access.world import whole
from quorate.core.capacity import Loss, Survey
from quorate.core.status import NodeStatus
from quorate.core.types import DisarmMode, Instant, NodeName
from quorate.dashboard.actions import (
    SEEN,
    Action,
    Choice,
    Dialog,
    Field,
    Subject,
    Table,
    anybody,
    refuse_unseen,
    say,
    table,
)
from quorate.dashboard.rights import Rights
from quorate.kube.resources import CLUSTERS
from quorate.view import foretold, words
from quorate.view.report import ClusterReport
from quorate.view.snapshot import read_status
from quorate.view.votes import drawing, enough

if TYPE_CHECKING:
    from quorate.access.client import Api

MODES: Final = (
    Choice("Freeze", "Freeze", "guests stay as they are"),
    Choice("Ignore", "Ignore", "guests may also be deleted by hand meanwhile"),
)
PREVIEW_MS: Final = 30 * 60 * 1000
UNSEEN: Final = (
    "Be certain that the missing nodes do not run on unseen: a majority that lives elsewhere would act as well."
)


def _loss(subject: Subject) -> Loss:
    """What the planner would do without the node. Raises CliError."""
    name = subject.cluster_of_node.name
    world = whole(subject.memory, the_cluster(subject.memory.items(CLUSTERS.path()), name))
    return Survey(world).lose((NodeName(subject.node.name),))


def _moves(loss: Loss, caption: str) -> tuple[Table, ...]:
    rows = [(move.guest.sid, str(move.node or "-"), move.reason) for move in loss.moves]
    rows.sort(key=lambda row: (row[1] != "-", row[0]))
    if not any(reason for *_, reason in rows):
        return table(caption, ("Guest", "Would go to"), [row[:2] for row in rows])
    return table(caption, ("Guest", "Would go to", "Why not"), rows)


def show_loss(subject: Subject) -> Dialog:
    """Guest by guest: where it would go."""
    node, loss = subject.node, _loss(subject)
    said = foretold.sentence(loss)
    return Dialog(f"If {node.name} is lost", (f"{said[:1].upper()}{said[1:]}.",), _moves(loss, "Guest by guest"))


def node(subject: Subject) -> Dialog:
    """How it is, and what is awaited of it."""
    report = subject.node
    raw = fetch_node(subject.memory, report.name)
    status, problem = read_status(raw, NodeStatus)
    lines = [f"{words.state(status.state)}: {problem or status.message or 'no manager has looked at it yet'}"]
    tables: tuple[Table, ...] = ()
    incident = status.incident
    if incident is not None:
        lines.append(f"Incident {incident.id}: {incident.reason}.")
        if report.release_by is not None:
            lines.append(f"Its guests are released {words.deadline(report.release_by, subject.memory.now())}.")
        proofs = [(str(one.kind), "proven", one.detail) for one in incident.evidence]
        proofs += [(str(one.kind), "not yet", one.why) for one in incident.tried]
        tables += table("What proves it dead", ("Evidence", "So far", "Because"), proofs)
    facts = [("Watchdog", report.watchdog_text or report.watchdog), ("Votes", str(report.votes))]
    facts.append(("Guests", str(report.guests)))
    tables += table("Facts", ("What", "Is"), facts)
    rows = [(one.type, _holds(one.status), one.message or one.reason) for one in status.conditions]
    tables += table("Conditions", ("Condition", "Holds", "Because"), rows)
    return Dialog(f"Why {report.name}", tuple(lines), tables)


def _holds(status: str) -> str:
    return {"True": "yes", "False": "no"}.get(status, "unknown")


def show_maintenance(subject: Subject) -> Dialog:
    name = subject.node.name
    lines = [
        f"Every guest leaves {name}, each when another node is ready for it; none starts there. The node goes on voting."
    ]
    lines.append("All return by themselves when the maintenance ends.")
    try:
        tables = _moves(_loss(subject), "As it is now")
    except CliError as error:
        tables = ()
        lines.append(f"Where they would go cannot be told: {error}")
    fields = (Field("text", "reason", "Reason", hint="For whoever looks: kernel update", needed=False),)
    return Dialog(f"Maintenance of {name}", tuple(lines), tables, fields, confirm="Begin maintenance")


def begin_maintenance(api: "Api", subject: Subject) -> str:
    said = maintaining.begin(api, subject.node.name, subject.said.get("reason", "").strip()[:500])
    return f"{said}. Next: wait until none is left, then work on it"


def show_end(subject: Subject) -> Dialog:
    name = subject.node.name
    coming = maintaining.coming(subject.memory, name)
    rows = [(one.partition(": ")[0], one.partition(": ")[2]) for one in coming]
    lines = (f"Guests may start on {name} again. {words.plural(len(coming), 'guest')} that left it will return.",)
    return Dialog(
        f"End the maintenance of {name}",
        lines,
        table("To return", ("Guest", "Waits for"), rows),
        confirm="End maintenance",
    )


def end_maintenance(api: "Api", subject: Subject) -> str:
    name = subject.node.name
    if not maintaining.end(api, name):
        return f"{name} is not in maintenance: nothing was changed"
    return f"{name}: the maintenance is over. Next: its guests return, once it is online"


def show_confirm(subject: Subject) -> Dialog:
    name = subject.node.name
    incident, lines = vouching.look(subject.memory, name)
    fields = (Field("check", "sure", f"I have looked: {name} is off, and stays off until its guests run elsewhere"),)
    return Dialog(
        f"Is {name} certainly off?",
        tuple(lines[:2]),
        fields=fields,
        risks=tuple(lines[2:]),
        confirm="It is off",
        danger=True,
        hidden={SEEN: str(incident.id)},
    )


def confirm(api: "Api", subject: Subject) -> str:
    name = subject.node.name
    if subject.said.get("sure") != "yes":
        raise UsageError("tick the box once you have looked: if it still runs, its guests run twice")
    incident, _ = vouching.look(api, name)
    refuse_unseen(subject, str(incident.id))
    return vouching.confirm(api, name, incident)


def show_release(subject: Subject) -> Dialog:
    back = vouching.look_back(subject.memory, subject.node.name)
    word = "Guests may start there again" if back.held else "I have looked: nothing of its old guests runs there"
    first, *risks = back.meaning
    return Dialog(
        back.question,
        (first,),
        fields=(Field("check", "sure", word),),
        risks=tuple(risks),
        confirm="Let it come back",
        danger=not back.held,
        hidden={SEEN: f"{back.incident.id}/{back.boot}"},
    )


def release(api: "Api", subject: Subject) -> str:
    if subject.said.get("sure") != "yes":
        raise UsageError("tick the box once you have looked")
    back = vouching.look_back(api, subject.node.name)
    refuse_unseen(subject, f"{back.incident.id}/{back.boot}")
    return vouching.release(api, back)


def show_disarm(subject: Subject) -> Dialog:
    name = subject.cluster.name
    end = Instant(subject.memory.now() + PREVIEW_MS)
    first, *rest = disarming.meaning(name, end)
    fields = (
        Field(
            "choice",
            "mode",
            "Guests meanwhile",
            choices=(*[Choice(one.value, one.label, one.why, on=one is MODES[0]) for one in MODES],),
        ),
        Field("text", "for", "For how long", "30m", hint="It arms itself again then: 30m, 2h"),
        Field("text", "reason", "Reason", hint="It is kept in the Cluster: new switch"),
    )
    lines = (f"Until its end {first.partition(': ')[2]}",)
    return Dialog(f"Disarm HA of {name}", lines, fields=fields, risks=(" ".join(rest),), confirm="Disarm", danger=True)


def disarm(api: "Api", subject: Subject) -> str:
    name = subject.cluster.name
    try:
        mode = DisarmMode(subject.said.get("mode", ""))
    except ValueError as error:
        raise UsageError("guests meanwhile: choose Freeze or Ignore") from error
    reason, lasts = say(subject, "reason", "the reason"), say(subject, "for", "the duration")
    try:
        end = disarming.moment(None, lasts, subject.memory.now())
    except UsageError as error:
        raise UsageError(f"for how long: {lasts!r} is no duration. Write for example 30m or 2h") from error
    said = disarming.disarm(api, name, mode, reason, end)
    return f"{said}. Do not begin before the page says that it is disarmed"


def show_arm(subject: Subject) -> Dialog:
    lines = ("What runs is looked at before anything is done; nodes with guests arm their watchdogs.",)
    return Dialog(f"Arm HA of {subject.cluster.name}", lines, confirm="Arm")


def arm(api: "Api", subject: Subject) -> str:
    name = subject.cluster.name
    disarming.arm(api, name)
    return f"Cluster {name}: HA arms itself"


def show_expected(subject: Subject) -> Dialog:
    cluster = subject.cluster
    most = enough(cluster.votes)
    try:
        expected.refuse(cluster, most)
    except CliError as error:
        return Dialog(f"Expected votes of {cluster.name}", tuple(drawing(cluster).splitlines()), refused=str(error))
    lines = expected.meaning(cluster, most)
    fields = (
        Field(
            "number",
            "votes",
            "Expected votes",
            str(min(most, max(1, cluster.votes.live))),
            hint=f"At most {most} would do",
        ),
        Field("text", "reason", "Reason", hint="It is kept in the Cluster: node1 and node2 burnt down"),
    )
    return Dialog(
        f"Expected votes of {cluster.name}",
        tuple(lines[:1] + lines[3:]),
        fields=fields,
        risks=(lines[1], lines[2], UNSEEN),
        confirm="Count with these",
        danger=True,
        hidden={SEEN: _missing(cluster)},
    )


def _missing(cluster: ClusterReport) -> str:
    """What somebody has in mind who says that the missing nodes do not run on unseen."""
    lost = [node.name for node in cluster.nodes if not node.heard and node.votes]
    return " ".join([f"{cluster.votes.live}/{cluster.votes.total}", *sorted(lost)])


def expect(api: "Api", subject: Subject) -> str:
    name, text = subject.cluster.name, say(subject, "votes", "the number of votes")
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise UsageError(f"expected votes: {text!r} is no number from 1 on")
    reason, votes = say(subject, "reason", "the reason"), int(text)
    refuse_unseen(subject, _missing(subject.cluster))
    expected.refuse(expected.look(api, name), votes)
    generation = expected.write(api, name, votes, reason)
    return expected.outcome(api, name, votes, generation)


def show_help(_subject: Subject) -> Dialog:
    keys = [
        ("/", "to the filter of the guests"),
        ("?", "this help"),
        ("Tab, Enter", "to every link and button, and use it"),
        ("Esc", "close a dialog"),
    ]
    rows = [
        ("Want", "what a person asked of a guest"),
        ("To", "where it goes; in parentheses: where it would go, were it released now"),
        ("Tries", "failed starts here / allowed, and nodes tried / allowed"),
        ("Beat", "when the node's heartbeat was heard last"),
        (
            "Watchdog",
            "armed: the node resets itself when it cannot renew; a time: its guests are released then at the latest",
        ),
        ("CPU, Memory", "what guests request of what the node has"),
    ]
    return Dialog(
        "Help",
        ("The page shows what quorate status shows, live. What you may not do is not offered.",),
        (*table("Keys", ("Key", "Does"), keys), *table("Words", ("Word", "Means"), rows)),
    )


def _nodes(rights: Rights, _subject: Subject) -> bool:
    return rights.nodes


def _fence(rights: Rights, _subject: Subject) -> bool:
    return rights.fence


def _clusters(rights: Rights, _subject: Subject) -> bool:
    return rights.clusters


NODE_ACTIONS: Final = {
    "help": Action(anybody, show_help),
    "node": Action(anybody, node),
    "loss": Action(anybody, show_loss),
    "maintenance-on": Action(_nodes, show_maintenance, begin_maintenance),
    "maintenance-off": Action(_nodes, show_end, end_maintenance),
    "confirm": Action(_fence, show_confirm, confirm),
    "release": Action(_fence, show_release, release),
    "disarm": Action(_clusters, show_disarm, disarm),
    "arm": Action(_clusters, show_arm, arm),
    "expected": Action(_clusters, show_expected, expect),
}
