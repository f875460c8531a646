"""Pods that are instances of guests, as they are seen."""

from dataclasses import dataclass

from quorate.core.quick import quick
from quorate.core.types import InstanceId, NodeName, Nonce, Uid


@quick
@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container of a Pod. `state` is waiting, running, terminated or unknown.

    `started`: this version says that it was started once (running, terminated, or restarted).
    """

    name: str
    init: bool = False
    state: str = "unknown"
    started: bool = False
    exit_code: int | None = None
    reason: str = ""
    message: str = ""


@quick
@dataclass(frozen=True, slots=True)
class PodView:
    """A guest's Pod. `containers` holds one entry for each one declared, reported or not.

    `node` is the one it was made for; `bound`: it has been assigned to it. `stops_at_s`: the end of its grace period, on
    this manager's clock, counted from when it first saw that it is being deleted.
    """

    uid: Uid
    resource_version: str
    node: NodeName
    owner: Uid | None
    instance: InstanceId | None
    nonce: Nonce | None
    template_hash: str = ""
    bound: bool = True
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    ready: bool = False
    deleting: bool = False
    stops_at_s: float | None = None
    held: bool = False
    foreign_finalizers: tuple[str, ...] = ()
    containers: tuple[ContainerView, ...] = ()
