"""The report in the line shapes of Proxmox VE's own tools, so that scripts that read those go on.

`ha_manager` prints what `ha-manager status` prints:

    quorum OK
    master NODE (active, DATE)
    fencing armed (CRM watchdog active)
    lrm NODE (active, DATE)
    service SID (NODE, started)

`pvecm` prints what `pvecm status` prints, whose last block is `pvecm nodes`; `config` prints what `ha-manager config` does.
Dates are UTC. Which of our states becomes which of their words is data, below.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from quorate.core.status import DisarmState
from quorate.core.types import GuestState, Instant, NodeState, Wanted
from quorate.view.report import ClusterReport, GuestReport, NodeReport, Report
from quorate.view.settings import GuestSettings
from quorate.view.words import line as one_line
from quorate.view.words import state as proxmox_word

DELETED: Final = "Deleted"
OLD: Final = "old timestamp - dead?"
DRIFT: Final = "detected time drift!"
OLD_AFTER_S: Final = 30.0
DRIFT_AFTER_S: Final = -2.0
"""When Proxmox calls a timestamp old, or one of the future."""
ARMED: Final = "armed"
TWO_NODE: Final = "2Node"

AGENT_WORDS: Final[tuple[tuple[NodeState, bool | None, bool | None, str], ...]] = (
    # state, armed?, carries guests? (None: whatever)   -> the word in the node's `lrm` line; the first that fits
    (NodeState.ONLINE, True, None, "active"),
    (NodeState.ONLINE, False, True, "wait_for_agent_lock"),
    (NodeState.ONLINE, False, False, "idle"),
    (NodeState.MAINTENANCE, None, None, "maintenance mode"),
    (NodeState.UNKNOWN, None, None, OLD),
    (NodeState.FENCE, None, None, OLD),
    (NodeState.GONE, None, None, OLD),
)
SERVICE_WORDS: Final[tuple[tuple[str | None, GuestState | None, bool | None, str], ...]] = (
    # want, state, ready? (None: whatever)              -> the word in the guest's `service` line; the first that fits
    (DELETED, None, None, "deleting"),
    (Wanted.IGNORED, None, None, "ignored"),
    (Wanted.STARTED, GuestState.STARTED, True, "started"),
    (Wanted.STARTED, GuestState.STARTED, False, "starting"),
    (None, GuestState.STARTED, None, "stopping"),
    (Wanted.STARTED, GuestState.STOPPED, None, "starting"),
    (Wanted.DISABLED, GuestState.STOPPED, None, "disabled"),
    (Wanted.DISABLED, GuestState.ERROR, None, "clearing error flag"),
    *((None, state, None, proxmox_word(state)) for state in GuestState),
)


def ha_manager(report: Report) -> list[str]:
    """The lines of `ha-manager status`, Cluster after Cluster."""
    lines = [line for cluster in report.clusters for line in _status(cluster, report.now)]
    return lines + [_service(guest) for guest in report.strays]


def _status(cluster: ClusterReport, now: Instant) -> Iterator[str]:
    manager = cluster.manager
    yield "quorum OK" if cluster.quorate else f"quorum No quorum on node '{manager.name or cluster.name}'!"
    if manager.name:
        word = OLD if manager.silent else _by_clock(manager.renewed, now) or "active"
        yield f"master {manager.name} ({word}, {_date(manager.renewed or now)})"
        yield _fencing(cluster)
    for node in cluster.nodes:
        yield _agent(node, now)
    for guest in sorted(cluster.guests, key=lambda guest: guest.guest):
        yield _service(guest)


def _fencing(cluster: ClusterReport) -> str:
    """What HA could do about a lost node. Theirs is the watchdog of who leads; that of ours are the nodes'."""
    disarm = cluster.disarm
    if disarm is not None:
        watchdog = "released" if disarm.state is DisarmState.DISARMED else "active"
        return f"fencing {disarm.state.lower()}, resource mode: {disarm.mode.lower()} (CRM watchdog {watchdog})"
    armed = cluster.fencing.startswith("Armed")
    return "fencing armed (CRM watchdog active)" if armed else "fencing standby (CRM watchdog standby)"


def _agent(node: NodeReport, now: Instant) -> str:
    if node.renewed is None:
        return f"lrm {node.name} (unable to read lrm status)"
    return f"lrm {node.name} ({agent_word(node, now)}, {_date(node.renewed)})"


def agent_word(node: NodeReport, now: Instant) -> str:
    """How Proxmox would call that agent. A node that is lost is dead to it however new its last heartbeat is."""
    armed, carries = node.watchdog == ARMED, node.guests > 0
    for state, is_armed, has_guests, word in AGENT_WORDS:
        if node.state == state and is_armed in {None, armed} and has_guests in {None, carries}:
            return _by_clock(node.renewed, now) or word
    return OLD


def _by_clock(renewed: Instant | None, now: Instant) -> str:
    """What a timestamp itself says against it, empty if nothing."""
    age_s = (now - renewed) / 1000 if renewed is not None else 0.0
    return OLD if age_s > OLD_AFTER_S else DRIFT if age_s < DRIFT_AFTER_S else ""


def _service(guest: GuestReport) -> str:
    return f"service {guest.guest} ({guest.node or '---'}, {service_word(guest)})"


def service_word(guest: GuestReport) -> str:
    """How Proxmox would call the state of that guest."""
    for want, state, is_ready, word in SERVICE_WORDS:
        if want in {None, guest.want} and state in {None, guest.state} and is_ready in {None, guest.ready}:
            return word
    return proxmox_word(guest.state)


def pvecm(report: Report) -> list[str]:
    """The blocks of `pvecm status`, Cluster after Cluster. A node's id is its place in the order of names."""
    lines: list[str] = []
    for cluster in report.clusters:
        for title, block in _blocks(cluster, report.now):
            lines += [*([""] if lines else []), title, "-" * len(title), *block]
    return lines


def _blocks(cluster: ClusterReport, now: Instant) -> Iterator[tuple[str, list[str]]]:
    votes, members = cluster.votes, [(n, node) for n, node in enumerate(cluster.nodes, 1) if node.heard]
    yield "Cluster information", _fields(("Name", cluster.name))
    yield (
        "Quorum information",
        _fields(
            ("Date", _date(now)),
            ("Quorum provider", "quorate"),
            ("Nodes", str(len(members))),
            ("Quorate", "Yes" if cluster.quorate else "No"),
        ),
    )
    yield (
        "Votequorum information",
        _fields(
            ("Expected votes", str(votes.expected)),
            ("Highest expected", str(votes.total)),
            ("Total votes", str(votes.live)),
            ("Quorum", f"{votes.needed}{'' if cluster.quorate else ' Activity blocked'}"),
            ("Flags", " ".join(_flags(cluster))),
        ),
    )
    heading = "    Nodeid      Votes Name"
    yield (
        "Membership information",
        [heading, *(f"{f'0x{n:08x}':>10} {node.votes:>10} {node.name}" for n, node in members)],
    )


def _flags(cluster: ClusterReport) -> Iterator[str]:
    """As corosync-quorumtool has them: what is set, with whether it is quorate after 2Node."""
    yield from (flag for flag in cluster.options if flag == TWO_NODE)
    yield from ["Quorate"] if cluster.quorate else []
    yield from (flag for flag in cluster.options if flag != TWO_NODE)


def config(guests: Sequence[GuestSettings]) -> list[str]:
    """The lines of `ha-manager config`."""
    lines: list[str] = []
    for guest in guests:
        said = {
            "comment": one_line(guest.comment),
            "failback": "" if guest.failback else "0",
            "max_relocate": "" if guest.workload else str(guest.max_relocate),
            "max_restart": "" if guest.workload else str(guest.max_restart),
            "state": guest.state.lower(),
        }
        lines += [*([""] if lines else []), guest.guest, *(f"\t{key} {value}" for key, value in said.items() if value)]
    return lines


def _fields(*pairs: tuple[str, str]) -> list[str]:
    return [f"{name + ':':<17} {value}".rstrip() for name, value in pairs]


def _date(moment: Instant) -> str:
    """As Perl's localtime writes it: "Thu Feb  5 19:21:30 2026"."""
    return datetime.fromtimestamp(moment / 1000, tz=UTC).strftime("%a %b %e %H:%M:%S %Y")
