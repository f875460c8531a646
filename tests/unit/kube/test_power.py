"""Orders to fence devices, carried out beside the rounds: once, within their time, and only as long as they are asked."""

import asyncio

from quorate.core.sequence import Order, Said, Verb
from quorate.kube.power import PowerRoom


def order(verb=Verb.OFF, **changes):
    return Order(
        **{"sequence": "s", "term": 3, "subject": "i", "nonce": "b", "level": 1, "attempt": 1, **changes},
        verb=verb,
        device="ipmi",
        spec="a",
    )


class Room:
    """A room whose device answers when it is told to."""

    def __init__(self):
        self.leads, self.calls, self.stopped, self.told = True, [], [], 0
        self.answer = asyncio.get_running_loop().create_future()
        clock = asyncio.get_running_loop().time
        self.room = PowerRoom(self.run, clock, lambda: self.leads, self.changed)

    def changed(self):
        self.told += 1

    async def run(self, node, asked):
        self.calls.append((node, asked.verb))
        try:
            return await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self.stopped.append(asked.verb)
            raise

    async def said(self):
        for _ in range(400):
            if self.room.reports("n1") or (self.calls and not self.room.knows(order())):
                break
            await asyncio.sleep(0.005)
        return [(one.said, one.detail) for one in self.room.reports("n1")]


def play(scene):
    return asyncio.run(scene())


def test_an_answer_is_kept_and_wakes_the_manager():
    async def scene():
        one = Room()
        one.room.begin("n1", order(), 5)
        one.room.begin("n1", order(), 5)
        await asyncio.sleep(0)
        one.answer.set_result(Said.OFF)
        return await one.said(), one.calls, one.told, one.room.reports("n2")

    assert play(scene) == ([(Said.OFF, "")], [("n1", Verb.OFF)], 1, ())


def test_an_order_is_never_carried_out_again():
    async def scene():
        one = Room()
        one.answer.set_result(Said.OFF)
        one.room.begin("n1", order(), 5)
        await one.said()
        one.room.begin("n1", order(), 5)
        await asyncio.sleep(0.01)
        return len(one.calls)

    assert play(scene) == 1


def test_its_time_is_up_and_it_is_stopped():
    async def scene():
        one = Room()
        one.room.begin("n1", order(), 0.02)
        said = await one.said()
        await asyncio.sleep(0)
        return said, list(one.stopped)

    assert play(scene) == ([(Said.TIMED_OUT, "")], [Verb.OFF])


def test_a_failure_says_why():
    async def scene():
        one = Room()
        one.answer.set_exception(OSError("connection refused"))
        one.room.begin("n1", order(), 5)
        return await one.said()

    assert play(scene) == [(Said.FAILED, "connection refused")]


def test_what_is_not_asked_any_more_is_stopped_and_says_nothing():
    async def scene():
        one = Room()
        one.room.begin("n1", order(), 5)
        await asyncio.sleep(0.01)
        one.room.keep([order()])
        await asyncio.sleep(0.01)
        kept = list(one.stopped)
        one.room.keep([])
        said = await one.said()
        await asyncio.sleep(0.01)
        return kept, list(one.stopped), said

    assert play(scene) == ([], [Verb.OFF], [])


def test_with_the_lead_goes_whatever_is_at_work():
    async def scene():
        one = Room()
        one.room.begin("n1", order(), 5)
        await asyncio.sleep(0.01)
        one.leads = False
        said = await one.said()
        await asyncio.sleep(0.01)
        return said, list(one.stopped)

    assert play(scene) == ([], [Verb.OFF])
