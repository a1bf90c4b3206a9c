"""Every destination there is: the built-in catalogue, files in a plugin folder, and installed packages.

Each of these is a module with a `destination` in it. A broken one is named with its reason and left out; it never
takes the rest down. Where two share a slug the first found stays, in the order above.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from tabard.destinations.kit.check import declaration_errors
from tabard.destinations.kit.destination import Destination

CATALOG = "tabard.destinations.catalog"
ENTRY_POINTS = "tabard.destinations"


@dataclass(frozen=True, slots=True)
class Broken:
    """A destination that could not be taken, by where it is, and why."""

    origin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The destinations by slug, and what was left out."""

    destinations: dict[str, Destination]
    broken: tuple[Broken, ...] = ()

    def named(self, name: str) -> Destination | None:
        """The destination of that slug, name or alias, as an `integrations` object or a person writes it."""
        if name in self.destinations:
            return self.destinations[name]
        return next((each for each in self.destinations.values() if name in (each.name, *each.aliases)), None)


def load_registry(plugin_folder: Path | None = None) -> Registry:
    """All destinations of the catalogue, of the folder's `*.py` files, and of installed packages."""
    destinations: dict[str, Destination] = {}
    broken: list[Broken] = []
    for origin, load in (*_catalog(), *_plugin_files(plugin_folder), *_packages()):
        taken = _take(origin, load, destinations)
        if isinstance(taken, Broken):
            broken.append(taken)
        else:
            destinations[taken.slug] = taken
    return Registry(destinations, tuple(broken))


_Found = tuple[str, Callable[[], Any]]
"""Where a destination is, and how to get its module, or the destination itself."""


def _take(origin: str, load: Callable[[], Any], known: dict[str, Destination]) -> Destination | Broken:
    try:
        found = load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody's code, which may do anything as it loads
        return Broken(origin, f"{type(error).__name__}: {error}")
    destination = getattr(found, "destination", None) if isinstance(found, ModuleType) else found
    if not isinstance(destination, Destination):
        return Broken(origin, "it holds no `destination` made with tabard.destinations.kit")
    if destination.slug in known:
        return Broken(origin, f"there is already a destination {destination.slug!r}")
    faults = declaration_errors(destination)
    return Broken(origin, "; ".join(faults)) if faults else destination


def _catalog() -> Iterator[_Found]:
    package = importlib.import_module(CATALOG)
    for module in pkgutil.iter_modules(package.__path__):
        name = f"{CATALOG}.{module.name}"
        yield name, partial(importlib.import_module, name)


def _plugin_files(folder: Path | None) -> Iterator[_Found]:
    for path in sorted(folder.glob("*.py")) if folder else ():
        yield str(path), partial(_module_of, path)


def _module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tabard_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _packages() -> Iterator[_Found]:
    for entry in entry_points(group=ENTRY_POINTS):
        yield f"{entry.name} = {entry.value}", entry.load
