"""What may not cost a healthy node its life, nor leave guests without their watchdog, nor hide what still runs."""

import errno
import itertools
import json
import os
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from quorate.agent.api import Access, Api, Refused, Unanswered
from quorate.agent.drivers import named
from quorate.agent.lease import Outcome
from quorate.agent.loop import Leave
from quorate.agent.mark import remembered_timing
from quorate.agent.orders import UNTIL_TOLD, OrdersReader
from quorate.agent.runtime import CgroupRuntime
from quorate.agent.watchdog import External, SilentWatchdogError, WatchdogError
from quorate.core.selffence import Device, Orders
from quorate.core.types import Nonce, Uid
from tests.unit.agent import test_loop
from tests.unit.agent.test_loop import ARM, FAST, STAND_DOWN, armed, said

loop, clock, api = test_loop.loop, test_loop.clock, test_loop.api


class TestALoopThatWasStartedAgain:
    """Its keeper held the device; what the manager asks of the node it has not read yet."""

    @pytest.fixture
    def restarted(self, loop):
        loop.device = Device(open=True, timeout_s=FAST.watchdog_s)
        loop.orders.known, loop.orders.current = False, Orders()
        return loop

    def test_does_not_disarm_before_it_knows_that_it_may(self, restarted, api):
        restarted.cycle()
        assert said(api).armed
        assert restarted.watchdog.told == ["pet"]

    def test_does_when_it_knows(self, restarted):
        restarted.orders.known, restarted.orders.current = True, STAND_DOWN
        restarted.cycle()
        assert restarted.watchdog.told == ["close"]

    def test_arms_nothing_that_was_not_armed(self, restarted):
        restarted.device = Device()
        restarted.cycle()
        assert restarted.watchdog.told == []

    def test_works_on_by_the_times_that_the_device_counts_by(self, loop):
        armed(loop)
        loop.cycle()
        assert remembered_timing(loop.mark, Nonce("me")) == FAST
        assert remembered_timing(loop.mark, Nonce("another boot")) == UNTIL_TOLD
        loop.mark.write_text('{"nonce": "me"}')
        assert remembered_timing(loop.mark, Nonce("me")) == UNTIL_TOLD

    def test_orders_are_known_once_both_questions_are_answered(self, api):
        def member(method, path, body=None, **_):
            return {"status": {}} if "/nodes/" in path else api.request(method, path, body, timeout_s=1)

        changed = threading.Event()
        reader = OrdersReader(type("Api", (), {"request": staticmethod(member)}), "n1", changed.set)
        api.silent = True
        with pytest.raises(Unanswered):
            reader.read()
        assert not reader.known
        api.silent = False
        reader.read()
        assert reader.known
        assert changed.is_set()


class TestWhatIsNoReasonToDie:
    def test_a_kubelet_directory_that_is_not_there(self, loop, api):
        """Asked about a Pod, it cannot say what the kubelet knows: then it says nothing, and renews."""
        armed(loop)
        loop.orders.current = replace(ARM, asks=(Uid("pod-1"),))

        def known():
            raise FileNotFoundError(errno.ENOENT, "no such directory", "/var/lib/kubelet/pods")

        loop.runtime.known = known
        assert loop.cycle().outcome is Outcome.RENEWED
        assert loop.watchdog.told == ["pet"]
        assert (said(api).idle, said(api).gone) == ((), ())

    def test_a_mark_that_can_no_longer_be_written(self, loop):
        armed(loop)
        loop.mark = loop.mark.parent / "full" / "agent.json"
        assert loop.cycle().outcome is Outcome.RENEWED
        assert loop.watchdog.told == ["pet"]

    def test_but_a_boot_that_was_never_marked_arms_nothing(self, loop):
        """Its next loop could take the Lease back from a clone."""
        loop.orders.current = ARM
        loop.mark = loop.mark.parent / "full" / "agent.json"
        loop.cycle()
        loop.cycle()
        assert loop.watchdog.told == []

    def test_a_device_that_took_long_to_open(self, loop, api, clock):
        """Nobody counts on it yet: the Lease says "not armed"."""
        loop.orders.current = ARM
        opens = loop.watchdog.open

        def slowly(timeout_s):
            clock.now_s += FAST.timeout_s + 1
            return opens(timeout_s)

        loop.watchdog.open = slowly
        loop.cycle()
        assert loop.device.open
        assert not said(api).armed
        loop.cycle()
        assert said(api).armed


class TestADeviceThatFailed:
    def test_is_let_go_by_the_keeper_so_that_it_can_be_opened_again(self, loop):
        armed(loop)
        loop.holder.held = True
        loop.watchdog.fails = True
        loop.cycle()
        assert not loop.holder.held
        assert loop.holder.lost, "the next loop must know, should this one die"

    def test_is_attested_at_once_and_not_a_period_later(self, loop):
        armed(loop)
        loop.wake.clear()
        loop.watchdog.fails = True
        loop.cycle()
        assert loop.wake.is_set()
        loop.wake.clear()
        loop.cycle()
        assert not loop.wake.is_set(), "the Lease says it now: no reason to hurry"

    def test_one_that_does_not_close_is_opened_again_and_closed(self, loop, api):
        """Disarm has promised to leave the guests here alone; it would count on and reset them."""
        armed(loop)
        loop.orders.current = STAND_DOWN
        loop.watchdog.fails = True
        loop.cycle()
        assert not said(api).armed
        loop.cycle()
        loop.watchdog.fails = False
        loop.watchdog.told.clear()
        loop.cycle()
        assert loop.watchdog.told == ["open 5", "close"]
        assert not loop.holder.held
        assert not loop.holder.lost
        loop.watchdog.told.clear()
        loop.cycle()
        assert loop.watchdog.told == []

    def test_it_is_tried_at_once_and_then_with_each_renewal(self, loop):
        armed(loop)
        loop.orders.current = STAND_DOWN
        loop.watchdog.fails = True
        woken = []
        for _ in range(3):
            loop.wake.clear()
            loop.cycle()
            woken.append(loop.wake.is_set())
        assert woken == [True, False, False]

    def test_so_is_one_that_failed_just_before_it_was_to_be_disarmed_and_not_before_that_is_attested(self, loop, api):
        armed(loop)
        loop.watchdog.fails = True
        loop.cycle()
        assert said(api).armed
        loop.watchdog.fails = False
        loop.orders.current = replace(STAND_DOWN, released=True)
        attested = []
        loop.watchdog.close = lambda: attested.append(said(api).armed)
        loop.cycle()
        assert attested == [False]

    @pytest.mark.parametrize(("silent", "then"), [(True, ["let go", "open 5", "close"]), (False, ["let go"])])
    def test_one_that_may_have_been_opened_counts_as_open(self, loop, silent, then):
        loop.orders.current = ARM
        loop.watchdog.silent, loop.watchdog.fails = silent, not silent
        loop.cycle()
        loop.watchdog.silent = loop.watchdog.fails = False
        loop.orders.current = STAND_DOWN
        loop.cycle()
        assert loop.watchdog.told == then

    def test_an_agent_leaves_only_when_it_is_closed(self, loop, clock):
        armed(loop)
        loop.leave = Leave(clock(), 30.0)
        loop.watchdog.fails = True
        assert not loop.gone(loop.cycle())
        loop.watchdog.fails = False
        assert loop.gone(loop.cycle())

    def test_one_that_was_never_open_keeps_no_agent(self, loop, clock):
        loop.orders.current = ARM
        loop.watchdog.fails = True
        loop.cycle()
        loop.leave = Leave(clock(), 30.0)
        assert loop.gone(loop.cycle())

    def test_nothing_is_handed_over_before_it_is_in_our_hands_again(self, loop):
        armed(loop)
        given = []
        loop.successor = type("Successor", (), {"wanted": True, "give": lambda *_: given.append(1) or True})()
        loop.watchdog.fails = True
        assert not loop._handed_over(loop.cycle())
        loop.watchdog.fails = False
        assert loop._handed_over(loop.cycle())
        assert given == [1]

    def test_while_nobody_has_said_that_it_may_disarm_it_is_armed_again(self, loop):
        armed(loop)
        loop.watchdog.fails = True
        loop.cycle()
        loop.watchdog.fails = False
        loop.orders.known = False
        loop.watchdog.told.clear()
        loop.cycle()
        assert loop.watchdog.told == ["open 5"]


def test_the_keeper_lets_go_before_the_device_is_closed(loop):
    """A loop that died between the two would hand a closed device on as an armed one."""
    armed(loop)
    loop.holder.held = True
    seen = []
    close = loop.watchdog.close
    loop.watchdog.close = lambda: (seen.append((loop.holder.held, loop.holder.lost)), close())
    loop.orders.current = STAND_DOWN
    loop.cycle()
    assert seen == [(False, True)], "nor may it leave one that counts on for none"
    assert not loop.holder.lost


def test_a_process_that_may_not_be_looked_at_is_not_taken_for_none(tmp_path, monkeypatch):
    (tmp_path / "7").mkdir()

    def forbidden(self):
        raise PermissionError(errno.EACCES, "hidepid", str(self))

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(PermissionError):
        CgroupRuntime(proc=tmp_path).running()


def test_one_that_ended_meanwhile_is(tmp_path):
    (tmp_path / "7").mkdir()
    assert CgroupRuntime(proc=tmp_path).running() == frozenset()


class Server(HTTPServer):
    """An API server that gives one answer to everything."""

    def __init__(self, code):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = b"{}"
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


@pytest.mark.parametrize("code", [401, 403])
def test_a_server_that_does_not_know_us_yet_is_not_asked_for_ever(code):
    """One that has just started refuses everybody for some seconds; the others do not."""
    starting, ready = Server(code), Server(200)
    try:
        connection = Api(Access([starting.url, ready.url]))
        with pytest.raises(Refused):
            connection.request("GET", "/", timeout_s=2)
        assert connection.request("GET", "/", timeout_s=2) == {}
    finally:
        for server in (starting, ready):
            server.shutdown()
            server.server_close()


def test_connecting_and_reading_together_take_no_longer_than_the_time_out(monkeypatch):
    asked = []
    connection = Api(Access(["http://127.0.0.1:1"]))

    def request(*_, timeout, **__):
        asked.append(timeout.total)
        raise OSError("no answer")

    monkeypatch.setattr(connection._pools, "request", request)
    with pytest.raises(Unanswered):
        connection.request("GET", "/", timeout_s=1.5)
    assert asked == [1.5]


class StandIn:
    """One answer to everything (None: it hangs up); remembers what it was asked, connection by connection."""

    def __init__(self, path):
        self.asked = []
        self.answer = {"ok": True, "timeout_s": 5.0}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        self.socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        for number in itertools.count():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                question = json.loads(line)
                self.asked.append((number, question["op"]))
                if self.answer is None:
                    return
                stream.write(json.dumps({**self.answer, "n": question["n"]}).encode() + b"\n")
                stream.flush()


class TestExternal:
    @pytest.fixture
    def stand_in(self, tmp_path):
        made = StandIn(tmp_path / "socket")
        yield made
        made.socket.close()

    def test_it_is_opened_set_petted_and_closed_on_one_connection(self, stand_in, tmp_path):
        device = External(tmp_path / "socket", "n1")
        assert device.open(5) == 5
        assert device.set_timeout(5) == 5
        device.pet()
        device.close()
        assert stand_in.asked == [(0, "open"), (0, "set"), (0, "pet"), (0, "close")]
        assert device.descriptor() is None

    def test_a_node_is_reset_with_the_device_open_or_not(self, stand_in, tmp_path):
        External(tmp_path / "socket", "n1").reset()
        armed_one = External(tmp_path / "socket", "n1")
        armed_one.open(5)
        armed_one.reset()
        assert stand_in.asked == [(0, "reset"), (1, "open"), (1, "reset")]

    def test_a_new_loop_is_given_the_connection_that_the_keeper_held(self, stand_in, tmp_path):
        first = External(tmp_path / "socket", "n1")
        first.open(5)
        spec, held = f"external:{tmp_path / 'socket'}", os.dup(first.descriptor())
        again = named(spec, "n1", shared_kernel=True, inherited=held)
        again.pet()
        assert stand_in.asked == [(0, "open"), (0, "pet")]
        assert named(spec, "n1", shared_kernel=True).descriptor() is None
        again.close()

    def test_no_answer_is_another_failure_than_a_refusal(self, stand_in, tmp_path):
        device = External(tmp_path / "socket", "n1")
        device.open(5)
        stand_in.answer = {"ok": False, "error": "no"}
        with pytest.raises(WatchdogError, match="no") as refused:
            device.close()
        assert not isinstance(refused.value, SilentWatchdogError)
        device.let_go()
        stand_in.answer = {"ok": True, "timeout_s": 5.0}
        device.open(5)
        device.close()
        assert stand_in.asked == [(0, "open"), (0, "close"), (1, "open"), (1, "close")]
        device.open(5)
        stand_in.answer = None
        with pytest.raises(SilentWatchdogError):
            device.close()

    def test_without_an_open_device_there_is_nothing_to_pet(self, tmp_path):
        with pytest.raises(WatchdogError, match="not open"):
            External(tmp_path / "socket", "n1").pet()


def test_what_others_wrote_into_the_lease_stays(loop, api):
    api.lease["metadata"]["annotations"] = {"team": "storage"}
    api.lease["spec"]["strategy"] = "theirs"
    loop.cycle()
    loop.cycle()
    assert api.lease["metadata"]["annotations"]["team"] == "storage"
    assert api.lease["spec"]["strategy"] == "theirs"


def test_a_node_whose_cr_and_lease_are_gone_is_not_reset_and_disarms_by_attestation_only(loop, api):
    """Somebody deleted the Node by force. The agent makes its Lease again and goes on petting while guests run."""
    armed(loop)
    api.lease, loop.orders.current = None, Orders(member=False)
    loop.runtime.here, loop.orders.guests = {"web"}, frozenset({Uid("web")})
    loop.cycle()
    assert said(api).armed
    assert loop.watchdog.told == ["pet"]
    loop.runtime.here = set()
    loop.cycle()
    assert not said(api).armed
    loop.cycle()
    assert loop.watchdog.told[-1] == "close"
    api.lease = None
    loop.cycle()
    assert api.lease is None, "what is not armed makes no Lease where it is no member"
