"""The limits of what travels (wire.md §1.8), as the door hands them to the checks."""

from typing import Final

import msgspec

MESSAGE_ID_CHARS_MAX: Final = 255
"""Clients stay below 100 characters; keys of databases and destinations should not have to hold more."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that are settings. Sizes in bytes, decompressed."""

    message_bytes_max: int = 32 * 1024
    batch_bytes_max: int = 500 * 1024
    batch_items_max: int = 2500
    json_depth_max: int = 64

    @property
    def expanded_bytes_max(self) -> int:
        """What a batch may come to with its shared context under each item: one request must not fill the log."""
        return 4 * self.batch_bytes_max
