"""The count of one Cluster: from heartbeats, options, a person's word and what was remembered, to quorum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from quorate.core import device as devices
from quorate.core.changes import updated
from quorate.core.conditions import Finding
from quorate.core.liveness import Pulse
from quorate.core.members import effective_votes
from quorate.core.override import Override, judge_override
from quorate.core.quick import quick, replace
from quorate.core.quorum import Memory, Quorum, Rule, Vote, count, members_of, recalled
from quorate.core.quorum_options import PLAIN, Judged, QuorumOptions, in_force
from quorate.core.status import DeviceStatus
from quorate.core.types import Answer, NodeName
from quorate.core.world import NodeView, World

SOON_S: Final = 0.001


@quick
@dataclass(frozen=True, slots=True)
class Count:
    """The quorum in force, and what goes into the status with it.

    `override`: what became of the newest `expectedVotes`. `memory`: what the next count must know; None: nothing.
    `options` are those that act, `problems` says why others do not. `wake_at_s`: when it may be another without any
    news, on the manager's clock: the device falls silent, or the window of last man standing is over.
    """

    quorum: Quorum
    override: Override | None = None
    memory: Memory | None = None
    options: QuorumOptions = PLAIN
    problems: tuple[str, ...] = ()
    device: DeviceStatus | None = None
    wake_at_s: float | None = None


def count_votes(world: World, pulses: Mapping[NodeName, Pulse], suspect_after_s: float) -> Count:
    """Count the votes of a Cluster. `suspect_after_s`: S of the times in force, for the device."""
    before = world.cluster.status
    judged = in_force(world.cluster.spec.quorum, [(node.name, effective_votes(world, node)) for node in world.nodes])
    options = judged.options
    votes = [_vote(world, node, pulses[node.name]) for node in world.nodes]
    device = _device(world, options, suspect_after_s)
    if device is not None:
        alive = devices.alive(world.device, suspect_after_s, world.now_s)
        votes.append(Vote(NodeName(device.name), device.votes, alive, member=False))
    total = sum(vote.votes for vote in votes)
    kept = before.quorum or Memory(waiting=not before.quorate)
    if options.last_man_standing_s is None and not (before.override is not None and before.override.active):
        kept = replace(kept, expected=total, left=False)  # what had made it smaller acts no more
    memory = recalled(votes, _fitted(kept, before.votes.total, total))
    wish, override = world.cluster.spec.expected_votes, before.override
    if wish is not None or override is not None:
        override = judge_override(wish, override, _real(votes, memory, options, override))
    said = _told(memory, votes, before.override, override, kept=before.quorum is not None)
    quorum, after = count(votes, said, options)
    return Count(
        quorum,
        override,
        _kept(before.quorum, after, quorum, judged, override),
        options,
        judged.problems,
        device,
        min(
            (*_device_until(world, quorum, suspect_after_s), *_window_until(world, after, votes, options)), default=None
        ),
    )


def _vote(world: World, node: NodeView, pulse: Pulse) -> Vote:
    boot = node.beat.nonce if node.beat is not None else None
    silent_s = max(0.0, world.now_s - pulse.suspect_at_s) if pulse.suspect_at_s is not None else 0.0
    return Vote(node.name, effective_votes(world, node), pulse.alive, boot=boot or "", silent_s=silent_s)


def _device(world: World, options: QuorumOptions, suspect_after_s: float) -> DeviceStatus | None:
    if options.device is None:
        return None
    heard = devices.alive(world.device, suspect_after_s, world.now_s) is Answer.YES
    return DeviceStatus(options.device.name, options.device.votes or 0, heard)


def _device_until(world: World, quorum: Quorum, suspect_after_s: float) -> tuple[float, ...]:
    heard = any(not vote.member and vote.alive is not Answer.NO for vote in quorum.votes)
    return (world.device.seen_s + suspect_after_s + SOON_S,) if heard and world.device is not None else ()


def _window_until(world: World, memory: Memory, votes: Sequence[Vote], options: QuorumOptions) -> tuple[float, ...]:
    """When everybody that is silent has been so for the whole window."""
    silent = [vote.silent_s for vote in votes if vote.alive is not Answer.YES and vote.votes]
    if options.last_man_standing_s is None or not memory.left or not silent:
        return ()
    left_s = options.last_man_standing_s - min(silent)
    return (world.now_s + left_s + SOON_S,) if left_s > 0 else ()


def _fitted(memory: Memory, old_total: int, total: int) -> Memory:
    """The members or their votes have changed since the last count: the total in force goes along.

    One that had shrunk grows by every vote that is added, whether it is heard or not, and is never more than all votes.
    """
    expected = memory.expected
    if not expected or expected == old_total:
        return updated(memory, expected=total)
    if expected > old_total:
        return memory  # a person said so
    return replace(memory, expected=min(total, expected + max(0, total - old_total)))


def _real(votes: Sequence[Vote], memory: Memory, options: QuorumOptions, before: Override | None) -> Answer:
    """Whether a real majority lives, for a person's word. One that waits for all counts as none: nothing else would
    help when a node of it never comes back (votequorum: `cancel_wait_for_all`).
    """
    real = count(votes)[0].answer
    if before is not None and before.active:
        return real
    waits = count(votes, memory, options)[0].rule is Rule.WAITING_FOR_ALL
    return Answer.NO if waits and real is Answer.YES else real


def _told(
    memory: Memory, votes: Sequence[Vote], before: Override | None, override: Override | None, *, kept: bool
) -> Memory:
    """A person's word sets the total once, for those that live then; it grows with the votes that are heard after that,
    until it is spent. One for more than live lets nobody off waiting for all of them.
    """
    was = before if before is not None and before.active else None
    now = override if override is not None and override.active else None
    if now is not None and (was != now or not kept):
        live = [vote for vote in votes if vote.alive is Answer.YES]
        enough = not memory.waiting or sum(vote.votes for vote in live) >= now.votes
        return replace(memory, expected=now.votes, witnesses=members_of(live) if enough else memory.witnesses)
    return replace(memory, expected=0) if was is not None and now is None else memory


def _kept(
    before: Memory | None, after: Memory, quorum: Quorum, judged: Judged, override: Override | None
) -> Memory | None:
    """Only what some option or a person's word needs is written; and nothing while it is not known who lives."""
    if quorum.answer is Answer.NOT_YET:
        return before
    needed = judged.options.remember or (override is not None and override.active)
    return after if needed else None


def findings(counted: Count, wished: QuorumOptions) -> tuple[Finding, ...]:
    """What is to be said of the options, where there are any."""
    found = []
    if wished != PLAIN:
        text = "; ".join(counted.problems) or f"in force: {', '.join(counted.options.names)}"
        reason = "NotInForce" if counted.problems else "InForce"
        found.append(Finding("QuorumOptionsInForce", not counted.problems, reason, text))
    if counted.device is not None:
        found.append(_device_finding(counted.device))
    return tuple(found)


def _device_finding(device: DeviceStatus) -> Finding:
    lease = f"quorate-system/{devices.LEASE_PREFIX}{device.name}"
    if device.heard:
        return Finding("QuorumDeviceHeard", True, "Heard", f"the device {device.name} renews its Lease {lease}")
    counted = "vote counts" if device.votes == 1 else f"{device.votes} votes count"
    return Finding(
        "QuorumDeviceHeard",
        False,
        "NotHeard",
        f"the device {device.name} does not renew its Lease {lease}: its {counted} as silent. See "
        "whether it runs and may write that Lease",
    )
