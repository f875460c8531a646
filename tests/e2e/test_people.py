"""What people do to a guest's Pod by force: most of it is refused, and the rest proves nothing."""

from collections.abc import Iterator
from typing import Final

import pytest

from quorate.lab.observer import Observer
from tests.e2e import eyes
from tests.e2e.cluster import OVERLAY, KindCluster
from tests.e2e.machine import KindError, run
from tests.e2e.play import GUEST, all_beat, at_rest, refused, runs_once, started_anew, status

pytestmark = pytest.mark.kind

FORCE: Final = ("delete", "pod", GUEST, "--force", "--grace-period=0", "--wait=false")
LET_GO: Final = ("patch", "pod", GUEST, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
MUST_STAY: Final = "finalizer quorate.dev/instance must stay"
BINDINGS: Final = ("quorate-guest-deletes", "quorate-guest-marks")


@pytest.fixture
def unguarded(cluster: KindCluster, guest: str) -> Iterator[str]:
    """The last resort that the refusals name; afterwards, as they say, the manifests are applied again."""
    cluster.kubectl("delete", "validatingadmissionpolicybinding", *BINDINGS)
    yield guest
    cluster.kubectl("apply", "-k", str(OVERLAY))
    cluster.eventually("it is guarded again", lambda: is_guarded(cluster))


def is_guarded(cluster: KindCluster) -> bool:
    try:
        cluster.kubectl(*LET_GO, "--dry-run=server")
    except KindError as error:
        return MUST_STAY in str(error)
    return False


def test_nobody_deletes_the_pod_of_a_guest_by_force(cluster: KindCluster, guest: str, observer: Observer) -> None:
    """Not the administrator either: neither without grace, nor by taking our finalizer off."""
    instance = status(cluster)["instance"]
    assert "only its kubelet and the manager delete it" in refused(lambda: cluster.kubectl(*FORCE))
    assert MUST_STAY in refused(lambda: cluster.kubectl(*LET_GO))
    all_beat(cluster)
    assert status(cluster)["instance"] == instance
    assert runs_once(cluster, observer) == guest


def test_a_pod_that_was_torn_out_of_the_api_proves_nothing(
    cluster: KindCluster, unguarded: str, observer: Observer
) -> None:
    """Its process runs on where the kubelet is not there to end it: no other starts until the agent says that it has."""
    before = status(cluster)["instance"]
    _, container = eyes.only(cluster, GUEST)
    run("docker", "exec", unguarded, "systemctl", "stop", "kubelet")
    try:
        cluster.eventually("nobody guards the Pod any more", lambda: cluster.kubectl(*FORCE))
        cluster.eventually("its finalizer is off", lambda: cluster.kubectl(*LET_GO))
        cluster.eventually(
            "the agent is asked", lambda: "without proof of its end" in status(cluster).get("message", "")
        )
        all_beat(cluster)
        assert eyes.only(cluster, GUEST) == (unguarded, container)
    finally:
        run("docker", "exec", unguarded, "systemctl", "start", "kubelet")
    cluster.eventually("the guest was started anew", lambda: started_anew(cluster, before))
    at_rest(cluster)
    runs_once(cluster, observer)
    assert status(cluster)["lastTermination"]["reason"] == "PodVanished"
    assert status(cluster).get("restarts", 0) == 0, "a planned end is no failure"
