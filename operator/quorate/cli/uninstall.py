"""`quorate uninstall`: one command that stops the guests, disarms the nodes and leaves nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quorate.access.errors import CliError
from quorate.access.waiting import Deadline
from quorate.cli.ask import confirm
from quorate.cli.options import Timeout, Yes
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import AGENT_NAMESPACE

if TYPE_CHECKING:
    from quorate.cli.removal.facts import Leaders
    from quorate.cli.removal.found import Found
    from quorate.cli.removal.steps import Steps

LOOK_FOR_LEADERS_EVERY_S: Final = 0.3
EXAMPLES: Final = (
    "quorate uninstall              show what goes, ask, and do it",
    "quorate uninstall -y --timeout 10m",
    "quorate uninstall --force      when no manager can be brought back",
)


def register(app: typer.Typer, section: str) -> None:
    verb(app, uninstall, examples=EXAMPLES, section=section)


def uninstall(
    session: Session,
    *,
    timeout: Timeout = "5m",
    force: Annotated[bool, typer.Option("--force", help="Go on without proof that the guests have stopped.")] = False,
    yes: Yes = False,
) -> None:
    """Take Quorate out of this Kubernetes cluster.

    Its guests are stopped, its nodes disarmed, and nothing of it is left; volumes and claims stay. The order is what
    makes it safe, and each step waits for the one before it. Interrupted, it goes on when it is run again. Without a
    manager that leads nothing can prove that the guests have stopped, and it refuses.
    """
    from quorate.cli.removal import found
    from quorate.cli.removal.steps import Steps
    from quorate.cli.removal.waits import Wait

    Deadline(timeout)  # a wrong duration is said before anything else
    there = found.look(session.api)
    if there.nothing:
        say("nothing of Quorate is there")
        return
    steps = Steps(session.api, Wait(session.api, Deadline(timeout)))
    there, leaderless = _leaderless(steps.leaders, there)
    if leaderless and not force:
        raise CliError(_refusal(there, leaderless))
    if there.nothing:
        say("nothing of Quorate is left")
        return
    confirm(_meaning(session, there), "Uninstall Quorate?", yes=yes)
    steps.wait = Wait(session.api, Deadline(timeout))
    if not leaderless:
        _safely(steps, force=force, yes=yes)
    else:
        _by_force(steps, there, "no manager leads " + ", ".join(leaderless), yes=yes)
    steps.wait = Wait(session.api, Deadline(timeout))
    steps.delete_rest()
    say(f"Quorate is uninstalled: nothing of it is left on {session.login.server}{_left_over(session)}")


def _safely(steps: "Steps", *, force: bool, yes: bool) -> None:
    """With a manager that proves. What it cannot prove in time is for --force, if that was given."""
    from quorate.cli.removal import found
    from quorate.cli.removal.waits import OverdueError

    try:
        steps.arm()
        steps.stop_guests()
        steps.disarm()
        steps.delete_members()
        steps.untaint()
        # Whoever has added a guest in the last moment finds its agent and its proof still there.
        steps.stop_guests()
        steps.disarm()
    except OverdueError as error:
        if not force:
            raise
        _by_force(steps, found.look(steps.api), error.stands, yes=yes)
        return
    steps.end_agents()
    steps.end_managers()


def _by_force(steps: "Steps", there: "Found", why: str, *, yes: bool) -> None:
    from quorate.cli.removal import force

    lines = [f"--force: {why}.", *force.risks(there)]
    confirm(lines, "Go on without proof?", yes=yes)
    force.go(steps)


def _leaderless(leaders: "Leaders", there: "Found") -> "tuple[Found, list[str]]":
    """What is there, and the Clusters in it that need a manager and have none, in words.

    A Lease that moves under our eyes has a living holder. What is there may go meanwhile: a manager may just be
    finishing what somebody has deleted.
    """
    from quorate.cli.removal import found
    from quorate.cli.removal.facts import LEADS_WITHIN_S

    deadline = Deadline(f"{LEADS_WITHIN_S:g}s")
    while _needs_manager(there):
        leaders.look()
        clusters = [str(raw["metadata"]["name"]) for raw in there.clusters]
        missing = [f"Cluster {name}" for name in leaders.missing(clusters)]
        if not clusters and not leaders.house():
            missing = ["what belongs to no Cluster"]
        if not missing:
            break
        if deadline.passed:
            return there, missing
        deadline.pause(LOOK_FOR_LEADERS_EVERY_S)
        there = found.look(leaders.api)
    return there, []


def _needs_manager(there: "Found") -> bool:
    """Is there anything that only a manager can prove or withdraw?"""
    from quorate.cli.removal.facts import armed

    held = (*there.guests, *there.storages, *there.clusters, *there.nodes)
    return bool(
        there.pods
        or any(armed(raw) for raw in there.leases if raw["metadata"]["namespace"] == AGENT_NAMESPACE)
        or any(raw["metadata"].get("finalizers") for raw in held)
        or any((raw.get("status") or {}).get("instance") for raw in there.guests)
    )


def _refusal(there: "Found", leaderless: list[str]) -> str:
    guests = _names(there.guests, "guest")
    return (
        f"refused: no manager leads {', '.join(leaderless)}, so nothing can prove that guests have stopped ({guests}) or "
        "disarm the nodes, and nothing was deleted. Bring a manager back (kubectl -n quorate-system get pods) and run "
        "quorate uninstall again. If none can be brought back: quorate uninstall --force says what that risks"
    )


def _meaning(session: Session, there: "Found") -> list[str]:
    """Everything that will go, in lines."""
    from quorate.cli.removal.found import named
    from quorate.kube.resources import NAMESPACES

    lines = [
        f"Quorate goes from {session.login.server} ({session.login.origin}):",
        f"  stopped    {_names(there.guests, 'guest')}; volumes and claims stay",
        f"  disarmed   {_names(there.nodes, 'node')}",
        f"  deleted    {_names(there.clusters, 'Cluster')}, {_names(there.storages, 'Storage')}",
    ]
    rest = [named(resource, raw) for resource, raw in there.installed if resource is not NAMESPACES]
    spaces = [raw["metadata"]["name"] for resource, raw in there.installed if resource is NAMESPACES]
    if rest:
        lines.append(f"             {', '.join(rest)}")
    if spaces:
        lines.append(f"             the namespaces {', '.join(spaces)}, with everything in them")
    return lines


def _names(objects: Sequence[Mapping[str, Any]], noun: str) -> str:
    from quorate.cli.removal.found import sid
    from quorate.cli.removal.waits import NAMED
    from quorate.view.words import plural

    if not objects:
        return f"no {noun}"
    names = [sid(raw) if noun == "guest" else str(raw["metadata"]["name"]) for raw in objects]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{plural(len(names), noun)} ({', '.join(names[:NAMED])}{more})"


def _left_over(session: Session) -> str:
    """What looks like ours and does not carry our label: it is named, not deleted."""
    from quorate.cli.removal.found import listed
    from quorate.core.types import PART_OF_LABEL, SYSTEM_NAMESPACE
    from quorate.kube.resources import NAMESPACES

    names = {str(raw["metadata"]["name"]) for raw in listed(session.api, NAMESPACES)}
    left = sorted(names & {AGENT_NAMESPACE, SYSTEM_NAMESPACE})
    if not left:
        return ""
    note(f"note: {', '.join(left)} does not carry the label {PART_OF_LABEL} of an installation, so it stays")
    return f", but for the namespace {' and '.join(left)}"
