"""Where guests may run: by an armed watchdog, by proven fence devices, or because the Cluster takes the risk."""

from dataclasses import replace

import pytest

from quorate.core.guard import finding, guarded_by_devices, ready_for_guests, without_watchdog
from quorate.core.members import _watchdog_finding
from quorate.core.sequence import Distrust, FenceDevice, Power, Proven, spec_of
from quorate.core.types import EvidenceKind, WatchdogKind
from quorate.core.world import ClusterSpec
from tests.unit.core.worlds import WALL, beat, node, said, world

BMC, PDU = FenceDevice("bmc", "a"), FenceDevice("pdu", "b", level=2)
SPEC = ClusterSpec(accepted_watchdogs=(WatchdogKind.HARDWARE,))
RISKY = replace(SPEC, start_without_proof=True)


def drilled(*devices):
    return tuple(Proven(one.level, spec_of((one,), one.level), WALL, 1, "n1.0", "n1.1") for one in devices)


def bare(*devices, proven=(), distrusted=()):
    """Its watchdog is of a kind that nobody accepts here."""
    return node("n1", devices=devices, status={"power": Power(proven=proven, distrusted=distrusted)})


def test_an_armed_watchdog_is_enough():
    accepts = replace(SPEC, accepted_watchdogs=(WatchdogKind.EXTERNAL,))
    assert ready_for_guests(node("n1"), accepts)
    assert not ready_for_guests(node("n1"), SPEC)


def test_so_is_a_device_that_a_drill_has_proven():
    assert ready_for_guests(bare(BMC, proven=drilled(BMC)), SPEC)
    assert not ready_for_guests(bare(BMC), SPEC)


@pytest.mark.parametrize(
    ("view", "spec"),
    [
        (bare(BMC, PDU, proven=drilled(PDU)), SPEC),  # level 1 is asked first, and what it says ends it
        (bare(BMC, proven=drilled(BMC)), replace(SPEC, accepted_evidence=(EvidenceKind.DRAINED,))),
        (bare(replace(BMC, spec="new"), proven=drilled(BMC)), SPEC),
        (bare(BMC, distrusted=(Distrust(1, spec_of((BMC,), 1), "lied", WALL),)), SPEC),
    ],
)
def test_but_no_other(view, spec):
    assert not guarded_by_devices(view, spec)
    assert not ready_for_guests(view, spec)


def test_a_level_that_is_distrusted_leaves_it_to_the_next():
    lied = Distrust(1, spec_of((BMC,), 1), "lied", WALL)
    assert guarded_by_devices(bare(BMC, PDU, proven=drilled(PDU), distrusted=(lied,)), SPEC)


def test_or_the_cluster_takes_the_risk():
    assert without_watchdog(bare(), RISKY) == "the Cluster says startWithoutProof"
    assert ready_for_guests(bare(), RISKY)


def test_an_accepted_watchdog_must_be_armed_all_the_same():
    accepts = replace(RISKY, accepted_watchdogs=(WatchdogKind.EXTERNAL,))
    unarmed = node("n1", beat=beat("n1", attestation=said("n1", armed=False)), devices=(BMC,))
    assert not ready_for_guests(unarmed, accepts)


def test_a_boot_that_is_not_the_one_in_the_status_runs_none():
    assert not ready_for_guests(replace(bare(), beat=beat("n1", holder="n1.9")), RISKY)


def test_the_node_says_what_it_gets_guests_by():
    made = world(nodes=(bare(),))

    def says(view, spec):
        cluster = replace(made.cluster, spec=spec)
        found = _watchdog_finding(replace(made, nodes=(view,), cluster=cluster), view, view.status)
        return found.holds, found.reason

    assert says(bare(BMC, proven=drilled(BMC)), SPEC) == (False, "GuardedByDevices")
    assert says(bare(), RISKY) == (False, "StartsWithoutProof")
    assert says(bare(), SPEC)[0] is False


def test_the_cluster_says_which_nodes_are_the_risk():
    assert finding((bare(),), SPEC) is None
    found = finding((bare(), replace(bare(), name="n2")), RISKY)
    assert (found.holds, found.reason) == (False, "StartsWithoutProof")
    assert "guests start on n1, n2, and when such a node is lost" in found.message
    assert finding((bare(BMC, proven=drilled(BMC)),), RISKY).holds
