"""`quorate lab` as a person types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quorate.access.errors import CliError, UsageError
from quorate.cli.lab import app
from quorate.lab import client
from quorate.lab.files import LabFiles, LabState, lab_files

STATUS = {
    "phase": "ready",
    "problem": "",
    "name": "one",
    "controlPlane": "embedded",
    "kubeconfig": "/k",
    "nodes": [
        {
            "name": "node1",
            "power": "on",
            "state": "frozen",
            "network": "off",
            "boot": 2,
            "address": "127.77.1.1",
            "pid": 4711,
        },
        {
            "name": "node2",
            "power": "off",
            "state": "off",
            "network": "on",
            "boot": 1,
            "address": "127.77.1.2",
            "pid": None,
        },
    ],
    "processes": [
        {"name": "watchdog", "pid": 12, "restarts": 0, "exitCode": None},
        {"name": "api-server", "pid": None, "restarts": 0, "exitCode": 1},
    ],
}


@pytest.fixture(autouse=True)
def cache(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_CACHE", str(directory))


def crashed_lab(name: str) -> LabFiles:
    """The files of a lab whose daemon is gone."""
    files = lab_files(name)
    files.root.mkdir(parents=True)
    LabState(id=f"{name}-x", name=name, daemon_pid=2**22 + 1, daemon_start_ticks=1).write(files)
    return files


def test_status_shows_power_state_and_network_of_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "status", lambda _: STATUS)
    shown = CliRunner().invoke(app, ["status"]).output
    rows = [line.split() for line in shown.splitlines()]
    assert ["node1", "on", "frozen", "off", "2", "127.77.1.1", "4711"] in rows
    assert ["node2", "off", "off", "on", "1", "127.77.1.2", "-"] in rows
    assert ["api-server", "ended", "with", "1", "-", "0"] in rows
    assert "KUBECONFIG=/k" in shown


def test_status_for_programs_is_what_the_daemon_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "status", lambda _: STATUS)
    assert json.loads(CliRunner().invoke(app, ["status", "-o", "json"]).output) == STATUS


def test_a_lab_that_does_not_exist_is_a_wrong_command_line() -> None:
    crashed_lab("two")
    error = CliRunner().invoke(app, ["status"]).exception
    assert isinstance(error, UsageError)
    assert str(error) == "there is no lab named 'lab'; there is: two"


def test_a_lab_that_crashed_is_named_with_the_way_out() -> None:
    crashed_lab("one")
    error = CliRunner().invoke(app, ["node", "node1", "freeze", "--name", "one"]).exception
    assert isinstance(error, CliError)
    assert not isinstance(error, UsageError)
    assert "`quorate lab down --name one` removes what is left" in str(error)


def test_down_removes_what_a_crash_left() -> None:
    files = crashed_lab("one")
    assert CliRunner().invoke(app, ["down", "--name", "one"]).output == "lab one is gone\n"
    assert not files.root.exists()


def test_values_out_of_range_are_a_wrong_command_line() -> None:
    error = CliRunner().invoke(app, ["up", "--nodes", "99"]).exception
    assert isinstance(error, UsageError)
    assert "nodes: found 99" in str(error)


def test_a_profile_is_checked_before_anything_is_started() -> None:
    assert CliRunner().invoke(app, ["up", "--profile", "slow"]).exit_code == 2
    error = CliRunner().invoke(app, ["up", "--profile", "custom"]).exception
    assert isinstance(error, UsageError)
    assert not lab_files("lab").root.exists()
