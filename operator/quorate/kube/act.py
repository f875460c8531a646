"""Carry out a Plan: statuses first, by compare-and-swap; then each deed under its own precondition. It decides nothing.

A deed is left out when a status it depends on could not be written, or when this manager may no longer act. Whatever
comes back from the API server goes into the store at once. What a deed runs into (a refused template, a name that is
taken, a right that is missing) is put where the next plan sees it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from quorate.api import parse
from quorate.api.wire import to_wire
from quorate.core.actions import (
    Action,
    AskDevice,
    BeginMigration,
    BindLauncher,
    CheckTemplate,
    CreateLease,
    CreatePod,
    EndMigration,
    Enroll,
    EvictPod,
    GiveLease,
    LookAtVolumes,
    MachineAction,
    Note,
    Plan,
    ProbeKubelet,
    ProbeLease,
    ProvideVolume,
    RemovePod,
    RemoveStuckPod,
    RemoveVolume,
    SetFinalizer,
    SetTaint,
    StatusWrite,
    StopPod,
    TakeLease,
)
from quorate.core.quick import replace
from quorate.core.sequence import Order
from quorate.core.types import Kind, Ref
from quorate.core.world import GuestView
from quorate.kube.calls import ApiError, Calls, Conflict, NotFound, Transient
from quorate.kube.deeds import Deeds
from quorate.kube.metrics import Metrics, Tally
from quorate.kube.resources import OURS, path_of
from quorate.kube.store import Raw, Store, View

log = logging.getLogger(__name__)
AT_A_STRETCH_S: Final = 1.0
"""Statuses are written for so long, and then deeds are done for so long: what is left is planned anew. A thousand new
guests must not keep the manager from seeing that a node has died."""
SAME_TRIES: Final = 5
"""Tries to write one status over versions that differ in nothing that a plan sees; an odd number, so that the last one
is by version and says what is wrong with a status that is refused."""
PARALLEL: Final = 8
"""Objects worked on at the same time: a node with a hundred guests must not be recovered one call after the other."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a plan went: `again` when something was in the way that a new look may resolve; `left` when it was too much."""

    calls: int
    again: bool
    left: bool = False


def _unchanged(judged: View | None, now: View | None) -> str:
    """The version of an object of which a plan would see the same as it judged; empty: something else has changed.

    A guest's labels only say which rules are about it: what was judged by those of a moment ago may stand until the next
    plan, or whoever writes labels all the time could keep every status from being written.
    """
    if judged is None or now is None:
        return ""
    same = replace(now, resource_version=judged.resource_version)
    if isinstance(same, GuestView) and isinstance(judged, GuestView):
        same = replace(same, labels=judged.labels)
    if same != judged:
        return ""
    return now.resource_version


class Actor:
    """Carries out plans as long as `may_act` says so (leader, with a Lease that is valid now)."""

    def __init__(
        self, api: Calls, store: Store, deeds: Deeds, may_act: Callable[[], bool], tally: Tally | None = None
    ) -> None:
        self.api = api
        self.store = store
        self.deeds = deeds
        self.may_act = may_act
        self.tally = tally if tally is not None else Metrics(store, tuple).tally("")
        self._slots = asyncio.Semaphore(PARALLEL)
        self._asks: set[Order] = set()
        """What fence devices were last asked."""
        self._left: dict[Ref, int] = {}
        """What was not begun in time, and how many times in a row."""

    async def carry_out(self, plan: Plan) -> Done:
        """As much of it as can be done at a stretch. Guests that were left over most often come first among them."""
        waited, self._left = self._left, {}
        asks = {one.order for one in plan.actions if isinstance(one, AskDevice)}
        if asks != self._asks:
            self._asks = asks
            self.deeds.keep_asking(asks)
        if not (plan.statuses or plan.actions or plan.notes):
            return Done(0, again=False)

        def turn(ref: Ref) -> tuple[bool, int]:
            return ref.kind is Kind.HARESOURCE, -waited.get(ref, 0)

        statuses = sorted(plan.statuses, key=lambda write: turn(write.ref))
        written = await self._together([(write.ref, self._write(write)) for write in statuses])
        failed = {write.ref for write, good in zip(statuses, written, strict=True) if not good}
        groups: dict[Ref, list[Action]] = {}
        for action in plan.actions:
            groups.setdefault(action.subject, []).append(action)
        went = await self._together([(ref, self._group(groups[ref], failed)) for ref in sorted(groups, key=turn)])
        await asyncio.gather(*(self._note(note) for note in plan.notes if note.ref not in failed))
        self._left = {ref: waited.get(ref, 0) + 1 for ref in self._left}
        again = bool(failed) or not all(went)
        return Done(len(plan.statuses) + len(plan.actions), again, left=bool(self._left))

    async def _together(self, work: list[tuple[Ref, Coroutine[Any, Any, bool]]]) -> list[bool]:
        """Whether each of them succeeded; what could not be begun in time did not."""
        until_s = self.store.clock() + AT_A_STRETCH_S

        async def one(ref: Ref, coroutine: Coroutine[Any, Any, bool]) -> bool:
            async with self._slots:
                if self.store.clock() < until_s:
                    return await coroutine
            coroutine.close()
            self._left[ref] = 1
            return False

        return list(await asyncio.gather(*(one(ref, coroutine) for ref, coroutine in work)))

    async def _write(self, write: StatusWrite) -> bool:
        """Replace one status, if the object is still as it was judged.

        That is: the version that was judged, or a later one of which a plan would see nothing else. Or somebody who
        writes labels all the time could keep every status from being written. Whoever writes faster than we read is
        met by every second try: it leaves it to the API server to compare.
        """
        judged = self.store.view(write.ref)
        for tried in range(SAME_TRIES):
            done = await self._write_once(write, in_place=tried % 2 == 1)
            if done is not None:
                return done
            version = _unchanged(judged, self.store.view(write.ref))
            if not version or judged is None or judged.resource_version != write.resource_version:
                break
            judged, write = self.store.view(write.ref), replace(write, resource_version=version)
        self.tally.not_written(write.ref.kind, conflict=True)
        return False

    async def _write_once(self, write: StatusWrite, *, in_place: bool) -> bool | None:
        """None: somebody was faster."""
        if not self.may_act():
            return False
        resource = OURS[write.ref.kind]
        known = self.store.raw[resource].get((write.ref.namespace, write.ref.name), {})
        judged = self.store.status(write.ref)  # if it is another one by now, the write will fail
        try:
            if in_place and known.get("status") and known["metadata"]["resourceVersion"] == write.resource_version:
                self.store.put(resource, await self._swap(write, known))
            else:
                self.store.put(resource, await self._replace(write, known))
        except (Conflict, NotFound):
            await self._look_again(write.ref)
            if self.store.status(write.ref) == write.status:  # ours: its answer was lost, and the retry met it
                self.tally.wrote(write.ref.kind, judged, write.status)
                return False
            return None
        except Transient as error:
            self.tally.not_written(write.ref.kind, conflict=False)
            log.warning("status of %s not written: %s", write.ref, error)
            return False
        except ApiError as error:
            self.tally.not_written(write.ref.kind, conflict=False)
            self._trouble(write.ref, f"its status cannot be written: {error.words or error}")
            return False
        self.tally.wrote(write.ref.kind, judged, write.status)
        return True

    async def _replace(self, write: StatusWrite, known: Raw) -> Raw:
        """Write over the version that was judged."""
        resource = OURS[write.ref.kind]
        metadata = {"name": write.ref.name, "resourceVersion": write.resource_version}
        if write.ref.namespace:
            metadata["namespace"] = write.ref.namespace
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
            "spec": known.get("spec", {}),
            "status": parse.written(known.get("metadata", {}).get("uid", ""), write.status),
        }
        return await self.api.replace(path_of(write.ref, "status"), body)

    async def _swap(self, write: StatusWrite, known: Raw) -> Raw:
        """Write over the very status that was judged, in whatever version: the API server compares as it commits.

        No other status is ever written over, and no other spec. What else a plan sees (an annotation of a person) may
        change just before the write as well as just after it: the status does not hold it, so the next plan sees it.
        """
        operations: list[Raw] = [
            {"op": "test", "path": "/metadata/uid", "value": known["metadata"].get("uid")},
            {"op": "test", "path": "/metadata/generation", "value": known["metadata"].get("generation")},
            {"op": "test", "path": "/metadata/deletionTimestamp", "value": known["metadata"].get("deletionTimestamp")},
            {"op": "test", "path": "/status", "value": known["status"]},
            {"op": "replace", "path": "/status", "value": to_wire(write.status)},
        ]
        # A status that the schema refuses is a Conflict here, too: the next try, by version, tells which it was.
        return await self.api.patch(path_of(write.ref, "status"), operations)

    async def _look_again(self, ref: Ref) -> None:
        """Somebody was faster: fetch what is there now, so that the next plan starts from it."""
        resource, key = OURS[ref.kind], (ref.namespace, ref.name)
        try:
            self.store.put(resource, await self.api.get(path_of(ref)))
        except NotFound:
            known = self.store.raw[resource].get(key)
            if known is not None:
                self.store.gone(resource, key, known["metadata"].get("uid", ""))
        except ApiError as error:
            log.warning("%s could not be read again: %s", ref, error)

    async def _group(self, actions: list[Action], failed: set[Ref]) -> bool:
        """The deeds on one object, in order; the first that fails ends the group."""
        for action in actions:
            if any(ref in failed for ref in action.after) or not self.may_act():
                return False
            try:
                with self.tally.deed(action):
                    await self._do(action)
            except (Conflict, NotFound) as error:
                log.info("%s: %s", type(action).__name__, error)
                await self._look_again(action.subject)
                return False
            except Transient as error:
                log.warning("%s: %s", type(action).__name__, error)
                return False
            except ApiError as error:
                self._trouble(action.subject, f"{type(action).__name__} failed: {error.words or error}")
                return False
            except Exception as bug:  # it must not cost all other objects of the Cluster their round
                log.exception("%s on %s", type(action).__name__, action.subject)
                text = f"{type(action).__name__} failed because of a bug in Quorate, please report it: {bug!r}"
                self._trouble(action.subject, text)
                return False
        if actions:
            self.store.trouble(OURS[actions[0].subject.kind], (actions[0].subject.namespace, actions[0].subject.name))
        return True

    async def _do(self, action: Action) -> None:
        deeds = self.deeds
        match action:
            case SetFinalizer():
                await deeds.set_finalizer(action)
            case ProvideVolume() | RemoveVolume():
                await deeds.volume(action)
            case CheckTemplate():
                await deeds.check_template(action)
            case CreatePod():
                await deeds.create_pod(action)
            case StopPod():
                await deeds.stop_pod(action)
            case RemovePod():
                await deeds.remove_pod(action)
            case EvictPod():
                await deeds.workloads.evict(action)
            case RemoveStuckPod():
                await deeds.workloads.remove(action)
            case LookAtVolumes():
                await deeds.workloads.look_at_volumes(action)
            case MachineAction() | BindLauncher() | BeginMigration() | EndMigration():
                await self.deeds.machines.carry_out(action)
            case _:
                await self._do_on_node(action)

    async def _do_on_node(
        self, action: Enroll | CreateLease | ProbeLease | TakeLease | GiveLease | AskDevice | SetTaint | ProbeKubelet
    ) -> None:
        deeds = self.deeds
        match action:
            case Enroll():
                await deeds.enroll(action)
            case CreateLease():
                await deeds.create_lease(action)
            case ProbeLease():
                await deeds.probe_lease(action)
            case TakeLease():
                await deeds.take_lease(action)
            case GiveLease():
                await deeds.give_lease(action)
            case AskDevice():
                await deeds.ask_device(action)
            case SetTaint():
                await deeds.set_taint(action)
            case ProbeKubelet():
                await deeds.workloads.probe_kubelet(action)

    def _trouble(self, ref: Ref, text: str) -> None:
        """It will not work as it is: said on the object itself, in the API server's own words."""
        log.error("%s: %s", ref, text)
        self.store.trouble(OURS[ref.kind], (ref.namespace, ref.name), text)

    async def _note(self, note: Note) -> None:
        try:
            async with self._slots:
                await self.deeds.event(note)
        except ApiError as error:
            log.warning("event %s on %s not written: %s", note.reason, note.ref, error)
