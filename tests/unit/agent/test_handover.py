"""An agent takes over from another one: exactly one of them owns the node at any time, whoever dies or dawdles."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.agent import handover, keeper, loop_main
from quorate.agent.handover import Claimant, Estate, Lock, Offer, claim
from quorate.agent.keeper import Keeper
from quorate.agent.keeper_link import KeeperLink, inherited
from quorate.agent.loop import SETTLED_S
from quorate.core.selffence import Device, Guard
from quorate.core.types import Nonce, Uid
from tests.unit.agent import test_loop
from tests.unit.agent.test_loop import FAST, armed, said

loop, clock, api = test_loop.loop, test_loop.clock, test_loop.api
SOON_S = 30.0
GUARD = Guard(Nonce("me"), held=True, sequence=8, confirmed=7, rewound=3, lease_uid=Uid("lease"), resource_version="41")
ESTATE = Estate({"metadata": {"name": "n1"}}, GUARD, FAST, Device(open=True, timeout_s=5.0), "External")


def claimant(directory, keeping, *, nonce="me", watchdog="External") -> Claimant:
    return Claimant(Nonce(nonce), frozenset({watchdog} - {""}), Lock.at(directory / handover.LOCK), keeping)


class Keeping:
    """The keeper of the new one."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self, descriptor, timeout_s, *, stuck=False):
        self.told.append(f"hold {timeout_s:g}")

    def drop(self):
        self.told.append("drop")


@pytest.fixture
def lock(tmp_path) -> Lock:
    """The old one's."""
    made = Lock.at(tmp_path / handover.LOCK)
    assert made.take()
    return made


@pytest.fixture
def offer(tmp_path, lock) -> Iterator[Offer]:
    made = Offer(tmp_path / handover.SOCKET, lock, lambda: None)
    yield made
    made.close()


@pytest.fixture
def device() -> Iterator[int]:
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


@pytest.fixture
def claiming(tmp_path):
    """The new one asks, in a thread; (what it got, its keeper)."""
    with ThreadPoolExecutor() as pool:
        keeping = Keeping()

        def begin():
            return pool.submit(claim, tmp_path, claimant(tmp_path, keeping), lambda _: None), keeping

        yield begin


def until(condition) -> None:
    deadline = threading.Event()
    for _ in range(round(SOON_S / 0.01)):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("it did not happen")


def test_where_no_agent_is_nothing_is_asked(tmp_path):
    assert claim(tmp_path, claimant(tmp_path, Keeping())) is None
    assert not Lock.at(tmp_path / handover.LOCK).take(), "and now there is one"


def test_everything_comes_over_and_the_device_is_held_before_the_old_one_lets_go(offer, lock, device, claiming):
    asked, keeping = claiming()
    until(lambda: offer.wanted)
    assert offer.give(ESTATE, device, SOON_S)
    estate, descriptor = asked.result(SOON_S)
    assert estate == ESTATE
    assert os.fstat(descriptor).st_ino == os.fstat(device).st_ino
    assert keeping.told == ["hold 5"]


def test_without_a_device(offer, lock, claiming):
    asked, keeping = claiming()
    until(lambda: offer.wanted)
    unarmed = replace(ESTATE, device=Device(), lease=None)
    assert offer.give(unarmed, None, SOON_S)
    assert asked.result(SOON_S) == (unarmed, None)
    assert keeping.told == []


def raw(tmp_path) -> socket.socket:
    """Somebody who speaks for himself."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.settimeout(SOON_S)
    asking.connect(str(tmp_path / handover.SOCKET))
    return asking


def test_without_an_answer_in_time_the_old_one_goes_on_and_the_new_one_is_not_the_owner(offer, tmp_path):
    with raw(tmp_path) as asking:
        until(lambda: offer.wanted)
        assert not offer.give(ESTATE, None, 0.01)
        assert json.loads(asking.recv(1 << 17))["guard"]["nonce"] == "me"
        assert asking.recv(10) == b"", "the end of the connection, and no `yours`"
    assert not offer.wanted


@pytest.mark.parametrize("word", [b"no", b""])
def test_any_other_answer_is_none(offer, tmp_path, word):
    with raw(tmp_path) as asking:
        until(lambda: offer.wanted)
        asking.send(word) if word else asking.shutdown(socket.SHUT_RDWR)
        assert not offer.give(ESTATE, None, SOON_S)


def test_a_new_one_that_died_before_it_was_told_owns_nothing(offer, tmp_path):
    asking = raw(tmp_path)
    until(lambda: offer.wanted)
    asking.send(b"taken")
    asking.close()
    assert not offer.give(ESTATE, None, SOON_S)


def test_an_old_one_that_dies_in_the_middle_leaves_its_place_but_not_its_device(tmp_path, lock, device, claiming):
    """The new one has heard no `yours`: it begins as if nobody had been there."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / handover.SOCKET))
    listening.listen(1)
    asked, keeping = claiming()
    connection, _ = listening.accept()
    socket.send_fds(connection, [ESTATE.encode()], [device])
    assert connection.recv(10) == b"taken"
    listening.close()
    os.close(lock.descriptor)
    connection.close()
    assert asked.result(SOON_S) is None
    assert keeping.told == ["hold 5", "drop"]


def test_who_has_given_the_node_away_no_longer_has_the_lock_whatever_happens_next(offer, lock, device, claiming):
    """The old loop dies right after its last word, before it has told its keeper: the next one must not own beside us."""
    keeper = os.dup(lock.descriptor)
    asked, _ = claiming()
    until(lambda: offer.wanted)
    assert offer.give(ESTATE, device, SOON_S)
    assert asked.result(SOON_S) is not None
    os.close(lock.descriptor)
    assert not Lock(keeper).take()
    os.close(keeper)


def test_one_that_cannot_have_the_lock_does_not_own_though_it_was_told_so(tmp_path, lock, device, claiming):
    """Somebody else was faster; its keeper lets go of the device again."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / handover.SOCKET))
    listening.listen(1)
    asked, keeping = claiming()
    connection, _ = listening.accept()
    socket.send_fds(connection, [ESTATE.encode()], [device])
    assert connection.recv(10) == b"taken"
    connection.send(b"yours")
    until(lambda: keeping.told == ["hold 5", "drop"])
    assert not asked.done()
    listening.close()
    connection.close()
    lock.release()
    assert asked.result(SOON_S) is None


def test_a_successor_that_is_gone_when_it_is_told_leaves_the_lock_with_the_old_one(offer, lock, tmp_path, monkeypatch):
    with raw(tmp_path) as asking:
        until(lambda: offer.wanted)
        asking.send(b"taken")
        release = lock.release
        monkeypatch.setattr(lock, "release", lambda: (release(), asking.close()))
        assert not offer.give(ESTATE, None, SOON_S)
    assert not Lock.at(tmp_path / handover.LOCK).take()


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"watchdog": "none"}, "nobody would pet it"), ({"nonce": "another"}, "it calls this boot me")],
)
def test_an_agent_that_could_not_go_on_takes_nothing(offer, lock, device, tmp_path, caplog, other, reason):
    """It has no driver for the armed device, or another name for this boot: the old one renews and pets on."""
    keeping = Keeping()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(claim, tmp_path, claimant(tmp_path, keeping, **other), lambda _: None)
        until(lambda: offer.wanted)
        assert not offer.give(ESTATE, device, SOON_S)
        until(lambda: reason in caplog.text)
        assert not asked.done()
        offer.close()
        os.close(lock.descriptor)
        if offer._asking is not None:
            offer._asking.close()
        assert asked.result(SOON_S) is None
    assert keeping.told == []


def test_without_an_armed_device_its_kind_does_not_matter(offer, tmp_path):
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(claim, tmp_path, claimant(tmp_path, Keeping(), watchdog=""), lambda _: None)
        until(lambda: offer.wanted)
        assert offer.give(replace(ESTATE, device=Device()), None, SOON_S)
        assert asked.result(SOON_S) is not None


def test_nobody_is_kept_waiting_by_one_that_has_handed_over(tmp_path, lock):
    made = Offer(tmp_path / handover.SOCKET, lock, lambda: None)
    with raw(tmp_path):
        until(lambda: made.wanted)
        made.close()
        late = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        late.settimeout(SOON_S)
        with late, pytest.raises(ConnectionRefusedError):
            late.connect(str(tmp_path / handover.SOCKET))


def test_words_that_make_no_sense_are_not_obeyed(tmp_path, lock, claiming, caplog):
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / handover.SOCKET))
    listening.listen(1)
    asked, _ = claiming()
    connection, _ = listening.accept()
    connection.send(b'{"guard": 7}')
    assert connection.recv(10) == b"", "it does not say that it has taken over"
    listening.close()
    connection.close()
    os.close(lock.descriptor)
    assert asked.result(SOON_S) is None
    assert "cannot be understood" in caplog.text


def test_only_one_may_ask_at_a_time(offer, tmp_path):
    with raw(tmp_path), raw(tmp_path) as second:
        assert second.recv(10) == b""


class TestTheLoop:
    """Between two pets, right after a renewal, and after that not one word more."""

    class Asking:
        wanted = True

        def __init__(self, *, takes: bool) -> None:
            self.takes = takes
            self.given: list[Estate] = []

        def give(self, estate, descriptor, within_s):
            assert within_s == FAST.renew_s
            self.given.append(estate)
            return self.takes

    def test_hands_over_after_a_renewal_and_is_silent_until_it_is_told_to_go(self, loop, api, monkeypatch):
        armed(loop)
        loop.successor = self.Asking(takes=True)
        retired = []
        loop.retired = lambda: retired.append(loop.leave is None)
        monkeypatch.setattr(loop.wake, "wait", lambda *_: setattr(loop, "leave", object()))
        before = len(api.calls)
        loop.run()
        assert len(api.calls) == before + 1, "one renewal, and then it is the other's"
        assert loop.watchdog.told == ["pet", "let go"], "not closed: the device stays open"
        assert retired == [True]
        (estate,) = loop.successor.given
        assert estate.guard.sequence == said(api).sequence
        assert estate.device == Device(open=True, timeout_s=5, attested_disarmed=False, asked_s=5)
        assert handover.decode(estate.encode()).device.asked_s is None, "the other one asks the device by itself"
        assert estate.lease == api.lease

    def test_goes_on_when_the_one_that_took_over_is_gone(self, loop, clock, monkeypatch):
        """An upgrade that is taken back: the new agent is deleted, and the old one is all there is."""
        armed(loop)
        loop.successor = self.Asking(takes=True)
        asked_s, handed_over_s = [], clock()

        def vacant():
            asked_s.append(clock())
            return len(asked_s) == 3

        loop.vacant = vacant
        monkeypatch.setattr(loop.wake, "wait", lambda *_: setattr(clock, "now_s", clock() + 0.5))
        assert loop.run() is False
        assert asked_s[0] >= handed_over_s + SETTLED_S, "the other one comes first to the lock"

    def test_goes_on_when_the_other_one_does_not_take_it(self, loop, api):
        armed(loop)
        loop.successor = self.Asking(takes=False)
        assert not loop._handed_over(loop.cycle())
        loop.cycle()
        assert loop.watchdog.told == ["pet", "pet"]

    def test_hands_nothing_over_after_a_renewal_that_failed(self, loop, api):
        armed(loop)
        loop.successor = self.Asking(takes=True)
        api.silent = True
        assert not loop._handed_over(loop.cycle())
        assert loop.successor.given == []

    def test_what_was_handed_over_is_enough_to_renew_without_a_look(self, loop, api):
        armed(loop)
        estate = handover.decode(Estate(loop.lease.known, loop.lease.guard, FAST, loop.device).encode())
        loop.lease.guard, loop.device = estate.guard, estate.device
        loop.lease.inherit(estate.lease)
        api.calls.clear()
        loop.cycle()
        assert api.calls == ["PUT"]
        assert said(api).armed


class TestTheKeeper:
    """It holds the lock and the device over the death of a loop, and lets both go when another agent has them."""

    @pytest.fixture
    def keeper(self):
        return Keeper([])

    @pytest.fixture
    def link(self, keeper):
        return KeeperLink(os.dup(keeper._theirs.fileno()))

    def test_the_lock_outlives_the_loop(self, keeper, link, tmp_path):
        ours = Lock.at(tmp_path / "lock")
        assert ours.take()
        link.own(ours.descriptor)
        keeper._listen()
        os.close(ours.descriptor)
        other = Lock.at(tmp_path / "lock")
        assert not other.take()
        link.retire()
        keeper._listen()
        assert keeper.retired
        assert other.take()

    def test_once_retired_it_is_the_owner_again_when_its_loop_says_so(self, keeper, link, lock):
        link.retire()
        link.own(lock.descriptor)
        while keeper._listen():
            pass
        assert not keeper.retired
        assert Lock(keeper.lock).take()

    def test_the_device_is_exchanged_and_dropped(self, keeper, link, device):
        link.hold(device, 5.0)
        keeper._listen()
        first = keeper.device
        assert (first is not None, keeper.timeout_s) == (True, 5.0)
        link.drop()
        keeper._listen()
        assert keeper.device is None
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(first)

    def test_one_that_is_adrift_is_known_to_the_next_loop_until_it_is_held_or_closed(self, keeper, link, device):
        for end in (lambda: link.hold(device, 5.0), link.drop):
            link.lose()
            keeper._listen()
            assert (keeper.device, keeper.adrift) == (None, True)
            end()
            keeper._listen()
            assert not keeper.adrift

    def test_of_one_that_cannot_be_let_go_the_next_loop_is_told(self, keeper, link, device):
        for stuck in (True, False, True):
            link.hold(device, 5.0, stuck=stuck)
            keeper._listen()
            assert keeper.stuck is stuck
        link.drop()
        keeper._listen()
        assert not keeper.stuck


class TestOneThatCannotBeLetGo:
    """Under nowayout it guards nobody. Who goes on with it must pet it without a renewal, or a healthy node is reset."""

    STUCK = Device(open=True, timeout_s=5.0, attested_disarmed=True, stuck=True)

    def test_the_next_loop_knows_it(self, monkeypatch):
        monkeypatch.setenv("QUORATE_DEVICE", '{"descriptor": 7, "timeout_s": 5.0, "stuck": true}')
        assert inherited() == (self.STUCK, 7)
        monkeypatch.setenv("QUORATE_DEVICE", '{"descriptor": 7, "timeout_s": 5.0}')
        assert inherited() == (Device(open=True, timeout_s=5.0), 7)

    def test_so_is_the_agent_that_takes_over(self):
        estate = replace(ESTATE, device=self.STUCK)
        assert handover.decode(estate.encode()).device == self.STUCK
        told = json.loads(estate.encode())
        del told["stuck"]  # an agent of an earlier version
        assert not handover.decode(json.dumps(told).encode()).device.stuck


def test_the_path_of_the_socket_is_for_this_user_only(offer, tmp_path: Path):
    assert (tmp_path / handover.SOCKET).stat().st_mode & 0o077 == 0


class TestALoopThatIsStartedAgain:
    """Its keeper held the lock. Is the node still its own?"""

    @pytest.fixture
    def keeping(self, monkeypatch, lock):
        monkeypatch.setenv(keeper.OWNER_VARIABLE, str(lock.descriptor))
        monkeypatch.delenv(keeper.DEVICE_VARIABLE, raising=False)
        told = []
        link = KeeperLink(None)
        monkeypatch.setattr(link, "retire", lambda: told.append("retire"))
        monkeypatch.setattr(link, "own", lambda _: told.append("own"))
        monkeypatch.delenv(keeper.TOLD_VARIABLE, raising=False)
        before = signal.getsignal(signal.SIGTERM)
        yield link, told
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, keeper.HELD_BACK)

    def test_it_is(self, keeping, tmp_path, monkeypatch, device):
        link, told = keeping
        monkeypatch.setenv(keeper.DEVICE_VARIABLE, json.dumps({"descriptor": device, "timeout_s": 5}))
        place = loop_main.take_over(tmp_path, Nonce("me"), frozenset({"External"}), link)
        assert (place.device, place.descriptor, place.estate) == (Device(open=True, timeout_s=5.0), device, None)
        assert told == []

    def test_the_one_before_had_handed_over(self, keeping, tmp_path, monkeypatch, device, lock):
        """It touches neither Lease nor device until the other agent is gone."""
        link, told = keeping
        theirs = os.dup(device)
        monkeypatch.setenv(keeper.DEVICE_VARIABLE, json.dumps({"descriptor": theirs, "timeout_s": 5}))
        lock.release()
        other = Lock.at(tmp_path / handover.LOCK)
        assert other.take()
        waited = []

        def pause(_):
            waited.append(list(told))
            if len(waited) == 3:
                os.close(other.descriptor)

        place = loop_main.take_over(tmp_path, Nonce("me"), frozenset({"External"}), link, pause)
        assert waited == [["retire"]] * 3
        assert told == ["retire", "own"]
        assert (place.device, place.descriptor) == (Device(), None)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(theirs)
