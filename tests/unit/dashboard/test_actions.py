"""Dialogs: what they show before, what they do, and how they refuse."""

import asyncio
import json
import re
from dataclasses import replace

import pytest

from quorate.core.types import IncidentId, NodeName, Nonce, Stage
from tests.unit.dashboard.served import enter, page, until
from tests.unit.dashboard.test_panels import text_of
from tests.unit.view import pictures

SOON = {"for": "soon"}
GUEST = {"guest": "ct:shop/web"}


class Visitor:
    """Somebody at the page."""

    def __init__(self, client, csrf):
        self.client = client
        self.headers = {"X-Quorate-Csrf": csrf, "HX-Request": "true"}

    async def look(self, action, **subject):
        answer = await self.client.get(f"/dialog/{action}", params=subject)
        return answer.status, text_of(await answer.text())

    async def until(self, words, action, **subject):
        """The dialog as soon as it says that: a change is shown soon, not at once."""
        for _ in range(300):
            _, text = await self.look(action, **subject)
            if words in text:
                return text
            await asyncio.sleep(0.02)
        raise AssertionError(f"{words!r} is not in {text!r}")

    async def seen(self, action, **subject):
        """What the dialog's button sends along."""
        answer = await self.client.get(f"/dialog/{action}", params=subject)
        return re.findall(r'name="seen" value="([^"]*)"', await answer.text())[0]

    async def do(self, action, **said):
        answer = await self.client.post(f"/do/{action}", data=said, headers=self.headers)
        done = json.loads(answer.headers.get("HX-Trigger", "{}")).get("quorate:done", "")
        return done or text_of(await answer.text())


@pytest.fixture
async def visitor(api, monkeypatch):
    monkeypatch.setattr("quorate.access.commands.ANSWER", "100ms")
    monkeypatch.setattr("quorate.access.expected.ANSWER", "100ms")
    async with page(api) as (site, client):
        csrf = await enter(site, client)
        await until(lambda: site.board.picture.version and site.board.mirror.machines.synced, "a picture")
        yield Visitor(client, csrf)


def guest_of(api):
    return api.find("haresources.quorate.dev", "web", "shop")


async def test_every_action_shows_something(visitor):
    for action, subject in (
        ("why", GUEST),
        ("move", GUEST),
        ("start", GUEST),
        ("stop", GUEST),
        ("reset", GUEST),
        ("add", {}),
        ("help", {}),
        ("node", {"node": "n1"}),
        ("loss", {"node": "n1"}),
        ("maintenance-on", {"node": "n1"}),
        ("maintenance-off", {"node": "n1"}),
        ("disarm", {"cluster": "prod"}),
        ("arm", {"cluster": "prod"}),
        ("expected", {"cluster": "prod"}),
        ("confirm", {"node": "n1"}),
    ):
        code, text = await visitor.look(action, **subject)
        assert code == 200, (action, text)
        assert text, action


async def test_move(api, visitor):
    _, text = await visitor.look("move", **GUEST)
    assert "It runs on n1." in text
    assert "n2" in text
    said = await visitor.do("move", to="n2", how="relocate", **GUEST)
    assert "no manager has answered" in said
    command = guest_of(api)["metadata"]["annotations"]["quorate.dev/command"]
    assert command.partition(" ")[2] == "relocate n2"


async def test_a_move_that_cannot_be_is_refused_in_the_dialog(visitor):
    text = await visitor.do("move", to="n9", how="migrate", **GUEST)
    assert "no node of Cluster prod is named 'n9'" in text
    assert "It runs on n1." in text
    assert "choose" not in await visitor.do("move", to="n2", how="fly", **GUEST)


async def test_stop_and_start(api, visitor):
    assert "stopped gracefully" in await visitor.do("stop", **GUEST)
    assert guest_of(api)["spec"]["state"] == "Stopped"
    assert "state Stopped -> Started" in await visitor.do("start", **GUEST)
    assert guest_of(api)["spec"]["state"] == "Started"


async def test_maintenance(api, visitor):
    _, text = await visitor.look("maintenance-on", node="n1")
    assert "Every guest leaves n1" in text
    assert "ct:shop/web" in text
    assert "its guests move away" in await visitor.do("maintenance-on", node="n1", reason="kernel")
    node = api.find("nodes.quorate.dev", "n1")
    assert node["spec"]["maintenance"] == {"enabled": True, "reason": "kernel"}
    assert "the maintenance is over" in await visitor.do("maintenance-off", node="n1")
    assert "is not in maintenance" in await visitor.do("maintenance-off", node="n1")


async def test_disarm_and_arm(api, visitor):
    assert "the reason is missing" in await visitor.do("disarm", cluster="prod", mode="Freeze", **{"for": "30m"})
    assert "'soon' is no duration" in await visitor.do(
        "disarm", cluster="prod", mode="Freeze", reason="x", **{"for": "soon"}
    )
    said = await visitor.do("disarm", cluster="prod", mode="Freeze", reason="new switch", **{"for": "30m"})
    assert said.startswith("Cluster prod: it disarms")
    assert api.find("clusters.quorate.dev", "prod")["spec"]["disarm"]["reason"] == "new switch"
    assert "HA arms itself" in await visitor.do("arm", cluster="prod")
    assert not (api.find("clusters.quorate.dev", "prod").get("spec") or {}).get("disarm")


async def test_expected_is_refused_while_a_majority_lives(visitor):
    code, text = await visitor.look("expected", cluster="prod")
    assert code == 200
    assert "a real majority is alive" in text
    assert "a real majority is alive" in await visitor.do("expected", cluster="prod", votes="1", reason="x")


async def test_expected_without_quorum(api, visitor):
    api.put(pictures.cluster(pictures.not_quorate()))
    await visitor.until("At most 1 would do", "expected", cluster="prod")
    assert "is no number" in await visitor.do("expected", cluster="prod", votes="²", reason="x")
    seen = await visitor.seen("expected", cluster="prod")
    said = await visitor.do("expected", cluster="prod", votes="1", reason="burnt down", seen=seen)
    assert "expected votes are 1 (generation 1)" in said
    wish = api.find("clusters.quorate.dev", "prod")["spec"]["quorum"]["expectedVotes"]
    assert wish == {"votes": 1, "reason": "burnt down", "generation": 1}


async def test_what_is_said_of_a_deed_hides_nothing(visitor, monkeypatch):
    monkeypatch.setattr("quorate.access.guests.change", lambda *_: "done\n\x1b[2J\u202e")
    assert await visitor.do("stop", **GUEST) == r"done\n\x1b[2J\u202e"


async def test_a_persons_word_needs_the_box(api, visitor):
    api.put(pictures.node("n1", pictures.lost(release_by=None)))
    text = await visitor.until("they run twice", "confirm", node="n1")
    assert "Incident n1-abc" in text
    assert "tick the box" in await visitor.do("confirm", node="n1")
    assert "vouches that it is off" in await visitor.do("confirm", node="n1", sure="yes", seen="n1-abc")
    annotation = api.find("nodes.quorate.dev", "n1")["metadata"]["annotations"]["quorate.dev/fence-confirm"]
    assert annotation == "n1-abc/boot/ada"


async def test_a_persons_word_is_for_what_they_had_before_them(api, visitor):
    api.put(pictures.node("n1", pictures.lost(release_by=None)))
    await visitor.until("Incident n1-abc", "confirm", node="n1")
    seen = await visitor.seen("confirm", node="n1")
    status = pictures.lost(release_by=None)
    assert status.incident is not None
    again = replace(status, incident=replace(status.incident, id=IncidentId("n1-def"), nonce=Nonce("later")))
    api.put(pictures.node("n1", again))
    await visitor.until("Incident n1-def", "confirm", node="n1")
    text = await visitor.do("confirm", node="n1", sure="yes", seen=seen)
    assert "it has changed since you looked" in text
    assert "Incident n1-def" in text
    fenced = replace(again, incident=replace(again.incident, stage=Stage.FENCED), guests=0)
    api.put(pictures.node("n1", fenced))
    await visitor.until("Does nothing of its old guests run on n1", "release", node="n1")
    assert "it has changed" in await visitor.do("release", node="n1", sure="yes", seen="n1-def/boot")
    assert "annotations" not in api.find("nodes.quorate.dev", "n1")["metadata"]


async def test_expected_votes_are_for_the_nodes_that_were_missing(api, visitor):
    api.put(pictures.cluster(pictures.not_quorate()))
    await visitor.until("At most 1 would do", "expected", cluster="prod")
    seen = await visitor.seen("expected", cluster="prod")
    text = await visitor.do("expected", cluster="prod", votes="1", reason="burnt down", seen=f"{seen} n9")
    assert "it has changed since you looked" in text
    assert "expectedVotes" not in str(api.find("clusters.quorate.dev", "prod")["spec"])


async def test_a_fenced_node_is_let_back(api, visitor):
    api.put(pictures.node("n1", pictures.lost(release_by=None, stage=Stage.FENCED, guests=0)))
    text = await visitor.until("Does nothing of its old guests run on n1 any more?", "release", node="n1")
    assert "nothing will end it after this" in text
    assert "tick the box" in await visitor.do("release", node="n1")
    assert "ada lets it come back" in await visitor.do("release", node="n1", sure="yes", seen="n1-abc/boot")
    annotation = api.find("nodes.quorate.dev", "n1")["metadata"]["annotations"]["quorate.dev/fence-release"]
    assert annotation == "n1-abc/boot/ada"


async def test_only_a_virtual_machine_is_asked_how_it_moves(api, visitor):
    assert "Relocate" not in (await visitor.look("move", **GUEST))[1]
    raw = pictures.guest(pictures.guest_status(guest="vm:shop/win"), name="win")
    raw["spec"] |= {"guest": {"virtualMachine": {"name": "win"}}, "updatePolicy": "Recreate"}
    api.put(raw)
    text = await visitor.until("To which node", "move", guest="vm:shop/win")
    assert "Migrate" in text
    assert "Relocate" in text
    assert "If it cannot be moved live" in text
    assert "vm:shop/win" in await visitor.do("stop", guest="vm:shop/win")


async def test_add(api, visitor):
    assert "Write small letters" in await visitor.do("add", name="A B", namespace="shop", image="x")
    assert "the image is missing" in await visitor.do("add", name="new", namespace="shop")
    assert "Quote as in a shell" in await visitor.do("add", name="new", namespace="shop", image="x", command="sh -c 'x")
    said = await visitor.do("add", name="new", namespace="shop", image="busybox", command="sleep 9")
    assert said.startswith("ct:shop/new is under HA")
    (container,) = api.find("haresources.quorate.dev", "new", "shop")["spec"]["guest"]["container"]["spec"][
        "containers"
    ]
    assert container["command"] == ["sleep", "9"]
    assert "is under HA already" in await visitor.do("add", name="new", namespace="shop", image="busybox")


async def test_reset_is_for_a_guest_in_error(visitor):
    assert "nothing to reset" in await visitor.do("reset", **GUEST)


async def test_what_a_loss_would_mean(visitor):
    _, text = await visitor.look("loss", node="n1")
    assert "If n1 is lost: 1 guest recovers elsewhere" in text
    assert "ct:shop/web" in text


async def test_what_is_gone(visitor):
    code, text = await visitor.look("move", guest="ct:shop/gone")
    assert code == 410
    assert "no guest is named 'ct:shop/gone' any more" in text
    assert (await visitor.look("nothing"))[0] == 404
    answer = await visitor.client.get("/dialog/why", params={"guest": "<script>"})
    assert "<script>" not in await answer.text()


async def test_a_guest_that_can_go_nowhere(api, visitor):
    for name in ("n2", "n3"):
        api.put(pictures.node(name, replace(pictures.lost(release_by=None), guests=0)))
    text = await visitor.until("No other node can take it now", "move", **GUEST)
    assert NodeName("n2") in text
    assert "Move it" not in text
