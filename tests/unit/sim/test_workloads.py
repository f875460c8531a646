"""Protected Pods in steady state: as long as nothing changes, a manager writes nothing but its own Leases."""

from typing import Any

import pytest

from quorate.sim.controllers import Seen, place, steps
from quorate.sim.world import Setting, Simulation, WorkloadSetting

Json = dict[str, Any]


def writes(simulation: Simulation, from_s: float, to_s: float) -> list[str]:
    """What the managers write between these moments, but for their own Leases."""
    found: list[str] = []

    def called(_: str, method: str, path: str, __: Any) -> None:
        if method != "GET" and "/leases/" not in path:
            found.append(f"{method} {path}")

    simulation.run(from_s)
    for manager in simulation.managers.values():
        assert manager.calls is not None
        manager.calls.called = called
    simulation.run(to_s)
    return found


@pytest.mark.parametrize(("sets", "replicas", "settled_s"), [(5, 12, 60.0)])
def test_protected_pods_add_no_write_in_steady_state(sets: int, replicas: int, settled_s: float) -> None:
    workloads = {f"s{number}": WorkloadSetting(replicas, claims=True) for number in range(sets)}
    simulation = Simulation(Setting(guests={}, workloads=workloads))
    assert writes(simulation, settled_s, settled_s + 300.0) == []
    assert simulation.standins is not None
    assert simulation.standins.down() == []
    records = [len(found["status"]["pods"]) for found in map(simulation.guest, workloads) if found is not None]
    assert sum(records) == sets * replicas
    simulation.end()


def node(name: str, *taints: str, ready: str = "True") -> Json:
    spec = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def stateful_set(replicas: int = 2, **spec: Any) -> Json:
    template = {"spec": {"containers": []}}
    return {
        "metadata": {"name": "db", "namespace": "shop", "uid": "set"},
        "spec": {"replicas": replicas, "template": template, **spec},
    }


def pod(name: str, *, ready: bool = True, **metadata: Any) -> Json:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    meta = {"name": name, "namespace": "shop", "uid": name, "ownerReferences": [{"uid": "set"}], **metadata}
    return {"metadata": meta, "spec": {"nodeName": "n1"}, "status": {"conditions": conditions, "phase": "Running"}}


def asked(one: Json, *pods: Json) -> list[tuple[str, str, str]]:
    seen = Seen([one], pods, [node("n1"), node("n2")], [], [])
    return [(step.verb, step.kind, step.name) for step in steps(seen)]


def test_pods_are_made_in_order_and_one_after_the_other() -> None:
    assert asked(stateful_set()) == [("create", "Pod", "db-0")]
    assert asked(stateful_set(), pod("db-0", ready=False)) == []
    assert asked(stateful_set(), pod("db-0")) == [("create", "Pod", "db-1")]


def test_one_is_made_anew_only_when_the_old_one_is_gone() -> None:
    assert asked(stateful_set(1), pod("db-0", deletionTimestamp="x")) == []
    assert asked(stateful_set(1), pod("db-0", ownerReferences=[])) == []


def test_one_too_many_goes() -> None:
    assert asked(stateful_set(1), pod("db-0"), pod("db-1")) == [("delete", "Pod", "db-1")]


def test_claims_come_first() -> None:
    found = asked(stateful_set(1, volumeClaimTemplates=[{"metadata": {"name": "data"}}]))
    assert found == [("create", "PersistentVolumeClaim", "data-db-0"), ("create", "Pod", "db-0")]


def test_a_node_with_a_taint_or_not_ready_gets_none() -> None:
    nodes = [node("n1", "quorate.dev/fence"), node("n2", ready="Unknown"), node("n3")]
    assert place(stateful_set(), nodes, {"n3": 9}) == "n3"
    assert place(stateful_set(), nodes[:2], {}) is None
