"""States controls (delete, suppress, cut …) in the admin partition of the log, so that `rebuild` replays them."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tabard.clock import Clock
from tabard.compose.holdings import holdings
from tabard.compose.running import running_settings
from tabard.compose.store import profile_reader
from tabard.identity.controls import EVERYTHING
from tabard.identity.identifiers import parsed
from tabard.log.codec import encode
from tabard.log.drivers.sqlite import LogOptions, SqliteLogWriter
from tabard.message.traits import parse_instant
from tabard.message.types import CONTROL, RECORD_VERSION, SERVER_TRUST, Record, position, position_text
from tabard.storage.sqlite.database import DatabaseMissing
from tabard.storage.sqlite.installation import Installation

ADMIN_PARTITION: Final = 0
"""The partition that CLI and web write, one append at a time, holding its lock for it."""

LOCK_WAIT_S: Final = 10.0

_KINDS: Final = ("anon", "email", "user")


_NEEDED: Final = {
    "delete": ("ids",),
    "suppress": ("ids",),
    "unsuppress": ("ids",),
    "cut": ("a", "b"),
    "uncut": ("a", "b"),
    "ungroup": ("group_id",),
}
"""The kinds of control and what each must name."""


class _Control(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    type: str
    message_id: str | None = None
    timestamp: str | None = None
    ids: list[str] = []
    a: str = ""
    b: str = ""
    until: str | None = None
    group_id: str = ""
    user_id: str | None = None
    anonymous_id: str | None = None


class Controls:
    """Appends controls to an installation's log."""

    def __init__(self, installation: Installation, clock: Clock) -> None:
        self._installation = installation
        self._clock = clock

    def append(self, control: Mapping[str, Any]) -> str:
        """The position (`partition:offset`) the control was kept at.

        It gets a messageId and the present as timestamp where it has none. Raises ValueError naming what is wrong
        with it, and `LogUnavailable`.
        """
        checked = _checked(control)
        now_ms = self._clock.now_ms()
        stated = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {
            **{key: value for key, value in control.items() if value is not None},
            "messageId": checked.message_id or self._clock.new_id(),
            "timestamp": checked.timestamp or stated,
        }
        record = Record(
            version=RECORD_VERSION,
            source="",
            type=CONTROL,
            trust=int(SERVER_TRUST),
            received_at=now_ms,
            body=msgspec.json.encode(body),
        )
        with_lock = LogOptions(lock_wait_s=LOCK_WAIT_S)
        writer = SqliteLogWriter(self._installation.log, ADMIN_PARTITION, with_lock, self._clock)
        try:
            return position_text(position(ADMIN_PARTITION, writer.append([encode(record)])))
        finally:
            writer.close()

    def whole(self, ids: list[str]) -> list[str]:
        """Every identifier, now, of the people whom these name; one that is nobody's stands for itself (§6.6).

        Raises ValueError for what is no identifier.
        """
        named = dict.fromkeys(parsed(one) for one in ids)
        with contextlib.suppress(DatabaseMissing):
            reader = profile_reader(self._installation, running_settings(self._installation))
            with contextlib.closing(reader):
                profiles = [reader.profile(one) for one in named]
            named |= dict.fromkeys(one for profile in profiles if profile for one in profile.identifiers)
        return list(named)

    def unknown(self, ids: list[str]) -> list[str]:
        """Those of the identifiers of which nothing is known: perhaps mistyped, perhaps still to come."""
        with contextlib.suppress(DatabaseMissing):
            reader = profile_reader(self._installation, running_settings(self._installation))
            with contextlib.closing(reader):
                return [one for one in ids if reader.node(one) is None]
        return list(ids)

    def still_held(self) -> list[dict[str, Any]]:
        """What holds data after a delete, each `place` with `until`."""
        return holdings(self._installation, self._clock)


def _checked(control: Mapping[str, Any]) -> _Control:
    try:
        checked: _Control = msgspec.convert(dict(control), _Control)
    except msgspec.ValidationError as problem:
        raise ValueError(f"no control: {problem}") from problem
    if checked.type not in _NEEDED:
        raise ValueError(f"there is no control {checked.type!r}; there are {', '.join(_NEEDED)}")
    for needed in _NEEDED[checked.type]:
        if not getattr(checked, needed):
            raise ValueError(f"a {checked.type} names {needed.replace('group_id', 'groupId')}")
    # `cut` and `uncut` may name everything as the other end.
    far = "" if checked.b == EVERYTHING else checked.b
    for identifier in (*checked.ids, checked.a, far):
        kind, separator, value = identifier.partition(":")
        if identifier and (kind not in _KINDS or not separator or not value.strip()):
            raise ValueError(f"{identifier!r} is no identifier; write user:…, email:… or anon:…")
    for name, moment in (("until", checked.until), ("timestamp", checked.timestamp)):
        if moment and parse_instant(moment) is None:
            raise ValueError(f"{name} {moment!r} is no time; write ISO 8601, such as 2026-01-31T12:00:00Z")
    if far and parsed(checked.a) == parsed(far):
        raise ValueError(f"{checked.a!r} has no link with itself; a {checked.type} names two identifiers")
    if checked.type == "ungroup" and not (checked.user_id or checked.anonymous_id):
        raise ValueError("an ungroup names userId or anonymousId")
    return checked
