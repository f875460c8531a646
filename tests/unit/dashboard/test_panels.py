"""What pages look like, and that nothing that others wrote does anything in them."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from quorate.core.capacity_status import CapacityStatus
from quorate.core.status import Termination, Timeline, VotesStatus
from quorate.core.types import IncidentId, Instant, NodeName
from quorate.dashboard.look import Look
from quorate.dashboard.panels import NAMES, Panels, Seen, tone
from quorate.dashboard.picture import Painter, Picture
from quorate.dashboard.rights import ALL, Rights
from quorate.view.snapshot import Snapshot
from tests.unit.view import pictures
from tests.unit.view.pictures import NOW, ago
from tests.unit.view.test_history import event

EVIL = "<img src=x onerror=alert(1)>\" onmouseover='x' \x1b[2J\u202e"


def picture(snapshot: Snapshot, events: tuple[object, ...] = ()) -> Picture:
    return Painter().paint(snapshot, events, None, NOW)  # type: ignore[arg-type]


def drawn(
    snapshot: Snapshot, rights: Rights = ALL, look: Look | None = None, events: tuple[object, ...] = ()
) -> dict[str, str]:
    seen = Seen(picture(snapshot, events), look or Look(), rights)
    return {name: str(text) for name, text in Panels().all(seen).items()}


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


class Tags(HTMLParser):
    """Every element, and every attribute that could do something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_a_whole_cluster():
    found = drawn(pictures.whole())
    assert set(found) == set(NAMES)
    assert "3 of 3 votes, need 2" in text_of(found["head"])
    assert "ct:shop/web started started n1 0/1 0/1" in text_of(found["guests"])
    assert "1 to 1 of 1" in text_of(found["guests"])
    assert "n2 online 1" in text_of(found["nodes"])
    assert "media Claim available yes yes yes" in text_of(found["storages"])
    assert found["notice"] == ""


def test_a_lost_node():
    found = drawn(pictures.node_lost())
    assert "Node n1 : lost (no heartbeat for 8.7s)" in text_of(found["alerts"])
    assert f'data-until="{pictures.SOON}"' in found["alerts"]
    assert "Confirm off" in found["nodes"]
    assert "ct:shop/web started fence n1 (n2)" in text_of(found["guests"])
    assert "fence n1" in text_of(found["log"])


def test_who_may_only_read_is_offered_nothing_to_do():
    for snapshot in (pictures.whole(), pictures.node_lost()):
        found = drawn(snapshot, Rights())
        offered = re.findall(r'data-dialog="/dialog/([a-z-]+)', "".join(found.values()))
        assert set(offered) <= {"why", "node", "loss"}


def test_rights_are_by_namespace():
    other = Rights(command=frozenset({"other"}), change=frozenset({"other"}))
    assert "/dialog/move" not in drawn(pictures.whole(), other)["guests"]
    own = Rights(command=frozenset({"shop"}))
    guests = drawn(pictures.whole(), own)["guests"]
    assert "/dialog/move" in guests
    assert "/dialog/stop" not in guests


def test_a_guest_in_error_can_be_reset_and_not_moved():
    snapshot = replace(pictures.whole(), guests=(pictures.guest(pictures.in_error(), name="api"),))
    guests = drawn(snapshot)["guests"]
    assert "/dialog/reset?guest=ct%3Ashop/api" in guests
    assert "/dialog/move" not in guests


def test_what_others_wrote_does_nothing():
    ended = Termination(NodeName("n1"), "i1", EVIL, ago(60), 1, EVIL, counted=True)  # type: ignore[arg-type]
    told = {"apiVersion": "events.k8s.io/v1", "kind": "Event", **event("HAResource", EVIL, EVIL, 5, EVIL)}
    cluster = pictures.cluster_status(message=EVIL, votes=VotesStatus(3, 3, 3, 2, EVIL))
    snapshot = replace(
        pictures.whole(),
        clusters=(pictures.cluster(cluster),),
        guests=(pictures.guest(pictures.guest_status(guest=EVIL, message=EVIL, last_termination=ended), comment=EVIL),),
        nodes=(pictures.node("n1", pictures.node_status(message=EVIL)),),
    )
    html = "".join(drawn(snapshot, events=(told,)).values())
    found = Tags(html)
    assert not found.tags & {"img", "script", "style", "iframe"}
    assert not {name for name in found.attributes if name.startswith("on") or name in {"src", "style", "srcdoc"}}
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert r"\x1b[2J\u202e" in html
    assert "&lt;img src=x" in html


def test_a_recovery_is_drawn():
    timeline = Timeline(
        IncidentId("n1-abc"), NodeName("n1"), ago(30), "LeaseExpired", ago(20), ago(19), ago(18), ago(15), 15.0
    )
    snapshot = replace(pictures.whole(), guests=(pictures.guest(pictures.guest_status(recovery=timeline)),))
    found = drawn(snapshot)["recoveries"]
    assert "15.0s" in text_of(found)
    assert re.findall(r'class="part (\w+)"', found) == ["proof", "release", "place", "start"]
    assert "suspected, until proven dead 10.0s" in found


def test_what_a_loss_would_mean():
    capacity = CapacityStatus(0, "n3 NOT ok (2 guests), n1 ok, 1 of 3 ok")
    snapshot = replace(pictures.whole(), clusters=(pictures.cluster(pictures.cluster_status(capacity=capacity)),))
    assert "n3 NOT ok (2 guests) n1 ok 1 of 3 ok" in text_of(drawn(snapshot)["summary"])


def test_no_cluster_says_how_to_make_one():
    found = drawn(Snapshot())
    assert "quorate cluster create NAME" in found["summary"]
    assert "No node has joined yet" in found["nodes"]


def test_several_clusters():
    snapshot = replace(
        pictures.whole(),
        clusters=(pictures.cluster(), pictures.cluster(name="edge")),
        nodes=(*pictures.whole().nodes, pictures.node("e1", cluster_name="edge")),
    )
    found = drawn(snapshot, look=Look(cluster="edge"))
    assert 'aria-current="page">edge' in found["head"]
    assert "e1" in found["nodes"]
    assert "n1" not in found["nodes"]


def test_old_data_is_called_old():
    old = replace(picture(pictures.whole()), problem="cannot reach the API server", heard=Instant(NOW - 5000))
    html = Panels().draw("notice", Seen(old, Look(), ALL))
    assert "Old data." in html
    assert "cannot reach the API server" in html


def test_the_same_look_is_drawn_once():
    panels, shown = Panels(), picture(pictures.whole())
    for _ in range(50):
        panels.all(Seen(shown, Look(), ALL))
    assert panels.rendered == len(NAMES)


@pytest.mark.parametrize(
    ("word", "colour"), [("online", "good"), ("fence", "bad"), ("queued", "warn"), ("stopped", "idle")]
)
def test_colours(word, colour):
    assert tone(word) == colour
