"""Objects as the API server returns them -> the core's views. The spec is checked by the models; a status that cannot be
read is an error as well, because state that is not understood must not be acted upon.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from quorate.api.cluster import ClusterSpec as ClusterSpecModel
from quorate.api.cluster import SchedulingSpec
from quorate.api.common import LabelSelector, Model
from quorate.api.fencing import FenceDeviceModel
from quorate.api.haresource import HAResourceSpec, Workload
from quorate.api.node import NodeSpec
from quorate.api.quorum import QuorumSpec
from quorate.api.rules import RuleModel
from quorate.api.storage import StorageSpec
from quorate.api.template import digest, template
from quorate.api.wire import from_wire, parse_instant, to_wire
from quorate.core.override import ExpectedVotes
from quorate.core.quick import replace
from quorate.core.quorum_options import QuorumDevice, QuorumOptions
from quorate.core.rules import GuestAffinity, Guests, NodeAffinity, NodePriority, Rule
from quorate.core.selectors import Requirement, Selector
from quorate.core.sequence import FenceDevice
from quorate.core.status import ClusterStatus, GuestStatus, NodeStatus, StorageStatus
from quorate.core.storage import NfsExport, VolumeClass
from quorate.core.timing import Timing, TimingSpec, parse_duration
from quorate.core.types import (
    ACCEPT_ANNOTATION,
    COMMAND_ANNOTATION,
    CONFIRM_ANNOTATION,
    DRILL_ANNOTATION,
    IN_USE_FINALIZER,
    INSTANCE_FINALIZER,
    MEMBER_FINALIZER,
    RELEASE_ANNOTATION,
    GuestKey,
    Instant,
    MachineKey,
    NodeName,
    Uid,
)
from quorate.core.workloads import WorkloadTarget
from quorate.core.world import (
    AutoRebalance,
    ClusterSpec,
    ClusterView,
    Disarm,
    GuestSpec,
    GuestView,
    Mount,
    NodeView,
    Scheduling,
    StorageView,
)

Raw = Mapping[str, Any]
Spec = TypeVar("Spec", bound=Model)
Status = TypeVar("Status")
Read = TypeVar("Read")
LONGEST_COMMAND: Final = 1024
LONGEST_DRILL: Final = 300
"""What the status of a Node has room for, of the annotation that asks for a drill."""
MOST_READ: Final = 50_000
"""Specs that are remembered; more than any one Kubernetes cluster has of ours."""
MOST_WRITTEN: Final = 64
"""Statuses that are remembered; more than are on their way at a time."""


class UnreadableError(Exception):
    """An object that cannot be understood; the message names object, field, finding and remedy."""


def cluster(raw: Raw) -> ClusterView:
    """A Cluster. Raises UnreadableError."""
    spec = _read_once(raw, _cluster_spec)
    return ClusterView(
        **_identity(raw),
        accepted_history=_annotations(raw).get(ACCEPT_ANNOTATION, ""),
        held=_holds(raw, MEMBER_FINALIZER),
        status=_status(raw, ClusterStatus),
        spec=spec,
    )


def _cluster_spec(raw: Raw) -> ClusterSpec:
    spec = _spec(raw, ClusterSpecModel)
    expected, custom = spec.quorum.expected_votes, spec.timing.custom
    timing = None
    if custom is not None:
        timing = Timing(*(parse_duration(one) for one in (custom.renew_every, custom.timeout, custom.watchdog)))
    return ClusterSpec(
        node_selector=selector(spec.node_selector) if spec.node_selector is not None else None,
        expected_votes=(
            ExpectedVotes(expected.votes, expected.reason, expected.generation) if expected is not None else None
        ),
        quorum=quorum_options(spec.quorum),
        timing=TimingSpec(spec.timing.profile, timing),
        disarm=_disarm(raw, spec),
        accepted_evidence=tuple(spec.fencing.accepted_evidence),
        accepted_watchdogs=tuple(spec.fencing.accepted_watchdogs),
        hold_back_s=parse_duration(spec.fencing.hold_back),
        start_without_proof=spec.fencing.start_without_proof,
        max_concurrent=spec.fencing.max_concurrent,
        power_on=spec.fencing.power_on,
        scheduling=_scheduling(spec.scheduling),
        tolerate_node_failures=spec.tolerate_node_failures,
        rules=tuple(_rule(one) for one in spec.rules),
        shutdown_policy=spec.shutdown_policy,
        freeze_timeout_s=parse_duration(spec.freeze_timeout),
    )


def _disarm(raw: Raw, spec: ClusterSpecModel) -> Disarm | None:
    wish = spec.disarm
    if wish is None:
        return None
    try:
        until = parse_instant(wish.until.upper())
    except ValueError as error:
        raise UnreadableError(
            f"{_name(raw)}: spec.disarm.until: {wish.until!r} is no time. Write for example 2026-01-31T14:00:00Z"
        ) from error
    return Disarm(wish.mode, wish.reason, until)


def quorum_options(spec: QuorumSpec) -> QuorumOptions:
    """The options of votequorum that are wished."""
    window, device = spec.last_man_standing, spec.device
    return QuorumOptions(
        wait_for_all=spec.wait_for_all,
        auto_tie_breaker=spec.auto_tie_breaker,
        tie_breakers=tuple(NodeName(name) for name in spec.auto_tie_breaker_nodes),
        last_man_standing_s=parse_duration(window.window) if window is not None else None,
        two_node=spec.two_node,
        device=QuorumDevice(device.name, device.votes) if device is not None else None,
    )


def _scheduling(spec: SchedulingSpec) -> Scheduling:
    asked = spec.auto_rebalance
    auto = None
    if asked is not None:
        hold_s = parse_duration(asked.hold)
        auto = AutoRebalance(asked.threshold, asked.margin, hold_s, asked.method, asked.max_moves)
    return Scheduling(spec.mode, spec.cpu, spec.rebalance_on_start, auto)


def node(raw: Raw) -> NodeView:
    """A Node, without its Kubernetes node and its Lease. Raises UnreadableError."""
    spec = _read_once(raw, _node_spec)
    identity = _identity(raw)
    return NodeView(
        **{**identity, "name": NodeName(identity["name"])},
        cluster_name=spec.cluster_name,
        votes=spec.votes,
        maintenance=spec.maintenance.reason if spec.maintenance is not None and spec.maintenance.enabled else None,
        zone=spec.zone,
        confirm=_annotations(raw).get(CONFIRM_ANNOTATION, ""),
        release=_annotations(raw).get(RELEASE_ANNOTATION, ""),
        drill=_drill(raw),
        devices=_read_once(raw, _fence_devices),
        held=_holds(raw, MEMBER_FINALIZER),
        status=_status(raw, NodeStatus),
    )


def _drill(raw: Raw) -> str:
    """The drill that is asked for: ID/NONCE/USER, of the boot of that nonce and of no other.

    One that is under way or over stays what it was: it has ended that boot. An annotation that came with a Node out of a
    backup, or out of Git, names a boot that is over, and switches nothing off.
    """
    asked, status = _annotations(raw).get(DRILL_ANNOTATION, "")[:LONGEST_DRILL], raw.get("status") or {}
    power = status.get("power") or {}
    known = {(power.get("sequence") or {}).get("subject"), (power.get("drilled") or {}).get("id")}
    nonce = asked.split("/", 2)[1] if asked.count("/") > 1 else ""
    return asked if asked in known or (nonce and nonce == status.get("nonce")) else ""


def _node_spec(raw: Raw) -> NodeSpec:
    return _spec(raw, NodeSpec)


def fence_devices(raw: Raw) -> dict[str, FenceDeviceModel]:
    """The fence devices of a Node by their names, as people wrote them down. Raises UnreadableError."""
    return {one.name: one for one in _read_once(raw, _node_spec).fencing.devices}


def _fence_devices(raw: Raw) -> tuple[FenceDevice, ...]:
    return tuple(fence_device(one) for one in fence_devices(raw).values())


def fence_device(given: FenceDeviceModel) -> FenceDevice:
    """What a plan knows of a device. What its Secret says, whoever has looked adds (`FenceDevice.with_secret`)."""
    written = given.model_dump(mode="json", include={"agent", "parameters", "secret_ref"})
    spec = digest(json.dumps(written, sort_keys=True))
    secret = given.secret_ref.name if given.secret_ref is not None else ""
    return FenceDevice(given.name, spec, given.level, parse_duration(given.timeout), secret)


def guest(raw: Raw) -> GuestView:
    """An HAResource, without its Pod. Raises UnreadableError."""
    spec, identity = _read_once(raw, _guest_spec), _identity(raw)
    key = (MachineKey if spec.machine else GuestKey)(raw["metadata"].get("namespace", ""), identity.pop("name"))
    return GuestView(
        **identity,
        key=key,
        command=_annotations(raw).get(COMMAND_ANNOTATION, "")[:LONGEST_COMMAND],
        labels=raw["metadata"].get("labels") or {},
        created=_created(raw),
        held=_holds(raw, INSTANCE_FINALIZER),
        status=_status(raw, GuestStatus),
        spec=spec,
    )


def _guest_spec(raw: Raw) -> GuestSpec:
    spec, namespace = _spec(raw, HAResourceSpec), raw["metadata"].get("namespace", "")
    kinds = (spec.guest.container, spec.guest.workload, spec.guest.virtual_machine)
    if sum(one is not None for one in kinds) != 1:
        raise UnreadableError(f"{_name(raw)}: spec.guest: name exactly one of container, virtualMachine and workload")
    mounts = tuple(Mount(one.name, one.path) for one in spec.storage)
    return GuestSpec(
        template=template(spec, mounts),
        cluster_name=spec.cluster_name,
        wanted=spec.state,
        max_restart=spec.max_restart,
        max_relocate=spec.max_relocate,
        start_timeout_s=parse_duration(spec.start_timeout),
        stop_timeout_s=parse_duration(spec.stop_timeout),
        stop_timeout_policy=spec.stop_timeout_policy,
        update_policy=spec.update_policy,
        mounts=mounts,
        priority=spec.priority,
        start_after=tuple(_named(text, namespace) for text in spec.start_after),
        failback=spec.failback,
        workload=_workload(spec.guest.workload) if spec.guest.workload is not None else None,
        machine=spec.guest.virtual_machine.name if spec.guest.virtual_machine is not None else "",
    )


def _workload(model: Workload) -> WorkloadTarget:
    chosen = selector(model.selector) if model.selector is not None else None
    return WorkloadTarget(model.kind, model.name or "", chosen)


def _named(text: str, namespace: str) -> GuestKey:
    """A guest as a spec names it: NAME in that namespace, NAMESPACE/NAME, or its sid."""
    place, _, name = text.rpartition(":")[2].rpartition("/")
    return GuestKey(place or namespace, name)


def without_spec(before: GuestView | NodeView, raw: Raw) -> GuestView | NodeView:
    """An object whose spec cannot be read any more: as it was, with its newest status, version and finalizer.

    What was recorded must be read again, or a plan would go on from a state that is long over. A status that cannot be
    read either leaves everything as it was, the version as well: with that one nothing can be written over it.
    """
    version = raw["metadata"].get("resourceVersion", "")
    deleting = raw["metadata"].get("deletionTimestamp") is not None
    try:
        if isinstance(before, GuestView):
            status, held = _status(raw, GuestStatus), _holds(raw, INSTANCE_FINALIZER)
            return replace(before, status=status, held=held, deleting=deleting, resource_version=version)
        member, held = _status(raw, NodeStatus), _holds(raw, MEMBER_FINALIZER)
        return replace(before, status=member, held=held, deleting=deleting, resource_version=version)
    except UnreadableError:
        return before


def storage(raw: Raw) -> StorageView:
    """A Storage, without its users. Raises UnreadableError."""
    spec = _spec(raw, StorageSpec)
    nfs, of_class = spec.nfs, spec.storage_class
    return StorageView(
        **_identity(raw),
        type=spec.type,
        nodes=selector(spec.nodes) if spec.nodes is not None else None,
        namespaces=tuple(spec.allowed_namespaces),
        claim=(spec.claim.namespace, spec.claim.name) if spec.claim is not None else None,
        nfs=NfsExport(nfs.server, nfs.export, tuple(nfs.options)) if nfs is not None else None,
        volume_class=VolumeClass(of_class.name, of_class.size, of_class.access_mode) if of_class is not None else None,
        path=spec.local.path if spec.local is not None else "",
        content=tuple(sorted(spec.content)),
        on_loss=spec.on_loss,
        disabled=spec.disabled,
        held=_holds(raw, IN_USE_FINALIZER),
        status=_status(raw, StorageStatus),
    )


def selector(model: LabelSelector) -> Selector:
    """A LabelSelector; matchLabels are In requirements with one value."""
    exact = [Requirement(key, "In", (value,)) for key, value in sorted(model.match_labels.items())]
    more = [Requirement(one.key, one.operator, tuple(one.values)) for one in model.match_expressions]
    return Selector((*exact, *more))


def _rule(model: RuleModel) -> Rule:
    nodes, peers = model.node_affinity, model.guest_affinity
    return Rule(
        name=model.name,
        guests=Guests(
            tuple(_named(text, "") for text in model.guests.names),
            selector(model.guests.selector) if model.guests.selector is not None else None,
        ),
        nodes=(
            NodeAffinity(tuple(NodePriority(NodeName(one.name), one.priority) for one in nodes.nodes), nodes.strict)
            if nodes is not None
            else None
        ),
        peers=GuestAffinity(peers.affinity, peers.topology) if peers is not None else None,
        disabled=model.disabled,
    )


def _identity(raw: Raw) -> dict[str, Any]:
    metadata = raw["metadata"]
    return {
        "name": metadata["name"],
        "uid": Uid(metadata.get("uid", "")),
        "generation": metadata.get("generation", 0),
        "resource_version": metadata.get("resourceVersion", ""),
        "deleting": metadata.get("deletionTimestamp") is not None,
    }


def _annotations(raw: Raw) -> Mapping[str, str]:
    return raw["metadata"].get("annotations") or {}


def _created(raw: Raw) -> Instant | None:
    """When the API server made it; None where that cannot be told."""
    try:
        return parse_instant(str(raw["metadata"].get("creationTimestamp") or ""))
    except ValueError:
        return None


def _holds(raw: Raw, finalizer: str) -> bool:
    return finalizer in (raw["metadata"].get("finalizers") or [])


_READ: dict[tuple[object, str], tuple[int, object, Any]] = {}
"""How a spec is read, and the object's uid -> its generation, its spec, and what was made of that."""


def _read_once(raw: Raw, read: Callable[[Raw], Read]) -> Read:
    """What was made of an object's spec before, as long as it is the very same one: most versions bring another status.

    The spec is compared as well: a store that was restored from an old copy may give out a generation again. And the
    generation, because 1 and true are equal to Python and not to the API server. Raises UnreadableError.
    """
    metadata, spec = raw["metadata"], raw.get("spec")
    key, generation = (read, metadata.get("uid", "")), metadata.get("generation", 0)
    known = _READ.get(key)
    made: Read = known[2] if known is not None and known[:2] == (generation, spec) else read(raw)
    if len(_READ) >= MOST_READ:
        _READ.clear()
    _READ[key] = (generation, spec, made)
    return made


def _spec(raw: Raw, model: type[Spec]) -> Spec:
    try:
        return model.model_validate(raw.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(["spec", *(str(part) for part in first["loc"])])
        raise UnreadableError(f"{_name(raw)}: {field}: {first['msg']}, found {first['input']!r}") from error


_WRITTEN: dict[str, tuple[Any, object]] = {}
"""An object's uid -> the status that was written to it last, on the wire and as it was decided."""


def written(uid: str, status: object) -> Any:
    """A status on the wire, about to be written to that object: what is answered is the very same, and need not be read."""
    encoded = to_wire(status)
    _WRITTEN.pop(uid, None)
    _WRITTEN[uid] = (encoded, status)
    if len(_WRITTEN) > MOST_WRITTEN:
        del _WRITTEN[next(iter(_WRITTEN))]
    return encoded


def _status(raw: Raw, cls: type[Status]) -> Status:
    encoded, status = _WRITTEN.get(raw["metadata"].get("uid", ""), (None, None))
    if isinstance(status, cls) and encoded == raw.get("status"):
        return status
    try:
        return from_wire(cls, raw.get("status"))
    except ValueError as error:
        raise UnreadableError(
            f"{_name(raw)}: status.{error}: this version of Quorate did not write it; nothing is done with this object"
        ) from error


def _name(raw: Raw) -> str:
    metadata = raw["metadata"]
    where = f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]
    return f"{raw.get('kind', 'object')} {where}"
