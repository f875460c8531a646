"""In the end Quorate goes: nothing of it is left, and no node is reset for it."""

import pytest

from tests.e2e.cluster import KindCluster
from tests.e2e.play import GUEST

pytestmark = pytest.mark.kind


def test_nothing_is_left_of_it(cluster: KindCluster, guest: str) -> None:
    before = cluster.nodes()
    told = cluster.quorate("uninstall", "-y", "--timeout", "3m", limit_s=240)
    assert "Quorate is uninstalled: nothing of it is left" in told
    assert cluster.nodes() == before, f"no node was reset, {guest} neither"
    names = cluster.kubectl("get", "namespaces,crd,clusterroles,clusterrolebindings", "-o", "name")
    names += cluster.kubectl("get", "validatingadmissionpolicies,validatingadmissionpolicybindings", "-o", "name")
    assert [name for name in names.split() if "quorate" in name] == []
    assert GUEST not in cluster.kubectl("get", "pods", "-A")
