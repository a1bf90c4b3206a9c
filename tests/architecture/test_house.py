"""The rules of the house (docs/design.md §3), held by reading the imports of every module."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "tabard"

EVERYWHERE = {"clock", "settings", "telemetry"}
ALLOWED: dict[str, set[str]] = {
    "message": set(),
    "workspace": set(),
    "clock": set(),
    "settings": set(),
    "telemetry": set(),
    "log": {"message", "telemetry", "clock"},
    "collector": {"message", "log", "workspace", "telemetry", "clock", "settings"},
    "identity": {"message"},
    "profiles": {"message", "identity"},
    "destinations": {"message"},
    "delivery": {"message", "workspace", "destinations", "storage", "telemetry", "clock", "settings"},
    "resolver": {"message", "log", "identity", "profiles", "storage", "telemetry", "clock", "settings"},
    "storage": {"message", "log", "identity", "profiles", "workspace", "telemetry", "clock"},
    "web": {
        "message", "log", "workspace", "identity", "profiles", "destinations", "delivery", "storage", "telemetry",
        "clock", "settings",
    },
    "testing": {"message", "log", "identity", "profiles", "destinations", "delivery", "workspace", "storage", "clock"},
}  # fmt: skip
TOP = {"compose", "cli", "commands", "__init__", "__main__"}
ONLY_FOR_COMPOSE = ("tabard.log.drivers", "tabard.storage.sqlite", "tabard.storage.postgres")
PURE = ("message", "identity", "profiles", "destinations/kit/mapping", "destinations/kit/subscription",
        "delivery/route", "delivery/retry")  # fmt: skip
IMPURE_MODULES = {
    "time", "random", "secrets", "uuid", "os", "socket", "asyncio", "threading", "subprocess", "sqlite3", "apsw",
    "aiohttp", "urllib", "http",
}  # fmt: skip
BANNED_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "service", "services", "misc"}
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70


def modules() -> list[Path]:
    return sorted(path for path in SRC.rglob("*.py") if "__pycache__" not in path.parts)


def station(path: Path) -> str:
    first = path.relative_to(SRC).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_a_station_imports_only_what_the_table_allows(path: Path) -> None:
    home = station(path)
    if home in TOP:
        return
    assert home in ALLOWED, f"{home} is no station of the house; add it to docs/design.md and to this table"
    seen = {name.split(".")[1] for name in imports(path) if name.startswith("tabard.")}
    assert seen - {home} <= ALLOWED[home]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_only_compose_picks_drivers(path: Path) -> None:
    relative = path.relative_to(SRC).as_posix()
    if station(path) in TOP or relative.startswith(("log/drivers", "storage/sqlite", "storage/postgres")):
        return
    drivers = {name for name in imports(path) if name.startswith(ONLY_FOR_COMPOSE)}
    assert not drivers


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_pure_packages_know_no_clock_randomness_environment_network_or_database(path: Path) -> None:
    if not path.relative_to(SRC).as_posix().startswith(PURE):
        return
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE_MODULES


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= FILE_LINES_MAX
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


def test_no_drawer_is_named_for_nothing_in_particular() -> None:
    assert not {path.stem for path in modules()} & BANNED_NAMES
    assert not {part for path in modules() for part in path.relative_to(SRC).parts[:-1]} & BANNED_NAMES


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SRC)))
def test_every_public_name_says_what_the_caller_gets(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    nameless = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not nameless
