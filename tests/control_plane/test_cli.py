"""The command line against API servers as they are: the embedded one and a real one. The tests play the manager."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate.access import kubeconfig
from quorate.access.client import Api
from quorate.access.errors import ConflictError, NotFoundError, NotInstalledError
from quorate.access.waiting import Deadline, wait_for
from quorate.api import parse
from quorate.api.wire import to_wire
from quorate.cli.main import main
from quorate.cli.removal.steps import Steps
from quorate.cli.removal.waits import Wait
from quorate.core.override import Override, OverrideState
from quorate.core.status import CommandResult, GuestStatus
from quorate.core.types import GuestState, NodeName
from quorate.kube.resources import CLUSTERS, EVENTS, HARESOURCES, KUBE_NODES, LEASES, NAMESPACES, NODES, STORAGES
from tests.control_plane.servers import served
from tests.unit.cli.conftest import Ended
from tests.unit.view import pictures
from tests.unit.view import test_history as event_pictures

WEB = HARESOURCES.path("web", "shop")
PROD = CLUSTERS.path("prod")
N1 = NODES.path("n1")
Run = Callable[..., Ended]


@pytest.fixture(scope="module", params=["embedded", pytest.param("real", marks=pytest.mark.real)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig of an API server that knows our kinds and the namespaces of the tests."""
    with served(request.param, tmp_path_factory.mktemp(request.param)) as path:
        api = Api(kubeconfig.load(str(path), None))
        wait_for(lambda: api.items(NAMESPACES.path()), bool, Deadline("60s"))
        wait_for(lambda: _known(api), lambda known: known, Deadline("60s"))
        for name in ("shop", "quorate-agents", "quorate-system"):
            _ensure(api, NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield path


def _known(api: Api) -> bool:
    try:
        api.items(STORAGES.path())
    except NotInstalledError:
        return False
    return True


def _ensure(api: Api, path: str, body: dict[str, Any]) -> None:
    try:
        api.create(path, body)
    except ConflictError:
        return


@pytest.fixture
def api(server: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API server without anything of ours in it."""
    monkeypatch.setenv("KUBECONFIG", str(server))
    api = Api(kubeconfig.load(str(server), None))
    yield api
    for kind in (HARESOURCES, NODES, STORAGES, CLUSTERS, LEASES, KUBE_NODES):
        for found in api.items(kind.path()):
            metadata = found["metadata"]
            if metadata.get("namespace") not in {"kube-system", "kube-node-lease"}:
                api._call("DELETE", kind.path(metadata["name"], metadata.get("namespace", "")))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def one(*arguments: str) -> Ended:
        code = main(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return one


def record(api: Api, path: str, status: object) -> None:
    """Write a status as the manager does."""
    api.merge(f"{path}/status", {"status": to_wire(status)})


def place(api: Api, snapshot: pictures.Snapshot) -> None:
    """Everything in the picture, with its statuses."""
    for raw in (*snapshot.clusters, *snapshot.nodes, *snapshot.guests, *snapshot.storages):
        kind = {"Cluster": CLUSTERS, "Node": NODES, "HAResource": HARESOURCES, "Storage": STORAGES}[raw["kind"]]
        metadata = raw["metadata"]
        spec = {key: value for key, value in raw.items() if key != "status"}
        _ensure(api, kind.path(namespace=metadata.get("namespace", "")), spec)
        path = kind.path(metadata["name"], metadata.get("namespace", ""))
        api.merge(f"{path}/status", {"status": raw["status"]})
    for node in snapshot.nodes:
        name = node["metadata"]["name"]
        raw = pictures.kube_node(name)
        _ensure(api, KUBE_NODES.path(), raw)
        api.merge(f"{KUBE_NODES.path(name)}/status", {"status": raw["status"]})
        # A real API server taints a new node until its kubelet has reported; nobody here takes that off.
        api.merge(KUBE_NODES.path(name), {"spec": {"taints": None}})
        lease = pictures.as_object(pictures.lease(name, "boot", api.now()), "quorate-agents")
        del lease["metadata"]["uid"]
        _ensure(api, LEASES.path(namespace="quorate-agents"), lease)


@contextmanager
def managing(api: Api, path: str, answer: Callable[[dict[str, Any]], object]) -> Iterator[None]:
    """Somebody who looks at that object and writes the status that `answer` makes of it, until it makes none."""
    ended = threading.Event()

    def manage() -> None:
        while not ended.wait(0.05):
            status = answer(api.get(path))
            if status is not None:
                record(api, path, status)

    thread = threading.Thread(target=manage)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def obeying(result: str, status: GuestStatus) -> Callable[[dict[str, Any]], object]:
    """Take every new command and say this of it."""

    def answer(raw: dict[str, Any]) -> object:
        command = parse.guest(raw).command.split()
        last = (raw.get("status") or {}).get("lastCommand") or {}
        if not command or last.get("id") == command[0]:
            return None
        return replace(status, last_command=CommandResult(command[0], command[1], result, accepted=True))

    return answer


def test_a_cluster_is_created_as_the_schema_wants_it(api, run):
    ended = run(
        "cluster", "create", "prod", "--profile", "fast", "--node-selector", "a=b", "--accept-watchdog", "external"
    )
    assert ended.code == 0
    spec = parse.cluster(api.get(PROD)).spec
    assert spec.timing.profile == "Fast"
    assert spec.node_selector is not None
    assert spec.node_selector.matches({"a": "b"})
    assert not spec.node_selector.matches({"a": "c"})
    assert spec.accepted_watchdogs == ("Hardware", "Softdog", "External")
    again = run("cluster", "create", "prod")
    assert (again.code, "exists already" in again.err) == (1, True)


def test_a_name_that_the_api_server_refuses_is_refused_in_its_words(api, run):
    ended = run("cluster", "create", "x" * 60)
    assert ended.code == 1
    assert "at most 48 characters" in ended.err


def test_a_guest_is_added_and_changed(api, run):
    run("cluster", "create", "prod")
    command = ("--", "sleep", "infinity")
    assert run("add", "shop/web", "--image", "busybox", "--max-restart", "3", "--state", "stopped", *command).code == 0
    guest = parse.guest(api.get(WEB))
    assert (guest.spec.wanted, guest.spec.max_restart, guest.spec.max_relocate) == ("Stopped", 3, 1)
    assert run("set", "web", "-n", "shop", "--state", "started", "--comment", "hello").code == 0
    changed = api.get(WEB)
    assert parse.guest(changed).spec.wanted == "Started"
    assert changed["spec"]["comment"] == "hello"
    assert changed["spec"]["guest"]["container"]["spec"]["containers"][0]["command"] == ["sleep", "infinity"]
    assert "is under HA already" in run("add", "shop/web", "--image", "busybox").err


def test_writes_carry_our_field_manager(api, run, request):
    run("cluster", "create", "prod")
    managers = {one["manager"] for one in api.get(PROD)["metadata"].get("managedFields", [])}
    # The embedded API server does not track who manages which field.
    assert managers == ({"quorate-cli"} if "real" in request.node.name else set())


def test_a_guest_in_a_namespace_that_is_not_there(api, run):
    ended = run("add", "nowhere/web", "--image", "busybox")
    assert ended.code == 1
    assert "Make it: kubectl create namespace nowhere" in ended.err


def test_status_of_nothing_and_of_a_whole_cluster(api, run):
    assert run("status").code == 1
    place(api, pictures.whole())
    leader = pictures.lease("manager-prod", "quorate-0", api.now())
    _ensure(api, LEASES.path(namespace="quorate-system"), pictures.as_object(leader, "quorate-system"))
    ended = run("status")
    assert (ended.code, ended.err) == (0, "")
    assert "ct:shop/web  started  started  n1" in ended.out


class TestRelocate:
    def test_the_annotation_is_written_and_the_result_awaited(self, api, run):
        place(api, pictures.whole())
        arrived = pictures.guest_status(node=NodeName("n2"), message="runs on n2")
        with managing(api, WEB, obeying("relocating from n1 to n2", arrived)):
            ended = run("relocate", "shop/web", "n2", "--wait")
        assert (ended.code, ended.out) == (0, "ct:shop/web runs on n2\n")
        assert parse.guest(api.get(WEB)).command.split()[1:] == ["relocate", "n2"]

    def test_what_stands_in_the_way_is_found_before_anything_is_written(self, api, run):
        place(api, pictures.whole())
        api.merge(KUBE_NODES.path("n2"), {"spec": {"unschedulable": True}})
        ended = run("relocate", "shop/web", "n2")
        assert ended.code == 1
        assert "node n2: it is cordoned" in ended.err
        assert not parse.guest(api.get(WEB)).command


def test_reset(api, run):
    place(api, replace(pictures.whole(), guests=(pictures.guest(pictures.in_error()),)))
    queued = pictures.guest_status(state=GuestState.QUEUED, message="asking")
    with managing(api, WEB, obeying("out of Error: it is tried anew", queued)):
        assert run("reset", "shop/web").code == 0


class TestExpected:
    def test_while_a_majority_lives_nothing_is_written(self, api, run):
        place(api, pictures.whole())
        ended = run("cluster", "expected", "1", "--reason", "test", "-y")
        assert ended.code == 1
        assert "3 of 3 votes, and floor(3 / 2) + 1 = 2 are enough" in ended.err
        assert "quorum" not in api.get(PROD)["spec"] or "expectedVotes" not in api.get(PROD)["spec"]["quorum"]

    def test_without_a_majority_it_is_written_once_for_every_generation(self, api, run):
        place(api, pictures.quorum_lost())

        def judge(raw: dict[str, Any]) -> object:
            wish = parse.cluster(raw).spec.expected_votes
            known = parse.cluster(raw).status.override
            if wish is None or (known is not None and known.generation == wish.generation):
                return None
            override = Override(wish.generation, wish.votes, OverrideState.ACTIVE)
            return replace(parse.cluster(raw).status, override=override)

        with managing(api, PROD, judge):
            first = run("cluster", "expected", "1", "--reason", "they burnt", "-y")
            second = run("cluster", "expected", "1", "--reason", "still", "-y")
        assert (first.code, second.code) == (0, 0)
        assert "(generation 1) and in force" in first.out
        wish = parse.cluster(api.get(PROD)).spec.expected_votes
        assert wish is not None
        assert (wish.votes, wish.reason, wish.generation) == (1, "still", 2)


def test_fence_confirm_is_bound_to_incident_boot_and_user(api, run):
    place(api, pictures.node_lost(release_by=None))
    ended = run("fence", "confirm", "n1", "-y")
    assert ended.code == 0
    incident, boot, user = parse.node(api.get(N1)).confirm.split("/", 2)
    assert (incident, boot) == ("n1-abc", "boot")
    assert f"n1: {user} vouches that it is off" in ended.out
    assert user


def test_fence_confirm_without_an_incident(api, run):
    place(api, pictures.whole())
    assert run("fence", "confirm", "n1", "-y").code == 1
    assert not parse.node(api.get(N1)).confirm


def test_nodes_and_list_of_a_whole_cluster(api, run):
    place(api, pictures.whole())
    assert run("nodes").out.splitlines()[2].split()[:3] == ["n1", "online", "1"]
    assert "ct:shop/web  started" in run("list", "-n", "shop").out
    assert run("list", "-o", "pve").out == "ct:shop/web\n\tmax_relocate 1\n\tmax_restart 1\n\tstate started\n"
    lines = run("status", "-o", "pve").out.splitlines()
    assert (lines[0], lines[-1]) == ("quorum OK", "service ct:shop/web (n1, started)")
    assert run("nodes", "-o", "pve").out.splitlines()[-3:] == [f"0x{n:08x}          1 n{n}" for n in (1, 2, 3)]


def test_history_reads_events_and_statuses(api, run):
    recovered = pictures.guest(event_pictures.recovered())
    place(api, replace(pictures.whole(), guests=(recovered,)))
    raw = event_pictures.event("HAResource", "web", "GuestStarted", 5, "runs on n2", action="GuestStarted")
    raw |= {"apiVersion": EVENTS.api_version, "kind": "Event", "reportingController": "quorate.dev/manager"}
    raw["reportingInstance"] = "test"
    raw["eventTime"] = raw["eventTime"].replace("Z", ".000000Z")
    _ensure(api, EVENTS.path(namespace="shop"), raw)
    out = run("history", "shop/web").out
    assert "GuestStarted" in out.splitlines()[-1]
    assert "it runs again on n2, 14s after the suspicion" in out


class TestRemove:
    def test_a_guest_is_deleted_and_gone(self, api, run):
        place(api, pictures.whole())
        ended = run("remove", "shop/web", "-y", "--wait")
        assert (ended.code, ended.out) == (0, "ct:shop/web has stopped and is no longer under HA\n")
        with pytest.raises(NotFoundError):
            api.get(WEB)

    def test_what_a_finalizer_holds_is_waited_for(self, api, run):
        place(api, pictures.whole())
        api.merge(WEB, {"metadata": {"finalizers": ["quorate.dev/instance"]}})
        ended = run("remove", "shop/web", "-y", "--wait", "--timeout", "1s")
        assert ended.code == 1
        assert "is not gone after 1s: ct:shop/web is Started: runs on n1" in ended.err
        api.merge(WEB, {"metadata": {"finalizers": None}})

    def test_another_object_of_the_same_name_is_not_deleted(self, api, run):
        place(api, pictures.whole())
        with pytest.raises(ConflictError):
            api.delete(WEB, uid="00000000-0000-0000-0000-000000000000")
        assert api.get(WEB)


class TestUninstall:
    def test_without_a_manager_it_refuses_and_nothing_is_deleted(self, api, run, monkeypatch):
        monkeypatch.setattr("quorate.cli.removal.facts.LEADS_WITHIN_S", 0.5)
        place(api, pictures.whole())
        ended = run("uninstall", "-y")
        assert ended.code == 1
        assert "refused: no manager leads Cluster prod" in ended.err
        assert "deletionTimestamp" not in api.get(WEB)["metadata"]

    def test_a_finalizer_comes_off_the_version_that_was_seen_only(self, api):
        place(api, pictures.whole())
        api.merge(WEB, {"metadata": {"finalizers": ["quorate.dev/instance", "example.org/other"]}})
        seen = api.get(WEB)
        api.merge(WEB, {"metadata": {"labels": {"changed": "since"}}})
        steps = Steps(api, Wait(api, Deadline("1s")))
        assert not steps.strip(HARESOURCES, seen, "quorate.dev/instance")
        assert steps.strip(HARESOURCES, api.get(WEB), "quorate.dev/instance")
        assert api.get(WEB)["metadata"]["finalizers"] == ["example.org/other"]
        api.merge(WEB, {"metadata": {"finalizers": None}})

    def test_our_taint_comes_off_and_no_other(self, api):
        place(api, pictures.whole())
        foreign = {"key": "example.org/x", "effect": "NoSchedule"}
        ours = {"key": "quorate.dev/fence", "value": "i", "effect": "NoSchedule"}
        api.merge(KUBE_NODES.path("n1"), {"spec": {"taints": [foreign, ours]}})
        Steps(api, Wait(api, Deadline("5s"))).untaint()
        assert api.get(KUBE_NODES.path("n1"))["spec"]["taints"] == [foreign]
