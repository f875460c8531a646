"""What an agent says of Storages: what it believes of a look, and helpers that hang, fail, or say what makes no sense."""

import io
import json
import sys
import threading
from dataclasses import replace

import pytest

from quorate.agent import storage_look, storage_watch
from quorate.agent.orders import parse_probes
from quorate.agent.storage_watch import AGAIN_S, LOOK_EVERY_S, Helper, StorageWatch
from quorate.api.reach import decode
from quorate.api.wire import to_wire
from quorate.core.storage import MAX_PROBES, MAX_WHY, Probe, Reach
from quorate.core.types import Nonce, Uid

NAS = Probe(Uid("a"), "media", "nas", "/export", 2049, 0, (4, 3))
TAPE = replace(NAS, id=Uid("b"), storage="tape")
GOOD, BAD = Reach(Uid("a"), True, "", 40, 100), Reach(Uid("a"), False, "no answer")


class Looker:
    """Finds what it is told to find."""

    def __init__(self) -> None:
        self.found: list[Reach] | None = []

    def look(self, _: tuple[Probe, ...]) -> list[Reach] | None:
        return self.found


@pytest.fixture
def looker():
    return Looker()


@pytest.fixture
def wanted():
    return [NAS]


@pytest.fixture
def watch(wanted):
    return StorageWatch(Nonce("n1"), lambda: tuple(wanted))


def said(watch):
    return decode(watch.text, "n1")


def test_before_the_first_look_nothing_is_changed(watch):
    assert watch.text is None


def test_what_is_reached_is_said_at_once(watch, looker):
    looker.found = [GOOD]
    assert watch.round(looker) == LOOK_EVERY_S
    assert said(watch) == (GOOD,)


def test_one_answer_may_get_lost(watch, looker):
    looker.found = [GOOD]
    watch.round(looker)
    looker.found = [BAD]
    assert watch.round(looker) == AGAIN_S
    assert said(watch) == (GOOD,)
    assert watch.round(looker) == LOOK_EVERY_S
    assert said(watch) == (BAD,)
    looker.found = [GOOD]
    watch.round(looker)
    assert said(watch) == (GOOD,)
    looker.found = [BAD]
    assert watch.round(looker) == AGAIN_S


def test_what_was_never_reached_is_said_after_the_second_look(watch, looker):
    looker.found = [BAD]
    assert watch.round(looker) == AGAIN_S
    assert watch.text == ""
    watch.round(looker)
    assert said(watch) == (BAD,)


def test_how_full_it_is_is_not_said_for_every_file(watch, looker):
    for used, expected in ((40, 40), (44, 40), (45, 45), (41, 45)):
        looker.found = [replace(GOOD, used=used)]
        watch.round(looker)
        assert said(watch)[0].used == expected


def test_what_is_not_asked_any_more_is_forgotten(watch, looker, wanted):
    looker.found = [GOOD]
    watch.round(looker)
    wanted[:] = [TAPE]
    looker.found = [replace(GOOD, id=TAPE.id)]
    watch.round(looker)
    assert [one.id for one in said(watch)] == ["b"]
    wanted.clear()
    watch.round(looker)
    assert watch.text == ""


def test_a_look_without_an_answer_changes_nothing(watch, looker):
    looker.found = [GOOD]
    watch.round(looker)
    looker.found = []
    assert watch.round(looker) == LOOK_EVERY_S
    assert said(watch) == (GOOD,)


def test_a_first_look_without_an_answer_leaves_what_stands(watch, looker):
    watch.round(looker)
    assert watch.text is None


def test_what_is_not_answered_for_long_is_not_known_any_more(watch, looker, wanted):
    wanted[:] = [NAS, TAPE]
    looker.found = [GOOD, Reach(Uid("b"), True)]
    watch.round(looker)
    looker.found = [GOOD]
    for _ in range(2):
        watch.round(looker)
    assert said(watch) == (GOOD,)
    looker.found = []
    for _ in range(2):
        watch.round(looker)
    assert watch.text == ""


def test_without_a_helper_there_is_no_looking_any_more(watch, looker):
    looker.found = None
    assert watch.round(looker) is None


class TestTheHelper:
    @pytest.fixture
    def helper(self):
        made = []

        def one(code):
            made.append(Helper((sys.executable, "-c", code)))
            return made[-1]

        yield one
        for helper in made:
            helper.end()
            helper._shell.wait(10)

    def test_it_looks_and_ends(self, helper):
        code = "import json; probe, = json.loads(input()); print(json.dumps([probe[0], True, probe[2], 1, 2]))"
        looking = helper(code)
        for _ in range(2):
            assert looking.look((NAS,)) == [Reach(Uid("a"), True, "nas", 1, 2)]

    @pytest.mark.parametrize("code", ["raise SystemExit(1)", "print('no json')", "print('[1]')", "print('=end')", ""])
    def test_what_it_does_not_answer_says_nothing(self, helper, code):
        assert helper(code).look((NAS, TAPE)) == []

    def test_one_that_hangs_is_ended(self, helper, monkeypatch):
        monkeypatch.setattr(storage_watch, "SCRIPT", storage_watch.SCRIPT.replace("KILL 15", "KILL 0.2"))
        looking = helper("import time; time.sleep(60)")
        assert looking.look((NAS,)) == []

    def test_an_answer_that_came_too_late_is_not_taken_for_the_next(self, helper):
        code = "import json, sys; probe, = json.loads(input()); print(json.dumps([probe[0], True, probe[1], 0, 0]))"
        looking = helper(code)
        assert looking.look((NAS,), within_s=0.0) == []
        assert looking.look((TAPE,)) == [Reach(Uid("b"), True, "tape", 0, 0)]

    def test_a_shell_that_has_gone_is_no_error(self, helper):
        looking = helper("")
        looking._shell.kill()
        looking._shell.wait(10)
        assert looking.look((NAS,)) is None

    def test_one_that_floods_is_left(self, helper):
        assert helper("print('x' * 10_000_000)").look((NAS,)) is None

    def test_the_longest_answers_of_all_are_heard(self, helper):
        words, many = "\U0001f600" * MAX_WHY, tuple(replace(NAS, id=Uid(str(at))) for at in range(MAX_PROBES))
        code = f"import json\nfor at in range({MAX_PROBES}): print(json.dumps([str(at), False, {words!a}, 0, 0]))"
        found = helper(code).look(many)
        assert found == [Reach(one.id, False, words) for one in many]

    def test_the_real_one(self):
        helper = Helper()
        refused = replace(NAS, server="127.0.0.1", port=1)
        found = helper.look((refused,))
        helper.end()
        helper._shell.wait(10)
        assert found == [Reach(Uid("a"), False, "127.0.0.1: port 1: Connection refused")]


def test_it_reads_a_line_and_writes_a_line_for_each(monkeypatch):
    monkeypatch.setattr(storage_look, "ordinary", lambda: None)
    monkeypatch.setattr(storage_look.nfs, "look", lambda probe: Reach(probe.id, True, probe.server))
    answers = io.StringIO()
    storage_look.main(io.StringIO(storage_look.encode((NAS, TAPE))), answers)
    assert [json.loads(line)[:3] for line in answers.getvalue().splitlines()] == [
        ["a", True, "nas"],
        ["b", True, "nas"],
    ]


def test_a_server_that_talks_much_is_cut_short(monkeypatch):
    monkeypatch.setattr(storage_look, "ordinary", lambda: None)
    monkeypatch.setattr(storage_look.nfs, "look", lambda probe: Reach(probe.id, False, "x" * 100_000))
    answers = io.StringIO()
    storage_look.main(io.StringIO(storage_look.encode((NAS,))), answers)
    assert json.loads(answers.getvalue())[2] == "x" * MAX_WHY


def test_a_name_that_hangs_keeps_nobody_else(monkeypatch):
    def hang(probe):
        if probe.id == "a":
            threading.Event().wait(5)
        return Reach(probe.id, True)

    monkeypatch.setattr(storage_look.nfs, "look", hang)
    slow, quick = storage_look.look((NAS, TAPE), together_s=0.1)
    assert (slow.reached, slow.why, quick.reached) == (False, "nas: its name is not resolved in time", True)


def test_the_orders_name_what_to_look_at():
    status = {"probes": [to_wire(one) for one in (NAS, TAPE)]}
    assert parse_probes({"status": status}) == (NAS, TAPE)
    assert parse_probes({}) == ()


@pytest.mark.parametrize("probes", [3, [3], [{"id": "a"}], {"a": "b"}])
def test_orders_that_make_no_sense_ask_for_nothing(probes):
    assert parse_probes({"status": {"probes": probes}}) == ()


def test_no_more_than_so_many_are_looked_at():
    many = [to_wire(replace(NAS, id=Uid(str(number)))) for number in range(99)]
    assert len(parse_probes({"status": {"probes": many}})) == MAX_PROBES
