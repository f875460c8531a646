"""Between client and server: what is cut, slow, lost or late, and what a watch makes of it."""

from typing import Any

import pytest

from quorate.core.types import Instant
from quorate.sim.engine import Engine, Process
from quorate.sim.server import FAIR, PODS, ApiServer, Link, Weather
from quorate.sim.store import Event
from quorate.sim.watches import Watch

POD = {"metadata": {"name": "web"}, "spec": {"nodeName": "n1", "containers": []}}
PATH = "/api/v1/namespaces/default/pods"


class Rig:
    """A server, a client, and what it heard."""

    def __init__(self) -> None:
        self.engine = Engine()
        numbers = iter(range(1, 1000))
        self.server = ApiServer(self.engine, lambda: f"uid-{next(numbers)}", lambda: Instant(0))
        space = {"metadata": {"name": "default"}, "spec": {"finalizers": ["kubernetes"]}}
        self.server.store.create(self.server.store.resources["namespaces"], "", space)
        self.link = Link(self.server, "n1", "seed")
        self.process = Process(self.engine)
        self.answers: list[tuple[int, float]] = []
        self.heard: list[str] = []

    def send(self, method: str = "POST", path: str = PATH, body: Any = POD, query: Any = None) -> None:
        self.link.send(self.process, method, path, body, query, 2.0, self._answered)

    def _answered(self, code: int, _: Any) -> None:
        self.answers.append((code, round(self.engine.now_s, 1)))

    def watch(self) -> Watch:
        def heard(event: Event) -> None:
            self.heard.append((event.new or event.old)["metadata"]["name"])

        made = Watch(self.link, self.process, (PODS.table,), lambda _: True, heard, self._listed)
        made.begin()
        return made

    def _listed(self) -> None:
        self.heard.append("list")

    @property
    def pods(self) -> int:
        return len(self.server.store.listed(PODS))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_request_is_answered_and_the_answer_takes_its_time(rig):
    rig.send()
    assert rig.pods == 0
    rig.engine.run(1)
    assert (rig.answers, rig.pods) == ([(200, 0.0)], 1)
    rig.send()
    rig.engine.run(2)
    assert rig.answers[1][0] == 409


def test_what_is_cut_off_from_the_api_arrives_and_is_not_heard_of(rig):
    rig.link.cut(to_api=False)
    rig.send()
    rig.engine.run(10)
    assert (rig.answers, rig.pods) == ([(0, 2.0)], 1)


def test_what_is_cut_off_to_the_api_does_not_arrive(rig):
    rig.link.cut(from_api=False)
    rig.send()
    rig.engine.run(10)
    assert (rig.answers, rig.pods) == ([(0, 2.0)], 0)


@pytest.mark.parametrize(
    ("weather", "answer", "pods"),
    [
        (Weather(down=True), (0, 0.0), 0),
        (Weather(lost=1.0), (0, 2.0), 1),
        (Weather(late=1.0), (0, 2.0), 1),
        (FAIR, (200, 0.0), 1),
    ],
)
def test_bad_weather(rig, weather, answer, pods):
    rig.link.weather = weather
    rig.send()
    rig.engine.run(20)
    assert (rig.answers, rig.pods) == ([answer], pods)


def test_an_error_is_refused_and_nothing_done(rig):
    rig.server.weather = Weather(error=1.0)
    rig.send()
    rig.engine.run(20)
    assert rig.answers[0][0] in {429, 500, 503, 504}
    assert rig.pods == 0


def test_a_list_is_made_anew_when_its_kind_has_changed(rig):
    query = {"fieldSelector": "spec.nodeName=n1"}
    first = rig.server.answer("GET", "/api/v1/pods", None, query, "")[1]["items"]
    rig.send()
    rig.engine.run(1)
    assert (first, len(rig.server.answer("GET", "/api/v1/pods", None, query, "")[1]["items"])) == ([], 1)


def test_a_dry_run_leaves_nothing(rig):
    bad = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "refused"}]}}
    assert rig.server.answer("POST", PATH, bad, {"dryRun": "All"}, "")[0] == 422
    assert rig.server.answer("POST", PATH, POD, {"dryRun": "All"}, "")[0] == 200
    assert rig.pods == 0


class TestWatch:
    def test_tells_of_changes_a_moment_later(self, rig):
        rig.watch()
        rig.send()
        rig.engine.run(1)
        assert rig.heard == ["list", "web"]

    def test_catches_up_when_the_link_is_healed(self, rig):
        rig.watch()
        rig.link.cut()
        rig.server.answer("POST", PATH, POD, None, "")
        rig.engine.run(10)
        assert rig.heard == ["list"]
        rig.link.heal()
        rig.engine.run(20)
        assert rig.heard == ["list", "web"]

    def test_lists_anew_when_an_old_copy_was_put_back_under_a_change_that_was_on_its_way(self, rig):
        rig.watch().lag_s = 5.0
        copy = (rig.server.store.everything(), rig.server.store.version)
        rig.server.answer("POST", PATH, POD, None, "")
        rig.engine.run(1)
        rig.server.restore(*copy)
        rig.engine.run(20)
        assert rig.heard == ["list", "list"]
        rig.server.answer("POST", PATH, POD, None, "")
        rig.engine.run(40)
        assert rig.heard[-1] == "web"

    def test_ends(self, rig):
        rig.watch().end()
        rig.server.answer("POST", PATH, POD, None, "")
        rig.engine.run(20)
        assert rig.heard == ["list"]
