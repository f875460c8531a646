"""What an order to a fence device is for its fence agent: which one, with which parameters, and what its answer means."""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from quorate.api.fencing import refused
from quorate.api.parse import UnreadableError, fence_device, fence_devices
from quorate.core.sequence import Order, Said, Verb
from quorate.core.timing import parse_duration
from quorate.core.types import SYSTEM_NAMESPACE, NodeName
from quorate.kube.calls import ApiError, Calls, NotFound
from quorate.kube.fencers.process import Ended, FenceAgentError, FenceAgents
from quorate.kube.resources import NODES, SECRETS
from quorate.kube.store import Store

IS_ON: Final = 0
IS_OFF: Final = 2
AGAIN_S: Final = 1.0
"""Between two looks at a machine that is still on its way."""
MARGIN_S: Final = 0.5
"""An answer must come so long before its time is up."""
Ask: TypeAlias = Callable[[str], Awaitable[Ended]]


@dataclass(frozen=True, slots=True)
class Fencers:
    """Speaks to the devices of the Nodes in the store."""

    store: Store
    api: Calls
    agents: FenceAgents

    async def run(self, node: NodeName, order: Order) -> Said:
        """Carry out one order. Raises FenceAgentError; cancelled, it leaves nothing running."""
        ask, timeout_s = await self._prepared(node, order.device, order.spec)
        match order.verb:
            case Verb.OFF:
                return _done(await ask("off"), Said.OFF)
            case Verb.ON:
                return _done(await ask("on"), Said.ON)
        return await self._until_off(ask, self.store.clock() + timeout_s - MARGIN_S)

    async def status(self, node: NodeName, name: str, spec: str) -> Said:
        """Is the machine on, as far as this device knows? Raises FenceAgentError."""
        ask, _ = await self._prepared(node, name, spec)
        return _status(await ask("status"))

    async def _until_off(self, ask: Ask, ends_s: float) -> Said:
        """A machine takes a moment to go off, and its controller may not answer while it does."""
        while True:
            try:
                said = _status(await ask("status"))
            except FenceAgentError:
                if self.store.clock() + AGAIN_S >= ends_s:
                    raise
                said = Said.FAILED
            if said is Said.OFF or (said is Said.ON and self.store.clock() + AGAIN_S >= ends_s):
                return said
            await asyncio.sleep(AGAIN_S)

    async def _prepared(self, node: NodeName, name: str, spec: str) -> tuple[Ask, float]:
        """How to ask the device one thing, if it is still what was judged, and how long it may take at most."""
        raw = self.store.raw[NODES].get(("", node))
        try:
            device = fence_devices(raw).get(name) if raw is not None else None
        except UnreadableError as error:
            raise FenceAgentError(str(error)) from error
        if device is None:
            raise FenceAgentError(f"Node {node} has no fence device {name} any more")
        judged = fence_device(device)
        secret: dict[str, str] = {}
        if judged.secret:
            version, secret = await self.secret(judged.secret)
            judged = judged.with_secret(version)
        if judged.spec != spec:
            raise FenceAgentError("the device, or its Secret, was changed meanwhile")
        timeout_s, parameters = parse_duration(device.timeout), {**device.parameters, **secret}

        async def ask(action: str) -> Ended:
            return await self.agents.run(device.agent, action, parameters, timeout_s, hide=tuple(secret.values()))

        return ask, timeout_s

    async def secret(self, name: str) -> tuple[str, dict[str, str]]:
        """The version of a Secret, and its parameters. What was found is told to the store. Raises FenceAgentError."""
        try:
            raw = await self.api.get(SECRETS.path(name, SYSTEM_NAMESPACE))
        except NotFound as error:
            self.store.fencers.secret(name, "")
            raise FenceAgentError(f"Secret {SYSTEM_NAMESPACE}/{name} does not exist: create it") from error
        except ApiError as error:
            raise FenceAgentError(
                f"Secret {SYSTEM_NAMESPACE}/{name} cannot be read ({error.code} {error.reason})"
            ) from None
        version = version_of(raw)
        self.store.fencers.secret(name, version)
        return version, _decoded(name, raw.get("data") or {})


def version_of(raw: Mapping[str, Any]) -> str:
    """What changes whenever a Secret does, and tells nothing of what is in it."""
    metadata = raw["metadata"]
    return f"{metadata.get('uid', '')[:8]}.{metadata.get('resourceVersion', '')}"


def _decoded(name: str, data: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for key, value in data.items():
        where = f"Secret {SYSTEM_NAMESPACE}/{name}, key {key}"
        if why := refused(key):
            raise FenceAgentError(f"{where}: {why}")
        try:
            # Written with an editor or `echo`, it ends in a line break that belongs to no password.
            found[key] = base64.b64decode(value).decode().removesuffix("\n")
        except (binascii.Error, UnicodeDecodeError):
            raise FenceAgentError(f"{where} is no text") from None
    return found


def _done(ended: Ended, said: Said) -> Said:
    if ended.code != 0:
        raise FenceAgentError(_failure(ended))
    return said


def _status(ended: Ended) -> Said:
    if ended.code == IS_ON:
        return Said.ON
    if ended.code == IS_OFF:
        return Said.OFF
    raise FenceAgentError(_failure(ended))


def _failure(ended: Ended) -> str:
    how = f"killed by signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
    return f"{how}: {ended.words}" if ended.words else how
