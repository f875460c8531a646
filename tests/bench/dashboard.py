"""The dashboard with 32 nodes and 5,000 guests on a real API server: its first paint, and what a change costs.

Objects are only told of, with the statuses that a manager would write, and heartbeats go on all the time; API server, page
and browser are the real ones.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from quorate.kube.resources import HARESOURCES
from tests.bench import use
from tests.bench.filled import NAMESPACE, beating, control_plane, fill, guest_name
from tests.bench.lines import Line, tell
from tests.control_plane.client import Api
from tests.ui.browser import browser, visiting
from tests.unit.view import pictures

PAINT_GOAL_MS, UPDATE_GOAL_MS, SHOWN_GOAL_MS = 1000.0, 200.0, 1000.0
PAINTS: Final = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=32)
    parser.add_argument("--guests", type=int, default=5000)
    parser.add_argument("--pages", type=int, default=50, help="how many are open at once")
    parser.add_argument("--updates", type=int, default=20, help="changes, one a second")


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """Fill an API server, open the page, change something again and again."""
    with tempfile.TemporaryDirectory(prefix="qb-") as directory, ExitStack() as ends:
        kubeconfig = ends.enter_context(control_plane(Path(directory)))
        api = Api(kubeconfig)
        fill(kubeconfig, given.nodes, given.guests)
        ends.enter_context(beating(kubeconfig, given.nodes))
        program = ends.enter_context(_served(kubeconfig))
        assert program.stdout is not None
        address = program.stdout.readline().split()[1]
        yield from asyncio.run(_measured(given, api, program.pid, address))


async def _measured(given: argparse.Namespace, api: Api, pid: int, address: str) -> list[Line]:
    what = f"{given.nodes} nodes, {given.guests} guests"
    base = address.partition("/enter")[0]
    found = []
    async with browser() as chrome, visiting(chrome, address) as visitor:
        await visitor.reads("#guests tr", f"ct:{NAMESPACE}/")
        page = visitor.page
        paints = []
        for _ in range(PAINTS):
            await page.goto(base, wait_until="load")
            paints.append(float(await page.evaluate(PAINTED)))
        found.append(Line("dashboard", f"{what}: first paint in Chromium", "ms", tuple(paints), PAINT_GOAL_MS))
        (cookie,) = await page.context.cookies()
        cookies = {cookie["name"]: cookie["value"]}
    async with aiohttp.ClientSession(cookies=cookies) as session:
        for count in (1, given.pages):
            found += await _changes(session, api, base, pid, count, given.updates, what)
    notes = {"peak_mib": use.peak_mib(pid)}
    found.append(
        Line("dashboard", f"{what}: memory of the page's server (RSS)", "MiB", (use.memory(pid).rss,), None, notes)
    )
    return found


PAINTED: Final = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


async def _changes(
    session: aiohttp.ClientSession, api: Api, base: str, pid: int, count: int, updates: int, what: str
) -> list[Line]:
    """So many pages are open, and one guest changes each second."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    tasks = [asyncio.create_task(_watch(session, base, seen if one == 0 else None)) for one in range(count)]
    await asyncio.sleep(5)
    began_s, began = use.cpu_s(pid), time.monotonic()
    await asyncio.sleep(10)
    idle = (use.cpu_s(pid) - began_s) / (time.monotonic() - began)
    costs, shown = [], []
    for number in range(updates):
        word = f"change-{count}-{number}"
        before_s, before = use.cpu_s(pid), time.monotonic()
        await asyncio.to_thread(_change, api, word)
        while word not in await seen.get():
            pass
        shown.append(1000 * (time.monotonic() - before))
        await asyncio.sleep(max(0.0, 1 - (time.monotonic() - before)))
        spent = use.cpu_s(pid) - before_s - idle * (time.monotonic() - before)
        costs.append(max(0.0, 1000 * spent))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    pages = f"{count} open page{'s' if count > 1 else ''}"
    mean = sum(costs) / len(costs)
    tell(f"{pages}: {mean:.0f} ms of processor time an update, {100 * idle:.1f}% of a core without one")
    return [
        Line(
            "dashboard",
            f"{what}, {pages}: processor time of an update, mean",
            "ms",
            (mean,),
            UPDATE_GOAL_MS,
            {"updates": updates, "idle_percent": 100 * idle},
        ),
        Line("dashboard", f"{what}, {pages}: from the change to the page", "ms", tuple(shown), SHOWN_GOAL_MS),
    ]


async def _watch(session: aiohttp.ClientSession, base: str, seen: "asyncio.Queue[str] | None") -> None:
    """One open page, that takes what it is sent."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(f"{base}/events", timeout=timeout) as response:
        async for line in response.content:
            if seen is not None and b"change-" in line:
                for word in re.findall(rb"change-\d+-\d+", line):
                    seen.put_nowait(word.decode())


def _change(api: Api, word: str) -> None:
    """One guest has something else to say, and needs attention: it is on the first page."""
    path = HARESOURCES.path(guest_name(0), NAMESPACE, "status")
    status = pictures.guest(
        pictures.guest_status(guest=f"ct:{NAMESPACE}/{guest_name(0)}", message=word, conditions=())
    )["status"]
    api.merge(path, {"status": {**status, "conditions": []}}).ok()


@contextmanager
def _served(kubeconfig: Path) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "quorate.cli.main", "dashboard", "--kubeconfig", str(kubeconfig)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield program
    finally:
        program.terminate()
        program.wait(30)
