"""Paths into a message: `$.traits.address.city`, `properties.products[0].sku`, `context['k y']`.

One reading rule for triggers and mappings (actions.md §7.2): a falsy value met on the way (null, 0, false, '') is
the answer; a key asked of any other scalar, or of a list by name, is missing. Pure.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Any, Final


class Missing(Enum):
    """The absence of a value, which null is not."""

    MISSING = "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING

Read = Callable[[Any], Any]
"""From a root to the value at a path, or MISSING."""

Keys = tuple[str, ...]

_SEPARATOR = re.compile(r"""\.|\[(\d+)\]|\['([^']+)'\]|\["([^"]+)"\]""")


def parse_path(text: str) -> Keys:
    """The keys of a path. `$.` in front is cut once; '', '.' and '$.' are the root, ()."""
    return split_path(text.removeprefix("$."))


def split_path(text: str) -> Keys:
    """The keys of a path as a template writes it, where `$` is a key like any other."""
    return tuple(part for part in _SEPARATOR.split(text) if part)


def member(value: Any, key: str) -> Any:
    """One step: the member `key` of an object, or the item of that number of a list; MISSING otherwise."""
    if isinstance(value, dict):
        return value.get(key, MISSING)
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return MISSING


def read_keys(keys: Keys) -> Read:
    """A reader of exactly these keys."""

    def read(value: Any) -> Any:
        for key in keys:
            if isinstance(value, dict):
                value = value.get(key, MISSING)
            elif isinstance(value, list):
                value = member(value, key)
            else:
                return value if not value else MISSING
        return value

    return read
