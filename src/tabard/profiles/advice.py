"""What is odd about the traits of an identify: two spellings of one trait, a wrong type (identify-page.txt). Pure."""

from typing import Any, Final

from tabard.message.traits import RESERVED, canonical_trait, looks_like_email, other_spelling

_OBJECTS: Final = frozenset({"address", "company"})
_NUMBERS: Final = frozenset({"age"})
_DATES: Final = frozenset({"createdAt", "birthday"})
_SPELLINGS: Final = frozenset(RESERVED) | frozenset(RESERVED.values())


def oddities(traits: Any) -> tuple[tuple[str, str], ...]:
    """For each odd trait (`trait_type`, name), and (`trait_spelling`, the spelling used) for those that have two."""
    if not isinstance(traits, dict):
        return ()
    found = []
    for key in _SPELLINGS & traits.keys():
        value = traits[key]
        name = canonical_trait(key)
        if other_spelling(key) is not None:
            found.append(("trait_spelling", key))
        if value is not None and not _fits(name, value):
            found.append(("trait_type", name))
    return tuple(found)


def _fits(name: str, value: Any) -> bool:
    if name in _OBJECTS:
        return isinstance(value, dict)
    if name in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name in _DATES:
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    if name == "email":
        return isinstance(value, str) and looks_like_email(value.strip())
    return isinstance(value, str) or (name == "id" and isinstance(value, int) and not isinstance(value, bool))
