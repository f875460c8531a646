"""`quorate disarm` and `quorate arm`: HA's hands off everything for a while (ha-manager crm-command disarm-ha, arm-ha)."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from quorate.access.errors import CliError
from quorate.access.names import the_cluster
from quorate.access.waiting import Deadline, wait_for
from quorate.cli.ask import confirm
from quorate.cli.options import ClusterName, Timeout, Yes
from quorate.cli.output import note, say
from quorate.cli.session import Session, verb
from quorate.core.types import HEARD, DisarmMode, Instant
from quorate.kube.resources import CLUSTERS

if TYPE_CHECKING:
    from quorate.core.status import ClusterStatus

DISARM_EXAMPLES: Final = (
    'quorate disarm freeze --for 30m --reason "new switch" --wait',
    'quorate disarm ignore --until 2026-01-31T14:00:00Z --reason "move etcd"',
)
ARM_EXAMPLES: Final = ("quorate arm", "quorate arm --wait")


def register(app: typer.Typer, section: str) -> None:
    verb(app, disarm, examples=DISARM_EXAMPLES, section=section)
    verb(app, arm, examples=ARM_EXAMPLES, section=section)


def disarm(
    session: Session,
    mode: Annotated[
        DisarmMode,
        typer.Argument(
            case_sensitive=False, metavar="freeze|ignore", help="Guests stay, or may be deleted by hand meanwhile."
        ),
    ],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept in the Cluster and its events.")],
    for_: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="HA arms itself after this.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="HA arms itself then.")] = None,
    cluster: ClusterName = None,
    yes: Yes = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every watchdog is released.")] = False,
    timeout: Timeout = "5m",
) -> None:
    """Take HA's hands off everything for a while (disarm-ha).

    For work on network or control plane that would look like failures. What is in flight is finished and nothing new
    begins; then the watchdogs are released, so that no node resets itself. Until its end nothing is fenced, recovered,
    started or moved. HA arms itself again then, or with quorate arm.
    """
    from quorate.access import disarming
    from quorate.access.commands import cluster_status

    deadline = Deadline(timeout)
    disarming.moment(until, for_, session.api.now())
    name = str(the_cluster(session.api.items(CLUSTERS.path()), cluster)["metadata"]["name"])
    end = disarming.moment(until, for_, session.api.now())  # once more, by the clock that has just been read
    confirm(disarming.meaning(name, end), f"Disarm Cluster {name}?", yes=yes)
    said = disarming.disarm(session.api, name, mode, reason, end)
    if not wait:
        say(f"{said}. Do not begin before quorate status says that it is disarmed")
        return
    note(said)
    status = wait_for(lambda: cluster_status(session.api, name), lambda found: _disarmed(found, end), deadline)
    if status is None:
        raise CliError(
            f"Cluster {name} is not disarmed after {deadline.timeout_s:g}s, and goes on with it: "
            f"{cluster_status(session.api, name).message}"
        )
    say(f"Cluster {name}: {status.message}. Afterwards: quorate arm")


def arm(
    session: Session,
    *,
    cluster: ClusterName = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every node with guests is armed.")] = False,
    timeout: Timeout = "5m",
) -> None:
    """Arm HA again (ha-manager crm-command arm-ha).

    What runs is looked at before anything is done; nodes with guests arm their watchdogs.
    """
    from quorate.access import disarming

    deadline = Deadline(timeout)
    raw = the_cluster(session.api.items(CLUSTERS.path()), cluster)
    name = str(raw["metadata"]["name"])
    if (raw.get("spec") or {}).get("disarm"):
        disarming.arm(session.api, name)
    elif not (raw.get("status") or {}).get("disarm"):
        say(f"Cluster {name}: HA is not disarmed, nothing was changed")
        return
    if not wait:
        say(f"Cluster {name}: HA arms itself. Next: quorate status")
        return
    note(f"Cluster {name}: HA arms itself")
    waiting = wait_for(lambda: _unarmed(session, name), lambda found: not found, deadline)
    if waiting is None:
        left = "; ".join(_unarmed(session, name))
        raise CliError(f"Cluster {name} is not armed after {deadline.timeout_s:g}s: {left}")
    say(f"Cluster {name}: HA is armed")


def _disarmed(status: "ClusterStatus", until: Instant) -> bool:
    from quorate.core.status import DisarmState

    found = status.disarm
    return found is not None and found.state is DisarmState.DISARMED and found.until == until


def _unarmed(session: Session, name: str) -> list[str]:
    """What is awaited before HA is armed: the manager's answer, then each node that carries guests and renews."""
    from quorate.access.commands import cluster_status, members
    from quorate.api.wire import from_wire
    from quorate.core.status import NodeStatus

    if cluster_status(session.api, name).disarm is not None:
        return ["no manager has taken notice of it yet"]
    waiting = []
    for raw in members(session.api, name):
        status = from_wire(NodeStatus, raw.get("status"))
        armed = status.watchdog is not None and status.watchdog.armed
        if status.state in HEARD and status.guests and not armed:
            waiting.append(f"{raw['metadata']['name']} has not armed its watchdog")
    return waiting
