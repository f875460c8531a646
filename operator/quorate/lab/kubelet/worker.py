"""One pod on this node, from the moment the kubelet sees it until nothing of it is left.

Level-triggered: whatever happened, look at the object and the records, take the next step (`decide`), report (`status`).
It never waits for the API server: a node that is cut off goes on running what it runs.
"""

import asyncio
import calendar
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quorate.lab.apiclient import UNREACHABLE, Api, ApiError, describe
from quorate.lab.errors import LabError
from quorate.lab.kubelet import decide, probe, spec
from quorate.lab.kubelet.admission import Rejection, admit
from quorate.lab.kubelet.decide import FINAL_PHASES, Finish, Json, Start, Stop
from quorate.lab.kubelet.link import RuntimeLink
from quorate.lab.kubelet.report import Reporter
from quorate.lab.kubelet.spec import Place, UnsupportedError
from quorate.lab.kubelet.status import Seen, ended_state, pod_status, refused, was_ready
from quorate.lab.records import EXITED, Record
from quorate.lab.runtime import timestamp

_LOOK_AGAIN_S: Final = 5.0
_RETRY_S: Final = 1.0
_CRASH_BACKOFF_S: Final = (0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
_LAST_WORDS_BYTES: Final = 2048
_LAST_WORDS_LINES: Final = 80
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """What all pods of a node share."""

    api: Api
    link: RuntimeLink
    place: Place
    booted_at: str
    node: Callable[[], Awaitable[Json]]


class PodWorker:
    """One pod. `update`, `vanish` and `shut_down` say what happened; `run` does the rest and ends with the pod."""

    def __init__(self, host: Host, pod: Json) -> None:
        self._host = host
        self._pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self._status: Json = pod.get("status") or {}
        self._reporter = Reporter(host.api, pod)
        self._wake = asyncio.Event()
        self._admitted = False
        self._rejection: Rejection | None = None
        self._vanished = False
        self._shutting_down = False
        self._kill_at_s: float | None = None
        probed = [one["name"] for one in decide.containers(pod) if one.get("readinessProbe")]
        self._ready = {name: was_ready(self._status, name) for name in probed}
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, tuple[str, str]] = {}
        self._look_again_s = _LOOK_AGAIN_S
        self.ended = asyncio.Event()
        """Set when nothing of it runs and nothing will."""

    @property
    def pod(self) -> Json:
        """As the API server had it last."""
        return self._pod

    def update(self, pod: Json) -> None:
        """The API server has a newer version of the object."""
        self._pod = pod
        self._wake.set()

    def vanish(self) -> None:
        """The object is gone."""
        self._vanished = True
        self._wake.set()

    def shut_down(self) -> None:
        """The node is going down."""
        self._shutting_down = True
        self._wake.set()

    def look(self) -> None:
        """Something in the runtime changed."""
        self._wake.set()

    async def drained(self) -> None:
        """Wait until nothing of it runs and the API server knows."""
        await self.ended.wait()
        await self._reporter.settled.wait()

    async def run(self) -> None:
        """Until the object is gone and nothing of the pod runs."""
        reporting = asyncio.create_task(self._reporter.run())
        try:
            while not (self._vanished and self.ended.is_set()):
                self._wake.clear()
                self._look_again_s = _LOOK_AGAIN_S
                try:
                    await self._round()
                except (LabError, *UNREACHABLE) as error:
                    _log.warning("pod %s: %s", self._name, describe(error))
                    self._look_again_s = _RETRY_S
                except Exception:  # noqa: BLE001 a pod that this cannot handle must not stop those it can
                    _log.exception("pod %s", self._name)
                    self._look_again_s = _RETRY_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._look_again_s):
                        await self._wake.wait()
        finally:
            reporting.cancel()
            for task in self._probes.values():
                task.cancel()
        self._host.link.forget(self.uid)
        self._host.place.forget(self.uid)

    @property
    def _name(self) -> str:
        return f"{self._pod['metadata']['namespace']}/{self._pod['metadata']['name']}"

    @property
    def _ending(self) -> bool:
        return (
            self._vanished
            or self._shutting_down
            or self._rejection is not None
            or "deletionTimestamp" in self._pod["metadata"]
            or self._pod.get("status", {}).get("phase") in FINAL_PHASES
            or self._status.get("phase") in FINAL_PHASES
        )

    async def _round(self) -> None:
        """Look once and take one step. Raises what the API server and the runtime raise."""
        if not self._ending and not self._admitted:
            await self._admit()
        records = self._host.link.records(self.uid)
        if not self._ending:
            # A container that was reported running and that the runtime has lost ends the pod: it is not started anew.
            self._status = self._computed(records, final=False)
        match decide.next_step(self._pod, records, self._host.link.boot, ending=self._ending):
            case Start(containers):
                for container in containers:
                    await self._start(container, records.get(container["name"]))
                records = self._host.link.records(self.uid)
            case Stop():
                await self._stop(records)
            case Finish() if not self.ended.is_set():
                self.ended.set()
                self._wake.set()
        self._keep_probes(records)
        self._report(records, final=self.ended.is_set())
        runs = any(record.live(self._host.link.boot) for record in records.values())
        if self._ending and not runs and not self.ended.is_set():
            self._wake.set()  # the last step of all is due

    async def _admit(self) -> None:
        """The kubelet's own look at taints and affinity, anew after each of its starts."""
        node = await self._host.node()
        self._rejection = admit(self._pod, node, shutting_down=self._shutting_down)
        if self._rejection is None:
            self._host.link.take_on(self.uid)
            self._admitted = True
        else:
            _log.warning("pod %s: not admitted: %s", self._name, self._rejection.reason)

    async def _start(self, container: Json, before: Record | None) -> None:
        """Start one container, or say what it waits for."""
        name = container["name"]
        blocked = await self._blocked(container, before)
        if blocked is not None:
            self._waiting[name] = blocked
            self._look_again_s = _RETRY_S
            return
        init = container in decide.init_containers(self._pod)
        try:
            order = spec.order(self._pod, container, self._host.place, before, init=init)
        except UnsupportedError as error:
            self._waiting[name] = ("CreateContainerConfigError", str(error))
            return
        if before is not None:
            order["last"] = ended_state(before, self._host.booted_at, _last_words(self._pod, before))
        self._waiting.pop(name, None)
        if self._ending:  # it may have been deleted while this looked up its claims
            return
        await self._host.link.start(order)
        self._wake.set()

    async def _blocked(self, container: Json, before: Record | None) -> tuple[str, str] | None:
        """Why it cannot be started yet: reason and message of its waiting state."""
        image = container["image"]
        if "missing" in image:
            failed = f'failed to pull and unpack image "{image}": not found'
            if container["name"] in self._waiting:
                return "ImagePullBackOff", f'Back-off pulling image "{image}": {failed}'
            return "ErrImagePull", failed
        for claim in spec.claims_of(self._pod):
            if (problem := await self._claim_problem(claim)) is not None:
                _log.info("pod %s: %s", self._name, problem)
                return "PodInitializing" if decide.init_containers(self._pod) else "ContainerCreating", ""
        if before is not None and before.boot == self._host.link.boot and before.state == EXITED:
            wait_s = _CRASH_BACKOFF_S[min(before.attempt, len(_CRASH_BACKOFF_S) - 1)]
            if time.time() < _seconds(before.finished_at) + wait_s:
                return "CrashLoopBackOff", f"back-off {wait_s:g}s restarting failed container={container['name']}"
        return None

    async def _claim_problem(self, claim: str) -> str | None:
        namespace = self._pod["metadata"]["namespace"]
        try:
            found = await self._host.api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
        except ApiError as error:
            if error.status != 404:
                raise
            return f'persistentvolumeclaim "{claim}" not found'
        bound = found.get("status", {}).get("phase") == "Bound"
        return None if bound else f'persistentvolumeclaim "{claim}" is not bound'

    async def _stop(self, records: dict[str, Record]) -> None:
        """SIGTERM once, SIGKILL when the grace period is over; a shorter period that comes later counts."""
        now_s = time.monotonic()
        # One that was refused or that nobody knows any more is an orphan, and gets a second.
        known = None if self._vanished or self._rejection is not None else self._pod
        kill_at_s = now_s + decide.grace_s(known)
        first = self._kill_at_s is None
        self._kill_at_s = kill_at_s if self._kill_at_s is None else min(self._kill_at_s, kill_at_s)
        late = now_s >= self._kill_at_s
        for record in records.values():
            if record.live(self._host.link.boot) and (first or late):
                await self._host.link.signal(record, signal.SIGKILL if late else signal.SIGTERM)
        self._look_again_s = _RETRY_S if late else min(_LOOK_AGAIN_S, max(0.01, self._kill_at_s - now_s))

    def _keep_probes(self, records: dict[str, Record]) -> None:
        """A readiness probe runs exactly while its container does; a restarted kubelet goes on with the last answer."""
        for container in decide.containers(self._pod):
            name = container["name"]
            if name not in self._ready:
                continue
            record = records.get(name)
            runs = record is not None and record.live(self._host.link.boot) and not self._ending
            if not runs:
                self._ready[name] = False
                if name in self._probes:
                    self._probes.pop(name).cancel()
            elif name not in self._probes:
                told, ready = self._answer(name), self._ready[name]
                watching = probe.watch_readiness(self._pod, container, self._host.place, told, ready=ready)
                self._probes[name] = asyncio.create_task(watching)

    def _answer(self, container: str) -> Callable[[bool], None]:
        def told(ready: bool) -> None:
            self._ready[container] = ready
            self._wake.set()

        return told

    def _report(self, records: dict[str, Record], *, final: bool) -> None:
        """Bring the reported status up to date; at the very end ask for the object's removal."""
        deleted = "deletionTimestamp" in self._pod["metadata"]
        if self._rejection is not None:
            self._status = refused(self._rejection.reason, self._rejection.message)
        else:
            self._status = self._computed(records, final=final)
        if not self._vanished:
            self._reporter.tell(self._status, delete=final and deleted)

    def _computed(self, records: dict[str, Record], *, final: bool) -> Json:
        seen = Seen(
            records=records,
            boot=self._host.link.boot,
            booted_at=self._host.booted_at,
            address=self._host.place.address,
            before=self._status,
            now=timestamp(),
            ready=self._ready,
            waiting=self._waiting,
            messages={record.id: _last_words(self._pod, record) for record in records.values()},
        )
        status = pod_status(self._pod, seen, final=final)
        if self._shutting_down and final and self._status.get("phase") not in FINAL_PHASES:
            message = "Pod was terminated in response to imminent node shutdown."
            status |= {"phase": "Failed", "reason": "Terminated", "message": message}
        return status


def _last_words(pod: Json, record: Record) -> str:
    """The end of a failed container's log, where its spec asks for that."""
    declared = [*decide.init_containers(pod), *decide.containers(pod)]
    container = next((one for one in declared if one["name"] == record.container), {})
    asked = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    if not asked or record.state != EXITED or not record.exit_code:
        return ""
    try:
        with Path(record.log).open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _LAST_WORDS_BYTES))
            lines = log.read().decode(errors="replace").splitlines(keepends=True)
    except OSError:
        return ""
    return "".join(lines[-_LAST_WORDS_LINES:])


def _seconds(moment: str) -> float:
    return calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))
