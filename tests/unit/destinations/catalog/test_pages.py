"""docs/destinations holds a page for each built-in destination, made from its declaration and never behind it."""

import os
from pathlib import Path

import pytest

from tabard.destinations.kit.describe import docs_page
from tests.unit.destinations.catalog.bench import REGISTRY

PAGES = Path(__file__).parents[4] / "docs" / "destinations"


@pytest.mark.parametrize("slug", REGISTRY.destinations)
def test_the_page_says_what_the_declaration_says(slug: str) -> None:
    """TABARD_RECORD=1 writes the pages anew."""
    page = docs_page(REGISTRY.destinations[slug])
    path = PAGES / f"{slug}.md"
    if os.environ.get("TABARD_RECORD"):
        path.write_text(page, "utf-8")
    assert path.is_file(), f"{path.name} is missing: run this test with TABARD_RECORD=1"
    assert path.read_text("utf-8") == page, f"{path.name} is behind: run this test with TABARD_RECORD=1"


def test_there_is_no_page_for_a_destination_that_is_gone() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(REGISTRY.destinations)


def test_the_catalogue_is_sound_and_every_field_says_what_it_is() -> None:
    assert not REGISTRY.broken
    assert {"customerio", "mixpanel", "intercom", "slack"} <= set(REGISTRY.destinations)
    for destination in REGISTRY.destinations.values():
        for action in destination.actions:
            assert all(field.description for field in action.fields.values()), (destination.slug, action.slug)
