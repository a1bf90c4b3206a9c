"""Order among messages that share an identifier as sent, with everything else in parallel.

An identifier is a lane. A message stands in every lane of its identifiers and may go when it is first in all of
them. Messages join in log order, so nobody ever waits for someone behind.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar

KEY_BYTES = 8


class Standing(Protocol):
    """What the lanes need of a message in them; `ahead` and `followers` are theirs to change."""

    keys: tuple[int, ...]
    ahead: int
    followers: list[tuple[int, Any]]


def lane_keys(message: Mapping[str, Any]) -> tuple[int, ...]:
    """The lanes of a message: a hash of each identifier as sent (userId, anonymousId, previousId; the e-mail trait
    where the call has no other subject). groupId is none: a whole company would move in single file.
    """
    found = {message.get("userId"), message.get("anonymousId"), message.get("previousId")}
    if not message.get("userId") and not message.get("anonymousId"):
        found.add(_email(message))
    return tuple(lane_key(value) for value in found if isinstance(value, str) and value)


def lane_key(identifier: str) -> int:
    """The lane of an identifier. Two identifiers in one lane would wait for each other needlessly, nothing more."""
    return int.from_bytes(blake2b(identifier.encode("utf-8", "replace"), digest_size=KEY_BYTES).digest(), "big")


def _email(message: Mapping[str, Any]) -> Any:
    for holder in (message.get("traits"), (message.get("context") or {}).get("traits")):
        if isinstance(holder, dict) and isinstance(holder.get("email"), str):
            return holder["email"]
    return None


S = TypeVar("S", bound=Standing)


class Lanes(Generic[S]):
    """The lanes of one consumer."""

    def __init__(self) -> None:
        self._last: dict[int, S] = {}
        # Only lanes with someone waiting: how many wait, and who is first.
        self._crowded: dict[int, tuple[int, S]] = {}

    def join(self, newcomer: S) -> bool:
        """Puts a message at the end of its lanes; whether it may go at once."""
        last = self._last
        for key in newcomer.keys:
            before = last.get(key)
            if before is not None:
                before.followers.append((key, newcomer))
                newcomer.ahead += 1
                waiting, first = self._crowded.get(key, (0, before))
                self._crowded[key] = (waiting + 1, first)
            last[key] = newcomer
        return newcomer.ahead == 0

    def leave(self, first: S) -> list[S]:
        """Takes a message that is first everywhere out of its lanes; who may go now."""
        for key in first.keys:
            if self._last.get(key) is first:
                del self._last[key]
        freed = []
        for key, follower in first.followers:
            waiting, _ = self._crowded[key]
            if waiting == 1:
                del self._crowded[key]
            else:
                self._crowded[key] = (waiting - 1, follower)
            follower.ahead -= 1
            if follower.ahead == 0:
                freed.append(follower)
        first.followers.clear()
        return freed

    def waiting_behind(self, first: S) -> int:
        """How many stand in the fullest lane of a message that is first in all of its lanes."""
        return max((self._crowded[key][0] for key in first.keys if key in self._crowded), default=0)

    def first_before(self, newcomer: S) -> list[S]:
        """Who is first in the lanes of a message that waits, as far as they are first everywhere."""
        crowds = (self._crowded.get(key) for key in newcomer.keys)
        return [crowd[1] for crowd in crowds if crowd and crowd[1].ahead == 0 and crowd[1] is not newcomer]

    def __len__(self) -> int:
        """How many lanes are in use."""
        return len(self._last)
