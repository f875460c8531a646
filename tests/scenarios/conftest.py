"""A whole cluster of three, and a guest on its first node."""

import pytest

from quorate.core.types import GuestState
from tests.scenarios.looks import state
from tests.toy import Toy


@pytest.fixture
def toy() -> Toy:
    made = Toy(3)
    made.manager()
    made.run_until(lambda: made.cluster.status.quorate, 10, "quorum")
    return made


@pytest.fixture
def web(toy):
    key = toy.add_guest()
    toy.run_until(lambda: state(toy, key) is GuestState.STARTED, 20, "start")
    assert toy.running(key) == ["n1"]
    return key
