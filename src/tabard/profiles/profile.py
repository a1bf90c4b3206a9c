"""A profile's content: the fold of the registers of its identifiers, and what is derived from it to be shown. Pure."""

from collections.abc import Iterable
from typing import Any

from tabard.message.traits import full_name
from tabard.profiles.registers import Held, Registers


def fold(registers: Iterable[Registers]) -> Registers:
    """The newest write a key and a group over all identifiers of a profile (identity.md §3.4)."""
    folded = Registers()
    for one in registers:
        for key, held in one.traits.items():
            old = folded.traits.get(key)
            if old is None or old[0] < held[0]:
                folded.traits[key] = held
        for group, place in one.groups.items():
            standing = folded.groups.get(group)
            if standing is None or standing[0] < place[0]:
                folded.groups[group] = place
    return folded


def traits_of(folded: Registers) -> dict[str, Any]:
    """The traits that are set, by name; a null hides its key."""
    return {key: folded.traits[key][1] for key in sorted(folded.traits) if folded.traits[key][1] is not None}


def groups_of(folded: Registers) -> list[str]:
    """The groups the profile is in, sorted."""
    return sorted(group for group, (_, inside) in folded.groups.items() if inside)


def shown(traits: dict[str, Any]) -> dict[str, Any]:
    """The traits as people see them: the full name filled in where only its parts were passed (identify-page)."""
    name = full_name(traits)
    return traits if name is None else {**traits, "name": name}


def replaced(registers: Iterable[Registers], key: str) -> list[tuple[Held, Any]]:
    """Every identifier's newest write of a trait, newest first: the value shown, then those it stands over."""
    return sorted((one.traits[key] for one in registers if key in one.traits), key=lambda write: write[0], reverse=True)
