"""The status report: what a person should know of the clusters now. One model for the command line, the page and JSON.

It holds facts in the words of the API; `build.py` makes it from objects, `table.py` draws it. Everything in it is read,
nothing is decided: ages come from clocks of several machines and are for display only.
"""

from dataclasses import dataclass
from enum import StrEnum

from quorate.core.status import Condition, DeviceStatus, DisarmStatus, Timeline, TimingStatus, VotesStatus
from quorate.core.storage import Unreached, Volume
from quorate.core.types import Instant


class Health(StrEnum):
    """How things are. Degraded: something is not as wished. Critical: not quorate, or a node is being fenced."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    CRITICAL = "Critical"

    @property
    def severity(self) -> int:
        """0, 1, 2: also the exit code of `quorate status`."""
        return list(Health).index(self)


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing to know. `health` is what it does to the whole; Healthy: worth knowing, and as planned.

    `until`: the latest moment at which it changes by itself, and `then` what happens at that moment. `remedy`: what a
    person can do.
    """

    health: Health
    object: str
    finding: str
    until: Instant | None = None
    then: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One member. `renewed`: its last heartbeat by its own clock, None when unknown; `taken`: a manager has its Lease."""

    name: str
    state: str
    votes: int
    heard: bool
    taken: bool
    watchdog: str
    watchdog_text: str
    guests: int
    why: str
    incident: str = ""
    since: Instant | None = None
    renewed: Instant | None = None
    release_by: Instant | None = None
    health: Health = Health.HEALTHY


@dataclass(frozen=True, slots=True)
class GuestReport:
    """One guest. `preview`: the target is where it would go, were it released now. `recovery`: its last one."""

    guest: str
    want: str
    state: str
    ready: bool
    node: str
    target: str
    preview: bool
    tries: str
    why: str
    since: Instant | None = None
    recovery: Timeline | None = None
    health: Health = Health.HEALTHY


@dataclass(frozen=True, slots=True)
class StorageReport:
    name: str
    type: str
    shared: bool
    nodes: str
    state: str
    used_by: tuple[str, ...]
    why: str
    health: Health = Health.HEALTHY
    content: str = ""
    used: str = ""
    unreached: tuple[Unreached, ...] = ()
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True, slots=True)
class ManagerReport:
    """Who leads. `renewed`: when it last renewed its Lease, None when that could not be read."""

    name: str
    term: int
    silent: bool
    renewed: Instant | None = None


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """One Cluster. Guests come with those that need attention first. `options`: those of quorum that are wished, as
    corosync-quorumtool calls them; `device`: the quorum device.
    """

    name: str
    health: Health
    quorate: bool
    votes: VotesStatus
    manager: ManagerReport
    fencing: str
    sentence: str
    disarm: DisarmStatus | None = None
    rules: str = ""
    capacity: str = ""
    quorate_since: Instant | None = None
    device: DeviceStatus | None = None
    options: tuple[str, ...] = ()
    timing: TimingStatus | None = None
    conditions: tuple[Condition, ...] = ()
    attention: tuple[Attention, ...] = ()
    nodes: tuple[NodeReport, ...] = ()
    guests: tuple[GuestReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything. `strays` are guests that no Cluster looks after; `attention` is about what belongs to no Cluster."""

    now: Instant
    health: Health
    clusters: tuple[ClusterReport, ...] = ()
    storages: tuple[StorageReport, ...] = ()
    strays: tuple[GuestReport, ...] = ()
    attention: tuple[Attention, ...] = ()


def worst(*healths: Health) -> Health:
    """The worst of them; Healthy if there are none."""
    return max(healths, key=lambda health: health.severity, default=Health.HEALTHY)
