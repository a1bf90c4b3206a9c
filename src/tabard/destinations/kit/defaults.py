"""Mappings that the defaults of fields often need. Pure."""

from typing import Any


def first_of(*paths: str) -> dict[str, Any]:
    """The mapping that takes the first of the values that is there: `first_of("$.userId", "$.anonymousId")`."""
    path, *others = paths
    value = {"@path": path}
    return {"@if": {"exists": value, "then": value, "else": first_of(*others)}} if others else value
