"""A whole cluster behind a page."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.dashboard.served import ApiServer, api_server
from tests.unit.view import pictures


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with api_server() as found:
        found.fill(pictures.whole())
        yield found
