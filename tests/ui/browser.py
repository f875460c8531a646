"""A browser and the page's own program, for whoever drives them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright

from tests import real

AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS: Final = 60_000
ENDED: Final = "#dialog:not([open]), dialog[open] [role=alert]"
SERIOUS: Final = ("serious", "critical")


def chromium() -> str:
    """The system's."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or real.cannot("chromium is not on PATH; on Debian: apt-get install chromium")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    path = chromium()
    with tempfile.TemporaryDirectory(prefix="ql-") as home:
        async with async_playwright() as playwright:
            found = await playwright.chromium.launch(
                executable_path=path, args=list(FLAGS), env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}
            )
            yield found
            await found.close()


class Visitor:
    """One person at one window. `complaints`: what the browser had against the page; `streams`: each that it has opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.streams: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: self.streams.append(request.url) if "/events" in request.url else None)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _console(self, message: ConsoleMessage) -> None:
        # Playwright hides the caret by a style of its own while it takes a picture, which the page's policy forbids.
        if message.type in {"error", "warning"} and "inline style" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    async def press(self, name: str) -> None:
        """Click on what has this id."""
        await self.page.locator(f'[id="{name}"]').click()

    async def dialog(self, name: str) -> str:
        """Open the dialog behind this button; returns what it says."""
        await self.press(name)
        dialog = self.page.locator("dialog[open]")
        await dialog.wait_for()
        return await dialog.inner_text()

    async def confirm(self) -> str:
        """Press the dialog's one button; returns what is said of the deed."""
        await self.page.locator("dialog[open] button.primary").click()
        await self.page.locator(ENDED).first.wait_for(state="attached")
        refused = self.page.locator("dialog[open] [role=alert]")
        assert not await refused.count(), await refused.inner_text()
        return await self.page.locator(".toast").last.inner_text()

    async def reads(self, place: str, text: str) -> None:
        """Until that part of the page says so, by itself."""
        await self.page.locator(place, has_text=text).first.wait_for()

    async def barriers(self) -> list[str]:
        """What keeps somebody from using the page as it is now, by axe-core: the serious findings."""
        await self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = await self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
        ]


@asynccontextmanager
async def visiting(browser: Browser, address: str, **window: Any) -> AsyncIterator[Visitor]:
    """A person who opens this address in a window of their own."""
    context = await browser.new_context(viewport=window.pop("viewport", {"width": 1440, "height": 1000}), **window)
    page = await context.new_page()
    visitor = Visitor(page)
    await page.goto(address, wait_until="domcontentloaded")
    yield visitor
    try:
        await context.close()
    except Error:  # a window that was closed already
        return


@contextmanager
def served(kubeconfig: Path, *options: str) -> Iterator[str]:
    """`quorate dashboard` with these options; gives the address that it prints."""
    command = [sys.executable, "-m", "quorate.cli.main", "dashboard", "--kubeconfig", str(kubeconfig), *options]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert program.stdout is not None
        yield program.stdout.readline().split()[1]
    finally:
        program.terminate()
        program.wait(30)
        if program.stdout is not None:
            program.stdout.close()
