"""The loop that renews and pets: small, and nothing else happens in its thread.

    renew (time-out d) -> pet only if the renewal is confirmed and younger than d -> look at the clock again: too late,
    reset at once

It decides by `core/selffence.py`. What it must remember over its own death (the Lease was held in this boot, the largest
sequence) is in a file under /run, which a reboot empties (`mark.py`); the open watchdog is held by the keeper as well.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from quorate.agent.api import Refused, Unanswered
from quorate.agent.boot import Boot
from quorate.agent.handover import AGAIN_S, Estate
from quorate.agent.lease import NodeLease, Outcome, Renewal
from quorate.agent.mark import Mark, Seen, write
from quorate.agent.orders import UNTIL_TOLD, OrdersReader, list_guests
from quorate.agent.pace import Pace
from quorate.agent.partners import Holder, Successor, Wake
from quorate.agent.runtime import Runtime
from quorate.agent.steps import Steps, carry_out
from quorate.agent.tally import Tally
from quorate.agent.watchdog import (
    ClosedWatchdogError,
    SilentWatchdogError,
    StuckWatchdogError,
    UnchangedWatchdogError,
    UnusableWatchdogError,
    Watchdog,
    WatchdogError,
)
from quorate.core import selffence
from quorate.core.quick import replace
from quorate.core.selffence import Device, Step
from quorate.core.timing import Timing
from quorate.core.types import MAX_LEFT, MAX_TROUBLE, PROTOCOL, Uid
from quorate.core.world import Attestation

log = logging.getLogger(__name__)
AFTER_FAILURE_S = 0.1
"""After a renewal that got no answer the next one follows at once: on another address and a new connection."""

SETTLED_S: Final = 2.0
"""So long the agent that takes over has for taking the lock that this one has just let go of."""


@dataclass(slots=True)
class Leave:
    """How the agent goes: when it was told to, and how long it may take."""

    told_s: float
    grace_s: float


@dataclass(slots=True)
class Loop:
    """One agent. `run` returns when it has left; it never returns from a reset."""

    boot: Boot
    lease: NodeLease
    watchdog: Watchdog | None
    runtime: Runtime
    orders: OrdersReader
    holder: Holder
    mark: Mark
    clock: Callable[[], float]
    device: Device = field(default_factory=Device)
    timing: Timing = UNTIL_TOLD
    leave: Leave | None = None
    seen: Seen = field(default_factory=lambda: Seen(Uid(""), 0))
    pace: Pace = field(default_factory=Pace)
    successor: Successor | None = None
    retired: Callable[[], None] = lambda: None
    vacant: Callable[[], bool] = lambda: False
    """Has the agent that took over gone, and is this one the node's again?"""
    going: Callable[[], str] = lambda: ""
    """Is the host going down, and what comes then (`core.types.Going`)?"""
    bare_reset: Callable[[], list[str]] = lambda: ["there is no watchdog"]
    """Resets a node that has none. Returns only if that failed: what was tried, and what came of it."""
    ready_file: Path | None = None
    wake: Wake = field(default_factory=threading.Event)
    tally: Tally = field(default_factory=lambda: Tally({outcome.value: 0 for outcome in Outcome}))
    _said: str = ""
    _trouble: str = ""
    """What the watchdog did last that it should not; "" since it did as it was told."""
    _complained: str = ""
    _unfit: Timing | None = None
    """Times that the open watchdog could not be set to: the ones before stand until others are ordered."""
    _here: frozenset[Uid] = frozenset()
    """Guests with a process when it last looked: one whose Pod object is torn out since is still one."""
    _marked: bool = False

    def __post_init__(self) -> None:
        self._marked = self.lease.guard.held

    def run(self) -> bool:
        """Renew and pet until told to leave and free to go.

        False: the agent that took over is gone, and a loop must be started that goes on for it.
        """
        while True:
            began_s = self.clock()
            renewal = self.cycle()
            if self.gone(renewal):
                return True
            if self._handed_over(renewal):
                return self._wait_for_the_end()
            pause_s, sooner = self.pause(renewal, began_s)
            if sooner:
                self.wake.wait(pause_s)
            else:
                time.sleep(pause_s)
            self.wake.clear()

    def pause(self, renewal: Renewal, began_s: float) -> tuple[float, bool]:
        """How long to wait after a renewal that began then, and whether `wake` may end that sooner."""
        if renewal.outcome is Outcome.FAILED:
            return AFTER_FAILURE_S, False
        return max(0.05, self.timing.renew_s - (self.clock() - began_s)), True

    def cycle(self) -> Renewal:
        """One renewal and what follows from it for the watchdog."""
        return carry_out(self.lease.api, self.steps())

    def steps(self) -> Steps[Renewal]:
        """The same, step by step."""
        orders = self.orders.current
        here, sure, over = yield from self._guests_here()
        wanted = self._wants_armed(here, sure=sure)
        ordered = orders.timing if orders.timing not in {None, self._unfit} else self.timing
        drained = sure and not here and self.leave is not None and bool(self.going())

        def attest(lease_uid: Uid, sequence: int) -> Attestation:
            left = over if drained else frozenset[Uid]()
            return self._attest(lease_uid, sequence, wanted=wanted, ordered=ordered, drained=drained, left=left)

        if self.device.stuck and not wanted:
            self._pet_the_stuck()
        danger = self.device.guards or bool(here)
        began_s = self.clock()
        renewal = yield from self.lease.steps(attest, self.timing, danger=danger, member=orders.member)
        self.pace.took(self.clock(), self.clock() - began_s)
        if renewal.outcome is Outcome.RESET:
            self.tally.ended(renewal.outcome.value)
            self._reset(renewal.why)
        if renewal.outcome is Outcome.RENEWED and renewal.started_s is not None and renewal.said is not None:
            self.tally.confirmed(renewal.started_s, self.clock() - began_s)
            renewal = self._renewed(renewal, renewal.started_s, renewal.said, ordered, wanted=wanted)
        self.tally.ended(renewal.outcome.value)
        self.tally.guests = len(here)
        if self.ready_file is not None and renewal.outcome is not Outcome.FAILED:
            self.ready_file.touch()
            self.ready_file = None
        self._say(renewal)
        return renewal

    def _renewed(
        self, renewal: Renewal, started_s: float, said: Attestation, ordered: Timing, *, wanted: bool
    ) -> Renewal:
        """The API server has confirmed it. It counts as failed all the same when it may not pet."""
        if not self._remember():
            return Renewal(Outcome.IDLE, why=f"this boot could not be marked in {self.mark}: nothing is armed")
        if not selffence.may_pet(started_s, self.clock(), self.timing):
            self.tally.too_late()
            return Renewal(Outcome.FAILED, why=f"confirmed only after {self.timing.timeout_s:g}s")
        if selffence.told_to_reset(self.orders.current, self.lease.guard, self.device):
            self.tally.ended(Outcome.RESET.value)
            self._reset("the manager asks for it: a guest does not stop here")
        self._tend(started_s, said, ordered, wanted=wanted)
        return renewal

    # -- what is attested -------------------------------------------------------------------------------------------

    def _guests_here(self) -> Steps[tuple[frozenset[Uid], bool, frozenset[Uid]]]:
        """Guest Pods with a process on this node, asked of the processes themselves; whether that is sure; which are over.

        Which Pods are guests was read a moment ago. On the way out that is not good enough: one that was bound to this node
        since then would lose its watchdog, and nothing could prove its end. Over are those that the kubelet had reported
        started *before* the processes were looked at: one that had not may start at any moment.
        """
        known = self.orders.guests | frozenset(self.orders.current.asks) | self._here
        here = self._here = self.runtime.running() & known
        if self.leave is None or here:
            return here, True, frozenset()
        try:
            listed = yield from list_guests(self.lease.node, self.timing.timeout_s)
        except (Unanswered, Refused) as error:
            log.warning("guests could not be listed, so it is not certain that none run here: %s", error)
            return here, False, frozenset()
        running = self.runtime.running()
        return running & listed.bound, True, listed.ran - running

    def _wants_armed(self, here: frozenset[Uid], *, sure: bool) -> bool:
        if self.watchdog is None or self._out_of_time():
            return False
        if not sure or not self.orders.known:
            return self.device.guards  # nobody has said that it may disarm
        return selffence.wants_armed(self.orders.current, guests_here=bool(here), leaving=self.leave is not None)

    def _out_of_time(self) -> bool:
        """Told to leave, the host stays, and 2d are left: somebody took the agent away. Disarm rather than be killed."""
        leave = self.leave
        if leave is None or self.going():
            return False
        return self.clock() - leave.told_s >= leave.grace_s - 2 * self.timing.timeout_s - self.timing.renew_s

    def _attest(
        self, lease_uid: Uid, sequence: int, *, wanted: bool, ordered: Timing, drained: bool, left: frozenset[Uid]
    ) -> Attestation:
        orders = self.orders.current
        idle, gone = self._answers(frozenset(orders.asks))
        return Attestation(
            lease_uid=lease_uid,
            sequence=sequence,
            armed=selffence.attested_armed(self.device, wanted),
            watchdog=(self.watchdog.kind or "") if self.watchdog is not None else "",
            watchdog_s=selffence.attested_watchdog_s(self.device, wanted, ordered),
            timeout_s=max(self.timing.timeout_s, ordered.timeout_s),
            uptime_s=round(self.boot.uptime_s(), 3),
            system_uuid=self.boot.system_uuid,
            protocol=PROTOCOL,
            generation=orders.generation,
            highest_term=self._seen_term(),
            highest_sequence=sequence,
            shared_kernel=self.boot.shared_kernel,
            drained=drained,
            left=tuple(sorted(left)[:MAX_LEFT]),
            idle=tuple(sorted(idle)),
            gone=tuple(sorted(gone)),
            rewound=self.lease.guard.rewound,
            latency_s=self.pace.latency_s(self.clock()),
            going=self.going(),
            trouble=self._said_of_the_watchdog(),
        )

    def _seen_term(self) -> int:
        """The largest term of any order of this Node: a store that was restored from an old copy knows less."""
        orders = self.orders.current
        if orders.uid is not None:
            before = self.seen.term if self.seen.node == orders.uid else 0
            self.seen = Seen(orders.uid, max(before, orders.highest_term))
        return self.seen.term

    def _answers(self, asks: frozenset[Uid]) -> tuple[frozenset[Uid], frozenset[Uid]]:
        """Of the Pods asked about, those without a process, and those that the kubelet does not know either."""
        if not asks:
            return frozenset(), frozenset()
        try:
            idle = asks - self.runtime.running()
            return idle, idle - self.runtime.known()
        except OSError as error:  # no answer is a safe one; a renewal that fails for it would cost the node
            log.error("the runtime cannot be asked about %s: %s", ", ".join(sorted(asks)), error)
            return frozenset(), frozenset()

    # -- the device -------------------------------------------------------------------------------------------------

    def _tend(self, started_s: float, said: Attestation, ordered: Timing, *, wanted: bool) -> None:
        """After a confirmed renewal: pet, open, set or close. Then the clock once more."""
        self.device = replace(self.device, attested_disarmed=not said.armed)
        if self.watchdog is not None:
            try:
                self._step(self.watchdog, selffence.after_renewal(self.device, wanted, ordered), ordered, said)
            except WatchdogError as error:
                self._complain(error)
                self._lost_device(error)
        # One that was opened late is armed in no attestation yet, so it has bought no time that anybody counts on.
        if self.device.open and said.armed and selffence.must_reset(started_s, self.clock(), self.timing):
            self._reset("this process stalled between a renewal and its pet")
        if self._unfit != ordered and not self.device.needs_s:
            self.timing = ordered  # the larger times were attested by the renewal that has just been confirmed

    def _lost_device(self, error: WatchdogError) -> None:
        """The device failed. Keeper and loop let go of it, or nobody could open it again; and the Lease must not say armed.

        It may count on, so it is opened again at once, be it to close it.
        """
        before = self.device
        adrift = (before.counts or isinstance(error, SilentWatchdogError)) and not isinstance(
            error, ClosedWatchdogError
        )
        self.device = Device(adrift=adrift)
        self.tally.closed()
        if self.device.adrift:
            self.holder.lose()
        else:
            self.holder.drop()
        if self.watchdog is not None:
            self.watchdog.let_go()
        if self.device.adrift and not before.adrift:
            self.wake.set()

    def _step(self, watchdog: Watchdog, step: Step, ordered: Timing, said: Attestation) -> None:
        match step:
            case Step.PET:
                watchdog.pet()
                self.device = replace(self.device, needs_s=0.0)
                self.tally.petted(self.clock(), self.timing)
            case Step.OPEN:
                self._open(watchdog, ordered)
            case Step.SET:
                self._set(watchdog, ordered, said)
            case Step.CLOSE:
                if (not self.device.adrift or self._reopen(watchdog, ordered)) and self._close(watchdog):
                    self._done()

    def _reopen(self, watchdog: Watchdog, ordered: Timing) -> bool:
        """False: it is open, and that is all that can be done."""
        disarmed = self.device.attested_disarmed
        try:
            given_s = watchdog.open(ordered.watchdog_s)
        except StuckWatchdogError as error:
            self._stuck(watchdog, error)
            return False
        self.device = Device(open=True, timeout_s=given_s, attested_disarmed=disarmed, asked_s=ordered.watchdog_s)
        return True

    def _open(self, watchdog: Watchdog, ordered: Timing) -> None:
        if not self._reopen(watchdog, ordered):
            return
        short = selffence.too_short(self.device.timeout_s, ordered)
        if short:
            self._complain(UnchangedWatchdogError(short))
            self._close(watchdog)
            return
        self._done()
        self.tally.petted(self.clock(), self.timing)
        self._hand_over(watchdog)
        log.info("watchdog armed: %s, %gs", watchdog.kind, self.device.timeout_s)
        self.wake.set()  # attest it at once: a guest may be waiting for it

    def _set(self, watchdog: Watchdog, ordered: Timing, said: Attestation) -> None:
        """To the time-out that is ordered, unless that is refused, too short, or turns out longer than was attested.

        Then it is set back at once: a longer one is attested first, and a refused one is not worked by at all.
        """
        before = self.device
        try:
            given_s = watchdog.set_timeout(ordered.watchdog_s)
            self.device = replace(before, timeout_s=given_s)
            short = selffence.too_short(given_s, ordered)
            longer = said.armed and given_s > said.watchdog_s
            if short or longer:
                back_s = watchdog.set_timeout(before.timeout_s if before.asked_s is None else before.asked_s)
                self.device = replace(before, timeout_s=back_s, needs_s=0.0 if short else given_s)
            if short:
                raise UnchangedWatchdogError(short)
        except UnchangedWatchdogError as error:
            self._complain(error)
            self._unfit = None if before.stuck else ordered
            watchdog.pet()
            return
        self.tally.petted(self.clock(), self.timing)
        if longer:
            self.wake.set()  # attest it at once
            return
        self.device = Device(open=True, timeout_s=given_s, asked_s=ordered.watchdog_s)
        self._done()
        self._hand_over(watchdog)
        log.info("watchdog set to %gs", self.device.timeout_s)

    def _close(self, watchdog: Watchdog) -> bool:
        """False: it stays open, and is petted on."""
        self.holder.lose()  # first: a loop that dies here must not leave a closed device for an armed one
        try:
            watchdog.close()
        except StuckWatchdogError as error:
            self._stuck(watchdog, error)
            return False
        self.device = Device()
        self.holder.drop()
        self.tally.closed()
        log.info("watchdog disarmed")
        return True

    def _stuck(self, watchdog: Watchdog, error: StuckWatchdogError) -> None:
        """It guards nobody and cannot be let go: petted from here on whatever becomes of the renewals, or it resets a
        healthy node.
        """
        self._complain(error)
        timeout_s = self.device.timeout_s if self.device.open else error.timeout_s
        self.device = Device(open=True, timeout_s=timeout_s, attested_disarmed=True, stuck=True)
        self._hand_over(watchdog)

    def _pet_the_stuck(self) -> None:
        if self.watchdog is not None:
            try:
                self.watchdog.pet()
            except WatchdogError as error:
                self._complain(error)
                self._lost_device(error)

    def _complain(self, error: WatchdogError) -> None:
        """Aloud once, and in the attestation; but not what the device says of itself as long as it lasts."""
        text = str(error)
        if text != self._complained:
            log.error("%s", text)
        self._complained = text
        self._trouble = "" if isinstance(error, UnusableWatchdogError) else text

    def _done(self) -> None:
        """The watchdog did as it was told."""
        self._trouble = self._complained = ""
        self._unfit = None

    def _said_of_the_watchdog(self) -> str:
        trouble = self._trouble or (self.watchdog.trouble if self.watchdog is not None else "")
        return trouble[:MAX_TROUBLE]

    def _hand_over(self, watchdog: Watchdog) -> None:
        descriptor = watchdog.descriptor()
        if descriptor is not None:
            self.holder.hold(descriptor, self.device.timeout_s, stuck=self.device.stuck)

    def _reset(self, why: str) -> NoReturn:
        """Reset the node before anything else. If even that fails, the watchdog is not petted any more.

        A node without one may have guests as well: by its fence devices, or because the Cluster takes the risk.
        """
        log.critical("resetting this node: %s", why)
        while True:
            try:
                if self.watchdog is not None:
                    self.watchdog.reset()
                else:
                    log.critical("this node was not reset: %s", "; ".join(self.bare_reset()))
            except WatchdogError as error:
                log.critical("%s", error)
            time.sleep(1.0)

    # -- handing over -----------------------------------------------------------------------------------------------

    def _handed_over(self, renewal: Renewal) -> bool:
        """Between two pets, right after a renewal: is there another agent, and has it taken over?"""
        if (
            self.successor is None
            or not self.successor.wanted
            or renewal.outcome is Outcome.FAILED
            or self.device.adrift
        ):
            return False
        kind = str(self.watchdog.kind) if self.watchdog is not None else ""
        estate = Estate(self.lease.known, self.lease.guard, self.timing, self.device, kind)
        descriptor = self.watchdog.descriptor() if self.watchdog is not None and self.device.open else None
        return self.successor.give(estate, descriptor, self.timing.renew_s)

    def _wait_for_the_end(self) -> bool:
        """It is the other one's now: nothing is written, nothing is petted, until this one is told to go.

        False: the other one has gone first, as when an upgrade is taken back. Then this one must go on, or nobody would.
        """
        log.info("another agent has taken over: waiting to be told to go")
        self.holder.retire()
        if self.watchdog is not None:
            self.watchdog.let_go()
        self.retired()
        began_s = self.clock()
        while self.leave is None:
            if self.clock() - began_s >= SETTLED_S and self.vacant():
                log.warning("the agent that took over has gone: going on in its place")
                return False
            self.wake.wait(AGAIN_S)
            self.wake.clear()
        return True

    # -- leaving and remembering ------------------------------------------------------------------------------------

    def gone(self, renewal: Renewal) -> bool:
        """Told to leave: gone when the device is closed and that was attested."""
        if self.leave is None or self.device.counts:
            return False
        if renewal.outcome in {Outcome.IDLE, Outcome.LOST}:
            return True
        said = renewal.said
        return renewal.outcome is Outcome.RENEWED and said is not None and not said.armed

    def _remember(self) -> bool:
        """Written after the first success of this boot and every time: a new loop must not take what it has lost.

        False: this boot could not be marked at all, and then nothing is armed. Later on a full disk costs no node.
        """
        try:
            write(self.mark, self.lease.guard, self.seen, self.timing)
        except OSError as error:
            log.error("mark %s cannot be written: %s", self.mark, error)
            return self._marked
        self._marked = True
        return True

    def _say(self, renewal: Renewal) -> None:
        text = renewal.outcome.value + (f": {renewal.why}" if renewal.why else "")
        if text != self._said:
            self._said = text
            level = logging.INFO if renewal.outcome in {Outcome.RENEWED, Outcome.IDLE} else logging.WARNING
            log.log(level, "Lease %s", text)
