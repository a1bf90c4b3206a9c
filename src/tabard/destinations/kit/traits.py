"""Reserved traits of a whole traits object, for an action whose vendor has its own names for them. Pure.

A mapping that reads one trait needs none of this: paths find both spellings (see `reserved`).
"""

from typing import Any

from tabard.message.traits import full_name, looks_like_email, other_spelling


def take_trait(traits: dict[str, Any], name: str) -> Any:
    """Removes a trait in both its spellings and returns its value; None where neither came. `name` itself wins."""
    other = other_spelling(name)
    value = traits.pop(name, None)
    spare = traits.pop(other, None) if other else None
    return spare if value is None else value


def take_name(traits: dict[str, Any]) -> Any:
    """Removes `name` and returns it, or the full name made of first and last, which stay; None where neither came."""
    joined = full_name(traits)
    return take_trait(traits, "name") or joined


def is_email(value: Any) -> bool:
    """Whether a value is an e-mail address, the way a userId is looked at (identify-page.txt, "Email as a userId")."""
    return isinstance(value, str) and looks_like_email(value)
