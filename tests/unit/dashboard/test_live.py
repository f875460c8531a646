"""What is on the API server is on the page, soon and by itself; and the page says when it cannot know."""

import asyncio
import json
import threading

from quorate.core.status import VotesStatus
from quorate.dashboard.board import Board
from quorate.dashboard.mirror import Shelf
from quorate.dashboard.panels import NAMES
from quorate.kube.resources import EVENTS
from tests.unit.dashboard.served import BEHIND, READER, User, enter, page, until
from tests.unit.view import pictures


class Reader:
    """One open page: the panels as it shows them."""

    def __init__(self, response):
        self.response = response
        self.panels: dict[str, str] = {}
        self.pulses = 0

    async def read(self):
        name, data = "", []
        async for raw in self.response.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                name, data = line[7:], []
            elif line.startswith("data:"):
                data.append(line[6:])
            elif not line and name == "pulse":
                self.pulses += 1
                assert "now" in json.loads("".join(data))
            elif not line:
                self.panels[name] = "\n".join(data)


async def open_page(client, query=""):
    reader = Reader(await client.get(f"/events?{query}"))
    task = asyncio.create_task(reader.read())
    await until(lambda: set(reader.panels) == set(NAMES) and reader.pulses, "every panel")
    return reader, task


async def test_a_change_is_shown_by_itself(api):
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        reader, task = await open_page(client)
        assert "3 of 3 votes" in reader.panels["head"]
        lost = pictures.cluster_status(votes=VotesStatus(3, 3, 2, 2, "2/3"))
        api.put(pictures.cluster(lost))
        await until(lambda: "2 of 3 votes" in reader.panels["head"], "the change")
        task.cancel()


async def test_deeds_that_wait_keep_no_picture_waiting(api):
    free = threading.Event()
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        waiting = [asyncio.create_task(asyncio.to_thread(free.wait, 30)) for _ in range(64)]
        try:
            api.put(pictures.guest(pictures.guest_status(guest="ct:shop/new"), name="new"))
            await until(lambda: "shop/new" in str(site.board.picture.report), "the change")
        finally:
            free.set()
            await asyncio.gather(*waiting)


async def test_what_is_new_and_what_is_gone(api):
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        reader, task = await open_page(client)
        api.put(pictures.guest(pictures.guest_status(guest="ct:shop/new"), name="new"))
        await until(lambda: "ct:shop/new" in reader.panels["guests"], "the new guest")
        api.store.delete(api.store.resources["haresources.quorate.dev"], ("shop", "new"))
        await until(lambda: "ct:shop/new" not in reader.panels["guests"], "its end")
        task.cancel()


async def test_fifty_pages_cost_one_picture_and_one_drawing(api):
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        pages = [await open_page(client) for _ in range(50)]
        painted, drawn = site.board.painted, site.panels.rendered
        changed = pictures.cluster_status(votes=VotesStatus(3, 3, 2, 2, "2/3"))
        api.put(pictures.cluster(changed))
        await until(lambda: all("2 of 3" in reader.panels["head"] for reader, _ in pages), "all pages")
        assert site.panels.rendered - drawn <= 3 * len(NAMES)
        assert site.board.painted - painted < 10
        for _, task in pages:
            task.cancel()


async def test_heartbeats_change_no_panel(api):
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        reader, task = await open_page(client)
        version, painted = site.board.picture.version, site.board.painted
        await until(lambda: site.board.painted > painted and reader.pulses > 2, "a look at the clock")
        assert site.board.picture.version == version
        task.cancel()


async def test_an_api_server_that_is_away_is_told_of_and_comes_back(api, monkeypatch):
    monkeypatch.setattr("quorate.dashboard.mirror.PROBE_S", 0.1)
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        reader, task = await open_page(client)
        api.down = True
        await until(lambda: "Old data." in reader.panels["notice"], "the page to say so")
        assert "ct:shop/web" in reader.panels["guests"]
        assert (await client.get("/readyz")).status == 200
        api.down = False
        await until(lambda: "Old data." not in reader.panels["notice"], "the page to be live again")
        task.cancel()


def test_events_fill_no_memory(monkeypatch):
    """Whoever may write some: only what is shown of them is kept, and only so many."""
    monkeypatch.setattr("quorate.dashboard.mirror.KEPT_EVENTS", 3)
    shelf = Shelf(EVENTS)
    for number in range(9):
        metadata = {"namespace": "shop", "name": f"e{number}", "annotations": {"x": "y" * 1000}, "managedFields": [{}]}
        regarding = {"apiVersion": "quorate.dev/v1alpha1", "kind": "HAResource", "namespace": "shop", "name": "web"}
        assert shelf.take({"metadata": metadata, "regarding": regarding, "note": "said", "action": "x"}, gone=False)
    assert [raw["metadata"] for raw in shelf.all()] == [{"namespace": "shop", "name": f"e{n}"} for n in (6, 7, 8)]
    assert all(set(raw) == {"metadata", "regarding", "note"} for raw in shelf.all())


async def test_what_may_not_be_read_is_left_out(api):
    api.users = {"t": User("page", READER)}
    api.refused = {"/apis/events.k8s.io/v1/events", "/apis/coordination.k8s.io/v1/namespaces/quorate-agents/leases"}
    async with page(api, token="t") as (site, _):
        await until(lambda: site.board.picture.version and site.board.mirror.leases.refused, "a picture")
        assert site.board.picture.report.clusters[0].nodes
        assert not site.board.mirror.problem


async def test_an_api_server_behind_a_gateway_has_a_path(api):
    api.url += BEHIND
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        assert site.board.picture.report.clusters


async def test_the_report_is_the_command_lines(api):
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        told = await (await client.get("/report.json")).json()
        assert told["clusters"][0]["guests"][0]["guest"] == "ct:shop/web"
        assert told["health"]


async def test_a_stream_is_no_headline(api):
    async with page(api) as (site, client):
        await enter(site, client)
        assert (await client.head("/events")).status == 405


async def test_a_server_that_ends_does_not_wait_for_its_pages(api):
    async with page(api) as (site, client):
        await enter(site, client)
        await until(lambda: site.board.picture.version, "a picture")
        _, task = await open_page(client)
    await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 10)


def test_a_board_is_empty_at_first():
    from quorate.access.kubeconfig import Login

    board = Board(Login("http://127.0.0.1:1", "a test", "ada"))
    assert board.picture.version == 0
    assert not board.mirror.ready
