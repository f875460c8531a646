"""A kind cluster as a stage: acted on by docker, looked at through the API as a person sees it, watched by the observer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from quorate.cli.demo.screen import Screen
from quorate.cli.demo.script import runs
from quorate.cli.demo.stage import Look, Stage
from quorate.core.types import GuestKey, NodeState
from quorate.lab.observer import Observer
from tests.e2e import eyes
from tests.e2e.cluster import LIMIT_S, KindCluster
from tests.e2e.play import GUEST, SAMPLES, WORKERS

WEB: Final = GuestKey("default", GUEST)
INTERVAL_S: Final = 0.2


class KindStage(Stage):
    """The nodes are containers, and the guest is that of the sample kind.yaml."""

    def __init__(self, cluster: KindCluster, observer: Observer, screen: Screen) -> None:
        super().__init__("", cluster.kubeconfig, observer, screen)
        self.cluster = cluster

    def switch(self, node: str, verb: str) -> None:
        """Do what befalls a machine, or take it back."""
        deeds: dict[str, Callable[[str], None]] = {
            "power-off": self.cluster.power_off,
            "power-on": self.cluster.power_on,
            "freeze": self.cluster.freeze,
            "cut": self.cluster.unplug_network,
        }
        deeds[verb](node)

    def runs_on(self, node: str) -> Look:
        """Wait until the guest runs there, and only there, by the API and by its processes. Raises StepError."""

        def confirmed(look: Look) -> bool:
            return runs(look, WEB, node) and self.seen_running(WEB) == [node]

        return self.until(f"{WEB.sid} to run on {node}", confirmed, LIMIT_S)

    def recovered(self, lost: str) -> Look:
        """Wait until the guest of a node that is lost runs elsewhere. Raises StepError."""

        def elsewhere(look: Look) -> bool:
            node = str(look.guest(WEB).node)
            return node != lost and runs(look, WEB, node) and self.seen_running(WEB) == [node]

        return self.until(f"{WEB.sid} of {lost} to run elsewhere", elsewhere, LIMIT_S)

    def healed(self) -> Look:
        """Wait until all is whole, and managers and agents are ready to lose a node again. Raises StepError, KindError."""
        self.cluster.all_on()
        self.until("the cluster to be whole", is_whole, LIMIT_S)
        self.cluster.rolled_out()
        return self.until("the cluster to be whole still", is_whole, LIMIT_S)


def is_whole(look: Look) -> bool:
    """All workers vote and are Online, no incident is open, and the guest runs where it is to stay."""
    nodes = look.nodes.values()
    online = [node.state for node in nodes] == [NodeState.ONLINE] * WORKERS
    at_rest = runs(look, WEB, str(look.guest(WEB).node))
    return look.cluster.votes.live == WORKERS and online and at_rest and not any(node.incident for node in nodes)


@contextmanager
def observed(cluster: KindCluster) -> Iterator[Observer]:
    """Watches the processes of the sample's guest on all nodes that are on now."""
    command = eyes.command_of(SAMPLES / "kind.yaml", GUEST)
    with Observer(eyes.NodeEye(f"{WEB.namespace}/{WEB.name}", command, cluster.nodes()), INTERVAL_S) as observer:
        yield observer
