"""The keeper on its own: what it starts, when it gives up, and that it stays small."""

import subprocess
import sys

import pytest

AGENT = [sys.executable, "-m", "quorate.agent"]
HEAVY = {"argparse", "asyncio", "dataclasses", "hashlib", "http", "inspect", "pathlib", "ssl", "urllib3", "yaml"}
"""Each of them costs every node the better part of a MiB or more."""


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*AGENT, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_it_imports_none_of_what_the_loop_needs():
    say = "import sys, quorate.agent.__main__; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, timeout=60, check=True)
    assert set(found.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize("arguments", [("--node", "n1", "--grace", "soon"), ("--nod", "n1", "--what")])
def test_arguments_that_make_no_sense_are_refused_once(arguments):
    found = run(*arguments)
    assert found.returncode == 2
    assert found.stderr.count("usage: quorate agent") == 1


def test_an_agent_that_has_no_way_in_says_so_and_ends():
    found = run("--node", "n1", "--kubeconfig", "/nowhere/kubeconfig", "--run-dir", "/tmp")
    assert found.returncode == 78
    assert found.stderr.count("set --kubeconfig to a readable file") == 1


def test_help_is_no_failure():
    found = run("--help")
    assert (found.returncode, found.stderr) == (0, "")
    assert "--watchdog" in found.stdout
