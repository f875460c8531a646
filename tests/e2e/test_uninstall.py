"""In the end: what was seen all along; and Quorate goes, nothing of it is left, and no node is reset for it."""

from itertools import pairwise
from typing import Final

import pytest

from quorate.core.types import PART_OF, PART_OF_LABEL
from quorate.lab.observer import Observer
from tests.e2e.cluster import KindCluster
from tests.e2e.play import GUEST

pytestmark = pytest.mark.kind
KINDS: Final = (
    "namespaces,crd,clusterroles,clusterrolebindings,roles,rolebindings,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings,pods,leases,controllerrevisions"
)


def test_from_outside_the_guest_was_seen_once_at_any_time(guest: str, observer: Observer) -> None:
    """What the processes on all nodes showed from the first start to here."""
    assert observer.violations == []
    seen = observer.history()[GUEST]
    assert seen[-1].instance.node == guest
    assert all(earlier.last_s < later.first_s for earlier, later in pairwise(seen))


def test_nothing_is_left_of_it(cluster: KindCluster, guest: str) -> None:
    before = cluster.nodes()
    told = cluster.quorate("uninstall", "-y", "--timeout", "3m", limit_s=240)
    assert "Quorate is uninstalled: nothing of it is left" in told
    assert cluster.nodes() == before, f"no node was reset, {guest} neither"
    ours = cluster.kubectl("get", KINDS, "-A", "-l", f"{PART_OF_LABEL}={PART_OF}", "-o", "name")
    assert ours == ""
    names = cluster.kubectl("get", "namespaces,crd", "-o", "name").split()
    assert [name for name in names if name.endswith(("quorate-system", "quorate-agents", "quorate.dev"))] == []
    assert f" {GUEST} " not in cluster.kubectl("get", "pods", "-A")
