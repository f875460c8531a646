"""Servers that hang, answer garbage, export nothing, refuse, and those that do as they should."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from quorate.agent import nfs, oncrpc
from quorate.agent.oncrpc import LAST, numbers, opaque
from quorate.core.storage import NFS_VERSIONS, Probe, Reach
from quorate.core.types import Uid

Answer = Callable[[socket.socket, bytes], None]
"""What becomes of one call: its bytes, after the mark."""


class Server:
    """Listens on loopback and does the same to every call, on any number of connections."""

    def __init__(self, answer: Answer, *, accepts: bool = True) -> None:
        self.answer = answer
        self.calls: list[tuple[int, int, int]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        if accepts:
            threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with one:
            try:
                while head := one.recv(4, socket.MSG_WAITALL):
                    call = one.recv(struct.unpack(">I", head)[0] & ~LAST, socket.MSG_WAITALL)
                    self.calls.append(struct.unpack(">3I", call[12:24]))
                    self.answer(one, call)
            except OSError:
                return

    def close(self) -> None:
        self._listening.close()


Serve = Callable[..., Server]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setattr(nfs, "TIMEOUT_S", 0.3)
    made: list[Server] = []

    def one(answer: Answer, *, accepts: bool = True) -> Server:
        made.append(Server(answer, accepts=accepts))
        return made[-1]

    yield one
    for server in made:
        server.close()


def record(body: bytes) -> bytes:
    return numbers(LAST | len(body)) + body


def reply(call: bytes, results: bytes = b"", status: int = 0) -> bytes:
    return record(call[:4] + numbers(1, 0, 0, 0, status) + results)


def good(results: bytes = b"", status: int = 0) -> Answer:
    return lambda one, call: one.sendall(reply(call, results, status))


def raw(data: bytes) -> Answer:
    return lambda one, _: one.sendall(data)


def hangs(_one: socket.socket, _call: bytes) -> None:
    threading.Event().wait(3)


def closes(one: socket.socket, _call: bytes) -> None:
    one.shutdown(socket.SHUT_RDWR)


def drips(one: socket.socket, _call: bytes) -> None:
    for _ in range(100):
        one.sendall(b"\0")
        threading.Event().wait(0.05)


def floods(one: socket.socket, _call: bytes) -> None:
    while True:
        one.sendall(bytes(65_536))


def look(server: Server, versions: tuple[int, ...] = (3,), mount: Server | None = None) -> Reach:
    mount_port = mount.port if mount is not None else 1  # nobody listens there: a real portmapper must not help
    return nfs.look(Probe(Uid("s"), "media", "127.0.0.1", "/export/guests", server.port, mount_port, versions))


def exports(*names: str) -> bytes:
    """mountd's list; each with one group that may mount it."""
    return b"".join(
        numbers(1) + opaque(name.encode()) + numbers(1) + opaque(b"*") + numbers(0) for name in names
    ) + numbers(0)


def compound(status: int, *operations: int, tail: bytes = b"") -> bytes:
    done = b"".join(numbers(operation, 0) for operation in operations)
    return numbers(status) + opaque(b"") + numbers(len(operations)) + done + tail


def space(available: int, free: int, total: int) -> bytes:
    return numbers(2, 0, 0b111 << 10) + opaque(struct.pack(">3Q", available, free, total))


def by_procedure(null: Answer, other: Answer) -> Answer:
    return lambda one, call: (null if struct.unpack(">I", call[20:24])[0] == 0 else other)(one, call)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (hangs, "it accepts a connection and does not answer in time"),
        (drips, "it accepts a connection and does not answer in time"),
        (floods, "its answer has no end"),
        (closes, "it closes the connection without an answer"),
        (raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "or none of RPC"),
        (raw(b"\xff" * 64), "or none of RPC"),
        (raw(record(b"")), "its answer ends too soon"),
        (raw(record(bytes(64))), "none to what was asked"),
        (raw(numbers(0) * 4096), "its answer has no end"),
        (lambda one, call: one.sendall(record(call[:4] + numbers(1, 1, 1, 5))), "it denies the call"),
        (lambda one, call: one.sendall(record(call[:4] + numbers(1, 0, 0, 2**31))), "bytes where 400 may be"),
        (good(status=1), "it does not serve NFS 3: it does not have this program"),
        (good(numbers(4, 4), status=2), "it does not serve NFS 3: it has versions 4 to 4"),
        (good(status=5), "it fails with status 5"),
    ],
)
def test_what_is_no_answer_is_told_in_a_line(serve, answer, words):
    found = look(serve(answer))
    assert (found.reached, words in found.why) == (False, True), found
    assert found.why.startswith("127.0.0.1: ")
    assert found.why.isprintable()


def test_one_that_never_accepts(serve):
    found = look(serve(hangs, accepts=False))
    assert not found.reached


def test_one_that_refuses_connections():
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    found = nfs.look(Probe(Uid("s"), "media", "127.0.0.1", "/x", port, 0, NFS_VERSIONS))
    assert (found.reached, found.why) == (False, f"127.0.0.1: port {port}: Connection refused")


def test_a_name_that_nobody_knows():
    found = nfs.look(Probe(Uid("s"), "media", "nas.invalid", "/x", 2049, 0, NFS_VERSIONS))
    assert not found.reached
    assert found.why.startswith("nas.invalid: port 2049: ")


def test_the_first_version_that_answers_will_do(serve):
    def only_three(one: socket.socket, call: bytes) -> None:
        version = struct.unpack(">I", call[16:20])[0]
        (good() if version == 3 else good(numbers(3, 3), status=2))(one, call)

    server = serve(only_three)
    assert look(server, (4, 3)).reached
    assert server.calls[:2] == [(nfs.NFS, 4, 0), (nfs.NFS, 3, 0)]


class TestTheList:
    def test_a_directory_on_it_or_below_one(self, serve):
        for listed in ("/export/guests", "/export", "/", "/export/guests/"):
            assert look(serve(good()), mount=serve(good(exports("/other", listed)))).reached

    @pytest.mark.parametrize(
        ("listed", "words"),
        [
            ((), "it exports nothing"),
            (("/export/guest",), "it does not export /export/guests, but /export/guest"),
            (tuple(f"/e{number}" for number in range(9)), "but /e0, /e1, /e2 and 6 more"),
        ],
    )
    def test_one_that_lacks_it(self, serve, listed, words):
        found = look(serve(good()), mount=serve(good(exports(*listed))))
        assert not found.reached
        assert words in found.why

    @pytest.mark.parametrize(
        "answer",
        [
            hangs,
            closes,
            raw(b"\xff" * 64),
            good(status=1),
            good(numbers(1) + opaque(b"/export/guests")),
            good((numbers(1) + opaque(b"/x") + numbers(0)) * 5000),
            good(numbers(1, 2**31)),
        ],
    )
    def test_who_does_not_tell_is_taken_at_the_null(self, serve, answer):
        assert look(serve(good()), mount=serve(answer)).reached

    def test_it_is_a_line_that_can_be_printed(self, serve):
        found = look(serve(good()), mount=serve(good(exports("/\x1b[31m\n\x00é"))))
        assert not found.reached


class TestThePath:
    def four(self, serve, results):
        return look(serve(by_procedure(good(), good(results))), (4,))

    def test_it_is_there_and_how_full_it_is(self, serve):
        found = self.four(serve, compound(0, 24, 15, 15, 9, tail=space(30, 40, 100)))
        assert (found.reached, found.used, found.size) == (True, 67, 100)

    def test_it_is_not_there(self, serve):
        for status in (2, 20):
            found = self.four(serve, compound(status))
            assert (found.reached, found.why) == (False, "127.0.0.1: it does not export /export/guests")

    @pytest.mark.parametrize(
        "results",
        [
            b"",
            compound(10_021),
            compound(13),
            compound(0),
            compound(0, 24, 15, 15, 15),
            compound(0, 24, 15, 15, 9),
            compound(0, 24, 15, 15, 9, tail=numbers(2**31)),
            numbers(0, 2**31),
        ],
    )
    def test_who_does_not_tell_is_taken_at_the_null(self, serve, results):
        found = self.four(serve, results)
        assert (found.reached, found.size) == (True, 0)

    @pytest.mark.parametrize("sizes", [(50, 40, 100), (0, 101, 100), (0, 0, 0), (0, 0, 2**63)])
    def test_a_size_that_cannot_be_is_none(self, serve, sizes):
        assert self.four(serve, compound(0, 24, 15, 15, 9, tail=space(*sizes))).size == 0

    def test_what_mountd_lists_is_asked_where_it_may_be_mounted_so(self, serve):
        server, absent = serve(by_procedure(good(), good(compound(2)))), good(exports("/other"))
        assert look(server, (4, 3), mount=serve(good(exports("/export/guests")))).reached
        assert not look(server, (4, 3), mount=serve(absent)).reached
        assert not look(server, (4,), mount=serve(good(exports("/export/guests")))).reached


def test_a_reserved_port_is_tried_and_not_needed(monkeypatch, serve):
    monkeypatch.setattr(oncrpc.random, "sample", lambda *_: [700, 701])
    asked: list[int] = []

    def refused(_self: socket.socket, address: tuple[str, int]) -> None:
        asked.append(address[1])
        raise PermissionError

    class Plain(socket.socket):
        bind = refused

    server = serve(by_procedure(good(), good(compound(0, 24, 15, 15, 9, tail=space(30, 40, 100)))))
    monkeypatch.setattr(oncrpc.socket, "socket", Plain)
    assert look(server, (4,)).size == 100
    assert asked == [700]
