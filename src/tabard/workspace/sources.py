"""New sources and new write keys, as data; ids and keys are handed in."""

import re
from typing import Final

import msgspec

from tabard.workspace.types import Source

NAME_LENGTH_MAX: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")


class NameInvalid(ValueError):
    """A name that sources and destinations may not have; the text says which are allowed."""


def checked_name(name: str) -> str:
    """The name, if it may be one. Raises `NameInvalid`."""
    if len(name) > NAME_LENGTH_MAX or not _NAME.fullmatch(name):
        raise NameInvalid(
            f"{name!r} cannot be a name: at most {NAME_LENGTH_MAX} letters, digits, spaces, dots, dashes, underscores"
        )
    return name


def rotated(source: Source, new_key: str, *, keep_old: bool) -> Source:
    """The source with a new active key; older keys are refused by name from now on, unless `keep_old`."""
    old = {key: state if keep_old else "rotated" for key, state in source.write_keys.items()}
    return msgspec.structs.replace(source, write_keys={new_key: "active", **old})
