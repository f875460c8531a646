"""Readiness probes: exec, httpGet and tcpSocket, with the times and thresholds of the API.

A container with a probe is not ready until the probe has succeeded often enough, and not again after it failed so.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp

from quorate.lab.apiclient import describe
from quorate.lab.kubelet import spec
from quorate.lab.kubelet.decide import Json
from quorate.lab.kubelet.spec import Place

_log = logging.getLogger(__name__)
_HEALTHY: Final = range(200, 400)


async def watch_readiness(
    pod: Json, container: Json, place: Place, told: Callable[[bool], None], *, ready: bool
) -> None:
    """Probe for ever; `told` is called with each new answer, `ready` is the one to begin with."""
    probe = container["readinessProbe"]
    streak, last = 0, None
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    while True:
        good = await _try(pod, container, place, probe)
        streak = streak + 1 if good is last else 1
        last = good
        needed = (probe.get("successThreshold") or 1) if good else (probe.get("failureThreshold") or 3)
        if good is not ready and streak >= needed:
            ready = good
            told(ready)
        await asyncio.sleep(probe.get("periodSeconds") or 10)


async def _try(pod: Json, container: Json, place: Place, probe: Json) -> bool:
    try:
        async with asyncio.timeout(probe.get("timeoutSeconds") or 1):
            return await _ask(pod, container, place, probe)
    except (TimeoutError, OSError, aiohttp.ClientError) as error:
        _log.info("%s: readiness: %s", container["name"], describe(error))
        return False


async def _ask(pod: Json, container: Json, place: Place, probe: Json) -> bool:
    if command := (probe.get("exec") or {}).get("command"):
        return await _run(pod, container, place, command)
    if http := probe.get("httpGet"):
        headers = {one["name"]: one["value"] for one in http.get("httpHeaders") or []}
        host, scheme = http.get("host") or place.address, (http.get("scheme") or "HTTP").lower()
        url = f"{scheme}://{host}:{_port(http, container)}{http.get('path') or '/'}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=False) as response:
            return response.status in _HEALTHY
    if tcp := probe.get("tcpSocket"):
        _, writer = await asyncio.open_connection(tcp.get("host") or place.address, _port(tcp, container))
        writer.close()
        return True
    raise OSError("the lab's kubelet probes by exec, httpGet and tcpSocket only")


async def _run(pod: Json, container: Json, place: Place, command: list[str]) -> bool:
    environ = spec.exec_environ(pod, container, place)
    child = await asyncio.create_subprocess_exec(
        *command,
        env=environ,
        cwd=spec.root_of(pod, container, place),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return await child.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            child.kill()


def _port(action: dict[str, Any], container: Json) -> int:
    """A number, or the name of one of the container's ports."""
    port = action["port"]
    named = {one.get("name"): one["containerPort"] for one in container.get("ports") or []}
    return int(named.get(port, port))
