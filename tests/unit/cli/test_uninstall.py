"""`quorate uninstall`: the order, what each step waits for, what it refuses, and that it can be interrupted anywhere."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quorate.cli.removal import facts
from quorate.cli.removal.facts import Watchdogs
from quorate.core.timing import PROFILES, Profile
from tests.unit.cli.installed import AGENTS, CLUSTER, CRD, DAEMON_SET, DEPLOYMENT, LEASE, OURS, SYSTEM, Site
from tests.unit.cli.stub import Stub
from tests.unit.view import pictures

FAST = PROFILES[Profile.FAST]
WEB = f"{OURS}/namespaces/shop/haresources/web"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.cli.removal.waits.LOOK_EVERY_S", 0.001)
    monkeypatch.setattr("quorate.cli.uninstall.LOOK_FOR_LEADERS_EVERY_S", 0.001)
    monkeypatch.setattr("quorate.cli.removal.force.DISARM_WITHIN", "200ms")


@pytest.fixture
def site(stub: Stub) -> Site:
    return Site(stub)


@pytest.fixture
def leaderless(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(facts, "LEADS_WITHIN_S", 0.05)
    site.manager = False
    return site


class TestOrder:
    def test_nothing_goes_before_what_depends_on_it(self, run, site):
        ended = run("uninstall", "-y")
        assert (ended.code, ended.err.count("error")) == (0, 0)
        order = site.deleted()
        guests = [path for path in order if "/haresources/" in path]
        assert order[: len(guests)] == guests
        places = [order.index(path) for path in (CLUSTER, DAEMON_SET, DEPLOYMENT, f"{LEASE}n1", CRD, AGENTS)]
        assert places == sorted(places)
        assert {order[-1], order[-2]} == {AGENTS, SYSTEM}
        assert site.left() == []
        assert "Quorate is uninstalled: nothing of it is left on http" in ended.out

    def test_a_disarm_is_taken_back_before_guests_are_told_to_stop(self, run, site):
        wish = {"mode": "Freeze", "reason": "r", "until": "2126-01-31T14:00:00Z"}
        site.stub.objects[CLUSTER]["spec"]["disarm"] = wish
        ended = run("uninstall", "-y")
        assert ended.code == 0
        first = next(write for write in site.stub.writes if write.method in {"PATCH", "DELETE"})
        assert (first.path, first.body) == (CLUSTER, {"spec": {"disarm": None}})
        assert "Cluster prod was disarmed: that is taken back" in ended.err

    def test_no_cluster_goes_while_a_node_is_armed_and_no_lease_while_one_may_be(self, run, site):
        armed_at: dict[str, set[str]] = {}
        before = site.stub.handle

        def watched(method: str, path: str, *rest: Any) -> Any:
            if method == "DELETE":
                armed_at.setdefault(path, set(site.armed))
            return before(method, path, *rest)

        site.stub.handle = watched  # type: ignore[method-assign]
        assert run("uninstall", "-y").code == 0
        assert {armed_at[path] == set() for path in (CLUSTER, DAEMON_SET, f"{LEASE}n1", AGENTS)} == {True}
        assert armed_at[WEB] == {"n1", "n2"}

    def test_a_guest_that_somebody_adds_again_is_stopped_before_anything_lets_go(self, run, site):
        site.fenced = {"n3"}  # so that its Cluster is held until we take the finalizer off
        move, before, added, seen = site.stub.before_read, site.stub.handle, [], {}

        def adds(stub: Stub, path: str) -> None:
            if not added and CLUSTER in stub.objects and stub.objects[CLUSTER]["metadata"].get("deletionTimestamp"):
                site.put(pictures.guest(name="again"), finalizers=["quorate.dev/instance"])
                site.armed.add("n1")
                added.append(path)
            move(stub, path)

        def watched(method: str, path: str, *rest: Any) -> Any:
            if method in {"PATCH", "DELETE"}:
                guests = any("/haresources/" in one for one in site.stub.objects)
                seen.setdefault((method, path), (guests, set(site.armed)))
            return before(method, path, *rest)

        site.stub.before_read, site.stub.handle = adds, watched  # type: ignore[method-assign]
        assert run("uninstall", "-y").code == 0
        assert added
        assert f"{OURS}/namespaces/shop/haresources/again" in site.deleted()
        for call in (("PATCH", CLUSTER), ("DELETE", DAEMON_SET), ("DELETE", AGENTS)):
            assert seen.get(call, (False, set())) == (False, set()), call
        assert site.left() == []

    def test_nodes_that_nobody_collects_are_deleted_after_their_cluster(self, run, site):
        run("uninstall", "-y")
        order = site.deleted()
        assert order.index(f"{OURS}/nodes/n1") > order.index(CLUSTER)

    def test_every_object_is_named_by_its_uid(self, run, site):
        run("uninstall", "-y")
        held = {write.path: write.body["preconditions"] for write in site.stub.writes if write.method == "DELETE"}
        assert held[WEB] == {"uid": "HAResource-web"}
        assert all(one["uid"] for one in held.values())

    def test_what_it_waits_for_is_one_sentence_with_names_and_a_time(self, run, site):
        said = run("uninstall", "-y").err
        assert "waiting until " in said
        assert " UTC at the latest for all guests to stop and go: ct:shop/db (is told to stop); ct:shop/web" in said
        assert "for all nodes to disarm: n1 has said that it disarms, its next heartbeat confirms it; n2" in said

    def test_before_it_asks_it_shows_what_goes(self, run, site, terminal):
        terminal("n\n")
        ended = run("uninstall")
        assert ended.code == 130
        for words in (
            "stopped    2 guests (ct:shop/db, ct:shop/web); volumes and claims stay",
            "disarmed   3 nodes (n1, n2, n3)",
            "deleted    1 Cluster (prod), no Storage",
            "DaemonSet quorate-agents/quorate-agent, Deployment quorate-system/quorate-manager",
            "the namespaces quorate-system, quorate-agents, with everything in them",
        ):
            assert words in ended.err
        assert not site.stub.writes


class TestAgain:
    def test_interrupted_after_any_write_it_goes_on_when_it_is_run_again(self, run, stub):
        finished = Site(stub)
        assert run("uninstall", "-y").code == 0
        writes = len(finished.stub.writes)
        assert writes > 15
        for broken_off in range(1, writes):
            stub.objects.clear()
            stub.writes.clear()
            site = Site(stub)
            with _interrupting(stub, broken_off):
                assert run("uninstall", "-y").code == 130
            assert run("uninstall", "-y").code == 0, broken_off
            assert site.left() == [], broken_off

    def test_when_nothing_is_there_it_says_so(self, run, stub):
        ended = run("uninstall", "-y")
        assert (ended.code, ended.out) == (0, "nothing of Quorate is there\n")

    def test_a_namespace_without_our_label_stays_and_is_named(self, run, site):
        del site.stub.objects[AGENTS]["metadata"]["labels"]
        ended = run("uninstall", "-y")
        assert ended.code == 0
        assert AGENTS in site.stub.objects
        assert "note: quorate-agents does not carry the label" in ended.err
        assert ended.out.endswith(", but for the namespace quorate-agents\n")


class _interrupting:  # noqa: N801 - used like a function
    """Ctrl-C after the n-th write."""

    def __init__(self, stub: Stub, writes: int) -> None:
        self.stub, self.writes = stub, writes

    def __enter__(self) -> None:
        from quorate.access.client import Api

        self.patch = pytest.MonkeyPatch()
        real, stub, writes = Api._attempt, self.stub, self.writes

        def attempt(api: Api, *arguments: Any, **options: Any) -> Any:
            answer = real(api, *arguments, **options)
            if len(stub.writes) >= writes:
                raise KeyboardInterrupt
            return answer

        self.patch.setattr(Api, "_attempt", attempt)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


class TestWithoutManager:
    def test_it_refuses_and_says_why_and_what_to_do(self, run, leaderless):
        ended = run("uninstall", "-y")
        assert ended.code == 1
        assert "refused: no manager leads Cluster prod, so nothing can prove that guests have stopped" in ended.err
        assert "2 guests (ct:shop/db, ct:shop/web)" in ended.err
        assert "Bring a manager back" in ended.err
        assert "quorate uninstall --force" in ended.err
        assert not leaderless.stub.writes

    def test_a_lease_that_is_held_and_does_not_move_is_no_manager(self, run, leaderless):
        assert leaderless.stub.objects[f"{LEASE.replace('agents', 'system')}manager-prod"]["spec"]["holderIdentity"]
        assert run("uninstall", "-y").code == 1

    def test_where_nothing_is_to_be_proven_none_is_needed(self, run, leaderless):
        objects = leaderless.stub.objects
        for path in [path for path in objects if "shop" in path]:
            del objects[path]
        for path in (CLUSTER, *(f"{OURS}/nodes/{name}" for name in ("n1", "n2", "n3"))):
            objects[path]["metadata"]["finalizers"] = []
        leaderless.armed.clear()
        assert run("uninstall", "-y").code == 0
        assert leaderless.left() == []

    def test_a_node_that_is_armed_needs_one(self, run, leaderless):
        objects = leaderless.stub.objects
        for path in [path for path in objects if "shop" in path]:
            del objects[path]
        assert run("uninstall", "-y").code == 1


class TestTimeOut:
    def test_a_guest_that_does_not_stop_is_named_and_nothing_else_goes(self, run, site):
        site.stubborn = {"web"}
        ended = run("uninstall", "-y", "--timeout", "300ms")
        assert ended.code == 1
        assert "In the way: ct:shop/web (is being stopped)" in ended.err
        assert "Nothing is lost" in ended.err
        assert all("/haresources/" in path for path in site.deleted())
        site.stubborn = set()
        assert run("uninstall", "-y").code == 0

    def test_a_node_that_stays_armed_keeps_its_cluster_its_agent_and_its_lease(self, run, site):
        site.faithful = {"n1"}
        ended = run("uninstall", "-y", "--timeout", "300ms")
        assert ended.code == 1
        assert "In the way: n2 is still armed" in ended.err
        assert {CLUSTER, DAEMON_SET, AGENTS, f"{LEASE}n2"} <= set(site.left())

    def test_a_manager_that_dies_meanwhile_is_part_of_what_stands_in_the_way(self, run, site, monkeypatch):
        monkeypatch.setattr(facts, "LEADS_WITHIN_S", 0.05)
        site.stubborn = {"web"}
        move = site.stub.before_read

        def dies(stub: Stub, path: str) -> None:
            move(stub, path)
            site.manager = site.manager and not any(write.method == "DELETE" for write in stub.writes)

        site.stub.before_read = dies
        ended = run("uninstall", "-y", "--timeout", "400ms")
        assert "no manager leads Cluster prod any more" in ended.err

    def test_a_foreign_finalizer_is_named(self, run, site):
        site.stub.objects[CLUSTER]["metadata"]["finalizers"] = ["example.org/hold"]
        site.fenced = {"n3"}  # so that the manager of this site takes nothing off
        ended = run("uninstall", "-y", "--timeout", "500ms")
        assert ended.code == 1
        assert "Cluster prod (held by the finalizer example.org/hold of somebody else)" in ended.err

    def test_a_wrong_duration(self, run, site):
        assert run("uninstall", "-y", "--timeout", "soon").code == 64


class TestLostNode:
    def test_a_fenced_node_does_not_hold_it_up_and_our_taint_goes(self, run, site):
        site.fenced = {"n3"}
        node = site.stub.objects["/api/v1/nodes/n3"]
        foreign = {"key": "example.org/x", "effect": "NoSchedule"}
        off = {"key": "node.kubernetes.io/out-of-service", "value": "i", "effect": "NoExecute"}
        ours = [{"key": "quorate.dev/fence", "value": "i", "effect": effect} for effect in ("NoSchedule", "NoExecute")]
        node["spec"]["taints"] = [foreign, *ours, off]
        ended = run("uninstall", "-y")
        assert ended.code == 0
        assert node["spec"]["taints"] == [foreign]
        patches = {write.path: write.body for write in site.stub.writes if "finalizers" in str(write.body)}
        stripped = patches[f"{OURS}/nodes/n3"]["metadata"]
        assert stripped == {"uid": "Node-n3", "resourceVersion": "7", "finalizers": []}

    def test_its_agents_pod_is_not_waited_for(self, run, site):
        site.fenced = {"n3"}
        labels = {"app.kubernetes.io/part-of": "quorate", "app.kubernetes.io/component": "agent"}
        metadata = {"name": "agent-x", "namespace": "quorate-agents", "labels": labels}
        site.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n3"}})
        assert run("uninstall", "-y", "--timeout", "5s").code == 0


class TestForce:
    def test_it_says_of_every_guest_and_node_what_it_risks(self, run, leaderless, terminal):
        terminal("y\nn\n")
        ended = run("uninstall", "--force")
        assert ended.code == 130
        assert "--force: no manager leads Cluster prod." in ended.err
        assert "! ct:shop/web may still run on n1: nothing proves that it has stopped" in ended.err
        assert "! n1 is still armed: if its agent does not disarm first it resets itself 5s after" in ended.err
        assert "n3 is still armed" not in ended.err
        assert not leaderless.stub.writes, "the second question was answered with no"

    def test_it_takes_off_our_finalizers_by_uid_and_version_and_leaves_nothing(self, run, leaderless):
        ended = run("uninstall", "--force", "-y")
        assert ended.code == 0, ended.err
        patches = {write.path: write.body["metadata"] for write in leaderless.stub.writes if write.method == "PATCH"}
        assert patches[WEB] == {"uid": "HAResource-web", "resourceVersion": "7", "finalizers": []}
        assert patches["/api/v1/namespaces/shop/pods/web"]["uid"] == "Pod-web"
        assert "n1 is still armed" in ended.err
        assert leaderless.left() == []

    def test_the_policies_that_keep_people_off_guests_pods_go_first(self, run, leaderless):
        metadata = {"name": "quorate-guest-marks", "labels": {"app.kubernetes.io/part-of": "quorate"}}
        group = "admissionregistration.k8s.io/v1"
        leaderless.put({"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata})
        assert run("uninstall", "--force", "-y").code == 0
        calls = [(write.method, write.path) for write in leaderless.stub.writes]
        lifted = calls.index(("DELETE", f"/apis/{group}/validatingadmissionpolicybindings/quorate-guest-marks"))
        assert lifted < calls.index(("PATCH", "/api/v1/namespaces/shop/pods/web"))

    def test_no_pod_is_deleted_by_force(self, run, leaderless):
        run("uninstall", "--force", "-y")
        bodies = [write.body for write in leaderless.stub.writes if write.method == "DELETE"]
        assert not any("gracePeriodSeconds" in body for body in bodies)

    def test_while_a_manager_leads_the_safe_way_is_tried_first(self, run, site):
        ended = run("uninstall", "--force", "-y")
        assert ended.code == 0
        assert "may still run" not in ended.err
        assert not [write for write in site.stub.writes if write.method == "PATCH" and "haresources" in write.path]

    def test_what_the_safe_way_cannot_do_in_time_is_forced(self, run, site):
        site.stubborn = {"web"}
        ended = run("uninstall", "--force", "-y", "--timeout", "300ms")
        assert ended.code == 0, ended.err
        assert "! ct:shop/web may still run on n1" in ended.err
        assert site.left() == []


def test_without_a_terminal_it_does_nothing(run, site):
    ended = run("uninstall")
    assert ended.code == 64
    assert not site.stub.writes


class TestWatchdogs:
    """When a node counts as disarmed, on a clock of our own."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
        now = [1000.0]
        monkeypatch.setattr(facts, "monotonic", lambda: now[0])

        def pass_by(seconds: float) -> None:
            now[0] += seconds

        return pass_by

    def lease(self, *, armed: bool, sequence: int, holder: str = "boot") -> dict[str, Any]:
        from quorate.api.attestation import encode
        from quorate.core.types import ATTESTATION_ANNOTATION, Uid
        from quorate.core.world import Attestation

        said = Attestation(Uid("l"), sequence, armed, "Hardware", 5.0, 1.5, 60.0, "m", 1, 1)
        raw = pictures.lease("n1", holder, pictures.NOW)
        return {**raw, "metadata": {"name": "n1", "annotations": {ATTESTATION_ANNOTATION: encode(said)}}}

    def test_disarmed_counts_from_the_next_heartbeat_on(self, clock):
        judge = Watchdogs()
        assert "still armed" in judge.obstacle("n1", None, self.lease(armed=True, sequence=1), FAST)
        first = judge.obstacle("n1", None, self.lease(armed=False, sequence=2), FAST)
        assert first == "n1 has said that it disarms, its next heartbeat confirms it"
        assert judge.obstacle("n1", None, self.lease(armed=False, sequence=3), FAST) == ""
        assert judge.dead == set()

    def test_armed_again_it_begins_anew(self, clock):
        judge = Watchdogs()
        judge.obstacle("n1", None, self.lease(armed=False, sequence=2), FAST)
        judge.obstacle("n1", None, self.lease(armed=True, sequence=3), FAST)
        assert judge.obstacle("n1", None, self.lease(armed=False, sequence=4), FAST)

    def test_armed_and_silent_it_counts_as_reset_after_t_and_not_before(self, clock):
        judge = Watchdogs()
        lease = self.lease(armed=True, sequence=1)
        judge.obstacle("n1", None, lease, FAST)
        clock(FAST.release_after_s - 0.1)
        assert "n1 is armed and silent: in 0s it has reset itself" in judge.obstacle("n1", None, lease, FAST)
        clock(0.2)
        assert judge.obstacle("n1", None, lease, FAST) == ""
        assert judge.dead == {"n1"}

    def test_the_larger_of_the_profile_and_what_is_attested_holds(self, clock):
        judge = Watchdogs()
        lease = self.lease(armed=True, sequence=1)
        slow = PROFILES[Profile.RELAXED]
        judge.obstacle("n1", None, lease, slow)
        clock(slow.release_after_s - 0.1)
        assert judge.obstacle("n1", None, lease, slow)

    def test_a_fenced_boot_is_armed_no_more(self, clock):
        judge = Watchdogs()
        lease = self.lease(armed=True, sequence=1, holder="fenced/i/boot")
        assert judge.obstacle("n1", None, lease, FAST) == ""

    def test_a_missing_lease_of_an_armed_node_is_waited_for(self, clock):
        judge = Watchdogs()
        node = pictures.node("n1")
        assert judge.obstacle("n1", node, None, FAST)
        clock(FAST.release_after_s + 0.1)
        assert judge.obstacle("n1", node, None, FAST) == ""
