"""The catalogue as a whole: a page in docs/destinations for each destination, never behind its declaration, and nothing
used but the kit.
"""

import ast
import os
from pathlib import Path

import pytest

from tabard.destinations.kit.describe import docs_page
from tests.unit.destinations.catalog.bench import REGISTRY

ROOT = Path(__file__).parents[4]
PAGES = ROOT / "docs" / "destinations"
CATALOG = ROOT / "src" / "tabard" / "destinations" / "catalog"


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


@pytest.mark.parametrize("path", sorted(CATALOG.glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_destination_uses_the_kit_and_itself_alone(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in modules if module.startswith("tabard")}
    allowed = ("tabard.destinations.kit.", f"tabard.destinations.catalog.{path.parent.name}.")
    assert all(f"{module}.".startswith(allowed) for module in ours)
