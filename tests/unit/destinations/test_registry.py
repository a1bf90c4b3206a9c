"""Which destinations there are, and that a broken one is named without taking the rest down."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tabard.destinations import registry
from tabard.destinations.kit.check import declaration_errors
from tabard.destinations.registry import load_registry

SOUND = """
from tabard.destinations.kit.action import Action
from tabard.destinations.kit.destination import Destination, Preset

async def note(send, call):
    pass

destination = Destination(
    slug={slug!r}, name="Notes", description="A test.", settings={{}}, aliases=("Notes (Actions)",),
    actions=(Action(slug="note", title="Note", description="Notes.", fields={{}}, perform=note),),
    presets=(Preset("Note it", {action!r}, 'type = "track"'),),
)
"""


def write(folder: Path, name: str, source: str) -> None:
    (folder / name).write_text(source, "utf-8")


def test_every_destination_of_the_catalogue_is_sound() -> None:
    loaded = load_registry()
    assert loaded.broken == ()
    for slug, destination in loaded.destinations.items():
        assert destination.slug == slug
        assert declaration_errors(destination) == []


def test_a_plugin_file_is_found_and_a_broken_one_named(tmp_path: Path) -> None:
    write(tmp_path, "a_sound.py", SOUND.format(slug="notes", action="note"))
    write(tmp_path, "b_syntax.py", "def (")
    write(tmp_path, "c_exit.py", "raise SystemExit(3)")
    write(tmp_path, "d_empty.py", "destinations = []")
    write(tmp_path, "e_twice.py", SOUND.format(slug="notes", action="note"))
    write(tmp_path, "f_preset.py", SOUND.format(slug="other", action="missing"))
    write(tmp_path, "g_slug.py", SOUND.format(slug="Bad Slug", action="note"))
    loaded = load_registry(tmp_path)
    assert "notes" in loaded.destinations
    reasons = {Path(broken.origin).name: broken.reason for broken in loaded.broken}
    assert set(reasons) == {"b_syntax.py", "c_exit.py", "d_empty.py", "e_twice.py", "f_preset.py", "g_slug.py"}
    assert "SyntaxError" in reasons["b_syntax.py"]
    assert "SystemExit" in reasons["c_exit.py"]
    assert "no `destination`" in reasons["d_empty.py"]
    assert "already a destination 'notes'" in reasons["e_twice.py"]
    assert "no action 'missing'" in reasons["f_preset.py"]
    assert "lower-case" in reasons["g_slug.py"]


def test_a_destination_is_found_by_slug_name_and_alias(tmp_path: Path) -> None:
    write(tmp_path, "notes.py", SOUND.format(slug="notes", action="note"))
    loaded = load_registry(tmp_path)
    assert [loaded.named(name) is not None for name in ("notes", "Notes", "Notes (Actions)", "notez")] == [
        True,
        True,
        True,
        False,
    ]


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "tabard_notes_package.py", SOUND.format(slug="packaged", action="note"))
    monkeypatch.syspath_prepend(tmp_path)
    entries = [
        EntryPoint("packaged", "tabard_notes_package:destination", registry.ENTRY_POINTS),
        EntryPoint("gone", "tabard_no_such_package:destination", registry.ENTRY_POINTS),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    loaded = load_registry()
    assert loaded.destinations["packaged"].name == "Notes"
    assert [broken.origin for broken in loaded.broken] == ["gone = tabard_no_such_package:destination"]
