"""Cases recorded from the field's own engine, read where they are (they stay outside this repository)."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEFAULT_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "cases" / "peer"


@pytest.fixture(scope="session")
def peer() -> Callable[[str], Any]:
    """`peer("fql.json")` is that file decoded; skips where PEER_CASES (or its default) has none."""

    def read(name: str) -> Any:
        path = Path(os.environ.get("PEER_CASES", DEFAULT_FOLDER)) / name
        if not path.is_file():
            pytest.skip(f"the peer cases are not here: {path} (set PEER_CASES)")
        return json.loads(path.read_text("utf-8"))

    return read
