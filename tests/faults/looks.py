"""What several fault tests look for."""

from quorate.kube.resources import HARESOURCES
from tests.lab.scene import WEB, Scene


def last_seen_before_first_seen(scene: Scene) -> bool:
    """The observer saw the end of the first instance before the beginning of the second."""
    first, second = scene.observer.history()[f"{WEB.namespace}/{WEB.name}"]
    return first.last_s < second.first_s


async def gone(scene: Scene) -> None:
    """The guest has stopped, and nothing of it is left."""
    await scene.until("the HAResource to go", lambda: not scene.raw(HARESOURCES, WEB.name, WEB.namespace))
    assert scene.pod() == {}
    await scene.until("the observer to see nothing run", lambda: scene.seen_on() == [])


def pid(scene: Scene, word: str) -> int | None:
    """Of the process of node1 with that word in its command line."""
    found = scene.find(word, NODE="node1")
    return found.pid if found is not None else None


def finalizers(raw: dict[str, object]) -> list[str]:
    metadata = raw["metadata"]
    assert isinstance(metadata, dict)
    return list(metadata.get("finalizers") or [])


def armed(scene: Scene, node: str) -> bool:
    said = scene.attested(node)
    return said is not None and said.armed
