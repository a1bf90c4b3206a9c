"""Who this request is: an identity bound for a stretch of code, which later calls fall back on.

A browser remembers its person; a server answers many at once, so the memory belongs to the running
context (thread, task), never to the process.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from enum import Enum
from numbers import Real
from types import TracebackType
from typing import Any

# A larger one stands for several whole numbers.
_EXACT_FLOAT_MAX = 2**53

log = logging.getLogger("tabard_client")

_bound: ContextVar["bind | None"] = ContextVar("tabard_identity", default=None)


class bind:  # noqa: N801 - read as a statement: `with bind(user_id=…):`
    """`with bind(user_id=…, anonymous_id=…, context=…)`: calls inside that name nobody are about this person.

    Inside another `bind`, what is left out is taken from there, but the anonymous id of one person is never
    given to another userId. An id that a call names itself always wins, and then nothing that contradicts it
    is added: `track("other-user", …)` does not carry this visitor's anonymousId.

    One `bind` may be entered many times, also at once and within itself: each entry gives an identity of its own,
    which is what `as` names, and leaves the `bind` as it was made.
    """

    __slots__ = ("_entered_as", "_outer", "anonymous_id", "context", "user_id")

    def __init__(
        self,
        user_id: object = None,
        anonymous_id: object = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        self.user_id = _as_bound_id(user_id)
        self.anonymous_id = _as_bound_id(anonymous_id)
        self.context: dict[str, object] = dict(context or {})
        self._entered_as: bind | None = None  # of an entry: the bind of the `with`
        self._outer: bind | None = None  # of an entry: what was bound before

    def __enter__(self) -> "bind":
        entry = bind(self.user_id, self.anonymous_id, self.context)
        entry._entered_as = self
        outer = entry._outer = _bound.get()
        if outer is not None:
            entry._inherit(outer)
        _bound.set(entry)
        return entry

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not ContextVar.reset: a framework may leave the block in another context than it was entered in, where
        # there may be nothing to leave, and generators may leave theirs out of turn.
        entry = _bound.get()
        while entry is not None and entry._entered_as is not self:
            entry = entry._outer
        if entry is not None:
            _bound.set(entry._outer)

    def _inherit(self, outer: "bind") -> None:
        self.context = {**outer.context, **self.context}
        if self.anonymous_id is None and (outer.user_id is None or self.user_id in {None, outer.user_id}):
            self.anonymous_id = outer.anonymous_id
        if self.user_id is None and self.anonymous_id in {None, outer.anonymous_id}:
            self.user_id = outer.user_id


def bound() -> bind | None:
    """The identity bound here, or None."""
    return _bound.get()


@contextmanager
def resumed(entry: bind) -> Iterator[None]:
    """Within: the identity of an entry that was left, as it stood then."""
    before = _bound.get()
    _bound.set(entry)
    try:
        yield
    finally:
        _bound.set(before)


def set_user(user_id: object) -> None:
    """Within a `bind`: this person is `user_id` from now on, as after a login. Elsewhere: nothing."""
    here = _bound.get()
    if here is not None:
        here.user_id = _as_bound_id(user_id)


def fill_in(message: dict[str, object]) -> None:
    """Add the bound ids to a message that does not contradict them, and the bound context under its own.

    An `identify` with a userId, where no user is bound yet, is the moment the visitor becomes known: it takes
    the bound anonymousId along and binds the user for what follows.
    """
    here = _bound.get()
    if here is None:
        return
    context = message["context"]
    if here.context and isinstance(context, Mapping):
        message["context"] = {**here.context, **context}
    if message["type"] == "alias":
        return
    user_id, anonymous_id = message["userId"], message["anonymousId"]
    becomes_known = message["type"] == "identify" and here.user_id is None and user_id is not None
    same_user = user_id in {None, here.user_id} or becomes_known
    same_visitor = anonymous_id in {None, here.anonymous_id}
    if not (same_user and same_visitor):
        return
    if becomes_known:
        here.user_id = str(user_id)
    message["userId"] = here.user_id
    message["anonymousId"] = here.anonymous_id if anonymous_id is None else anonymous_id


def as_id(value: object) -> str | None:
    """An identifier as text, a whole number without its `.0`, an Enum's value; None for what identifies nobody (None,
    blank text, NaN, by which data frames say that a value is missing).

    Raises TypeError for what cannot be one: truth values, fractions, bytes, anything with parts, an object without a
    text of its own.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return str.__str__(value) if value.strip() else None  # of an Enum of texts: the text
    if type(value) is int:  # the usual number; asking for the kinds of others takes ten times as long
        return str(value)
    if isinstance(value, Enum):
        return as_id(value.value)
    is_number = isinstance(value, Real | Decimal)
    has_text = is_number or type(value).__str__ is not object.__str__
    if isinstance(value, bool | Iterable) or not has_text:
        raise TypeError(f"an id must be text or a number, not {type(value).__name__}")
    if value != value:  # noqa: PLR0124 - NaN, NaT and the like, of whichever library
        return None
    return _whole(value) if is_number else str(value)


def _whole(number: Any) -> str:
    is_exact = math.isfinite(number) and not (isinstance(number, float) and abs(number) > _EXACT_FLOAT_MAX)
    whole = math.trunc(number) if is_exact else None
    if whole != number:
        raise TypeError(f"an id that is a number must be a whole one, not {number}; send it as text")
    return str(whole)


def _as_bound_id(value: object) -> str | None:
    try:
        return as_id(value)
    except Exception:
        log.exception("nobody is bound")
        return None
