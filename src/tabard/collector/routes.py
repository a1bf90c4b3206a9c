"""The paths of the door. Every POST that takes calls is one entry of `CALLS`, found by its URL as sent."""

from typing import Final

import msgspec

from tabard.message.types import CALL_TYPES


class Call(msgspec.Struct, frozen=True, gc=False):
    """What a path takes: one call of a type, or a batch (`type` None).

    `client`: only browsers and mobile devices use it, so address and user agent are the person's. `pixel`: the call is
    in the query of a GET, anybody can make a page send it, and the answer is an image.
    """

    type: str | None
    client: bool = False
    pixel: bool = False


_BATCH: Final = Call(type=None)
_CLIENT_BATCH: Final = Call(type=None, client=True)

CALLS: Final[dict[bytes, Call]] = {
    **{f"/v1/{name}".encode(): Call(type=name) for name in CALL_TYPES},
    **{f"/v1/{name[0]}".encode(): Call(type=name, client=True) for name in CALL_TYPES},
    b"/v1/batch": _BATCH,
    b"/v1/import": _BATCH,
    b"/v1/b": _CLIENT_BATCH,
    b"/beacon/v1/batch": _CLIENT_BATCH,
}
"""Path → what is POSTed there. The one-letter paths are those of browsers and mobile devices."""

PIXELS: Final[dict[bytes, Call]] = {
    f"{prefix}/{name}".encode(): Call(type=name, client=True, pixel=True)
    for prefix in ("/v1/pixel", "/pixel/v1")
    for name in CALL_TYPES
}
"""Path → the call in the query of a GET there; Segment's form and RudderStack's."""

COUNTERS: Final = b"/v1/m"
HEALTH: Final = b"/health"
READY: Final = b"/ready"
METRICS: Final = b"/metrics"
SOURCE_CONFIG: Final = b"/sourceConfig"


def settings_key(path: bytes) -> str | None:
    """The write key in `/v1/projects/{writeKey}/settings` or its form without `/v1`; None for any other path."""
    parts = path.removeprefix(b"/v1").split(b"/")
    if len(parts) == len(("", "projects", "key", "settings")) and parts[1] == b"projects" and parts[3] == b"settings":
        return parts[2].decode("utf-8", "replace")
    return None
