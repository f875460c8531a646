"""What agents and managers use on kind while nothing happens, and what the managers write then."""

from collections.abc import Iterator
from typing import Final

from quorate.core.types import SYSTEM_NAMESPACE
from quorate.kube.resources import CLUSTERS, EVENTS, HARESOURCES, LEASES, NODES, PODS, STORAGES
from quorate.lab import processes
from tests.bench import use
from tests.bench.labs import pause
from tests.bench.lines import Line
from tests.e2e.eyes import ID
from tests.e2e.stage import WEB, KindStage

SETTLED_S: Final = 20.0
AGENT_GOAL_MIB, AGENT_GOAL_PERCENT = 40.0, 1.0
WRITTEN: Final = (CLUSTERS, NODES, HARESOURCES, STORAGES, EVENTS)
Versions = dict[str, str]


def measure(stage: KindStage, for_s: float) -> Iterator[Line]:
    """At Balanced, with a guest on one of three workers. One value for each of the four agents, and for each manager."""
    pause(SETTLED_S, "kind: agents and managers settle")
    agents, managers = _programs(stage, "quorate.agent", "quorate.agent.loop_main"), _programs(stage, "manager")
    before, cpu_s = _versions(stage), {pids: use.cpu_s(*pids) for pids in (*agents, *managers)}
    pause(for_s, "kind: counting what they use and write")
    percent = {pids: 100 * (use.cpu_s(*pids) - was_s) / for_s for pids, was_s in cpu_s.items()}
    now = _versions(stage)
    written = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
    found = [use.memory(*pids) for pids in agents]
    notes = {"rss_mib": max(one.rss for one in found), "pss_mib": max(one.pss for one in found)}
    alone = tuple(one.alone for one in found)
    yield Line("kind", "an agent, on a node without other Python programs: memory", "MiB", alone, AGENT_GOAL_MIB, notes)
    used = tuple(percent[pids] for pids in agents)
    yield Line("kind", "an agent at Balanced: processor time", "% of a core", used, AGENT_GOAL_PERCENT)
    rss = tuple(use.memory(*pids).rss for pids in managers)
    yield Line("kind", "a manager: memory (RSS)", "MiB", rss)
    yield Line(
        "kind", "a manager at Balanced: processor time", "% of a core", tuple(percent[pids] for pids in managers)
    )
    series = "writes in steady state, other than Leases of leaders and agents"
    yield Line(
        "kind",
        series,
        "",
        (float(len(written)),),
        0.0,
        {"seconds": for_s, "objects": len(before), "written": sorted(written)},
    )


def _programs(stage: KindStage, *words: str) -> list[tuple[int, ...]]:
    """The processes with one of these words on their command line, together for each Pod of the cluster."""
    found: dict[str, list[int]] = {}
    wanted, nodes = {word.encode() for word in words}, set(stage.cluster.nodes().values())
    for pid in processes.pids():
        command = processes.read_bytes(f"/proc/{pid}/cmdline") or b""
        ids = ID.findall((processes.read_bytes(f"/proc/{pid}/cgroup") or b"").decode())
        if wanted & set(command.split(b"\0")) and b"quorate" in command and nodes & set(ids):
            found.setdefault(ids[-1], []).append(pid)
    return [tuple(pids) for pids in found.values()]


def _versions(stage: KindStage) -> Versions:
    """Of everything that the managers write: our objects, the guest, Events about them, and Leases but the leaders'."""
    api = stage.api
    found = [(kind.kind, one) for kind in WRITTEN for one in api.items(kind.path())]
    found += [(PODS.kind, one) for one in api.items(PODS.path(namespace=WEB.namespace))]
    found += [(LEASES.kind, one) for one in api.items(LEASES.path(namespace=SYSTEM_NAMESPACE)) if not _is_leaders(one)]
    return {
        f"{kind} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
        for kind, one in found
        if kind != EVENTS.kind or str(one.get("reportingController", "")).startswith("quorate.dev")
    }


def _is_leaders(lease: dict[str, object]) -> bool:
    metadata = lease["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"]).startswith("manager")
