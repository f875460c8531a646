"""An NFS Storage that some nodes do not reach: where guests start, and what becomes of those that run."""

from dataclasses import replace

import pytest

from quorate.core.loss import CONDITION, HOLD_MS
from quorate.core.status import StorageStatus
from quorate.core.storage import NfsExport, Reach, Volume
from quorate.core.types import Content, GuestKey, GuestState, NodeName, OnLoss, StorageType, Uid
from quorate.core.world import Mount, StorageView
from tests.scenarios.looks import state
from tests.toy import Toy

WEB = GuestKey("default", "web")
MEDIA = StorageView(
    "media",
    Uid("media-uid"),
    StorageType.NFS,
    namespaces=("default",),
    nfs=NfsExport("nas", "/guests"),
    content=(Content.ROOT_DIR,),
    held=True,
    status=StorageStatus(volumes=(Volume("default", "pv", "quorate-media"),)),
)
HOLD_S = HOLD_MS / 1000


def sees(toy: Toy, **nodes: bool | None) -> None:
    """What each agent says from now on: reached, not reached, or nothing at all."""
    for name, reached in nodes.items():
        said = () if reached is None else (Reach(MEDIA.uid, reached, "" if reached else "connection refused"),)
        toy.reach[NodeName(name)] = said


@pytest.fixture
def stored(toy: Toy) -> Toy:
    toy.storages["media"] = MEDIA
    return toy


def on_loss(toy: Toy, policy: OnLoss) -> None:
    toy.storages["media"] = replace(MEDIA, on_loss=policy)


def start(toy: Toy, on: str = "n1") -> None:
    toy.add_guest("web", mounts=(Mount("media", "/data"),))
    toy.run_until(lambda: state(toy, WEB) is GuestState.STARTED and toy.guests[WEB].status.ready, 20, "start")
    assert toy.running(WEB) == [on]


def condition(toy: Toy) -> str:
    """The message of the guest's condition; "" where it has none."""
    found = [one for one in toy.guests[WEB].status.conditions if one.type == CONDITION]
    assert all(one.status == "False" for one in found)
    return found[0].message if found else ""


def moves(toy: Toy, within_s: float) -> None:
    toy.run_until(
        lambda: state(toy, WEB) is GuestState.STARTED and toy.running(WEB) not in ([], ["n1"]), within_s, "move"
    )


def test_a_node_that_does_not_reach_it_is_no_candidate(stored):
    sees(stored, n1=False, n2=True, n3=True)
    start(stored, on="n2")


def test_of_whom_nothing_is_known_is_one(stored):
    start(stored)
    assert condition(stored) == ""


def test_after_the_loss_of_its_node_it_starts_where_the_storage_is_reached(stored):
    start(stored)
    sees(stored, n1=True, n2=False, n3=True)
    stored.power_off("n1")
    moves(stored, 60)
    assert stored.running(WEB) == ["n3"]


def test_where_no_node_reaches_it_nothing_starts_and_the_reason_is_said(stored):
    sees(stored, n1=False, n2=False, n3=False)
    stored.add_guest("web", mounts=(Mount("media", "/data"),))
    stored.run(20)
    assert stored.running(WEB) == []
    words = "n1, n2, n3: it does not reach storage media (connection refused)"
    assert words in stored.guests[WEB].status.message
    sees(stored, n2=True)
    stored.run_until(lambda: stored.running(WEB) == ["n2"], 20, "start")


def test_lost_under_a_guest_it_is_a_condition_and_no_more(stored):
    sees(stored, n1=True, n2=True, n3=True)
    start(stored)
    sees(stored, n1=False)
    stored.run(3 * HOLD_S)
    assert stored.running(WEB) == ["n1"]
    assert condition(stored).startswith("n1 does not reach Storage media: connection refused; it stays there")
    assert stored.guests[WEB].status.message == "runs on n1; it does not reach Storage media from there"
    sees(stored, n1=True)
    stored.run(1)
    assert condition(stored) == ""
    assert stored.guests[WEB].status.message == "runs on n1"


class TestRelocate:
    @pytest.fixture
    def web(self, stored):
        on_loss(stored, OnLoss.RELOCATE)
        sees(stored, n1=True, n2=True, n3=True)
        start(stored)
        return stored

    def test_it_moves_after_a_while_to_a_node_that_reaches_it(self, web):
        sees(web, n1=False, n2=False)
        web.run(HOLD_S - 2)
        assert web.running(WEB) == ["n1"]
        moves(web, 30)
        assert web.running(WEB) == ["n3"]
        assert condition(web) == ""

    def test_a_short_loss_moves_nothing(self, web):
        for _ in range(4):
            sees(web, n1=False)
            web.run(HOLD_S / 2)
            sees(web, n1=True)
            web.run(5)
        assert web.running(WEB) == ["n1"]

    def test_when_all_nodes_lose_it_nothing_moves(self, web):
        sees(web, n1=False, n2=False, n3=False)
        web.run(3 * HOLD_S)
        assert web.running(WEB) == ["n1"]
        assert "another node reaches it" in condition(web)

    def test_a_node_that_has_not_looked_is_no_refuge(self, web):
        sees(web, n1=False, n2=None, n3=None)
        web.run(3 * HOLD_S)
        assert web.running(WEB) == ["n1"]
        sees(web, n3=True)
        moves(web, 20)
        assert web.running(WEB) == ["n3"]

    def test_a_new_leader_goes_on_counting(self, web):
        sees(web, n1=False)
        web.run(HOLD_S - 5)
        web.managers[0].stopped = True
        web.managers.pop()
        web.manager()
        web.run_until(lambda: web.running(WEB) == ["n2"], 25, "move")

    def test_its_storage_comes_and_goes_everywhere_and_it_never_runs_twice(self, web):
        for lost in ("n1", "n2", "n3") * 2:
            sees(web, **{name: name != lost for name in ("n1", "n2", "n3")})
            web.run(HOLD_S + 30)
            assert web.running(WEB) not in ([], [lost])


def test_without_a_claim_in_its_namespace_it_waits_for_it(stored):
    stored.storages["media"] = replace(MEDIA, status=StorageStatus())
    stored.add_guest("web", mounts=(Mount("media", "/data"),))
    stored.run(10)
    assert stored.running(WEB) == []
    message = "about to start: waits for the claim of Storage media in default: it is being made"
    assert stored.guests[WEB].status.message == message
    stored.storages["media"] = MEDIA
    stored.run_until(lambda: stored.running(WEB) == ["n1"], 20, "start")


def test_disk_images_are_not_for_containers(stored):
    stored.storages["media"] = replace(MEDIA, content=(Content.IMAGES,))
    stored.add_guest("web", mounts=(Mount("media", "/data"),))
    stored.run(10)
    assert stored.running(WEB) == []
    assert "has content Images, and a container needs RootDir" in stored.guests[WEB].status.message


def test_an_agent_is_asked_about_the_storages_of_its_node(stored):
    stored.run(2)
    (asked,) = stored.nodes[NodeName("n1")].status.probes
    assert (asked.id, asked.server, asked.export, asked.port, asked.versions) == (
        MEDIA.uid,
        "nas",
        "/guests",
        2049,
        (4, 3),
    )
