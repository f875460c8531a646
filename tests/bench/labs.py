"""Labs to measure in: whole ones, with guests that do little."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from quorate.core.types import GuestKey
from quorate.kube.resources import HARESOURCES
from quorate.lab.commands import AGENT_PORT
from quorate.lab.options import Options
from quorate.lab.processes import Process
from tests.bench.lines import tell
from tests.lab.scene import Scene, container, own_cache, played
from tests.scrape import Scrape, scrape

T = TypeVar("T")
IDLE = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")
"""Ends at once when it is told to."""


@contextmanager
def whole(options: Options) -> Iterator[Scene]:
    """A lab of one's own whose nodes are all Online, judged at its end: no benchmark counts in which a guest ran twice."""
    with own_cache(), played(options) as scene:
        asyncio.run(scene.until_whole())
        yield scene


def add_guest(scene: Scene, name: str, **spec: Any) -> GuestKey:
    """One that idles."""
    key = GuestKey("default", name)
    scene.create(HARESOURCES, name, {"guest": container(*IDLE), **spec}, key.namespace)
    return key


def node_of(scene: Scene, key: GuestKey) -> str:
    """Where it runs, by the API and by the observer; empty while that is not the same."""
    status = scene.guest(key)
    node = str(status.node or "")
    return node if node and scene.runs(node, key) and scene.seen_on(key) == [node] else ""


def wait(what: str, check: Callable[[], T], limit_s: float = 120.0) -> T:
    """The first true answer. Raises SystemExit when there is none in time."""
    deadline = time.monotonic() + limit_s
    while not (found := check()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {limit_s:g}s for {what}: {found!r}")
        time.sleep(0.05)
    return found


def agent_processes(scene: Scene, node: str) -> tuple[Process, Process]:
    """Keeper and loop of a node's agent."""
    (keeper,) = scene.all("quorate.agent", NODE=node)
    (loop,) = scene.all("quorate.agent.loop_main", NODE=node)
    return keeper, loop


def agent_metrics(scene: Scene, node: str) -> Scrape:
    return scrape(f"http://{scene.machine(node)['address']}:{AGENT_PORT}/metrics")


def pause(for_s: float, what: str) -> None:
    """Let time pass, and say so."""
    tell(f"{what}: {for_s:g}s ...")
    time.sleep(for_s)
