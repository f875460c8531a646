"""Takes the pictures of docs/dashboard.md from the real page, on a lab that loses a node (`make screenshots`)."""

import asyncio
from pathlib import Path
from typing import Final

from playwright.async_api import Page

from quorate.core.types import GuestKey
from quorate.kube.resources import CLAIMS, CLUSTERS, HARESOURCES, STORAGES
from quorate.lab.options import Options
from tests.lab.scene import Scene, container, own_cache, played
from tests.ui.browser import Visitor, browser, served, visiting

PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"
IDLE: Final = ("sh", "-c", "trap exit TERM; while :; do sleep 1 & wait; done")
GUESTS: Final = (
    ("shop", "web-0", "the shop's front", "200m", "256Mi"),
    ("shop", "web-1", "the shop's front", "200m", "256Mi"),
    ("shop", "db", "orders; ask the data team first", "500m", "1Gi"),
    ("ci", "runner-1", "", "300m", "512Mi"),
    ("ci", "runner-2", "", "300m", "512Mi"),
    ("mail", "relay", "", "100m", "128Mi"),
)
WINDOW: Final = {"width": 1440, "height": 960}
PHONE: Final = {"width": 400, "height": 860}


def furnish(scene: Scene) -> None:
    """A small shop."""
    for namespace in sorted({one[0] for one in GUESTS}):
        scene.api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    size = {"requests": {"storage": "1Gi"}}
    scene.create(CLAIMS, "orders", {"accessModes": ["ReadWriteMany"], "resources": size}, "shop")
    claim = {"namespace": "shop", "name": "orders"}
    scene.create(STORAGES, "orders", {"type": "Claim", "claim": claim, "allowedNamespaces": ["shop"]})
    apart = {
        "name": "web-apart",
        "guests": {"names": ["shop/web-0", "shop/web-1"]},
        "guestAffinity": {"affinity": "Apart"},
    }
    scene.api.merge(CLUSTERS.path(scene.name), {"spec": {"rules": [apart]}}).ok()
    for namespace, name, comment, cpu, memory in GUESTS:
        guest = container(*IDLE, resources={"requests": {"cpu": cpu, "memory": memory}})
        spec = {"guest": guest, "storage": [{"name": "orders", "path": "/data"}] if name == "db" else []}
        scene.create(HARESOURCES, name, {**spec, "comment": comment} if comment else spec, namespace)


async def take(page: Page, name: str) -> None:
    await page.mouse.move(0, 0)
    await page.evaluate("document.querySelectorAll('.toast').forEach(one => one.remove())")
    await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")
    print(f"docs/pictures/{name}.png", flush=True)


async def story(scene: Scene, visitor: Visitor) -> None:
    """Calm, then a node is lost, then all is recovered."""
    page = visitor.page
    keys = [GuestKey(namespace, name) for namespace, name, *_ in GUESTS]
    await scene.until("every guest to run", lambda: all(scene.guest(key).ready for key in keys))
    await visitor.reads(".alert.calm", "6 started")
    await take(page, "calm")
    await visitor.dialog("move-ct:shop/db")
    await take(page, "move")
    await page.keyboard.press("Escape")
    node = str(scene.guest(GuestKey("shop", "db")).node)
    scene.switch(node, "power-off")
    await visitor.reads(".alert.bad", f"Node {node}: lost")
    await take(page, "lost")
    await visitor.dialog(f"plan-{node}")
    await take(page, "plan")
    await page.keyboard.press("Escape")
    lost = [key for key in keys if scene.guest(key).node == node]

    def elsewhere() -> bool:
        return all(scene.guest(key).ready and scene.guest(key).node != node for key in lost)

    await scene.until("them to recover", elsewhere)
    await visitor.reads("#recoveries tr", "s")
    await page.locator("#recoveries .chip").first.wait_for(state="detached")
    await page.locator("#h-recoveries").scroll_into_view_if_needed()
    await page.locator("section:has(#h-recoveries)").screenshot(path=PICTURES / "recoveries.png")
    await page.evaluate("window.scrollTo(0, 0)")
    await page.emulate_media(color_scheme="dark")
    await take(page, "dark")
    await page.set_viewport_size(PHONE)
    await take(page, "narrow")


async def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with own_cache(), played(Options("prod", profile="Fast", nodes=4)) as scene:
        await scene.until_whole()
        furnish(scene)
        with served(scene.files.kubeconfig, "--lab", scene.name) as address:
            async with browser() as chrome, visiting(chrome, address, viewport=WINDOW) as visitor:
                await story(scene, visitor)


if __name__ == "__main__":
    asyncio.run(main())
