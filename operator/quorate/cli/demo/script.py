"""The story itself: what is done in each step, and what must be so afterwards, by the API and by the observer.

A container on shared storage and a virtual machine beside it. Three nodes lose one, then another; a person takes
responsibility; the nodes come back; the guests are moved home, the machine while it runs. And one guest that cannot start
goes through its limits to Error.
"""

from collections.abc import Sequence
from typing import Any, Final

from quorate.access import expected
from quorate.access.commands import give
from quorate.cli.demo import machine
from quorate.cli.demo.machine import WIN
from quorate.cli.demo.stage import Look, Stage, StepError
from quorate.cli.demo.steps import Step
from quorate.core.override import OverrideState
from quorate.core.timing import PROFILES, Profile
from quorate.core.types import GuestKey, GuestState, NodeState
from quorate.kube.resources import CLAIMS, CLUSTERS, HARESOURCES, STORAGES
from quorate.lab.files import LabFiles
from quorate.lab.journal import read_journal

CLUSTER: Final = "demo"
WEB: Final = GuestKey("default", "web")
BROKEN: Final = GuestKey("default", "broken")
TIMING: Final = PROFILES[Profile.FAST]
PROXMOX_RECOVERY_S: Final = 120.0
SOON_S: Final = 20.0
RECOVERY_S: Final = 45.0
"""Far more than it takes: the demo fails for what does not happen, not for a busy machine."""
JOURNAL: Final = "journal"


def container(*command: str) -> dict[str, Any]:
    """A pod template of one container that stops at once when it is told to."""
    one = {
        "name": "main",
        "image": "lab",
        "command": list(command),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {"container": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [one]}}}


def runs(look: Look, key: GuestKey, node: str) -> bool:
    """Started and Ready there, and meant to stay."""
    status = look.guest(key)
    return status.state is GuestState.STARTED and status.ready and status.node == node and status.target is None


def _cluster(stage: Stage) -> str:
    stage.apply(
        CLUSTERS, CLUSTER, {"timing": {"profile": str(Profile.FAST)}, "fencing": {"acceptedWatchdogs": ["External"]}}
    )
    look = stage.until("three nodes to join and vote", _whole, SOON_S)
    return f"{look.cluster.votes.live} of {look.cluster.votes.total} votes, need {look.cluster.votes.needed}"


def _whole(look: Look) -> bool:
    online = [name for name, node in look.nodes.items() if node.state is NodeState.ONLINE]
    return look.cluster.quorate and look.cluster.votes.live == 3 and len(online) == 3


def _storage(stage: Stage) -> str:
    size = {"requests": {"storage": "1Gi"}}
    stage.apply(CLAIMS, "shared", {"accessModes": ["ReadWriteMany"], "resources": size}, namespace="default")
    stage.apply(
        STORAGES,
        "shared",
        {"type": "Claim", "claim": {"namespace": "default", "name": "shared"}, "allowedNamespaces": ["default"]},
    )

    def available(look: Look) -> bool:
        return "shared" in look.storages and look.storages["shared"].state == "Available"

    look = stage.until("Storage shared to be available", available, SOON_S)
    return f"shared by {look.storages['shared'].nodes} nodes"


def _guest(stage: Stage) -> str:
    writer = ("python3", "-m", "quorate.lab.guest", "--file", f"data/{JOURNAL}")
    spec = {
        "maxRestart": 1,
        "maxRelocate": 1,
        "storage": [{"name": "shared", "path": "/data"}],
        "guest": container(*writer),
    }
    stage.apply(HARESOURCES, WEB.name, spec, namespace=WEB.namespace)
    stage.until(f"{WEB.sid} to run on node1", lambda look: runs(look, WEB, "node1"), SOON_S)
    _observed(stage, WEB, "node1")
    return f"{WEB.sid} runs on node1 and writes to shared without a pause"


def _lose_node(stage: Stage) -> str:
    stage.switch("node1", "power-off")
    look = stage.until(f"{WEB.sid} to run on node2", lambda seen: runs(seen, WEB, "node2"), RECOVERY_S)
    _observed(stage, WEB, "node2")
    beside = machine.observed(stage, "node2", "node3")
    recovery = look.guest(WEB).recovery
    if recovery is None or recovery.node != "node1" or look.nodes["node1"].state is not NodeState.FENCE:
        raise StepError(f"it runs on node2, but node1 is {look.nodes['node1'].state} and the recovery says {recovery}")
    return f"{WEB.sid} runs on node2, {WIN.sid} on {beside}; {recovery.evidence}"


def _lose_quorum(stage: Stage) -> str:
    stage.switch("node2", "power-off")
    look = stage.until("the Cluster to lose its quorum", lambda seen: not seen.cluster.quorate, RECOVERY_S)
    votes = look.cluster.votes

    def moved(seen: Look) -> str:
        status, running = seen.guest(WEB), stage.seen_running(WEB)
        if seen.cluster.quorate or status.node != "node2" or running:
            return (
                f"without quorum: quorate {seen.cluster.quorate}, {WEB.sid} on {status.node}, seen running: {running}"
            )
        return ""

    stage.hold(moved, TIMING.release_after_s)
    said = stage.look().guest(WEB).message
    if "quorum" not in said:
        raise StepError(f"{WEB.sid} does not say that it waits for quorum: {said}")
    return f"{votes.live} of {votes.total} votes, need {votes.needed}: nothing moves, and it says so"


def _expected(stage: Stage) -> str:
    found = expected.look(stage.session.api, CLUSTER)
    expected.refuse(found, 1)
    generation = expected.write(stage.session.api, CLUSTER, 1, "the demo: node1 and node2 are off")
    expected.outcome(stage.session.api, CLUSTER, 1, generation)
    stage.until(f"{WEB.sid} to run on node3", lambda look: runs(look, WEB, "node3"), RECOVERY_S)
    _observed(stage, WEB, "node3")
    machine.observed(stage, "node3")
    return "1 of 1 votes by a person's word; both run on node3"


def _come_back(stage: Stage) -> str:
    instance = stage.look().guest(WEB).instance
    for node in ("node1", "node2"):
        stage.switch(node, "power-on")

    def whole(look: Look) -> bool:
        override = look.cluster.override
        return _whole(look) and override is not None and override.state is OverrideState.SPENT

    look = stage.until("the Cluster to be whole again", whole, RECOVERY_S)
    if not runs(look, WEB, "node3") or look.guest(WEB).instance != instance:
        raise StepError(f"{WEB.sid} did not stay on node3: {look.guest(WEB).message}")
    _observed(stage, WEB, "node3")
    return f"{look.cluster.votes.live} of {look.cluster.votes.total} votes, the override is spent; it stays on node3"


def _relocate(stage: Stage) -> str:
    result = give(stage.api, WEB, "relocate", "node1")
    stage.until(f"{WEB.sid} to run on node1", lambda look: runs(look, WEB, "node1"), RECOVERY_S)
    _observed(stage, WEB, "node1")
    return result


def _fail(stage: Stage) -> str:
    script = "echo 'cannot open database: no such file'; sleep 0.3; exit 3"
    spec = {"maxRestart": 1, "maxRelocate": 1, "guest": container("sh", "-c", script)}
    stage.apply(HARESOURCES, BROKEN.name, spec, namespace=BROKEN.namespace)
    look = stage.until(
        f"{BROKEN.sid} to end in Error", lambda seen: seen.guest(BROKEN).state is GuestState.ERROR, 2 * RECOVERY_S
    )
    status = look.guest(BROKEN)
    last, starts = status.last_termination, stage.ran_on(BROKEN)
    if last is None or last.exit_code != 3 or "no such file" not in last.message:
        raise StepError(f"its last words were lost: {last}")
    if len(starts) != 4 or len(set(starts)) != 2 or starts[0] != starts[1] or starts[2] != starts[3]:
        raise StepError(f"one restart and one relocation allow two tries on each of two nodes, seen were {starts}")
    return f"two tries on {starts[0]}, two on {starts[2]}, then hands off; exit code 3: {last.message.strip()}"


def _observed(stage: Stage, key: GuestKey, node: str) -> None:
    """The observer sees it there as well, and only there, and it has begun to write its journal."""

    def confirmed(_: Look) -> bool:
        return stage.seen_running(key) == [node] == stage.wrote_on("shared", JOURNAL)[-1:]

    stage.until(f"observer and journal to see {key.sid} run on {node}", confirmed, SOON_S)


STORY: Final[tuple[Step[Stage], ...]] = (
    Step("cluster", "Create the Cluster: three nodes join", _cluster),
    Step("storage", "Add storage that all nodes share", _storage),
    Step("guest", "Put a guest under HA", _guest),
    Step("machine", "Put a virtual machine under HA", machine.add),
    Step("migrate", "Migrate it live to node1", lambda stage: machine.migrate(stage, "node1")),
    Step("node1-off", "Cut node1's power: both are recovered", _lose_node, PROXMOX_RECOVERY_S),
    Step("node2-off", "Cut node2's power: no quorum, nothing moves", _lose_quorum),
    Step("expected-1", "A person says expected 1: both run on node3", _expected, PROXMOX_RECOVERY_S),
    Step("nodes-on", "Power on node1 and node2: whole, the guests stay", _come_back),
    Step("relocate", "Move it back to node1 by hand", _relocate),
    Step("migrate-back", "Migrate the machine live to node2", lambda stage: machine.migrate(stage, "node2")),
    Step("error", "A guest that cannot start ends in Error", _fail),
)


def verdict(stage: Stage, files: LabFiles) -> str:
    """At most one running instance, by the observer's samples and by the guest's own journal. Raises StepError."""
    observer = stage.observer
    journal = read_journal(files.claims / "default" / "shared" / JOURNAL)
    _nobody_twice([*map(str, observer.violations), *journal.violations])
    seen, wrote = stage.ran_on(WEB), [run.node for run in journal.runs]
    if seen != wrote or seen != ["node1", "node2", "node3", "node1"]:
        raise StepError(f"the observer saw {WEB.sid} run on {seen}, its journal tells of {wrote}")
    other = machine.journal(files)
    _nobody_twice(other.violations)
    lines = sum(run.lines for run in (*journal.runs, *other.runs))
    return (
        f"{WEB.sid} ran on {', '.join(seen)}, {WIN.sid} on {', '.join(stage.ran_on(WIN))}, never twice at a time: "
        f"{observer.samples} looks at the processes, at most "
        f"{observer.longest_gap_s:.2f}s apart, and {lines} lines of their own journals in one piece each"
    )


def _nobody_twice(problems: Sequence[str]) -> None:
    if problems:
        raise StepError("; ".join(problems[:3]))
