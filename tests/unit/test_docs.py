"""The documentation says what the program is: pages made from it are fresh, and nothing is left out."""

import re
from pathlib import Path

import pytest
import yaml

from tabard.commands.frame import failure_names
from tabard.commands.manual import PAGES, page
from tabard.settings import Settings
from tabard.telemetry.names import METRICS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "tabard"
PROSE = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_made_from_the_program_is_fresh(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == page(name), f"docs/{name} is stale: run `make docs`"


def test_every_setting_and_metric_is_on_its_page() -> None:
    settings, telemetry = ((DOCS / name).read_text("utf-8") for name in ("settings.md", "telemetry.md"))
    assert [name for name in Settings.__struct_fields__ if f"`{name}`" not in settings] == []
    assert [metric.name for metric in METRICS if f"`{metric.name}" not in telemetry] == []


def test_every_metric_that_is_counted_is_declared_and_every_declared_one_is_counted() -> None:
    code = "\n".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py") if path.name != "names.py")
    named = set(re.findall(r'(?:count|gauge|observe)\(\s*"(tabard_[a-z_]+)"', code))
    declared = {metric.name for metric in METRICS}
    assert named - declared == set()
    assert declared - named == set()


def test_every_failure_of_the_command_line_is_in_the_operations_page() -> None:
    operations = (DOCS / "operations.md").read_text("utf-8")
    code = "\n".join(path.read_text("utf-8") for path in (SOURCE / "commands").glob("*.py"))
    raised = set(re.findall(r'CommandFailed\(\s*"([a-z_]+)"', code))
    raised |= {f"{what}_unknown" for what in re.findall(r'not_found\("([a-z]+)"', code)}
    assert len(raised) > 5
    assert [name for name in sorted({*failure_names(), *raised}) if f"`{name}`" not in operations] == []


def test_every_warning_of_the_status_is_in_the_operations_page() -> None:
    operations = (DOCS / "operations.md").read_text("utf-8")
    code = (SOURCE / "compose" / "status.py").read_text("utf-8")
    codes = {each.replace("{state}", "paused") for each in re.findall(r'_warning\(f?"([a-z_{}]+)"', code)}
    assert len(codes) > 5
    assert [each for each in sorted(codes) if f"`{each}`" not in operations] == []


def test_every_endpoint_of_the_description_is_in_the_http_page() -> None:
    paths = yaml.safe_load((ROOT / "spec" / "openapi.yaml").read_text("utf-8"))["paths"]
    text = (DOCS / "http-api.md").read_text("utf-8")
    assert [path for path in paths if path not in text] == []


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_links_to_a_file_that_is_not_there(path: Path) -> None:
    targets = [link for link in LINK.findall(path.read_text("utf-8")) if "://" not in link]
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_is_in_the_index_of_the_documentation_or_in_the_readme() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    linked = {(DOCS / link).resolve() for link in LINK.findall(index)}
    linked |= {(ROOT / link).resolve() for link in LINK.findall((ROOT / "README.md").read_text("utf-8"))}
    assert {path.resolve() for path in DOCS.rglob("*.md") if path.name != "README.md"} - linked == set()
