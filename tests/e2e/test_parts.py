"""What else happens to real nodes: of the control plane, of a part of a node, by people, and on purpose."""

from collections.abc import Iterator

import pytest

from quorate.core.timing import Profile
from quorate.lab.observer import Observer
from tests.e2e import eyes
from tests.e2e.cluster import LIMIT_S, KindCluster
from tests.e2e.machine import run
from tests.e2e.play import (
    GUEST,
    NODES,
    Took,
    all_beat,
    at_rest,
    bring_back,
    leader,
    leads_on_a_worker,
    lose,
    ready_on,
    relocate,
    runs_once,
    set_profile,
    started_anew,
    status,
    whole,
)

pytestmark = pytest.mark.kind


@pytest.fixture
def slow(cluster: KindCluster, guest: str) -> Iterator[None]:
    """The profile Relaxed: every agent works by its times."""
    set_profile(cluster, Profile.RELAXED)
    yield
    set_profile(cluster, Profile.FAST)


def boots(cluster: KindCluster) -> dict[str, str]:
    """Node -> the boot that renews its Lease."""
    return {one["metadata"]["name"]: one["status"].get("nonce", "") for one in cluster.get(NODES)["items"]}


def is_unchanged(cluster: KindCluster, instance: dict[str, str], before: dict[str, str]) -> bool:
    """The guest is the very same, and no node has booted."""
    return status(cluster).get("instance") == instance and boots(cluster) == before


@pytest.mark.usefixtures("slow")
def test_a_control_plane_that_is_away_for_five_seconds_costs_nothing(
    cluster: KindCluster, guest: str, observer: Observer
) -> None:
    instance, before = status(cluster)["instance"], boots(cluster)
    cluster.pause_control_plane(5)
    all_beat(cluster)
    at_rest(cluster)
    assert is_unchanged(cluster, instance, before)
    assert runs_once(cluster, observer) == guest


def test_one_that_is_away_for_longer_than_w_costs_the_armed_worker(
    cluster: KindCluster, guest: str, observer: Observer
) -> None:
    """It cannot renew, so it is reset. Its guest comes back in its new boot or elsewhere, and never twice."""
    before = status(cluster)["instance"]
    cluster.pause_control_plane(15)
    cluster.eventually("its watchdog has killed it", lambda: guest not in cluster.nodes())

    def healed() -> bool:
        cluster.all_on()  # also one that was armed still, where the guest had been before
        return started_anew(cluster, before)

    cluster.eventually("all is whole and the guest was started anew", healed)
    runs_once(cluster, observer)


def test_a_worker_that_is_cut_from_the_api_is_reset(
    cluster: KindCluster, guest: str, observer: Observer, took: Took
) -> None:
    took.append(
        f"cut from the API server, guest Ready elsewhere: {lose(cluster, guest, cluster.cut_api, observer):.1f} s"
    )
    assert guest not in cluster.nodes(), "its watchdog has killed it"
    bring_back(cluster, guest, observer)


def test_a_worker_whose_agent_hangs_is_reset_and_boots_within_t(
    cluster: KindCluster, guest: str, observer: Observer
) -> None:
    """Its kubelet starts what is bound to it: the start gate holds, because the boot is another one."""
    before = status(cluster)["instance"]
    cluster.stop_process(guest, "quorate.agent.loop_main")
    cluster.eventually("its watchdog kills it", lambda: guest not in cluster.nodes())
    cluster.power_on(guest)

    cluster.eventually("the guest was started anew and all is whole", lambda: started_anew(cluster, before))
    runs_once(cluster, observer)
    assert status(cluster)["instance"]["nonce"] != before["nonce"]


def test_a_worker_without_its_kubelet_keeps_its_guest(cluster: KindCluster, guest: str, observer: Observer) -> None:
    """Its agent lives and renews: nothing is wrong with the guest."""
    instance, before = status(cluster)["instance"], boots(cluster)
    run("docker", "exec", guest, "systemctl", "stop", "kubelet")
    try:
        cluster.eventually("Kubernetes to miss it", lambda: not whole(cluster))
        all_beat(cluster)
        assert is_unchanged(cluster, instance, before)
        assert eyes.only(cluster, GUEST)[0] == guest
    finally:
        run("docker", "exec", guest, "systemctl", "start", "kubelet")
    at_rest(cluster)
    assert is_unchanged(cluster, instance, before)
    assert runs_once(cluster, observer) == guest


def test_two_workers_are_lost_and_a_person_says_expected_1(
    cluster: KindCluster, guest: str, observer: Observer
) -> None:
    """Without a majority nothing is recovered, until somebody who knows says how many votes there are."""
    lost = [guest, next(one for one in cluster.workers() if one != guest)]
    (left,) = set(cluster.workers()) - set(lost)
    for node in lost:
        cluster.power_off(node)
    cluster.eventually("quorum is lost", lambda: cluster.get("qc", "prod")["status"].get("quorate") is False)
    assert eyes.running(cluster, GUEST) == []
    cluster.eventually(
        "expected 1 is accepted",
        lambda: cluster.quorate("cluster", "expected", "1", "--reason", "two racks have burnt", "-y"),
    )
    cluster.eventually(f"the guest is Ready on {left}", lambda: ready_on(cluster) == left)
    cluster.power_on(*lost)
    at_rest(cluster)
    assert runs_once(cluster, observer) == left


@pytest.mark.usefixtures("guest")
def test_a_worker_is_drained_with_the_leader_on_it(cluster: KindCluster, observer: Observer) -> None:
    """kubectl drain evicts the guest's Pod: a planned move, that counts as no failure. The next leader knows it, too."""
    _, node = leads_on_a_worker(cluster)
    relocate(cluster, node)
    drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=150s")
    cluster.kubectl(*drain, limit_s=LIMIT_S)
    try:
        cluster.eventually("the guest is Ready elsewhere", lambda: ready_on(cluster) not in {None, node})
        assert runs_once(cluster, observer) != node
        now = status(cluster)
        assert (now.get("restarts", 0), now.get("failedNodes", [])) == (0, [])
        assert now["lastTermination"].get("counted", False) is False
    finally:
        cluster.kubectl("uncordon", node)


def test_the_kubernetes_node_is_deleted_under_its_guest(cluster: KindCluster, guest: str, observer: Observer) -> None:
    """The guest stays; the node registers itself anew when its kubelet starts."""
    instance = status(cluster)["instance"]
    cluster.kubectl("delete", "node", guest)
    try:
        all_beat(cluster)
        assert eyes.only(cluster, GUEST)[0] == guest
        assert status(cluster)["instance"]["id"] == instance["id"]
    finally:
        run("docker", "exec", guest, "systemctl", "restart", "kubelet")
    at_rest(cluster)
    runs_once(cluster, observer)


def test_agents_and_managers_are_upgraded_under_a_guest(cluster: KindCluster, guest: str, observer: Observer) -> None:
    """Each new agent takes over the open watchdog of the one before: no node is reset, no guest moves."""
    instance, before, led = status(cluster)["instance"], boots(cluster), leader(cluster)
    cluster.kubectl("rollout", "restart", "-n", "quorate-agents", "daemonset/quorate-agent")
    cluster.kubectl("rollout", "restart", "-n", "quorate-system", "deployment/quorate-manager")
    cluster.rolled_out()
    cluster.eventually("another manager leads", lambda: leader(cluster) not in {"", led})
    all_beat(cluster)
    at_rest(cluster)
    assert is_unchanged(cluster, instance, before)
    assert runs_once(cluster, observer) == guest
