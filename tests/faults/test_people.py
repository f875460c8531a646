"""What people say about nodes and votes, wrongly, too late, or for ever: see the table `People` in docs/failures.md."""

from collections.abc import AsyncIterator

import pytest

from quorate.api.cluster import ALL_EVIDENCE
from quorate.core.override import OverrideState
from quorate.core.status import GuestStatus
from quorate.core.types import CONFIRM_ANNOTATION, Stage
from quorate.kube.resources import NODES
from tests.lab.scene import Scene


def vouch(scene: Scene, node: str, words: str) -> None:
    scene.api.merge(NODES.path(node), {"metadata": {"annotations": {CONFIRM_ANNOTATION: words or None}}}).ok()


def answer(scene: Scene, node: str) -> tuple[str, str] | None:
    """Status and reason of what is said about an acknowledgement."""
    found = [one for one in scene.node(node).conditions if one.type == "FenceConfirmed"]
    return (found[0].status, found[0].reason) if found else None


class TestAcknowledgements:
    """Only a person's word releases here: this Cluster takes no other evidence."""

    @pytest.fixture
    async def scene(self, scene: Scene) -> AsyncIterator[Scene]:
        scene.change_cluster(fencing={"acceptedEvidence": ["HumanAck"]})
        yield scene
        everything = [str(kind) for kind in ALL_EVIDENCE]
        scene.change_cluster(fencing={"acceptedEvidence": everything})
        for node in scene.names():
            vouch(scene, node, "")

    async def test_for_the_wrong_node_it_counts_for_nothing(self, scene: Scene, web: GuestStatus) -> None:
        incident = await scene.lose("node1")
        right = f"{incident.id}/{incident.nonce}/anna"
        vouch(scene, "node2", right)
        await scene.until(
            "node2 to say that it means nothing", lambda: answer(scene, "node2") == ("False", "NoIncident")
        )
        for wrong in (
            f"node2-x/{incident.nonce}/anna",
            f"{incident.id}/another-boot/anna",
            "yes",
            f"{incident.id}//anna",
        ):
            vouch(scene, "node1", wrong)
            await scene.until("node1 to refuse it", lambda: answer(scene, "node1") == ("False", "OtherIncident"))
        now = scene.incident("node1")
        assert now is not None
        assert (now.stage, now.evidence) == (Stage.SUSPECTED, ())
        assert scene.seen_on() == []
        vouch(scene, "node1", right)
        await scene.until_runs("node2")
        assert answer(scene, "node1") == ("True", "Accepted")
        assert scene.ran_on() == ["node1", "node2"]

    async def test_replayed_from_an_older_incident_it_never_acts_again(self, scene: Scene, web: GuestStatus) -> None:
        """As when it lies in Git: the annotation stays on the Node for ever."""
        first = await scene.lose("node1")
        vouch(scene, "node1", f"{first.id}/{first.nonce}/anna")
        await scene.until_runs("node2")
        scene.switch("node1", "power-on")
        await scene.until(
            "node1 to be a member again", lambda: scene.is_online("node1") and not scene.incident("node1")
        )
        await scene.command("relocate node1")
        await scene.until_runs("node1")

        second = await scene.lose("node1")
        assert second.id != first.id
        assert answer(scene, "node1") == ("False", "OtherIncident")
        await scene.until("T to pass", lambda: scene.guest().message.startswith("waiting for proof"))
        assert scene.seen_on() == []
        vouch(scene, "node1", f"{second.id}/{second.nonce}/anna")
        await scene.until_runs("node2")
        assert scene.ran_on() == ["node1", "node2", "node1", "node2"]


class TestExpectedVotes:
    async def test_forgotten_it_is_spent_when_a_majority_has_lived_again(self, scene: Scene, web: GuestStatus) -> None:
        for node in ("node2", "node3"):
            scene.switch(node, "power-off")
        await scene.until("quorum to be lost", lambda: not scene.cluster().quorate)
        generation = 1 + (scene.cluster().override.generation if scene.cluster().override else 0)
        wish = {"votes": 1, "reason": "they burnt", "generation": generation}
        scene.change_cluster(quorum={"expectedVotes": wish})
        await scene.until("it to be in force", lambda: override(scene) is OverrideState.ACTIVE)
        assert scene.cluster().quorate
        for node in ("node2", "node3"):
            scene.switch(node, "power-on")
        await scene.until_whole()
        await scene.until("it to be spent", lambda: override(scene) is OverrideState.SPENT)

        for node in ("node1", "node2"):
            scene.switch(node, "power-off")
        await scene.until("quorum to be lost again", lambda: not scene.cluster().quorate)
        message = "nothing is done without quorum"
        await scene.until("node1 to wait for quorum", lambda: message in scene.node("node1").message)
        assert override(scene) is OverrideState.SPENT
        assert scene.seen_on() == []
        scene.switch("node2", "power-on")
        await scene.until("the guest to run again", lambda: scene.guest().ready)
        scene.change_cluster(quorum={"expectedVotes": None})


def override(scene: Scene) -> OverrideState | None:
    found = scene.cluster().override
    return found.state if found is not None else None
