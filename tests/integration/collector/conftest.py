from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.integration.collector.doors import Running, running


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """The loop that the collector runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Running]:
    """A door with default settings."""
    async with running(tmp_path) as found:
        yield found
