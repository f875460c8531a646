"""Faults that are to do nothing: how everything was before, and that it was kept."""

from quorate.core.timing import PROFILES, Profile
from quorate.kube.resources import CLUSTERS
from tests.lab.scene import Scene


async def use(scene: Scene, profile: Profile) -> None:
    """The Cluster's profile from now on; returns when every agent keeps its times."""
    scene.api.merge(CLUSTERS.path(scene.name), {"spec": {"timing": {"profile": profile.value}}}).ok()
    timing = PROFILES[profile]

    def kept() -> bool:
        said = [scene.attested(name) for name in scene.names()]
        return all(
            one is not None
            and one.timeout_s == timing.timeout_s
            and (not one.armed or one.watchdog_s == timing.watchdog_s)
            for one in said
        )

    await scene.until(f"every agent to keep the times of {profile.value}", kept)


class Quiet:
    """How everything was before a fault that is to do nothing."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.names = scene.names()
        self.guest = scene.guest()
        self.boots = self._boots()
        self.suspicions = self._suspicions()

    async def assert_kept(self) -> None:
        """Later, when every node has renewed anew and the managers have obeyed a person: nothing had happened."""
        scene = self.scene
        before = {name: sequence(scene, name) for name in self.names}
        await scene.until("all to renew", lambda: all(sequence(scene, n) > before[n] + 2 for n in self.names))
        await scene.until_whole()
        assert self._boots() == self.boots
        assert self._suspicions() == self.suspicions
        scene.assert_stays(self.guest)
        assert (await scene.command("relocate node1")).result == "it is on node1 already"
        assert self._boots() == self.boots
        scene.assert_stays(self.guest)

    def _boots(self) -> dict[str, int]:
        return {name: self.scene.machine(name)["boot"] for name in self.names}

    def _suspicions(self) -> dict[str, list[str]]:
        return {name: self.scene.suspicions(name) for name in self.names}


def sequence(scene: Scene, node: str) -> int:
    said = scene.attested(node)
    return said.sequence if said is not None else 0


def resets_of(scene: Scene, node: str) -> int:
    """How often its watchdog has killed it."""
    return scene.log("watchdog").count(f"{node}: killed")
