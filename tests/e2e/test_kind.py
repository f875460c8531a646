"""First contact with real kubelets: a worker is lost in several ways, and its guest runs on another, once."""

from typing import Any, Final

import pytest

from quorate.core.types import WRONG_BOOT_EXIT
from quorate.lab.observer import Observer
from tests.e2e.cluster import KindCluster
from tests.e2e.play import (
    GUEST,
    NODES,
    SAMPLES,
    WORKERS,
    Took,
    bring_back,
    leader,
    leads_on_a_worker,
    lose,
    relocate,
    runs_once,
    started_anew,
    status,
    whole,
)

pytestmark = pytest.mark.kind

COLUMNS: Final = {
    "qc": "NAME QUORATE VOTES NODES GUESTS FENCING STATUS AGE",
    "qn": "NAME STATE VOTES SINCE WATCHDOG GUESTS AGE",
    "har": "NAME GUEST WANT STATE READY NODE TARGET SINCE AGE",
}


def test_the_quickstart_applies_and_says_why_its_guest_waits(cluster: KindCluster) -> None:
    """It accepts no watchdog stand-in, so nothing may start: a guest without proof of death would be run twice."""
    quickstart = str(SAMPLES / "quickstart.yaml")
    cluster.kubectl("apply", "-f", quickstart)
    try:
        cluster.eventually("the guest is Queued", lambda: status(cluster).get("state") == "Queued" and whole(cluster))
        for words, command in (
            ("watchdog is of kind External", lambda: cluster.kubectl("describe", "har", GUEST)),
            ("KindNotAccepted", lambda: cluster.kubectl("describe", "qn")),
            ("not accepted", lambda: cluster.quorate("status", codes=(1,))),
        ):
            cluster.eventually(f"somebody says: {words}", lambda words=words, command=command: words in command())
        for kind, columns in COLUMNS.items():
            assert cluster.kubectl("get", kind).splitlines()[0].split() == columns.split()
        assert cluster.kubectl("get", "qc,qn,har,qs").count("quorate.dev/") == 1 + WORKERS + 1
    finally:
        cluster.kubectl("delete", "-f", quickstart, "--timeout=60s")
    cluster.eventually("its nodes have left", lambda: not cluster.get(NODES)["items"])


def test_a_worker_loses_power(cluster: KindCluster, guest: str, observer: Observer, took: Took) -> None:
    took.append(f"power off, guest Ready elsewhere: {lose(cluster, guest, cluster.power_off, observer):.1f} s")
    bring_back(cluster, guest, observer)


@pytest.mark.usefixtures("guest")
def test_the_leaders_node_loses_power(cluster: KindCluster, observer: Observer, took: Took) -> None:
    """The standby takes over and recovers the guest; its own timer has run all along."""
    before, node = leads_on_a_worker(cluster)
    relocate(cluster, node)
    took.append(
        f"power off with the leader, guest Ready elsewhere: {lose(cluster, node, cluster.power_off, observer):.1f} s"
    )
    cluster.eventually("the standby leads", lambda: leader(cluster) not in {"", before})
    bring_back(cluster, node, observer)


def test_a_frozen_worker_is_killed_from_outside(
    cluster: KindCluster, guest: str, observer: Observer, took: Took
) -> None:
    """Its guest would go on after a thaw: by the time another one starts, nothing is left to thaw."""
    took.append(f"frozen, guest Ready elsewhere: {lose(cluster, guest, cluster.freeze, observer):.1f} s")
    assert guest not in cluster.nodes()
    bring_back(cluster, guest, observer)


def test_a_worker_reboots_at_once(cluster: KindCluster, guest: str, observer: Observer) -> None:
    """Its kubelet is back before anybody is suspected: what was bound to the old boot does not run in the new one."""
    before = status(cluster)["instance"]
    cluster.power_off(guest)
    cluster.power_on(guest)

    cluster.eventually("the guest was started anew and the cluster is whole", lambda: started_anew(cluster, before))
    runs_once(cluster, observer)
    now = status(cluster)["instance"]
    assert (now["node"], now["nonce"]) != (before["node"], before["nonce"])
    assert before["uid"] not in {interval.instance.pod for interval in observer.history()[GUEST][-1:]}


@pytest.mark.parametrize(("boot", "code"), [("this", 0), ("another", WRONG_BOOT_EXIT)])
def test_the_start_gate_asks_the_agent_which_boot_it_is(cluster: KindCluster, guest: str, boot: str, code: int) -> None:
    """Nodes share a kernel here, so a Pod cannot tell by itself."""
    pod = cluster.get("pod", GUEST)
    gate, name = pod["spec"]["initContainers"][0], f"gate-{boot}"
    (nonce,) = [one for one in gate["env"] if one["name"] == "QUORATE_NONCE"]
    if boot == "another":
        nonce["value"] = nonce["value"].partition(".")[0] + ".00000000"
    gate["volumeMounts"] = []
    spec = {"nodeName": guest, "restartPolicy": "Never", "containers": [gate]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def ended() -> dict[str, Any]:
        found = cluster.get("pod", name).get("status", {}).get("containerStatuses") or [{}]
        state: dict[str, Any] = found[0].get("state") or {}
        return state.get("terminated") or {}

    assert cluster.eventually("the gate has answered", ended)["exitCode"] == code
    cluster.kubectl("delete", "pod", name)
