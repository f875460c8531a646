"""The whole story by mouse alone: add a guest, lose its node, lose quorum, say expected 1, come back, move home."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from quorate.core.types import GuestKey
from quorate.kube.resources import HARESOURCES
from quorate.lab import client, processes
from quorate.lab.options import Options
from tests.lab.scene import Scene, container, judged, own_cache, running
from tests.lab.waiting import eventually
from tests.ui.browser import Visitor, browser, served, visiting

pytestmark = pytest.mark.lab
WEB = GuestKey("default", "web")
WRITER = "sh -c 'trap exit TERM; while :; do sleep 1 & wait; done'"
SEEN = """hidden => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    with own_cache():
        yield


@pytest.fixture(scope="module")
def lab(cache: None) -> Iterator[object]:
    with running(Options("ui", profile="Fast")) as lab:
        yield lab


@pytest.fixture
async def scene(lab: object) -> AsyncIterator[Scene]:
    with judged(lab) as scene:  # type: ignore[arg-type]
        await scene.until_whole()
        yield scene
        scene.api.delete("/apis/quorate.dev/v1alpha1/namespaces/default/haresources/web")
        await scene.heal()


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as found:
        yield found


@pytest.fixture
async def visitor(scene: Scene, chrome: Browser) -> AsyncIterator[Visitor]:
    with served(scene.files.kubeconfig, "--lab", scene.name) as address:
        async with visiting(chrome, address) as visitor:
            await visitor.reads("#nodes", "node3")
            yield visitor
            assert visitor.complaints == []


async def add_web(visitor: Visitor) -> None:
    assert "starts elsewhere" in await visitor.dialog("add-guest")
    await visitor.page.fill("#f-name", "web")
    await visitor.page.fill("#f-image", "lab")
    await visitor.page.fill("#f-command", WRITER)
    assert "ct:default/web is under HA" in await visitor.confirm()
    await visitor.reads("#guests tr", "started started")  # wanted, and is


async def test_the_story(scene: Scene, visitor: Visitor) -> None:
    await visitor.reads(".head", "3 of 3 votes")
    assert await visitor.barriers() == []
    await add_web(visitor)
    await scene.until("web to run", lambda: scene.guest(WEB).ready)
    first = str(scene.guest(WEB).node)
    assert "No other" not in await visitor.dialog("move-ct:default/web")
    assert await visitor.barriers() == []
    await visitor.page.keyboard.press("Escape")

    await visitor.press(f"power-{first}")
    await visitor.reads(".alert.bad", f"Node {first}: lost")
    assert f"If {first} is lost: 1 guest recovers elsewhere" in await visitor.dialog(f"plan-{first}")
    await visitor.page.keyboard.press("Escape")
    assert await visitor.barriers() == []
    await visitor.reads("#recoveries tr", "ct:default/web")
    await visitor.page.locator(".timeline .part.start").wait_for()
    second = str(scene.guest(WEB).node)
    assert second != first
    await visitor.reads("#guests tr", f"started {second}")

    await visitor.press(f"power-{second}")
    await visitor.reads(".head", "not quorate")
    await visitor.reads(".alert.bad", "not quorate (1 of 3 votes, need 2)")
    said = await visitor.dialog("act-expected")
    assert "At most 1 would do" in said
    await visitor.page.fill("#f-reason", f"{first} and {second} are off")
    assert await visitor.barriers() == []
    assert "expected votes are 1" in await visitor.confirm()
    (third,) = {"node1", "node2", "node3"} - {first, second}
    await visitor.reads("#guests tr", f"started {third}")

    await visitor.press(f"power-{first}")
    await visitor.press(f"power-{second}")
    await visitor.reads(".head", "3 of 3 votes")
    await visitor.reads(".cards", "3 online")

    await visitor.dialog("move-ct:default/web")
    await visitor.page.check(f'dialog[open] input[value="{first}"]')
    assert f"started on {first}" in await visitor.confirm()
    await visitor.reads("#guests tr", f"started {first}")
    await scene.until(f"web to run on {first}", lambda: scene.runs(first, WEB))
    assert scene.ran_on(WEB) == [first, second, third, first]


async def test_maintenance_and_disarm(scene: Scene, visitor: Visitor) -> None:
    await add_web(visitor)
    await scene.until("web to run", lambda: scene.guest(WEB).ready)
    node = str(scene.guest(WEB).node)
    said = await visitor.dialog(f"maintain-{node}")
    assert "Every guest leaves" in said
    assert "ct:default/web" in said
    await visitor.page.fill("#f-reason", "kernel update")
    assert "its guests move away" in await visitor.confirm()
    await visitor.reads("#nodes tr", "in maintenance (kernel update): no guest is left")
    assert "the maintenance is over" in await _end_maintenance(visitor, node)
    await visitor.reads("#guests tr", f"started {node}")
    await visitor.dialog("act-disarm")
    await visitor.page.fill("#f-reason", "new switch")
    assert "it disarms" in await visitor.confirm()
    await visitor.reads(".head", "fencing disarmed")
    await visitor.dialog("act-arm")
    assert "arms itself" in await visitor.confirm()
    await visitor.page.locator("#act-disarm").wait_for()
    await visitor.dialog("stop-ct:default/web")
    assert "stopped gracefully" in await visitor.confirm()
    await visitor.reads("#guests tr", "stopped stopped")
    await visitor.dialog("start-ct:default/web")
    await visitor.confirm()
    await visitor.reads("#guests tr", "started started")


async def _end_maintenance(visitor: Visitor, node: str) -> str:
    await visitor.page.locator(f"#maintain-{node}", has_text="End maintenance").wait_for()
    assert "1 guest that left it will return" in await visitor.dialog(f"maintain-{node}")
    return await visitor.confirm()


async def test_a_manager_is_killed_while_the_page_is_open(scene: Scene, visitor: Visitor) -> None:
    await visitor.reads(".head", f"manager {scene.leader()}")
    before = scene.leader()
    pid = next(one["pid"] for one in client.status(scene.name)["processes"] if one["name"] == before)
    process = processes.inspect(pid)
    assert process is not None
    term = scene.cluster().term
    processes.send(process, 9)
    await visitor.reads(".head", f"term {term + 1}")
    assert await visitor.page.locator("#lost").is_hidden()
    await add_web(visitor)


async def test_two_windows_show_the_same(scene: Scene, visitor: Visitor, chrome: Browser) -> None:
    other = await visitor.page.context.new_page()
    second = Visitor(other)
    await other.goto(visitor.page.url, wait_until="domcontentloaded")
    await add_web(visitor)
    await second.reads("#guests tr", "ct:default/web")
    await second.dialog("stop-ct:default/web")
    await second.confirm()
    await visitor.reads("#guests tr", "stopped stopped")
    assert second.complaints == []


async def test_old_data_is_called_old(scene: Scene, visitor: Visitor) -> None:
    pid = next(one["pid"] for one in client.status(scene.name)["processes"] if one["name"] == "api-server")
    process = processes.inspect(pid)
    assert process is not None
    processes.send(process, 19)
    try:
        await visitor.reads("#notice", "Old data.")
        await visitor.reads("#nodes", "node1")
    finally:
        processes.send(process, 18)
    await visitor.page.locator("#notice .notice").wait_for(state="detached")


async def test_by_keyboard_and_on_a_narrow_screen_in_the_dark(scene: Scene, chrome: Browser) -> None:
    with served(scene.files.kubeconfig, "--lab", scene.name) as address:
        async with visiting(chrome, address, viewport=NARROW, color_scheme="dark") as visitor:
            await visitor.reads("#nodes", "node3")
            page = visitor.page
            wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert await page.evaluate(wide), "nothing is wider than the screen"
            assert await visitor.barriers() == []
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "Skip to the cluster"
            await page.keyboard.press("/")
            assert await page.evaluate("document.activeElement.id") == "q"
            await page.keyboard.type("nothing like it")
            await eventually(lambda: "nothing" in page.url, "the address to hold the filter")
            assert await page.evaluate("document.activeElement.id") == "q"
            await page.focus("#why-node1")
            await page.keyboard.press("Enter")
            await page.locator("dialog[open]").wait_for()
            assert await visitor.barriers() == []
            await page.keyboard.press("Escape")
            assert await page.evaluate("document.activeElement.id") == "why-node1"
            await asyncio.sleep(0)
            assert visitor.complaints == []


async def test_a_page_that_nobody_sees_sleeps_and_wakes_up_to_what_is(scene: Scene, chrome: Browser) -> None:
    with served(scene.files.kubeconfig) as address:
        async with visiting(chrome, address) as visitor:
            await visitor.reads("#nodes", "node3")
            await visitor.page.clock.install()
            await visitor.page.reload(wait_until="domcontentloaded")
            await visitor.reads("#nodes", "node3")
            streams = len(visitor.streams)
            await visitor.page.evaluate(SEEN, True)
            await visitor.page.clock.fast_forward(31_000)
            scene.create(HARESOURCES, WEB.name, {"guest": container("sleep", "1000")}, WEB.namespace)
            await scene.until("web to run", lambda: scene.guest(WEB).ready)
            assert "ct:default/web" not in await visitor.page.inner_text("#guests")
            await visitor.page.evaluate(SEEN, False)
            await visitor.reads("#guests tr", "ct:default/web")
            await eventually(lambda: len(visitor.streams) == streams + 1, "a stream of its own again")
            assert visitor.complaints == []


async def test_what_others_wrote_does_nothing(scene: Scene, visitor: Visitor) -> None:
    evil = "<img src=x onerror='window.owned=1'><script>window.owned=1</script>\u202e"
    body = {
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": "HAResource",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "comment": evil,
            "guest": {
                "container": {"spec": {"containers": [{"name": "web", "image": "lab", "command": ["sleep", "99"]}]}}
            },
        },
    }
    scene.api.post("/apis/quorate.dev/v1alpha1/namespaces/default/haresources", body).ok()
    await visitor.reads("#guests tr", "<img src=x")
    assert await visitor.page.evaluate("window.owned") is None
    assert await visitor.page.locator("#guests img").count() == 0
