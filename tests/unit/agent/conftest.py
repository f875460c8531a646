"""A watchdog device of the kernel, as its driver finds it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.agent.linux_watchdog import LinuxWatchdog
from tests.unit.agent.kernel import Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(tmp_path)
    yield made
    made.end()


@pytest.fixture
def device(kernel: Kernel) -> Iterator[LinuxWatchdog]:
    made = kernel.device()
    yield made
    made.let_go()
