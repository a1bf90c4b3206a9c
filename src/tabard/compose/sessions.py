"""Sessions of the web role that were ended before their time, in a small file that all its processes share."""

import fcntl
from pathlib import Path
from typing import Final

import msgspec

from tabard.log.progress import replace
from tabard.telemetry.logging import logger

ENDED_MAX: Final = 1000
"""Most sessions that are listed; beyond, every session that expires no later than the latest of them is over too."""


class _Ended(msgspec.Struct, frozen=True):
    """`sessions`: id → when it expires (s). Whatever expires up to `until` (s) is over as well."""

    until: int = 0
    sessions: dict[str, int] = {}


class EndedSessions:
    """See `web.deps.EndedSessions`. It holds after a restart, and for web processes that run side by side."""

    def __init__(self, file: Path, lock: Path, session_s: int) -> None:
        """`session_s`: how long a session lasts. `lock`: a file that whoever writes `file` holds."""
        self._file = file
        self._lock = lock
        self._session_s = session_s

    def holds(self, session: str, expires_s: int) -> bool:
        """Whether the session is over. Raises OSError where the file cannot be read."""
        ended = self._read()
        return expires_s <= ended.until or session in ended.sessions

    def add(self, session: str, expires_s: int, now_s: int) -> None:
        """Ends a session, on disk when this returns; forgets those that have expired. Raises OSError."""
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ended = self._read()
            until, sessions = ended.until, {one: at for one, at in ended.sessions.items() if at > now_s}
            sessions[session] = expires_s
            if len(sessions) > ENDED_MAX:
                until, sessions = max(until, *sessions.values()), {}
            replace(self._file, msgspec.json.encode(_Ended(until, sessions)))

    def _read(self) -> _Ended:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Ended)
        except FileNotFoundError:
            return _Ended()
        except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
            # Whoever was to be shut out stays out: all that began before the damage log in again.
            logger().error("web.sessions.damaged", path=str(self._file), problem=str(problem))
            return _Ended(until=int(self._file.stat().st_mtime) + self._session_s)
