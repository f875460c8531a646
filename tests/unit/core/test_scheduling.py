"""Which mode is in force, and what the Cluster says when it is not the one that was asked for."""

from dataclasses import replace

import pytest

from quorate.core.load import Size, Usage
from quorate.core.plan import plan
from quorate.core.scheduling import METRICS_AGE_S, in_force
from quorate.core.types import Instant, NodeState, SchedulingMode
from quorate.core.world import Scheduling
from tests.unit.core.test_ledger import member
from tests.unit.core.worlds import WALL, node, world

OLD = Instant(WALL - METRICS_AGE_S * 1000 - 1)


def measured(name, at=WALL, **changes):
    return member(name, usage=Usage(Size(100, 100), at), **changes)


def asked(mode, *nodes):
    made = world(nodes=nodes)
    spec = replace(made.cluster.spec, scheduling=Scheduling(mode))
    return replace(made, cluster=replace(made.cluster, spec=spec))


def found(mode, *nodes):
    made = asked(mode, *nodes)
    return in_force(made, {one.name: one.status for one in made.nodes})


@pytest.mark.parametrize(
    ("mode", "nodes", "in_use", "reason"),
    [
        ("Basic", (node("n1"),), "Basic", None),
        ("Static", (member("n1"),), "Static", "Static"),
        ("Static", (member("n1"), node("n2")), "Static", "AllocatableUnknown"),
        ("Dynamic", (measured("n1"), measured("n2")), "Dynamic", "Dynamic"),
        ("Dynamic", (measured("n1"), member("n2")), "Static", "MetricsAbsent"),
        ("Dynamic", (measured("n1"), measured("n2", OLD)), "Static", "MetricsTooOld"),
        ("Dynamic", (measured("n1"), measured("n2", OLD, status={"state": NodeState.UNKNOWN})), "Dynamic", "Dynamic"),
    ],
)
def test_the_mode_in_force(mode, nodes, in_use, reason):
    seen = found(SchedulingMode(mode), *nodes)
    assert seen.mode == in_use
    assert (seen.finding.reason if seen.finding is not None else None) == reason


def test_the_condition_names_nodes_and_remedy():
    said = found(SchedulingMode.DYNAMIC, measured("n1"), member("n2")).finding
    assert not said.holds
    assert said.message == (
        "requests decide, as in mode Static: metrics.k8s.io says nothing of n2: install metrics-server (kubectl top nodes "
        "shows whether it works), or set spec.scheduling.mode to Static"
    )


def test_it_stands_on_the_cluster_and_goes_with_the_mode():
    def conditions(mode):
        (status,) = [one.status for one in plan(asked(mode, member("n1"))).statuses if one.ref.kind == "Cluster"]
        return {one.type: one.status for one in status.conditions}

    assert conditions(SchedulingMode.DYNAMIC)["SchedulingInForce"] == "False"
    assert conditions(SchedulingMode.STATIC)["SchedulingInForce"] == "True"
    assert "SchedulingInForce" not in conditions(SchedulingMode.BASIC)
