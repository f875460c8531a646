"""The Cluster as a whole: its times, its votes, and its one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quorate.core import capacity, counting, disarm, guard, history, latency
from quorate.core.actions import Note
from quorate.core.capacity_status import CapacityStatus
from quorate.core.changes import updated
from quorate.core.conditions import Finding, merge, some, summary
from quorate.core.counting import Count
from quorate.core.disarm import FREE, Brake
from quorate.core.history import Judgement
from quorate.core.latency import adapt
from quorate.core.members import Enrolment
from quorate.core.override import Override, OverrideState
from quorate.core.quick import quick
from quorate.core.quorum import Quorum
from quorate.core.rulewords import RulesInWords
from quorate.core.status import (
    ClusterStatus,
    Condition,
    DisarmStatus,
    GuestStatus,
    NodeStatus,
    RebalanceStatus,
    Rewind,
    TimingStatus,
    VotesStatus,
)
from quorate.core.timing import Resolved, resolve, seconds
from quorate.core.types import (
    HEARD,
    MAX_NODES,
    TAKEN,
    Answer,
    GuestKey,
    GuestState,
    Kind,
    NodeName,
    NodeState,
    Ref,
    clock,
)
from quorate.core.world import World

NAMED: Final = 3
"""So many guests are named in a sentence, the others are counted."""


@quick
@dataclass(frozen=True, slots=True)
class Outlook:
    """What this round found out, for the status of the Cluster."""

    timing: Resolved
    count: Count
    nodes: Mapping[NodeName, NodeStatus]
    guests: Mapping[GuestKey, GuestStatus]
    enrolment: Enrolment
    history: Judgement
    rules: RulesInWords | None = None
    scheduling: Finding | None = None
    capacity: CapacityStatus | None = None
    rebalance: RebalanceStatus | None = None
    brake: Brake = FREE

    @property
    def quorum(self) -> Quorum:
        return self.count.quorum


def resolved_timing(world: World) -> Resolved:
    """The times in force: what the spec wishes and, where that is Auto, what the API server allows."""
    return adapt(world, resolve(world.cluster.spec.timing, world.api_servers))


def cluster_status(world: World, outlook: Outlook) -> ClusterStatus:
    before, quorum = world.cluster.status, outlook.quorum
    # "Not yet" is no news: what was written stays until it is known.
    quorate = before.quorate if quorum.answer is Answer.NOT_YET else quorum.answer is Answer.YES
    turned = quorate != before.quorate
    votes = VotesStatus(
        expected=quorum.expected,
        total=quorum.total,
        live=quorum.live,
        needed=quorum.needed,
        text=f"{quorum.live}/{quorum.expected}",
        rule=quorum.rule,
        tie_breaker=quorum.tie_breaker,
    )
    table_changed = (votes.expected, votes.total) != (before.votes.expected, before.votes.total)
    if quorum.answer is Answer.NOT_YET:
        votes, table_changed = before.votes, False
    recorded = disarm.record(world, outlook.brake, outlook.nodes)
    status = updated(
        before,
        quorate=quorate,
        quorate_since=(world.wall if quorate else None) if turned else before.quorate_since,
        ever_quorate=before.ever_quorate or quorate,
        votes=votes,
        device=outlook.count.device,
        quorum=outlook.count.memory,
        override=outlook.count.override,
        table_generation=before.table_generation + (1 if table_changed else 0),
        manager=world.manager,
        timing=_timing_status(outlook.timing),
        fencing=_fencing(outlook.nodes, recorded),
        disarm=recorded,
        nodes=_nodes_text(outlook.nodes),
        guests=_guests_text(outlook.guests),
        rewind=outlook.history.rewind,
        observed_generation=world.cluster.generation,
    )
    if outlook.rules is not None:
        status = updated(
            status,
            rules=outlook.rules.text,
            ignored_rules=outlook.rules.ignored,
            capacity=outlook.capacity,
            rebalance=outlook.rebalance,
        )
    status = updated(status, message=_sentence(world, outlook, status.guests))
    return updated(status, conditions=_conditions(world, outlook, status))


def notes(world: World, after: ClusterStatus) -> tuple[Note, ...]:
    """Events for what turned."""
    before, ref = world.cluster.status, Ref(Kind.CLUSTER, world.cluster.name)
    found = []
    if after.quorate != before.quorate:
        text = f"{after.votes.live} of {after.votes.expected} votes, need {after.votes.needed}"
        reason = "Quorate" if after.quorate else "QuorumLost"
        found.append(Note(ref, reason, text, warning=not after.quorate))
    if after.override != before.override and after.override is not None:
        found.append(Note(ref, f"ExpectedVotes{after.override.state}", _override_text(after.override)))
    found += _disarm_notes(ref, before.disarm, after.disarm)
    if after.rewind != before.rewind and after.rewind is not None:
        found.append(_history_note(ref, after.rewind))
    ignored = dict.fromkeys(rule.message for rule in after.ignored_rules if rule not in before.ignored_rules)
    found.extend(Note(ref, "RuleIgnored", message, warning=True) for message in ignored)
    moved = after.rebalance.last if after.rebalance is not None else ""
    if moved and (before.rebalance is None or moved != before.rebalance.last):
        found.append(Note(ref, "Rebalanced", f"nodes are unevenly loaded: {moved}"))
    if after.manager != before.manager:
        found.append(Note(ref, "LeaderChanged", f"{world.manager} leads, term {world.term}"))
    return tuple(found)


def _disarm_notes(ref: Ref, before: DisarmStatus | None, after: DisarmStatus | None) -> list[Note]:
    if after is None:
        return [Note(ref, "Armed", "HA is armed again")] if before is not None else []
    if before is not None and before.state is after.state:
        return []
    text = f"{after.mode} until {clock(after.until)} UTC: {after.reason}"
    return [Note(ref, str(after.state), text, warning=True)]


def _history_note(ref: Ref, rewind: Rewind) -> Note:
    if rewind.ended is not None:
        return Note(ref, "HistoryAccepted", f"{rewind.id}: accepted by a person, and every node has renewed")
    if rewind.accepted is not None:
        return Note(ref, "HistoryAccepted", f"{rewind.id}: accepted by a person; waiting for every node to renew")
    return Note(ref, "HistoryBackwards", f"{rewind.id}: {rewind.why}", warning=True)


def _timing_status(resolved: Resolved) -> TimingStatus:
    timing = resolved.timing
    return TimingStatus(
        profile=resolved.profile,
        why=resolved.why,
        renew_every_s=timing.renew_s,
        timeout_s=timing.timeout_s,
        watchdog_s=timing.watchdog_s,
        suspect_after_s=timing.suspect_after_s,
        release_after_s=timing.release_after_s,
        slowed_to=resolved.slowed_to or "",
        slowed_at=resolved.slowed_at,
    )


def _fencing(nodes: Mapping[NodeName, NodeStatus], disarmed: DisarmStatus | None) -> str:
    """How many of the nodes that are online hold an armed watchdog; none needs to while no guest runs."""
    if disarmed is not None:
        return str(disarmed.state)
    online = [status for status in nodes.values() if status.state in HEARD]
    armed = sum(1 for status in online if status.watchdog is not None and status.watchdog.armed)
    return f"Armed {armed}/{len(online)}" if armed else "Standby"


def _nodes_text(nodes: Mapping[NodeName, NodeStatus]) -> str:
    online = sum(1 for status in nodes.values() if status.state in HEARD)
    return f"{online}/{len(nodes)}"


def _guests_text(guests: Mapping[GuestKey, GuestStatus]) -> str:
    states = [status.state for status in guests.values()]
    counted = ((states.count(state), state) for state in GuestState)
    return ", ".join(f"{number} {state.lower()}" for number, state in counted if number) or "none"


def _override_text(override: Override) -> str:
    match override.state:
        case OverrideState.ACTIVE:
            return f"expectedVotes {override.votes} is in force until a real majority lives again"
        case OverrideState.REFUSED:
            return (
                f"expectedVotes {override.votes} is refused: a real majority is alive, so nothing needs it. "
                "Remove spec.quorum.expectedVotes; if it is needed later, write it again with a larger generation"
            )
    return (
        f"expectedVotes {override.votes} is spent: a real majority has lived again. It will not act any more; "
        "a new request needs a larger generation"
    )


def _sentence(world: World, outlook: Outlook, guests: str) -> str:
    """What was done or is awaited, and until when at the latest."""
    quorum = outlook.quorum
    if outlook.history.waiting:
        return outlook.history.waiting
    if world.cluster.deleting:
        return _leaving(outlook)
    if not outlook.nodes:
        return _nobody_yet(outlook.enrolment)
    if said := disarm.sentence(world, outlook.brake, outlook.nodes):
        return said
    if quorum.answer is Answer.NOT_YET:
        return f"waiting to hear from the nodes ({quorum.sentence})"
    if quorum.answer is Answer.NO:
        return f"not quorate ({quorum.sentence}): nothing is fenced, recovered, started or moved"
    for name, status in outlook.nodes.items():
        incident = status.incident
        if incident is None or (incident.stage in TAKEN and not status.guests):
            continue
        until = f" no later than {clock(incident.release_by)} UTC" if incident.release_by else ", only by a person"
        if incident.stage in TAKEN:
            return f"{name} is fenced, {status.guests} {'guest recovers' if status.guests == 1 else 'guests recover'}"
        waiting = "guest waits" if status.guests == 1 else "guests wait"
        return f"{name} is lost ({incident.reason}): proven dead{until}; {status.guests} {waiting} for it"
    said = f"quorate ({quorum.sentence}), guests: {guests}"
    lost = [name for name, status in outlook.nodes.items() if status.state not in HEARD]
    drained = [name for name, status in outlook.nodes.items() if status.state is NodeState.MAINTENANCE]
    if lost:
        said += f"; not online: {', '.join(lost)}"
    if drained:
        said += f"; in maintenance: {', '.join(drained)}"
    return said


def _leaving(outlook: Outlook) -> str:
    """What a Cluster that is being deleted waits for, and what a person can do about it."""
    waits = []
    if outlook.guests:
        names = sorted(status.guest or key.sid for key, status in outlook.guests.items())
        waits.append(f"{some(names, NAMED)} to be taken out of HA (quorate remove GUEST)")
    lost = [name for name, status in outlook.nodes.items() if status.incident is not None]
    if lost:
        waits.append(
            f"{', '.join(lost)} to come back in a new boot (power it on; quorate uninstall does not wait for that)"
        )
    return f"being deleted: waiting for {', and for '.join(waits)}" if waits else "being deleted"


def _nobody_yet(enrolment: Enrolment) -> str:
    if enrolment.actions:
        return "nodes are joining"
    if enrolment.claimed:
        return "no node has joined: every node that matches spec.nodeSelector is a member of another Cluster"
    return "no node has joined yet: nothing matches spec.nodeSelector"


def _conditions(world: World, outlook: Outlook, status: ClusterStatus) -> tuple[Condition, ...]:
    problem = outlook.history.waiting or outlook.timing.problem
    spare = _spare(outlook)
    message = status.message
    if not spare:
        message = f"{message}. With {outlook.quorum.total} votes no node failure can be survived: three are needed"
    findings: list[Finding] = [
        *summary(
            ready=status.quorate and not problem,
            reason=_reason(outlook, status),
            message=problem or message,
            stalled=bool(problem),
        ),
        Finding(
            "SurvivesNodeFailure",
            spare >= 1,
            "Votes",
            f"{outlook.quorum.total} votes: {spare} may be lost",
        ),
        _timing_finding(outlook.timing),
        latency.finding(world, outlook.timing),
        history.finding(outlook.history.rewind, outlook.history.waiting),
        _enrolled(outlook.enrolment),
    ]
    if outlook.rules is not None and outlook.rules.finding is not None:
        findings.append(outlook.rules.finding)
    unguarded = guard.finding(world.nodes, world.cluster.spec)
    findings += [
        one for one in (unguarded, outlook.scheduling, capacity.finding(world, outlook.capacity)) if one is not None
    ]
    override = outlook.count.override
    if override is not None:
        findings.append(Finding("ExpectedVotesActive", override.active, str(override.state), _override_text(override)))
    findings += disarm.finding(world, outlook.brake, outlook.nodes)
    findings += counting.findings(outlook.count, world.cluster.spec.quorum)
    return merge(world.cluster.status.conditions, findings, now=world.wall, generation=world.cluster.generation)


def _spare(outlook: Outlook) -> int:
    """How many of all votes may be lost. On a tie breaker nobody counts: it may be what is lost."""
    total = outlook.quorum.total
    if outlook.count.options.two_node:
        return 1
    return max(0, (total - 1) // 2)


def _reason(outlook: Outlook, status: ClusterStatus) -> str:
    if outlook.history.waiting:
        return "HistoryBackwards"
    if outlook.timing.problem:
        return "Stalled"
    return "Quorate" if status.quorate else "NotQuorate"


def _timing_finding(timing: Resolved) -> Finding:
    if timing.problem:
        return Finding("TimingValid", False, "Invalid", timing.problem)
    found = timing.timing
    text = (
        f"{timing.profile}: suspected after {seconds(found.suspect_after_s)}, "
        f"released after {seconds(found.release_after_s)}"
    )
    return Finding("TimingValid", True, "Valid", text)


def _enrolled(enrolment: Enrolment) -> Finding:
    if enrolment.claimed:
        named = ", ".join(f"{name} (Cluster {cluster})" for name, cluster in enrolment.claimed)
        return Finding(
            "NodesEnrolled",
            False,
            "ClaimedByAnother",
            f"selected, but members of another Cluster: {named}. A node votes in one Cluster only: make the two "
            "spec.nodeSelector disjoint, or delete the nodes.quorate.dev object to move it",
        )
    if enrolment.beyond:
        return Finding(
            "NodesEnrolled",
            False,
            "TooManyNodes",
            f"{', '.join(enrolment.beyond)} cannot join: a Cluster has at most {MAX_NODES} nodes. Narrow "
            "spec.nodeSelector or make a second Cluster",
        )
    return Finding("NodesEnrolled", True, "AllEnrolled", "every selected node is a member")
