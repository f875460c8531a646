"""What the demo shows: a picture on a terminal, lines in a pipe, a timeline at the end."""

import io
from dataclasses import replace

from rich.console import Console

from quorate.cli.demo.record import Record, timeline
from quorate.cli.demo.screen import Picture, shown
from quorate.view.build import build
from tests.unit.view import pictures

OFF = Record("node1-off", "Cut node1's power: recovered on node2", 4.11, 18.92, True, "runs on node2", 120.0)
WRONG = replace(OFF, step="wrong", title="Wait for a miracle", ok=False, detail="it did not happen", proxmox_s=None)


def screen(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, height=50, color_system=None, _environ={})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_record_for_programs():
    assert OFF.as_json() == {
        "step": "node1-off",
        "started_s": 4.1,
        "finished_s": 18.9,
        "seconds": 14.8,
        "ok": True,
        "detail": "runs on node2",
    }


def test_the_timeline_puts_proxmox_beside_the_recovery_and_says_what_failed():
    console = screen(terminal=False)
    console.print(timeline([OFF, WRONG]))
    rows = [line.split() for line in written(console).splitlines()]
    assert [*OFF.title.split(), "14.8s", "120.0s", "ok"] in rows
    assert [*WRONG.title.split(), "14.8s", "-", "FAILED"] in rows
    assert ["it", "did", "not", "happen"] in rows


def test_in_a_pipe_what_is_awaited_is_said_once():
    console = screen(terminal=False)
    report = build(pictures.whole(), pictures.NOW)
    lost = replace(report.clusters[0], attention=build(pictures.node_lost(), pictures.NOW).clusters[0].attention)
    with shown(console, [OFF.title]) as out:
        out.begin(1, OFF.title)
        out.draw(report)
        for _ in range(3):
            out.draw(replace(report, clusters=(lost,)))
        out.end(OFF)
    lines = written(console).splitlines()
    assert "1/1  Cut node1's power: recovered on node2" in lines[0]
    assert sum("no later than" in line for line in lines) == 1
    assert lines[-1].endswith("ok after 14.8s: runs on node2")


def test_on_a_terminal_the_picture_has_nodes_guests_and_steps():
    console = screen(terminal=True)
    titles = [OFF.title, WRONG.title, "The rest"]
    with shown(console, titles) as out:
        assert isinstance(out, Picture)
        out.draw(build(pictures.whole(), pictures.NOW))
        out.end(OFF)
        out.begin(2, WRONG.title)
    last = written(console).rpartition("\x1b[H")[2]
    assert "quorate  3 of 3 votes" in last
    assert "GUEST" in last
    assert "ok   14.8s  Cut node1's power" in last
    assert "now    0.0s  Wait for a miracle" in last
    assert "The rest" in last
