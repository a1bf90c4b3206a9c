"""Every path of the web role is on its page."""

import re
from pathlib import Path

from tabard.web.app import _routes

PAGE = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")


def test_every_path_of_the_web_role_is_documented() -> None:
    paths = {re.sub(r":text}", "}", route.path) for route in _routes()} - {"/"}
    assert {path for path in paths if path not in PAGE} == set()
