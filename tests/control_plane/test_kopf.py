"""kopf, as the manager embeds it: on.event handlers, clusterwide, selecting on the server."""

import asyncio
import threading
from collections.abc import Iterator

import kopf
import pytest

from tests.control_plane.client import Api
from tests.control_plane.objects import guest, guests, pod, pods
from tests.control_plane.servers import LIMIT_S, eventually

LABEL = "quorate.dev/guest"


class Operator:
    """Runs in a thread of its own and remembers what it was told: (kind, type, namespace, name)."""

    def __init__(self, api: Api) -> None:
        self.told: list[tuple[str, str, str, str]] = []
        self._stop, self._ready = threading.Event(), threading.Event()
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login(api))
        kopf.on.event("quorate.dev", "v1alpha1", "haresources", registry=registry)(self._hear("HAResource"))
        kopf.on.event("", "v1", "pods", registry=registry)(self._hear("Pod"))
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.watching.inactivity_timeout = 5
        settings.watching.label_selectors["", "v1", "pods"] = LABEL
        self._thread = threading.Thread(target=self._run, args=(registry, settings))

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(LIMIT_S)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def _run(self, registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings) -> None:
        asyncio.run(
            kopf.operator(
                registry=registry,
                settings=settings,
                clusterwide=True,
                standalone=True,
                ready_flag=self._ready,
                stop_flag=self._stop,
            )
        )

    def _hear(self, kind: str):
        def heard(type: str | None, namespace: str, name: str, **_: object) -> None:  # noqa: A002
            self.told.append((kind, type or "ADDED", namespace, name))  # None: found by the first list

        return heard

    def _login(self, api: Api):
        def login(**_: object) -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(server=api.server, ca_path=api.authority, token=api.token or None)

        return login


@pytest.fixture
def operator(api: Api) -> Iterator[Operator]:
    running = Operator(api)
    running.start()
    yield running
    running.stop()


def test_kopf_hears_of_guests_and_of_their_pods_only(api, operator, namespace):
    def told(*expected):
        eventually(lambda: set(expected) <= set(operator.told), limit_s=20)

    def about(kind, type_, name="web"):
        return (kind, type_, namespace, name)

    api.post(pods(namespace), pod("other", node="node1")).ok()
    api.post(guests(namespace), guest("web")).ok()
    api.post(pods(namespace), pod("web", node="node1", labels={LABEL: "web"})).ok()
    told(about("HAResource", "ADDED"), about("Pod", "ADDED"))
    api.merge(f"{guests(namespace)}/web/status", {"status": {"state": "Started"}}).ok()
    api.merge(f"{pods(namespace)}/web/status", {"status": {"phase": "Running"}}).ok()
    told(about("HAResource", "MODIFIED"), about("Pod", "MODIFIED"))
    api.delete(f"{guests(namespace)}/web").ok()
    api.delete(f"{pods(namespace)}/web", {"gracePeriodSeconds": 0}).ok()
    told(about("HAResource", "DELETED"), about("Pod", "DELETED"))
    assert not [one for one in operator.told if one[3] == "other"]
    found = api.get(f"{pods(namespace)}/other").ok()["metadata"]
    assert not {"finalizers", "annotations"} & set(found), "kopf wrote nothing"
