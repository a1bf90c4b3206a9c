"""Reserved traits are found in either spelling (identify-page.txt, "Traits"; wire.md §3.2, §3.3).

`$.traits.firstName` finds `first_name` and the reverse, for reserved names and the reserved members of `address` and
`company` only. The spelling that was asked for wins where both came. What is passed whole (`$.traits`) is left as it
came: nothing is copied into it. Pure.
"""

from collections.abc import Callable
from typing import Any

from tabard.destinations.kit.paths import MISSING, Keys, Read, member, read_keys
from tabard.message.traits import RESERVED_PARTS, canonical_trait, full_name, looks_like_email, other_spelling

ReadPath = Callable[[Keys], Read]
"""Makes the reader of a path: by spelling alone (triggers), or with derived values as well (mappings)."""

_PART_SPELLINGS = {
    name: {spelling: other for pair in parts.items() for spelling, other in (pair, pair[::-1])}
    for name, parts in RESERVED_PARTS.items()
}


def read_either_spelling(keys: Keys) -> Read:
    """A reader that takes a reserved trait's other spelling where the asked one is missing."""
    at = _traits_depth(keys)
    others = _other_spellings(keys, at) if at else ()
    if not any(others):
        return read_keys(keys)
    root, steps = read_keys(keys[:at]), tuple(zip(keys[at:], others, strict=True))

    def read(message: Any) -> Any:
        value = root(message)
        for key, other in steps:
            if value is not MISSING and not isinstance(value, dict | list):
                return value if not value else MISSING
            holder = value
            value = member(holder, key)
            if value is MISSING and other:
                value = member(holder, other)
        return value

    return read


def read_trait(keys: Keys) -> Read:
    """As `read_either_spelling`; a missing name is filled from first and last, a missing e-mail from the userId.

    The e-mail only for identify calls, whose userId is the person the traits describe.
    """
    read = read_either_spelling(keys)
    at = _traits_depth(keys)
    if not at or keys[at:] not in (("name",), ("email",)):
        return read
    traits, derive = read_keys(keys[:at]), _name if keys[-1] == "name" else _email

    def read_or_derive(message: Any) -> Any:
        value = read(message)
        return derive(message, traits(message)) if value is MISSING else value

    return read_or_derive


def _traits_depth(keys: Keys) -> int:
    """How many keys lead to a person's traits; 0 where the path does not go there, or to the whole of them."""
    for lead in (("traits",), ("context", "traits")):
        if keys[: len(lead)] == lead and len(keys) > len(lead):
            return len(lead)
    return 0


def _other_spellings(keys: Keys, at: int) -> tuple[str | None, ...]:
    """For each key below the traits, its other spelling or None."""
    trait, *rest = keys[at:]
    parts = _PART_SPELLINGS.get(canonical_trait(trait), {})
    below = [parts.get(key) if depth == 0 and parts.get(key) != key else None for depth, key in enumerate(rest)]
    return (other_spelling(trait), *below)


def _name(_message: Any, traits: Any) -> Any:
    return (full_name(traits) if isinstance(traits, dict) else None) or MISSING


def _email(message: Any, _traits: Any) -> Any:
    user_id = message.get("userId") if message.get("type") == "identify" else None
    return user_id if isinstance(user_id, str) and looks_like_email(user_id) else MISSING
