"""Whatever people write that cannot be followed: the one who reads the answer knows what, where, and what to do about it.

Each message names the object, the field, what was found and the remedy. Meanwhile nothing else stops: a healthy guest
beside it goes on in the same instance. And what is written as it should be works with plain kubectl: the quickstart.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from quorate.core.override import OverrideState
from quorate.core.status import Condition
from quorate.core.types import GuestKey, GuestState
from quorate.kube.resources import CLUSTERS, EVENTS, HARESOURCES, KUBE_NODES, NODES
from quorate.lab.options import Options
from tests import real
from tests.lab.conftest import KINDS, Run
from tests.lab.scene import Scene, container, own_cache, played

pytestmark = pytest.mark.lab
SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
ODD = GuestKey("default", "odd")
"""The guest that is not as it should be, in every test that has one."""


@pytest.fixture(scope="module", autouse=True)
def cache() -> Iterator[None]:
    with own_cache():
        yield


@pytest.fixture(scope="module", params=KINDS)
def scene(request: pytest.FixtureRequest, cache: None) -> Iterator[Scene]:
    """A lab of three nodes with one manager, a Cluster that is well, and a guest that runs."""
    if request.param == "real":
        real.programs()
    with played(Options("one", managers=1, control_plane=request.param, profile="Fast")) as scene:
        asyncio.run(scene.until_whole())
        scene.share_storage()
        asyncio.run(scene.start_guest())
        yield scene


@pytest.fixture(autouse=True)
def healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing else stops."""
    if "fresh" in request.fixturenames:
        yield
        return
    scene: Scene = request.getfixturevalue("scene")
    before = scene.guest()
    yield
    scene.assert_stays(before)
    assert scene.cluster().votes.text == "3/3"


@pytest.fixture
async def odd(scene: Scene) -> AsyncIterator[Callable[..., None]]:
    """Makes the guest `odd`, which is gone afterwards."""

    def make(**spec: Any) -> None:
        scene.create(HARESOURCES, ODD.name, {"guest": container("sleep", "600"), **spec}, ODD.namespace)

    yield make
    await remove(scene, HARESOURCES.path(ODD.name, ODD.namespace))


async def remove(scene: Scene, *paths: str) -> None:
    for path in paths:
        scene.api.delete(path)
    await scene.until(f"{paths} to go", lambda: all(scene.api.get(path).code == 404 for path in paths))


def condition(found: tuple[Condition, ...], kind: str) -> Condition | None:
    return next((one for one in found if one.type == kind), None)


async def stalled(scene: Scene, key: GuestKey = ODD) -> str:
    """Why nothing can be done for a guest, as the condition that Argo CD and Flux look at says it."""

    def found() -> str:
        one = condition(scene.guest(key).conditions, "Stalled")
        return one.message if one is not None and one.status == "True" else ""

    said: str = await scene.until(f"{key.sid} to be stalled", found)
    assert said == scene.guest(key).message, "the status says the same"
    return said


class TestTiming:
    """The four times must fit each other: the API server itself refuses what does not."""

    @pytest.mark.parametrize(
        ("times", "finding"),
        [
            (
                ("2s", "2s", "4s"),
                "watchdog 4000ms is shorter than renewEvery + 2 x timeout + 1s = 2000ms + 2 x 2000ms + 1000ms: one lost",
            ),
            (("200ms", "2s", "14s"), "renewEvery must be at least 500ms"),
            (("2s", "0s", "14s"), "timeout must be positive"),
        ],
    )
    def test_times_that_break_an_inequality(self, scene: Scene, times: tuple[str, ...], finding: str) -> None:
        custom = dict(zip(("renewEvery", "timeout", "watchdog"), times, strict=True))
        timing = {"profile": "Custom", "custom": custom}
        said = scene.api.merge(CLUSTERS.path("one"), {"spec": {"timing": timing}}).refused(422, "Invalid")
        assert said.startswith('Cluster.quorate.dev "one" is invalid: spec.timing.custom: ')
        assert finding in said
        assert scene.cluster().timing is not None
        assert scene.cluster().timing.profile == "Fast"

    def test_a_profile_without_its_times(self, scene: Scene) -> None:
        said = scene.api.merge(CLUSTERS.path("one"), {"spec": {"timing": {"profile": "Custom"}}}).refused(
            422, "Invalid"
        )
        assert 'Cluster.quorate.dev "one" is invalid: spec.timing: ' in said
        assert said.endswith("custom belongs to profile Custom, and only to it")


class TestClusters:
    """A node votes in one Cluster, a Cluster has at most 32 nodes, and a guest belongs to one Cluster."""

    async def enrolled(self, scene: Scene, cluster: str) -> Condition:
        def refused() -> Condition | None:
            found = condition(scene.cluster(cluster).conditions, "NodesEnrolled")
            return found if found is not None and found.status == "False" else None

        found: Condition = await scene.until(f"Cluster {cluster} to say who cannot join", refused)
        return found

    @pytest.fixture
    async def rival(self, scene: Scene) -> AsyncIterator[None]:
        """A second Cluster that wants the same nodes."""
        scene.create(CLUSTERS, "rival", {})
        yield
        await remove(scene, CLUSTERS.path("rival"))

    async def test_a_second_cluster_that_claims_a_node(self, scene: Scene, rival: None) -> None:
        found = await self.enrolled(scene, "rival")
        assert found.reason == "ClaimedByAnother"
        assert found.message == (
            "selected, but members of another Cluster: node1 (Cluster one), node2 (Cluster one), node3 (Cluster one). A "
            "node votes in one Cluster only: make the two spec.nodeSelector disjoint, or delete the nodes.quorate.dev "
            "object to move it"
        )
        assert (
            "every node that matches spec.nodeSelector is a member of another Cluster" in scene.cluster("rival").message
        )
        assert [scene.raw(NODES, name)["spec"]["clusterName"] for name in ("node1", "node2", "node3")] == ["one"] * 3

    async def test_a_guest_that_does_not_say_which_of_two_clusters(
        self, scene: Scene, rival: None, odd: Callable[..., None]
    ) -> None:
        odd()
        assert await stalled(scene) == (
            "spec.clusterName is empty and there are several Clusters (one, rival): name one of them"
        )
        scene.api.merge(HARESOURCES.path("odd", "default"), {"spec": {"clusterName": "one"}}).ok()
        await scene.until("it to start", lambda: scene.guest(ODD).ready)

    async def test_a_guest_of_a_cluster_that_does_not_exist(self, scene: Scene, odd: Callable[..., None]) -> None:
        odd(clusterName="nowhere")
        assert await stalled(scene) == (
            "spec.clusterName: no Cluster is named 'nowhere' (known: one): name one of them or create it"
        )

    async def test_the_thirty_third_node(self, scene: Scene) -> None:
        """Nodes that the lab's own Cluster leaves alone, as they are tainted like control planes."""
        names = [f"crowd{number:02}" for number in range(1, 34)]
        taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
        for name in names:
            scene.create(KUBE_NODES, name, {"taints": [taint]}, labels={"crowd": "yes"})
        scene.create(CLUSTERS, "crowd", {"nodeSelector": {"matchLabels": {"crowd": "yes"}}})
        found = await self.enrolled(scene, "crowd")
        assert (found.reason, found.message) == (
            "TooManyNodes",
            "crowd33 cannot join: a Cluster has at most 32 nodes. Narrow spec.nodeSelector or make a second Cluster",
        )
        members = {name for name in scene.api.names(NODES.path()) if name.startswith("crowd")}
        assert members <= set(names[:-1])
        await remove(scene, CLUSTERS.path("crowd"), *map(KUBE_NODES.path, names))
        await remove(scene, *map(NODES.path, names))


class TestCommands:
    """A command that cannot be followed changes nothing, and is answered."""

    def test_relocating_to_an_unknown_node_on_the_command_line(self, scene: Scene, run: Run) -> None:
        ended = run("relocate", "web", "node9")
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == (
            "error: ct:default/web cannot be relocated to node9:\n"
            "  no node of Cluster one is named 'node9' (its nodes: node1, node2, node3)\n"
        )

    async def test_relocating_to_an_unknown_node_by_annotation(self, scene: Scene) -> None:
        answer = await scene.command("relocate node9")
        assert not answer.accepted
        assert answer.result == "unknown node 'node9': the nodes of this cluster are node1, node2, node3"

        def event() -> list[str]:
            found = scene.api.get(EVENTS.path()).ok()["items"]
            return [one["note"] for one in found if one["reason"] == "CommandRefused"]

        await scene.until("an event", lambda: f"relocate: {answer.result}" in event())

    async def test_an_unknown_command(self, scene: Scene) -> None:
        answer = await scene.command("explode")
        assert not answer.accepted
        assert answer.result == "unknown command 'explode': use one of migrate NODE, relocate NODE, reset"

    def test_an_override_on_the_command_line_while_a_majority_is_alive(self, scene: Scene, run: Run) -> None:
        ended = run("cluster", "expected", "1", "--reason", "just so", "--yes")
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == (
            "error: refused: Cluster one: a real majority is alive: 3 of 3 votes, and floor(3 / 2) + 1 = 2 are enough. "
            "Nothing needs an override\n"
        )
        assert "expectedVotes" not in (scene.raw(CLUSTERS, "one")["spec"].get("quorum") or {})

    async def test_an_override_in_the_spec_while_a_majority_is_alive(self, scene: Scene) -> None:
        wish = {"votes": 1, "reason": "just so", "generation": 1}
        scene.api.merge(CLUSTERS.path("one"), {"spec": {"quorum": {"expectedVotes": wish}}}).ok()
        found = await scene.until("an answer", lambda: condition(scene.cluster().conditions, "ExpectedVotesActive"))
        assert (found.status, found.reason) == ("False", "Refused")
        assert found.message == (
            "expectedVotes 1 is refused: a real majority is alive, so nothing needs it. Remove "
            "spec.quorum.expectedVotes; if it is needed later, write it again with a larger generation"
        )
        status = scene.cluster()
        assert status.override is not None
        assert status.override.state is OverrideState.REFUSED
        assert (status.votes.expected, status.votes.needed) == (3, 2)


class TestTemplates:
    """The API server judges a template by a dry run; its words are passed on."""

    wrong: ClassVar = {"container": {"spec": {"containers": [{"name": "Main", "image": "lab"}]}}}
    words = 'spec.containers[0].name: Invalid value: "Main": a lowercase RFC 1123 label must consist of'

    async def test_one_that_is_rejected_is_error_until_there_is_another(
        self, scene: Scene, odd: Callable[..., None]
    ) -> None:
        odd(guest=self.wrong)
        said = await stalled(scene)
        assert said.startswith("the template is rejected, correct spec.guest.container: Pod ")
        assert self.words in said
        assert scene.guest(ODD).state is GuestState.ERROR
        assert scene.pod(ODD) == {}
        scene.api.merge(HARESOURCES.path("odd", "default"), {"spec": {"guest": container("sleep", "600")}}).ok()
        await scene.until("it to start", lambda: scene.guest(ODD).ready)
        assert scene.guest(ODD).state is GuestState.STARTED

    async def test_one_that_is_rejected_stops_no_guest_that_runs(self, scene: Scene, odd: Callable[..., None]) -> None:
        odd()
        await scene.until("it to start", lambda: scene.guest(ODD).ready)
        before = scene.guest(ODD)
        scene.api.merge(HARESOURCES.path("odd", "default"), {"spec": {"guest": self.wrong}}).ok()
        said = await stalled(scene)
        assert said.startswith("the new template is rejected, the last accepted one stays in use; correct ")
        assert self.words in said
        scene.assert_stays(before, ODD)


class TestKubeconfigs:
    """A kubeconfig that points nowhere: nothing can be told, and that has an exit code of its own."""

    def test_there_is_no_such_file(self, run: Run) -> None:
        ended = run("status", "--kubeconfig", "/nowhere/config")
        assert (ended.code, ended.out) == (3, "")
        assert ended.err == (
            "error: kubeconfig /nowhere/config (from --kubeconfig): there is no such file. Name an existing one\n"
        )

    @pytest.mark.parametrize("command", [("status",), ("relocate", "web", "node2")])
    def test_nobody_listens_there(self, scene: Scene, run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
        server = scene.api.server.partition("//")[0] + "//127.0.0.1:9"
        astray = tmp_path / "astray"
        astray.write_text(scene.files.kubeconfig.read_text().replace(scene.api.server, server))
        ended = run(*command, "--kubeconfig", str(astray))
        assert (ended.code, ended.out) == (3, "")
        assert f"cannot reach the API server {server}" in ended.err
        assert f"kubeconfig {astray}" in ended.err
        assert "Connection refused. See whether it runs and whether the kubeconfig names the right one" in ended.err

    @pytest.mark.parametrize(
        ("program", "code"), [(("manager",), 64), (("agent", "--node", "node1", "--watchdog", "none"), 78)]
    )
    def test_manager_and_agent_say_so_and_end(
        self, scene: Scene, tmp_path: Path, program: tuple[str, ...], code: int
    ) -> None:
        where = ("--kubeconfig", "/nowhere/config", *(("--run-dir", str(tmp_path)) if program[0] == "agent" else ()))
        command = [sys.executable, "-m", "quorate.cli.main", *program, *where]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == code
        assert "kubeconfig /nowhere/config: " in ended.stderr
        assert "Traceback" not in ended.stderr


Kubectl = Callable[..., str]


@pytest.fixture
async def fresh(kind: str) -> AsyncIterator[Scene]:
    """A lab in which nobody has said anything yet."""
    with played(Options("fresh", managers=1, control_plane=kind)) as scene:
        yield scene


@pytest.fixture
def kubectl(fresh: Scene, tmp_path: Path) -> Kubectl:
    program = real.kubectl()

    def run(*arguments: str) -> str:
        command = [program, f"--kubeconfig={fresh.files.kubeconfig}", f"--cache-dir={tmp_path}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    return run


def rows(table: str) -> list[dict[str, str]]:
    """A table of kubectl by its headings: a cell begins under its heading, and may be empty."""
    head, *lines = table.splitlines()
    starts = {found[0]: found.start() for found in re.finditer(r"\S+", head)}
    ends = [*list(starts.values())[1:], None]
    return [
        {name: line[start:end].strip() for (name, start), end in zip(starts.items(), ends, strict=True)}
        for line in lines
    ]


class TestQuickstart:
    """The quickstart of the documentation, with nothing but kubectl."""

    async def test_before_there_is_a_cluster_a_guest_says_so(self, fresh: Scene, kubectl: Kubectl) -> None:
        fresh.create(HARESOURCES, ODD.name, {"guest": container("sleep", "600")}, ODD.namespace)
        assert await stalled(fresh) == "there is no Cluster: create one (quorate cluster create NAME)"
        kubectl("apply", "-f", str(SAMPLES / "quickstart.yaml"))
        await fresh.until("it to belong to the first one", lambda: fresh.guest(ODD).cluster_name == "prod")

    async def test_as_it_is_written(self, fresh: Scene, kubectl: Kubectl) -> None:
        """In the lab its guest waits: the watchdogs are stand-ins, and nobody has said that they may be trusted."""
        said = kubectl("apply", "-f", str(SAMPLES / "quickstart.yaml"))
        assert said == "cluster.quorate.dev/prod created\nharesource.quorate.dev/web created\n"
        await fresh.until("three votes", lambda: fresh.cluster("prod").votes.text == "3/3")
        why = (
            "no node can run it: node1, node2, node3: its watchdog is of kind External, accepted are Hardware, Softdog"
        )
        await fresh.until("web to say why it waits", lambda: fresh.guest().message == why)
        (cluster,) = rows(kubectl("get", "qc"))
        assert (cluster["NAME"], cluster["QUORATE"], cluster["VOTES"], cluster["NODES"], cluster["GUESTS"]) == (
            *("prod", "true", "3/3", "3/3"),
            "1 queued",
        )
        assert [(one["NAME"], one["STATE"]) for one in rows(kubectl("get", "qn"))] == [
            ("node1", "Online"),
            ("node2", "Online"),
            ("node3", "Online"),
        ]
        assert why in kubectl("get", "har", "web", "-o", "wide")
        assert why in kubectl("describe", "har", "web")
        self.remove(fresh, kubectl)

    async def test_as_it_is_written_for_the_lab(self, fresh: Scene, kubectl: Kubectl) -> None:
        kubectl("apply", "-f", str(SAMPLES / "kind.yaml"))
        await fresh.until("three votes", lambda: fresh.cluster("prod").votes.text == "3/3")
        await fresh.until("web to run", lambda: fresh.seen_on() and fresh.runs(fresh.seen_on()[0]))
        (home,) = fresh.seen_on()  # the first node that joined
        (web,) = rows(kubectl("get", "har"))
        assert [web[head] for head in ("NAME", "GUEST", "WANT", "STATE", "READY", "NODE")] == [
            *("web", "ct:default/web", "Started", "Started", "true", home)
        ]
        described = kubectl("describe", "har", "web")
        assert re.search(rf"Message: +runs on {home}\n", described)
        away = "node3" if home != "node3" else "node2"
        said = kubectl("annotate", "har", "web", f"quorate.dev/command=1 relocate {away}")
        assert said == "haresource.quorate.dev/web annotated\n"
        await fresh.until("web to run there", lambda: fresh.runs(away) and fresh.seen_on() == [away])
        assert fresh.ran_on() == [home, away]
        self.remove(fresh, kubectl)
        assert fresh.seen_on() == []

    def remove(self, fresh: Scene, kubectl: Kubectl) -> None:
        """It takes them all, in whatever order: the Cluster waits for its guest."""
        said = kubectl("delete", "-f", str(SAMPLES / "quickstart.yaml"), "--timeout=60s")
        assert said == (
            'cluster.quorate.dev "prod" deleted\nharesource.quorate.dev "web" deleted from default namespace\n'
        )
        assert fresh.pod() == {}
