"""Virtual time: what is due happens in order, to processes that may stand still, be gone, or run fast."""

import asyncio

import pytest

from quorate.sim.engine import Engine, Loop, Process


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def told() -> list[object]:
    return []


def test_what_is_due_at_the_same_moment_happens_in_the_order_it_was_asked_for(engine, told):
    for name in "abc":
        engine.at(5.0, told.append, name)
    engine.at(2.0, told.append, "first")
    engine.run(4.0)
    assert (told, engine.now_s) == (["first"], 4.0)
    engine.run(5.0)
    assert told == ["first", "a", "b", "c"]


def test_a_cancelled_timer_does_nothing(engine, told):
    engine.at(1.0, told.append, "a").cancel()
    engine.run(2.0)
    assert told == []


def test_a_frozen_process_does_all_that_was_due_when_it_is_thawed(engine, told):
    process = Process(engine)
    engine.after(1.0, told.append, "a", owner=process)
    engine.after(2.0, told.append, "b", owner=process)
    process.freeze()
    engine.run(10.0)
    assert told == []
    process.thaw()
    engine.run(10.0)
    assert told == ["a", "b"]


def test_nothing_happens_to_a_dead_one(engine, told):
    process = Process(engine)
    engine.after(1.0, told.append, "a", owner=process)
    process.freeze()
    engine.run(5.0)
    process.kill()
    process.thaw()
    engine.run(10.0)
    assert told == []


def test_a_fast_clock_reaches_its_moment_sooner(engine, told):
    fast = Process(engine, rate=1.25)
    engine.after(10.0, lambda: told.append(engine.now_s), owner=fast)
    engine.run(20.0)
    assert told == [8.0]
    assert fast.time() == 1000.0 + 25.0


def test_asyncio_code_sleeps_waits_and_times_out_in_virtual_time(engine, told):
    loop = Loop(engine, told.append)
    event = asyncio.Event()

    async def waits() -> None:
        try:
            async with asyncio.timeout(3.0):
                await event.wait()
        except TimeoutError:
            told.append(("timed out", engine.now_s))
        await asyncio.wait_for(event.wait(), 10)
        told.append(("woken", engine.now_s))

    async def sets() -> None:
        await asyncio.gather(asyncio.sleep(4.0), asyncio.sleep(5.0))
        event.set()

    tasks = [loop.create_task(waits()), loop.create_task(sets())]
    engine.run(60.0)
    assert all(task.done() for task in tasks)
    assert told == [("timed out", 3.0), ("woken", 5.0)]


def test_a_task_that_dies_of_an_error_is_told_of(engine, told):
    loop = Loop(engine, told.append)

    async def dies() -> None:
        await asyncio.sleep(1)
        raise ValueError("no")

    loop.call_soon(lambda: loop.create_task(dies()) and None)
    engine.run(2.0)
    assert "ValueError('no')" in told[0]


def test_it_stops_where_it_is_told_to(engine, told):
    for moment in range(1, 6):
        engine.at(moment, told.append, moment)
    engine.run(10.0, lambda: len(told) == 3)
    assert engine.now_s == 3
