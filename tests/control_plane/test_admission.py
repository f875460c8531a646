"""What a real API server lets whom do, with the roles and the admission policies of manifests/base.

Agents and the manager come with tokens of their ServiceAccounts, kubelets and people by impersonation.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.control_plane.client import Answer, Api
from tests.control_plane.manifests import apply, grant, rule, token
from tests.control_plane.objects import KUBE_NODES, NODES, guest, guests, leases, node, owner, pod, pods
from tests.control_plane.servers import CRDS, eventually, served

pytestmark = pytest.mark.real

Json = Any
AGENTS: Final = "quorate-agents"
LEASES: Final = leases(AGENTS)
CONFIRM: Final = "quorate.dev/fence-confirm"
RELEASE: Final = "quorate.dev/fence-release"
DRILL: Final = "quorate.dev/drill"
FINALIZER: Final = "quorate.dev/instance"
INSTANCE: Final = {FINALIZER: "i1", "quorate.dev/node": "node1", "quorate.dev/boot-nonce": "boot"}
PODS: Final = "pods pods/status pods/eviction"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API server of our own: its policies are in no other test's way."""
    with served("real", tmp_path_factory.mktemp("admission")) as kubeconfig:
        api = Api(kubeconfig)
        apply(api, "namespaces.yaml", "manager-rbac.yaml", "agent-rbac.yaml", "admission.yaml")
        for name in ("node1", "node2"):
            api.post(KUBE_NODES, {"metadata": {"name": name}}).ok()
        grant(api, "owner", rule(PODS, "*"), rule("haresources", "*", "quorate.dev"))
        grant(api, "guest-writer", rule("haresources", "*", "quorate.dev"))
        grant(api, "creator", rule("pods", "create"), rule("haresources", "*", "quorate.dev"))
        for name in ("win", "lin"):
            updates = {**rule("virtualmachines", "update", "kubevirt.io"), "resourceNames": [name]}
            grant(api, f"keeper-of-{name}", updates, rule("haresources", "*", "quorate.dev"))
        grant(api, "watcher", rule("nodes", "get create update patch", "quorate.dev"))
        grant(api, "fencer", rule("nodes", "get create update patch fence", "quorate.dev"))
        _until_in_force(api)
        yield api


def _until_in_force(api: Api) -> None:
    """A policy is in force a moment after it was made: until each of them has refused something."""
    api.post("/api/v1/namespaces", {"metadata": {"name": "probe"}}).ok()
    api.post(guests("probe"), guest("web")).ok()
    made = place(api, "probe")
    path = f"{pods('probe')}/web"
    confirm = node("probe", annotations={CONFIRM: "no"})
    dry: Json = {"dryRun": "All"}
    person = api.acting(user="owner")
    eventually(
        lambda: api.acting(token=token(api, AGENTS, "quorate-agent")).post(LEASES, lease("x"), **dry).code == 403
    )
    release = node("probe", annotations={RELEASE: "no"})
    eventually(lambda: api.post(NODES, confirm, **dry).code == 403)
    eventually(lambda: api.post(NODES, release, **dry).code == 403)
    drill = node("probe", annotations={DRILL: "no"})
    eventually(lambda: api.post(NODES, drill, **dry).code == 403)
    eventually(lambda: api.acting(user="guest-writer").post(guests("probe"), guest("a"), **dry).code == 403)
    eventually(lambda: person.delete(path, **dry, gracePeriodSeconds="0").code == 403)
    eventually(lambda: evict(person, made, grace_s=0, dry_run=True).code == 403)
    eventually(lambda: person.merge(path, {"metadata": {"finalizers": []}}, **dry).code == 403)


@pytest.fixture
def api(server: Api) -> Api:
    return server


@pytest.fixture
def person(api: Api) -> Api:
    """One who may do everything with Pods and guests."""
    return api.acting(user="owner")


@pytest.fixture
def manager(api: Api) -> Api:
    return api.acting(token=token(api, "quorate-system", "quorate-manager"))


@pytest.fixture
def kubelet(api: Api) -> Api:
    return api.acting(user="system:node:node1", groups=["system:nodes"])


def agent_of(api: Api, name: str) -> Api:
    """The agent of that node, with a token as its kubelet gets it."""
    path = pods(AGENTS)
    found = api.get(f"{path}/agent-{name}")
    spec = {"serviceAccountName": "quorate-agent", "nodeName": name, "containers": [{"name": "agent", "image": "a"}]}
    made = found.body if found.code == 200 else api.post(path, pod(f"agent-{name}", spec=spec)).ok()
    return api.acting(token=token(api, AGENTS, "quorate-agent", made))


def lease(name: str, holder: str = "boot") -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": AGENTS},
        "spec": {"holderIdentity": holder},
    }


def place(api: Api, namespace: str, name: str = "web", node: str = "node1", **spec: Json) -> Json:
    """A guest's Pod, as the manager makes it, its container running if it is bound."""
    api.post(guests(namespace), guest(name))
    made_for = owner(api.get(f"{guests(namespace)}/{name}").ok())
    found = pod(
        name,
        labels={"quorate.dev/guest": name},
        annotations=INSTANCE,
        finalizers=[FINALIZER],
        ownerReferences=[{**made_for, "controller": True}],
        spec={
            "containers": [{"name": "main", "image": "busybox"}],
            **({"nodeName": node} if node else {}),
            **spec,
        },
    )
    made = api.post(pods(namespace), found).ok()
    if node:
        report(api, made, "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})
    return made


def report(api: Api, made: Json, phase: str, state: Json) -> None:
    """What a kubelet reports of its one container."""
    status = {"name": "main", "image": "busybox", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    path = f"{pods(made['metadata']['namespace'])}/{made['metadata']['name']}/status"
    api.merge(path, {"status": {"phase": phase, "containerStatuses": [status]}}).ok()


def delete(api: Api, made: Json, grace_s: int | None = None, **more: Json) -> Answer:
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", **more}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    return api.delete(f"{pods(made['metadata']['namespace'])}/{made['metadata']['name']}", options)


def evict(api: Api, made: Json, *, grace_s: int | None = None, dry_run: bool = False) -> Answer:
    name, namespace = made["metadata"]["name"], made["metadata"]["namespace"]
    options: Json = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
    if dry_run:
        options["dryRun"] = ["All"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": options,
    }
    return api.post(f"{pods(namespace)}/{name}/eviction", body)


class TestLeases:
    def test_an_agent_makes_and_renews_the_lease_of_its_own_node(self, api: Api) -> None:
        agent = agent_of(api, "node1")
        made = agent.post(LEASES, lease("node1")).ok()
        assert agent.put(f"{LEASES}/node1", made).code == 200

    def test_it_cannot_touch_that_of_another(self, api: Api) -> None:
        made = agent_of(api, "node2").post(LEASES, lease("node2")).ok()
        words = agent_of(api, "node1").put(f"{LEASES}/node2", made).refused(403, "Forbidden")
        assert 'Lease node2: an agent writes the Lease of its own node only, and this token is of node "node1"' in words
        agent_of(api, "node1").post(LEASES, lease("node3")).refused(403, "Forbidden")

    def test_nor_delete_or_patch_any(self, api: Api) -> None:
        """It has no need to, and so no right."""
        agent = agent_of(api, "node2")
        agent.delete(f"{LEASES}/node2").refused(403, "Forbidden")
        agent.merge(f"{LEASES}/node2", {"spec": {"holderIdentity": "x"}}).refused(403, "Forbidden")

    def test_a_token_that_is_bound_to_no_pod_writes_none(self, api: Api) -> None:
        unbound = api.acting(token=token(api, AGENTS, "quorate-agent"))
        words = unbound.post(LEASES, lease("node1")).refused(403, "Forbidden")
        assert 'this token is of node ""' in words

    def test_the_manager_takes_any(self, api: Api, manager: Api) -> None:
        agent_of(api, "node1").post(LEASES, lease("node1"))
        held = manager.get(f"{LEASES}/node1").ok()
        taken = {**held, "spec": {**held["spec"], "holderIdentity": "fenced/node1-x/boot"}}
        assert manager.put(f"{LEASES}/node1", taken).code == 200

    def test_what_an_agent_reads_is_all_that_it_reads(self, api: Api) -> None:
        agent = agent_of(api, "node1")
        assert agent.get("/api/v1/pods", labelSelector="quorate.dev/guest", fieldSelector="spec.nodeName=node1").ok()
        assert agent.get(f"/api/v1/namespaces/{AGENTS}").ok()
        assert agent.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices").ok()
        agent.get(NODES).refused(403, "Forbidden")
        agent.get("/api/v1/secrets").refused(403, "Forbidden")
        agent.post(pods(AGENTS), pod("x")).refused(403, "Forbidden")


class TestFenceConfirm:
    @pytest.fixture
    def member(self, api: Api, unique: str) -> str:
        api.post(NODES, node(unique)).ok()
        return f"{NODES}/{unique}"

    def confirm(self, who: Api, member: str, value: str) -> Answer:
        return who.merge(member, {"metadata": {"annotations": {CONFIRM: value}}})

    def test_in_ones_own_name_and_with_the_right_to_fence(self, api: Api, member: str) -> None:
        assert self.confirm(api.acting(user="fencer"), member, "n1-x/boot/fencer").ok()

    def test_without_the_right_to_fence_a_right_to_write_is_not_enough(self, api: Api, member: str) -> None:
        words = self.confirm(api.acting(user="watcher"), member, "n1-x/boot/watcher").refused(403, "Forbidden")
        assert "to confirm that it is off, watcher needs the verb fence on nodes.quorate.dev" in words

    @pytest.mark.parametrize("value", ["n1-x/boot/somebody", "garbage", "", "/", "n1-x/fencer", "n1-x/boot/fencer/"])
    def test_in_another_name_or_as_garbage(self, api: Api, member: str, value: str) -> None:
        words = self.confirm(api.acting(user="fencer"), member, value).refused(403, "Forbidden")
        assert "must be <incident>/<nonce>/fencer, the name of who sets it: run quorate fence confirm" in words

    def test_not_even_an_administrator_vouches_in_another_name(self, api: Api, member: str) -> None:
        words = self.confirm(api, member, "n1-x/boot/fencer").refused(403, "Forbidden")
        assert "must be <incident>/<nonce>/admin" in words

    def test_not_by_making_the_node_with_it_either(self, api: Api, unique: str) -> None:
        one = node(unique, annotations={CONFIRM: "n1-x/boot/watcher"})
        api.acting(user="watcher").post(NODES, one).refused(403, "Forbidden")

    def test_what_others_set_may_stay_and_go(self, api: Api, member: str) -> None:
        self.confirm(api.acting(user="fencer"), member, "n1-x/boot/fencer").ok()
        other = api.acting(user="watcher")
        assert other.merge(member, {"metadata": {"labels": {"a": "b"}}}).ok()
        assert other.merge(member, {"metadata": {"annotations": {CONFIRM: None}}}).ok()


class TestFenceRelease:
    """The same for who lets a fenced node come back."""

    @pytest.fixture
    def release(self, api: Api, unique: str) -> Callable[[str, str], Answer]:
        api.post(NODES, node(unique)).ok()
        return lambda who, value: api.acting(user=who).merge(
            f"{NODES}/{unique}", {"metadata": {"annotations": {RELEASE: value}}}
        )

    def test_in_ones_own_name_and_with_the_right_to_fence(self, release: Callable[[str, str], Answer]) -> None:
        assert release("fencer", "n1-x/boot/fencer").ok()

    def test_without_the_right_to_fence(self, release: Callable[[str, str], Answer]) -> None:
        words = release("watcher", "n1-x/boot/watcher").refused(403, "Forbidden")
        assert "to let it come back, watcher needs the verb fence on nodes.quorate.dev" in words

    def test_in_another_name(self, release: Callable[[str, str], Answer]) -> None:
        words = release("fencer", "n1-x/boot/somebody").refused(403, "Forbidden")
        assert "the name of who sets it: run quorate fence release" in words


class TestDrill:
    """And for who has a node switched off and on."""

    @pytest.fixture
    def drill(self, api: Api, unique: str) -> Callable[[str, str], Answer]:
        api.post(NODES, node(unique)).ok()
        return lambda who, value: api.acting(user=who).merge(
            f"{NODES}/{unique}", {"metadata": {"annotations": {DRILL: value}}}
        )

    def test_in_ones_own_name_and_with_the_right_to_fence(self, drill: Callable[[str, str], Answer]) -> None:
        assert drill("fencer", "d1/boot/fencer").ok()

    def test_without_the_right_to_fence(self, drill: Callable[[str, str], Answer]) -> None:
        words = drill("watcher", "d1/boot/watcher").refused(403, "Forbidden")
        assert "to have it switched off and on, watcher needs the verb fence on nodes.quorate.dev" in words

    def test_in_another_name(self, drill: Callable[[str, str], Answer]) -> None:
        words = drill("fencer", "d1/boot/somebody").refused(403, "Forbidden")
        assert "must be <id>/<nonce>/fencer, the name of who sets it: run quorate drill" in words


class TestGuests:
    def test_who_may_not_create_pods_may_not_create_guests(self, api: Api, namespace: str) -> None:
        words = api.acting(user="guest-writer").post(guests(namespace), guest("web")).refused(403, "Forbidden")
        assert f"HAResource {namespace}/web: guest-writer may not create pods in namespace {namespace}" in words
        assert api.acting(user="owner").post(guests(namespace), guest("web")).ok()

    def test_who_may_not_delete_pods_may_not_protect_a_workload(self, api: Api, namespace: str) -> None:
        workload = guest("db", guest={"workload": {"name": "db"}})
        words = api.acting(user="creator").post(guests(namespace), workload).refused(403, "Forbidden")
        assert f"HAResource {namespace}/db: creator may not delete pods in namespace {namespace}" in words
        assert api.acting(user="creator").post(guests(namespace), guest("web")).ok()
        assert api.acting(user="owner").post(guests(namespace), workload).ok()

    def test_who_may_not_update_a_machine_may_not_put_it_under_ha(self, api: Api, namespace: str) -> None:
        """It need not exist yet. Who may update it needs no right on Pods, and one on another machine is none."""
        machine = guest("win", guest={"virtualMachine": {"name": "win"}})
        for who in ("owner", "guest-writer", "keeper-of-lin"):
            words = api.acting(user=who).post(guests(namespace), machine).refused(403, "Forbidden")
            assert (
                f"HAResource {namespace}/win: {who} may not update virtualmachines.kubevirt.io win in namespace"
                in words
            )
        made = api.acting(user="keeper-of-win").post(guests(namespace), machine).ok()
        path, stopped = f"{guests(namespace)}/win", {"spec": {"state": "Stopped"}}
        api.acting(user="owner").merge(path, stopped).refused(403, "Forbidden")
        assert api.acting(user="keeper-of-win").merge(path, stopped).ok()["metadata"]["uid"] == made["metadata"]["uid"]

    def test_nor_change_what_one_is_made_of(self, api: Api, namespace: str) -> None:
        api.post(guests(namespace), guest("web")).ok()
        path = f"{guests(namespace)}/web"
        api.acting(user="guest-writer").merge(path, {"spec": {"maxRestart": 3}}).refused(403, "Forbidden")
        assert api.acting(user="owner").merge(path, {"spec": {"maxRestart": 3}}).ok()

    def test_metadata_and_status_may_change_all_the_same(self, api: Api, manager: Api, namespace: str) -> None:
        """The manager holds guests with finalizers and writes their statuses, a command is an annotation."""
        api.post(guests(namespace), guest("web")).ok()
        path = f"{guests(namespace)}/web"
        command = {"metadata": {"annotations": {"quorate.dev/command": "1 reset"}}}
        assert api.acting(user="guest-writer").merge(path, command).ok()
        held = manager.merge(path, {"metadata": {"finalizers": [FINALIZER]}}).ok()
        assert (
            manager.put(f"{path}/status", {**held, "status": {"message": "seen"}}).ok()["status"]["message"] == "seen"
        )


class TestDeletesWithoutGrace:
    def test_of_a_guest_that_runs_are_not_for_people(self, person: Api, api: Api, namespace: str) -> None:
        made = place(api, namespace)
        for who in (person, api):
            words = delete(who, made, grace_s=0).refused(403, "Forbidden")
            assert f"Pod {namespace}/web is a guest of Quorate and may run on node1" in words
            assert "kubectl delete validatingadmissionpolicybinding quorate-guest-deletes" in words
        assert "deletionTimestamp" not in api.get(f"{pods(namespace)}/web").ok()["metadata"]

    def test_nor_for_a_collection_of_them(self, person: Api, api: Api, namespace: str) -> None:
        place(api, namespace)
        person.delete(pods(namespace), {"gracePeriodSeconds": 0}).refused(403, "Forbidden")

    def test_nor_for_podgc_while_nobody_knows_the_end(self, api: Api, namespace: str) -> None:
        """It says Failed itself, and deletes what it has said that of."""
        made = place(api, namespace)
        report(api, made, "Failed", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})
        delete(controller(api, "pod-garbage-collector"), made, grace_s=0).refused(403, "Forbidden")

    def test_one_grace_period_is_as_long_as_another(self, person: Api, api: Api, namespace: str) -> None:
        assert delete(person, place(api, namespace)).ok()["metadata"]["deletionGracePeriodSeconds"] == 30
        assert delete(person, place(api, namespace, "web2"), grace_s=1).ok()

    def test_the_manager_may(self, manager: Api, api: Api, namespace: str) -> None:
        made = place(api, namespace)
        uid = made["metadata"]["uid"]
        assert delete(manager, made, grace_s=0, preconditions={"uid": uid}).ok()
        path = f"{pods(namespace)}/web"
        assert manager.merge(path, {"metadata": {"finalizers": []}}).ok()
        assert manager.get(path).code == 404

    def test_its_kubelet_may(self, kubelet: Api, api: Api, namespace: str) -> None:
        assert delete(kubelet, place(api, namespace), grace_s=0).ok()

    def test_a_pod_without_a_node_runs_nowhere(self, person: Api, api: Api, namespace: str) -> None:
        made = place(api, namespace, node="")
        assert delete(person, made, grace_s=0).ok()

    def test_a_plain_delete_of_one_that_has_ended_is_one(self, person: Api, api: Api, namespace: str) -> None:
        """The API server itself sets grace 0 for it; so garbage collection goes on."""
        made = place(api, namespace)
        report(api, made, "Failed", {"terminated": {"exitCode": 1, "reason": "Error"}})
        assert delete(person, made).ok()["metadata"]["deletionGracePeriodSeconds"] == 0
        again = place(api, namespace, "web2")
        report(api, again, "Succeeded", {"terminated": {"exitCode": 0}})
        assert delete(controller(api, "generic-garbage-collector"), again).ok()

    def test_a_plain_delete_of_one_that_asks_for_no_grace_is_one(self, person: Api, api: Api, namespace: str) -> None:
        assert delete(person, place(api, namespace, terminationGracePeriodSeconds=0)).ok()

    def test_other_pods_are_none_of_our_business(self, person: Api, api: Api, namespace: str) -> None:
        made = api.post(pods(namespace), pod("web", node="node1")).ok()
        assert delete(person, made, grace_s=0).ok()
        made = api.post(pods(namespace), pod("web2", node="node1")).ok()
        assert evict(person, made, grace_s=0).ok()

    def test_an_eviction_is_no_way_around(self, person: Api, api: Api, namespace: str) -> None:
        made = place(api, namespace)
        place(api, namespace, "web2")
        words = evict(person, made, grace_s=0).refused(403, "Forbidden")
        assert f"Pod {namespace}/web is a guest of Quorate: evict it with its own grace period" in words
        assert evict(person, made).ok()
        assert api.get(f"{pods(namespace)}/web").ok()["metadata"]["deletionGracePeriodSeconds"] == 30

    def test_a_namespace_goes_once_its_guests_have_stopped(
        self, api: Api, manager: Api, namespace: str, controllers: None
    ) -> None:
        """The namespace controller deletes them gracefully, and what holds the rest is the manager's."""
        place(api, namespace)
        path = f"{pods(namespace)}/web"
        api.delete(f"/api/v1/namespaces/{namespace}").ok()
        eventually(lambda: api.get(path).ok()["metadata"].get("deletionTimestamp"))
        made = api.get(path).ok()
        report(api, made, "Succeeded", {"terminated": {"exitCode": 0}})
        delete(manager, made, grace_s=0)
        manager.merge(path, {"metadata": {"finalizers": []}}).ok()
        eventually(lambda: api.get(f"/api/v1/namespaces/{namespace}").code == 404)


class TestMarks:
    """Who could take a guest's marks off its Pod would walk around the rest."""

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"labels": {"quorate.dev/guest": None}}, "label quorate.dev/guest"),
            ({"labels": {"quorate.dev/guest": "other"}}, "label quorate.dev/guest"),
            ({"labels": None}, "label quorate.dev/guest"),
            ({"finalizers": None}, "finalizer quorate.dev/instance"),
            ({"ownerReferences": None}, "ownerReference to its HAResource"),
            ({"annotations": {"quorate.dev/boot-nonce": "other"}}, "annotations of instance, node and boot"),
            ({"annotations": None}, "annotations of instance, node and boot"),
        ],
    )
    def test_stay(self, person: Api, api: Api, namespace: str, change: Json, named: str) -> None:
        place(api, namespace)
        words = person.merge(f"{pods(namespace)}/web", {"metadata": change}).refused(403, "Forbidden")
        assert f"Pod {namespace}/web is a guest of Quorate: its {named} must stay" in words
        assert "kubectl delete validatingadmissionpolicybinding quorate-guest-marks" in words

    @pytest.mark.parametrize("change", [{"finalizers": None}, {"labels": None}, {"annotations": None}])
    def test_stay_by_way_of_the_status_as_well(self, person: Api, api: Api, namespace: str, change: Json) -> None:
        """A write of a Pod's status may change its metadata."""
        place(api, namespace)
        person.merge(f"{pods(namespace)}/web/status", {"metadata": change}).refused(403, "Forbidden")
        assert person.merge(f"{pods(namespace)}/web/status", {"status": {"message": "x"}}).ok()

    def test_everything_else_may_be_changed(self, person: Api, api: Api, namespace: str) -> None:
        place(api, namespace)
        change = {"labels": {"tier": "web"}, "annotations": {"note": "seen"}, "finalizers": [FINALIZER, "a.b/c"]}
        assert person.merge(f"{pods(namespace)}/web", {"metadata": change}).ok()

    def test_kubernetes_own_controllers_do_as_they_must(self, api: Api, namespace: str) -> None:
        """A HAResource deleted with --cascade=orphan leaves its Pods to nobody: the garbage collector says so on them."""
        place(api, namespace)
        collector = controller(api, "generic-garbage-collector")
        assert collector.merge(f"{pods(namespace)}/web", {"metadata": {"ownerReferences": None}}).ok()

    def test_the_manager_lets_go(self, manager: Api, api: Api, namespace: str) -> None:
        place(api, namespace)
        assert manager.merge(f"{pods(namespace)}/web", {"metadata": {"finalizers": []}}).ok()


def controller(api: Api, name: str) -> Api:
    """A controller of kube-controller-manager, as it comes from a real one."""
    groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"]
    return api.acting(user=f"system:serviceaccount:kube-system:{name}", groups=groups)


def test_the_last_resort_of_the_messages_works(server: Api, namespace: str) -> None:
    """An administrator takes a binding away, forces, and applies the manifests again."""
    made = place(server, namespace)
    bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/quorate-guest-deletes"
    delete(server, made, grace_s=0).refused(403, "Forbidden")
    server.delete(bindings).ok()
    eventually(lambda: delete(server, made, grace_s=0).code == 200)
    apply(server, "admission.yaml")
    again = place(server, namespace, "web2")
    eventually(lambda: server.delete(f"{pods(namespace)}/web2", dryRun="All", gracePeriodSeconds="0").code == 403)
    delete(server, again, grace_s=0).refused(403, "Forbidden")


def test_evictions_go_on_when_quorates_kinds_are_gone(tmp_path: Path) -> None:
    """An uninstall in the wrong order must not keep anybody from draining nodes."""
    with served("real", tmp_path) as kubeconfig:
        api = Api(kubeconfig)
        api.post("/api/v1/namespaces", {"metadata": {"name": "shop"}}).ok()
        apply(api, "admission.yaml")
        made = place(api, "shop")
        other = api.post(pods("shop"), pod("other", node="node1")).ok()
        eventually(lambda: evict(api, made, grace_s=0, dry_run=True).code == 403)
        api.delete(f"{CRDS}/haresources.quorate.dev").ok()
        eventually(lambda: api.get(guests("shop")).code == 404)
        assert evict(api, other).ok()
        eventually(lambda: evict(api, made, grace_s=0).code in {200, 201})
