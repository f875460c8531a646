"""In the end Quorate goes: nothing of it is left, and no node is reset for it."""

from typing import Final

import pytest

from quorate.core.types import PART_OF, PART_OF_LABEL
from tests.e2e.cluster import KindCluster
from tests.e2e.play import GUEST

pytestmark = pytest.mark.kind
KINDS: Final = (
    "namespaces,crd,clusterroles,clusterrolebindings,roles,rolebindings,validatingadmissionpolicies,"
    "validatingadmissionpolicybindings,pods,leases,controllerrevisions"
)


def test_nothing_is_left_of_it(cluster: KindCluster, guest: str) -> None:
    before = cluster.nodes()
    told = cluster.quorate("uninstall", "-y", "--timeout", "3m", limit_s=240)
    assert "Quorate is uninstalled: nothing of it is left" in told
    assert cluster.nodes() == before, f"no node was reset, {guest} neither"
    ours = cluster.kubectl("get", KINDS, "-A", "-l", f"{PART_OF_LABEL}={PART_OF}", "-o", "name")
    assert ours == ""
    names = cluster.kubectl("get", "namespaces,crd", "-o", "name").split()
    assert [name for name in names if name.endswith(("quorate-system", "quorate-agents", "quorate.dev"))] == []
    assert GUEST not in cluster.kubectl("get", "pods", "-A")
