"""Fence agents as processes: what they are told, what is shown of their words, and that none of them is left."""

import asyncio
import base64
import html
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.kube.fencers.process import Ended, FenceAgentError, FenceAgents, shown
from tests.unit.kube.fencers.agents import installed

LONG_S = 60
ALONE = """
import asyncio, sys
from pathlib import Path
from quorate.kube.fencers.process import FenceAgents
told = {"journal": sys.argv[2], "mood": "hangs"}
asyncio.run(FenceAgents(Path(sys.argv[1])).run("fence_test", "off", told, 2))
"""


def ask(tmp_path, what="status", hide=(), **parameters):
    journal = {"journal": str(tmp_path / "journal")}
    return asyncio.run(
        FenceAgents(installed(tmp_path)).run("fence_test", what, {**journal, **parameters}, LONG_S, hide)
    )


def journal(tmp_path):
    return (tmp_path / "journal").read_text().splitlines()


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_its_exit_code_is_its_answer(tmp_path):
    assert ask(tmp_path) == Ended(0, "Status: ON")
    assert ask(tmp_path, "off") == Ended(0, "")
    assert ask(tmp_path) == Ended(2, "Status: OFF")


def test_nothing_is_on_its_command_line_and_little_in_its_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    ask(tmp_path, password="swordfish")
    [line] = journal(tmp_path)
    assert "argv: env:HOME,LANG,PATH" in line.replace("LC_CTYPE,", "")


def test_the_action_is_ours_whatever_the_parameters_say(tmp_path):
    assert ask(tmp_path, "status", action="off") == Ended(0, "Status: ON")


@pytest.mark.parametrize("bad", [{"a": "b\naction=off"}, {"a\nb": "c"}, {"a=b": "c"}, {"a": "\x1b[0m"}])
def test_no_value_can_pass_for_another_line(tmp_path, bad):
    with pytest.raises(FenceAgentError, match="line breaks"):
        ask(tmp_path, **bad)


def test_a_failure_keeps_its_words_and_not_the_password(tmp_path):
    ended = ask(tmp_path, hide=["swordfish"], mood="fails", password="swordfish")
    assert ended == Ended(1, "ERROR: Failed: Unable to connect with ***")


def test_megabytes_and_escapes_are_cut_down_to_a_line(tmp_path):
    ended = ask(tmp_path, mood="shouts")
    assert ended.code == 1
    assert len(ended.words) <= 163
    assert ended.words.endswith("[31m in the end")
    assert ended.words.isprintable()


def test_one_that_is_killed_says_so(tmp_path):
    assert ask(tmp_path, mood="dies").code == -9


def test_one_that_is_not_installed_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(FenceAgentError, match=rf"fence_none cannot be started in {tmp_path} \(No such file"):
        asyncio.run(FenceAgents(tmp_path).run("fence_none", "status", {}, LONG_S))


def test_cancelled_it_is_killed_with_all_that_it_started(tmp_path):
    """And nothing of it stays behind as a zombie that its parent, as the first process of a container, never reaps."""

    async def scene():
        agents = FenceAgents(installed(tmp_path))
        told = {"journal": str(tmp_path / "journal"), "mood": "hangs"}
        task = asyncio.create_task(agents.run("fence_test", "off", told, LONG_S))
        children = []
        while not children:
            await asyncio.sleep(0.01)
            if (tmp_path / "journal").exists() and (lines := journal(tmp_path)):
                pid = int(lines[0].split()[1])
                children = children_of(pid)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [pid, *map(int, children)]

    pids = asyncio.run(scene())
    assert len(pids) == 2
    while any(map(alive, pids)):
        os.sched_yield()


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_it_does_not_outlive_its_time_when_nobody_can_end_it(tmp_path, how):
    """A manager that is frozen has lost its lead meanwhile, and the node may have booted again."""
    written = tmp_path / "journal"
    with subprocess.Popen([sys.executable, "-c", ALONE, installed(tmp_path), written]) as manager:
        while not (written.exists() and written.read_text().endswith("\n")):
            os.sched_yield()
        manager.send_signal(how)
        pid = int(journal(tmp_path)[0].split()[1])
        while alive(pid):
            os.sched_yield()
        manager.kill()


def test_one_that_leaves_a_child_with_the_pipe_open_is_not_waited_for(tmp_path):
    assert ask(tmp_path, mood="leaves").code == 0
    left = int(journal(tmp_path)[1])
    while alive(left):
        os.sched_yield()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"", ""),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
        (b"pass p%40ss and p@ss", "pass *** and ***"),
        (base64.b64encode(b"p@ss"), "***"),
        (b"a\n\n  b\tc", "a b c"),
    ],
)
def test_words_are_one_line_without_secrets_however_encoded(output, words):
    assert shown(output, ["p@ss", ""]) == words


@pytest.mark.parametrize("form", [repr, json.dumps, shlex.quote, html.escape])
@pytest.mark.parametrize("secret", ["it's", 'a"b\\c', "a&b<c"])
def test_nor_as_somebody_has_written_them_for_somebody_else(form, secret):
    assert shown(f"user root {form(secret)} refused".encode(), [secret]).replace("'", "").replace('"', "") == (
        "user root *** refused"
    )


def test_a_secret_within_another_does_not_leave_its_rest():
    assert shown(b"say swordfish", ["sword", "swordfish"]) == "say ***"
