"""Load options of a browser source: what the client has is taken as it is, all else is refused by its place."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tabard.workspace.browser_options import BrowserOptions, BrowserOptionsInvalid, checked_browser_options
from tabard.workspace.declaration import DeclarationInvalid, read_declaration

TYPES = Path(__file__).parents[3] / "clients" / "browser" / "src" / "types.ts"


def test_the_options_are_those_of_the_client_and_the_name_of_its_global() -> None:
    block = re.search(r"export interface LoadOptions \{(.*?)\n\}", TYPES.read_text("utf-8"), re.DOTALL)
    assert block is not None
    ours = {field.encode_name for field in msgspec.structs.fields(BrowserOptions)}
    assert ours == set(re.findall(r"^  (\w+)\?:", block[1], re.MULTILINE)) | {"global"}


def test_options_that_the_client_has_are_kept_as_given() -> None:
    options = {
        "spa": True,
        "consent": {"storage": "session", "events": "hold", "gpc": False},
        "cookie": {"domain": "shop.example", "maxage": 30, "sameSite": "None"},
        "clickIds": ["gclid"],
        "useQueryString": {"uid": False, "aid": "^[a-z]+$"},
        "integrations": {"CRM": {"key": 1}},
        "global": "cioanalytics",
    }
    assert checked_browser_options(options, "browser") == options
    assert checked_browser_options({}, "server") == {}


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"spaa": True}, "spaa"),
        ({"spa": "yes"}, r"\$\.spa"),
        ({"consent": {"storage": "some"}}, r"consent\.storage"),
        ({"cookie": {"max_age": 1}}, "max_age"),
        ({"global": "not a name"}, "global"),
        ({"endpoint": "x" * 60_000}, "bytes"),
    ],
)
def test_what_the_client_does_not_have_is_refused_by_its_place(options: dict[str, Any], place: str) -> None:
    with pytest.raises(BrowserOptionsInvalid, match=place):
        checked_browser_options(options, "browser")


def test_a_server_source_has_none() -> None:
    with pytest.raises(BrowserOptionsInvalid, match="kind browser"):
        checked_browser_options({"spa": True}, "server")


def test_a_declaration_that_misspells_the_field_is_refused() -> None:
    entry = {"name": "shop", "kind": "browser", "browser_options": {"spa": True}}
    sources = read_declaration({"sources": [entry]}, {}).sources
    assert sources is not None
    assert sources[0].browser_options == {"spa": True}
    with pytest.raises(DeclarationInvalid, match="browserOptions"):
        read_declaration({"sources": [{"name": "shop", "browserOptions": {}}]}, {})
