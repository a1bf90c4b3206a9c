"""The pixel: a call in the query of a GET, for e-mails and pages without scripts (wire.md §1.11)."""

import base64
import binascii
from typing import Any

import msgspec

from tabard.collector.request import Request
from tabard.message.limits import Limits
from tabard.message.parse import Refused
from tabard.message.rejection import Reason


def pixel_body(request: Request, limits: Limits) -> bytes:
    """The call in a pixel's query as JSON: `data`, base64 in any alphabet, or dotted parameters. Raises `Refused`."""
    parameters = request.query
    data = next((value for key, value in parameters if key == "data"), None)
    if data is not None:
        return _from_base64(data)
    call: dict[str, Any] = {}
    for key, value in parameters:
        keys = key.split(".")
        if len(keys) > limits.json_depth_max:
            raise Refused(Reason.TOO_DEEP, f"a parameter is nested deeper than {limits.json_depth_max}: flatten it")
        _put(call, keys, value)
    return msgspec.json.encode(call)


def _from_base64(data: str) -> bytes:
    text = data.strip().replace("-", "+").replace("_", "/").replace(" ", "+").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise Refused(Reason.BAD_ENCODING, f"`data` is not base64: {problem}", "data") from problem


def _put(call: dict[str, Any], keys: list[str], value: str) -> None:
    """Sets a value at a dotted path; a path through what is no object is left out."""
    holder = call
    for key in keys[:-1]:
        below = holder.setdefault(key, {})
        if not isinstance(below, dict):
            return
        holder = below
    holder[keys[-1]] = value
