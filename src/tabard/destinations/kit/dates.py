"""The forms in which vendors want an instant, made from the one parser of `message.traits`. Pure."""

from typing import Any

from tabard.destinations.kit.field import DateForm
from tabard.message.traits import iso_ms, parse_instant


def date_in_form(value: Any, form: DateForm) -> Any:
    """A date (ISO text, epoch seconds or milliseconds) in the wanted form; None where the value is no date."""
    instant_ms = parse_instant(value)
    if instant_ms is None or form == "as_given":
        return None if instant_ms is None else value
    if form == "unix_s":
        return instant_ms // 1000
    if form == "unix_ms":
        return instant_ms
    text = iso_ms(instant_ms)
    return text if form == "iso" else text[: len("2024-01-01")]
