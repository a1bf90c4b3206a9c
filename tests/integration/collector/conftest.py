from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.collector.doors import Running, running


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Running]:
    """A door with default settings."""
    async with running(tmp_path) as found:
        yield found
