"""`make kind-demo`: the story on a kind cluster, with the commands that a person would type.

Like the demo of the lab (quorate.cli.demo), on the cluster of kind-config.yaml: it is brought up where it is not there, and
stays. What is done and seen is printed step by step; the guest must never be seen on two nodes at once.
"""

from typing import Final

from quorate.access.errors import CliError
from quorate.cli.demo.screen import shown
from quorate.cli.demo.stage import StepError
from quorate.cli.demo.steps import Step, played, tell
from quorate.cli.output import console, note
from quorate.core.timing import PROFILES, Profile
from tests.e2e.cluster import LIMIT_S, KindCluster
from tests.e2e.machine import KindError
from tests.e2e.play import SAMPLES, devices_ready, give_device, relocate, take_device
from tests.e2e.stage import WEB, KindStage, is_whole, observed

PROXMOX_S: Final = 120.0
TIMING: Final = PROFILES[Profile.FAST]


def node_of(stage: KindStage) -> str:
    return str(stage.look().guest(WEB).node)


def _begin(stage: KindStage) -> str:
    """docker's nodes become members, and one of them gets the guest."""
    node = stage.healed().guest(WEB).node
    stage.runs_on(str(node))
    votes = stage.look().cluster.votes
    return f"{votes.live} of {votes.total} votes, need {votes.needed}; {WEB.sid} runs on {node}"


def _lose(stage: KindStage, verb: str) -> str:
    node = node_of(stage)
    stage.switch(node, verb)
    look = stage.recovered(node)
    recovery = look.guest(WEB).recovery
    if recovery is None or recovery.node != node:
        raise StepError(f"it runs on {look.guest(WEB).node}, and its recovery from {node} is not told: {recovery}")
    return f"runs on {look.guest(WEB).node}; {recovery.evidence}"


def _power_off(stage: KindStage) -> str:
    return _lose(stage, "power-off")


def _power_on(stage: KindStage) -> str:
    """The guest stays where it is."""
    before = stage.look().guest(WEB)
    look = stage.healed()
    if look.guest(WEB).instance != before.instance:
        raise StepError(f"{WEB.sid} did not stay on {before.node}: {look.guest(WEB).message}")
    return f"{look.cluster.votes.live} of {look.cluster.votes.total} votes; {WEB.sid} stays on {before.node}"


def _freeze(stage: KindStage) -> str:
    return _lose(stage, "freeze")


def _lose_two(stage: KindStage) -> str:
    stage.healed()
    node = node_of(stage)
    other = next(one for one in stage.cluster.workers() if one != node)
    for one in (node, other):
        stage.switch(one, "power-off")
    look = stage.until("the cluster to lose its quorum", lambda seen: not seen.cluster.quorate, LIMIT_S)

    def moved(_: object) -> str:
        return f"without quorum {WEB.sid} runs on {found}" if (found := stage.seen_running(WEB)) else ""

    stage.hold(moved, TIMING.release_after_s)
    votes = look.cluster.votes
    return f"{votes.live} of {votes.total} votes, need {votes.needed}: nothing moves"


def _expected(stage: KindStage) -> str:
    (left,) = stage.cluster.workers()
    command = ("cluster", "expected", "1", "--reason", "two racks have burnt", "-y")
    stage.cluster.eventually("expected 1 to be accepted", lambda: stage.cluster.quorate(*command))
    stage.runs_on(left)
    return f"1 of 1 votes by a person's word; runs on {left}"


def _relocate(stage: KindStage) -> str:
    node = next(one for one in stage.cluster.workers() if one != node_of(stage))
    relocate(stage.cluster, node)
    stage.runs_on(node)
    return f"runs on {node}"


def _drill(stage: KindStage) -> str:
    """Of another worker, which the guest moves to then."""
    node = next(one for one in stage.cluster.workers() if one != node_of(stage))
    give_device(stage.cluster, node)
    told = stage.cluster.quorate("drill", node, "--wait", "-y", limit_s=600)
    stage.healed()
    stage.cluster.eventually(f"the device of {node} to be proven", lambda: devices_ready(stage.cluster, node))
    relocate(stage.cluster, node)
    return f"{told.strip()}; {WEB.sid} moves there"


def _cut(stage: KindStage) -> str:
    node = node_of(stage)
    said = _lose(stage, "cut")
    stage.until("the power of the node to be on again", is_whole, LIMIT_S)
    take_device(stage.cluster, node)
    return said


def _verdict(stage: KindStage) -> str:
    """At most one instance at any time, by the observer's looks."""
    seen, observer = stage.ran_on(WEB), stage.observer
    return (
        f"{WEB.sid} ran on {', '.join(seen)}, never twice at a time: {observer.samples} looks at the processes of all "
        f"nodes, at most {observer.longest_gap_s:.2f}s apart"
    )


STORY: Final[tuple[Step[KindStage], ...]] = (
    Step("join", "kubectl apply -f manifests/samples/kind.yaml: three workers join, and a guest runs", _begin),
    Step("power-off", "docker kill: the guest's worker loses power, and it is recovered", _power_off, PROXMOX_S),
    Step("power-on", "docker start: the cluster is whole again, and the guest stays", _power_on),
    Step(
        "freeze",
        "docker pause: its worker freezes, and is killed from outside before it could thaw",
        _freeze,
        PROXMOX_S,
    ),
    Step("lose-two", "docker kill, twice: one vote of three is left, no quorum, nothing moves", _lose_two),
    Step("expected", "quorate cluster expected 1: a person says so, and the last worker runs it", _expected, PROXMOX_S),
    Step("whole", "docker start, twice: whole again, the guest stays", _power_on),
    Step("relocate", "quorate relocate: it is moved by hand", _relocate),
    Step("drill", "quorate drill: the power switch of a worker is proven, by fence_docker", _drill),
    Step("cut", "iptables: its worker is cut off and runs on, until it is switched off", _cut, PROXMOX_S),
    Step("at-most-once", "At most one instance ever ran", _verdict),
)


def play(cluster: KindCluster) -> int:
    """0 if every step went as the story says. Raises KindError when the cluster cannot be begun with."""
    cluster.kubectl("apply", "-f", str(SAMPLES / "kind.yaml"))
    with observed(cluster) as observer, shown(console(), [step.title for step in STORY]) as screen:
        records = played(KindStage(cluster, observer, screen), STORY, screen, (StepError, KindError, CliError))
    ok = tell(records)
    note("The cluster stays, to be played with: quorate status. make kind-down removes it.")
    return 0 if ok else 1
