"""The agent's side of the stand-in's protocol: an answer counts only for the question that it answers."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.agent.watchdog import External, WatchdogError


@pytest.fixture
def ends() -> Iterator[tuple[External, socket.socket]]:
    """A device whose connection a new loop has inherited, and the stand-in's end of it."""
    ours, theirs = socket.socketpair()
    device = External.inherited(Path("watchdog.sock"), "node1", ours.detach())
    yield device, theirs
    theirs.close()
    device._drop()


def serve(stand_in: socket.socket, *answers: dict[str, Any] | None) -> None:
    """Answer one question after the other in a thread; None closes the connection instead."""

    def run() -> None:
        with stand_in.makefile("rwb") as stream:
            for answer in answers:
                question = json.loads(stream.readline())
                if answer is None:
                    stand_in.shutdown(socket.SHUT_RDWR)
                    return
                stream.write(json.dumps({"n": question["n"], **answer}).encode() + b"\n")
                stream.flush()

    threading.Thread(target=run, daemon=True).start()


def test_answers_to_the_loop_that_died_are_not_taken_for_ours(ends):
    device, stand_in = ends
    stand_in.sendall(b'meout_s": 5.0}\n{"ok": true, "n": 1}\n{"ok": true}\n')
    serve(stand_in, {"ok": False, "error": "no device is open on this connection: open one first"})
    with pytest.raises(WatchdogError, match="open one first"):
        device.pet()


def test_a_late_answer_does_not_count_for_the_next_question(ends):
    device, stand_in = ends
    serve(stand_in, {"ok": True, "timeout_s": 5.0, "n": 7})
    with pytest.raises(WatchdogError, match="timed out"):
        device.set_timeout(5)
    assert device.descriptor() is None, "a device that did not answer is not open as far as we know"


def test_a_connection_that_ends_is_not_an_open_device(ends):
    device, stand_in = ends
    serve(stand_in, None)
    with pytest.raises(WatchdogError, match="closed the connection"):
        device.pet()
    assert device.descriptor() is None
