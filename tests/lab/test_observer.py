"""The observer sees what runs, from the processes themselves, and never overlooks or invents a second instance."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.lab import processes
from quorate.lab.journal import read_journal
from quorate.lab.observer import Observer
from tests.lab.conftest import Spawn
from tests.lab.waiting import eventually, still

SLEEP = ("-c", "import time; time.sleep(600)")


@pytest.fixture
def observer(lab_id: str) -> Iterator[Observer]:
    with Observer(lab_id, interval_s=0.01) as found:
        yield found


def guest(spawn: Spawn, instance: str, node: str = "node1", role: str = "main", name: str = "web") -> int:
    return spawn(*SLEEP, NODE=node, GUEST=f"shop/{name}", INSTANCE=instance, POD=f"uid-{instance}", ROLE=role).pid


def ids(observer: Observer, name: str = "shop/web") -> list[str]:
    return sorted(instance.id for instance in observer.running().get(name, []))


async def test_it_sees_a_guest_come_and_go(spawn: Spawn, observer: Observer) -> None:
    pid = guest(spawn, "a")
    await eventually(lambda: ids(observer) == ["a"])
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: ids(observer) == [])
    (interval,) = observer.history()["shop/web"]
    assert (interval.instance.id, interval.instance.node, interval.instance.pod) == ("a", "node1", "uid-a")
    assert interval.first_s <= interval.last_s
    assert observer.violations == []


async def test_a_planted_overlap_is_found(spawn: Spawn, observer: Observer) -> None:
    guest(spawn, "a", "node1")
    guest(spawn, "b", "node2")
    (overlap,) = await eventually(lambda: observer.violations)
    assert {overlap.first.id, overlap.second.id} == {"a", "b"}
    assert "shop/web ran twice" in str(overlap)
    assert len(observer.history()["shop/web"]) == 2


async def test_different_guests_and_one_after_another_are_no_overlap(spawn: Spawn, observer: Observer) -> None:
    guest(spawn, "a", name="web")
    guest(spawn, "b", name="db")
    await eventually(lambda: ids(observer, "shop/web") == ["a"] and ids(observer, "shop/db") == ["b"])
    first = guest(spawn, "c", name="cache")
    await eventually(lambda: ids(observer, "shop/cache") == ["c"])
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: ids(observer, "shop/cache") == [])
    guest(spawn, "d", name="cache")
    await eventually(lambda: ids(observer, "shop/cache") == ["d"])
    assert observer.violations == []


async def test_init_containers_and_probes_are_not_the_guest(spawn: Spawn, observer: Observer) -> None:
    guest(spawn, "a")
    guest(spawn, "b", role="init")
    guest(spawn, "c", role="probe")
    await eventually(lambda: ids(observer) == ["a"])
    before = observer.samples
    await eventually(lambda: observer.samples > before + 5)
    assert observer.violations == []


async def test_a_frozen_instance_does_not_run_and_a_thawed_one_does(spawn: Spawn, observer: Observer) -> None:
    first = guest(spawn, "a", "node1")
    await eventually(lambda: ids(observer) == ["a"])
    os.kill(first, signal.SIGSTOP)
    await eventually(lambda: ids(observer) == [])
    guest(spawn, "b", "node2")
    await eventually(lambda: ids(observer) == ["b"])
    await still(lambda: observer.violations == [], 0.1)
    os.kill(first, signal.SIGCONT)
    await eventually(lambda: observer.violations)


async def test_another_lab_is_none_of_its_business(spawn: Spawn) -> None:
    guest(spawn, "a")
    with Observer("another-lab", interval_s=0.01) as observer:
        await eventually(lambda: observer.samples > 5)
        assert observer.running() == {}


async def test_children_of_a_guest_are_the_guest(spawn: Spawn, observer: Observer) -> None:
    """Its first process is frozen, a child of it runs: the guest runs."""
    fork = "import os, signal, time\nif os.fork(): os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(600)"
    spawn("-c", fork, NODE="node1", GUEST="shop/web", INSTANCE="a", POD="uid-a", ROLE="main")
    await eventually(lambda: ids(observer) == ["a"])
    await still(lambda: ids(observer) == ["a"], 0.1)


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_journal_of_one_after_another_is_clean(tmp_path: Path) -> None:
    journal = read_journal(write(tmp_path / "j", "a 1 node1", "a 2 node1", "b 1 node2", "c 1 node1"))
    assert [(run.instance, run.node, run.lines) for run in journal.runs] == [
        ("a", "node1", 2),
        ("b", "node2", 1),
        ("c", "node1", 1),
    ]
    assert journal.violations == ()


def test_an_instance_that_goes_on_after_another_began_is_found(tmp_path: Path) -> None:
    journal = read_journal(write(tmp_path / "j", "a 1 node1", "b 1 node2", "a 2 node1"))
    assert journal.violations == ("line 3: a on node1 went on after b had begun",)


@pytest.mark.parametrize("line", ["a 3 node1", "a 1 node1", "a x node1", "a 2", "a 2a 2 node1 node1"])
def test_lost_repeated_and_mixed_lines_are_found(tmp_path: Path, line: str) -> None:
    assert read_journal(write(tmp_path / "j", "a 1 node1", line)).violations


def test_the_last_line_of_a_killed_writer_may_be_incomplete(tmp_path: Path) -> None:
    path = write(tmp_path / "j", "a 1 node1")
    path.write_text(path.read_text() + "a 2 no")
    assert read_journal(path).violations == ()


async def test_two_busy_guests_at_once_betray_themselves(spawn: Spawn, lab_id: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    busy = ("-m", "quorate.lab.guest", "--file", str(path), "--every", "0.001")
    spawn(*busy, NODE="node1", INSTANCE="a")
    await eventually(lambda: path.exists() and read_journal(path).runs)
    assert read_journal(path).violations == ()
    spawn(*busy, NODE="node2", INSTANCE="b")
    await eventually(lambda: any("went on after" in one for one in read_journal(path).violations))
    processes.kill_all({processes.LAB: lab_id})


async def test_a_busy_guest_ends_well_when_it_is_told_to(spawn: Spawn, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    child = spawn("-m", "quorate.lab.guest", "--file", str(path), INSTANCE="a", NODE="node1")
    await eventually(path.exists)
    child.terminate()
    assert await asyncio.to_thread(child.wait) == 0
