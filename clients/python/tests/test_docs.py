"""The documentation names everything there is, and its first example runs."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from clients.python.tests.recorder import Recorder

import tabard_client
from tabard_client import DropReason, Options
from tabard_client.options import ClientOptions

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "python-client.md"
README = Path(__file__).parents[1] / "README.md"


def test_every_option_is_typed_and_in_the_page() -> None:
    names = {field.name for field in fields(Options)}
    assert names == set(ClientOptions.__annotations__)
    page = PAGE.read_text()
    assert [name for name in names if f"`{name}`" not in page and not name.startswith("oauth_")] == []


def test_every_reason_and_every_public_name_is_in_the_page() -> None:
    page = PAGE.read_text()
    assert [reason for reason in DropReason if f"| `{reason}` |" not in page] == []
    shown_by_use = {"Address", "Company", "Counts", "DropError", "DropReason", "Identity", "Options"}
    public = set(tabard_client.__all__) - shown_by_use
    assert [name for name in public if name not in page] == []


@pytest.mark.parametrize("document", [README, PAGE], ids=lambda path: path.name)
def test_the_first_example_runs(document: Path, recorder: Recorder, spool_dir: Path) -> None:
    example = re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)[0]
    scope: dict[str, Any] = {}
    exec(example.replace("https://collector.example.com", recorder.url), scope)
    assert [message["type"] for message in recorder.messages] == ["identify", "track"]
    scope["client"].join(5)
