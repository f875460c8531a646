"""An API server with one Lease, a watchdog and a clock, all in the test's hands."""

import copy
from collections.abc import Callable
from typing import Any

from quorate.agent.api import Refused, Unanswered
from quorate.agent.watchdog import SilentWatchdogError, WatchdogError
from quorate.core.types import WatchdogKind

PATH = "/apis/coordination.k8s.io/v1/namespaces/quorate-agents/leases"
NAMESPACE = "/api/v1/namespaces/quorate-agents"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeApi:
    """Compare-and-swap on one Lease. `next_put` may do anything before or instead of the next PUT."""

    def __init__(self, holder: str | None = "") -> None:
        self.version = 1
        self.uid = 1
        self.lease: dict[str, Any] | None = self.fresh(holder) if holder is not None else None
        self.namespace: dict[str, Any] | None = {"metadata": {}}
        self.calls: list[str] = []
        self.next_put: Callable[[dict[str, Any]], None] | None = None
        self.silent = False
        self.pods: list[str] = []
        self.started: dict[str, list[dict[str, Any]]] = {}
        """What the kubelet reports of their two containers, a and b."""

    def fresh(self, holder: str) -> dict[str, Any]:
        self.uid += 1
        metadata = {
            "name": "n1",
            "uid": f"lease-{self.uid}",
            "resourceVersion": str(self.version),
            "labels": {"a": "b"},
        }
        return {"kind": "Lease", "metadata": metadata, "spec": {"holderIdentity": holder} if holder else {}}

    def request(
        self, method: str, path: str, body: Any = None, *, timeout_s: float, query: Any = None
    ) -> dict[str, Any]:
        self.calls.append(method)
        if self.silent:
            raise Unanswered("nobody answers")
        if path == NAMESPACE:
            if self.namespace is None:
                raise Refused(404, {})
            return self.namespace
        if path == "/api/v1/pods":
            return {"items": [self._pod(uid) for uid in self.pods]}
        if method == "POST":
            self.version += 1
            self.lease = self.fresh("")
            return copy.deepcopy(self.lease)
        if method == "PUT":
            hook, self.next_put = self.next_put, None
            if hook is not None:
                hook(body)
            return self.put(body)
        if self.lease is None:
            raise Refused(404, {"message": "no lease"})
        return copy.deepcopy(self.lease)

    def _pod(self, uid: str) -> dict[str, Any]:
        reported = [
            {"name": name, "state": state} for name, state in zip("ab", self.started.get(uid, []), strict=False)
        ]
        return {
            "metadata": {"uid": uid},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
            "status": {"containerStatuses": reported} if reported else {},
        }

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.lease is None:
            raise Refused(404, {"message": "no lease"})
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Refused(409, {"message": "the object has been modified"})
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    def commits_but_does_not_answer(self, body: dict[str, Any]) -> None:
        """A PUT that times out and is carried out all the same."""
        self.put(body)
        raise Unanswered("timed out")

    def take(self, holder: str) -> None:
        """Somebody else writes the Lease."""
        self.version += 1
        self.lease["spec"]["holderIdentity"] = holder
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    @property
    def holder(self) -> str:
        return self.lease["spec"].get("holderIdentity", "")


class FakeWatchdog:
    """Records what it is told; `fails` makes every request an error, `silent` one without an answer."""

    kind = WatchdogKind.EXTERNAL
    trouble = ""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.fails = self.silent = False

    def _hear(self, word: str) -> None:
        if self.silent:
            raise SilentWatchdogError("no answer")
        if self.fails:
            raise WatchdogError("no device")
        self.told.append(word)

    def open(self, timeout_s: float) -> float:
        self._hear(f"open {timeout_s:g}")
        return timeout_s

    def set_timeout(self, timeout_s: float) -> float:
        self._hear(f"set {timeout_s:g}")
        return timeout_s

    def pet(self) -> None:
        self._hear("pet")

    def close(self) -> None:
        self._hear("close")

    def let_go(self) -> None:
        self.told.append("let go")

    def reset(self) -> None:
        self._hear("reset")

    def descriptor(self) -> int | None:
        return None
