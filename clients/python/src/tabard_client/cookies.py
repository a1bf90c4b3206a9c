"""The identity cookies of the analytics.js family, read and set on the server.

Names and encodings are those of `clients/browser` (and of the peers): `ajs_anonymous_id`, `ajs_user_id` and
`ajs_group_id` on the site's domain, percent-encoded text, path /, SameSite=Lax, 365 days, readable by scripts.
Cookies set by a server also outlive Safari's seven-day limit on script cookies.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, unquote
from uuid import uuid4

ANONYMOUS_ID = "ajs_anonymous_id"
USER_ID = "ajs_user_id"
GROUP_ID = "ajs_group_id"
MAX_AGE_S = 365 * 24 * 60 * 60

# What encodeURIComponent leaves alone, without the parentheses: Python's cookie writer would put quotes around them.
_UNQUOTED = "!~*'"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the browser's cookies say. A visitor can write any of it: take `user_id` for a hint, not a login."""

    user_id: str | None = None
    anonymous_id: str | None = None
    group_id: str | None = None


class Response(Protocol):
    """Any response with Django's, Flask's and Starlette's `set_cookie`."""

    @property
    def set_cookie(self) -> Callable[..., object]:
        """Adds a Set-Cookie header: name, value, and max_age, path, domain, secure, httponly, samesite."""


def identity_from_cookies(cookies: Mapping[str, str] | str | None) -> Identity:
    """The identity in a request's cookies: a mapping (`request.cookies`, `request.COOKIES`) or a Cookie header."""
    jar = _parsed(cookies) if isinstance(cookies, str) else cookies or {}
    return Identity(_value(jar.get(USER_ID)), _value(jar.get(ANONYMOUS_ID)), _value(jar.get(GROUP_ID)))


def set_identity_cookies(
    response: Response,
    *,
    anonymous_id: object = None,
    user_id: object = None,
    group_id: object = None,
    domain: str | None = None,
    secure: bool = True,
) -> None:
    """Set the given ids (None leaves a cookie alone), so that the browser client goes on as this person.

    `domain` is that of the browser client's cookies: the site's widest own domain (`.example.com`), or the load option
    `cookie.domain`. Without it a second cookie of the same name stands beside the browser's; the browser client
    replaces such a one when it next changes the id. Set `secure=False` only for plain-http development.
    """
    for name, value in ((ANONYMOUS_ID, anonymous_id), (USER_ID, user_id), (GROUP_ID, group_id)):
        if value is not None:
            _set(response, name, quote(str(value), safe=_UNQUOTED), MAX_AGE_S, domain, secure)


def clear_identity_cookies(response: Response, *, domain: str | None = None, secure: bool = True) -> None:
    """Forget the person, as `reset()` does in the browser: a new anonymousId, and no user and no group.

    The anonymousId is replaced, not removed: what its cookies lack, the browser client restores from local storage;
    by an anonymousId unlike the stored one it sees that its copy is of somebody else, and forgets that person.
    `domain` is the one the cookies were set with.
    """
    _set(response, ANONYMOUS_ID, str(uuid4()), MAX_AGE_S, domain, secure)
    for name in (USER_ID, GROUP_ID):
        _set(response, name, "", 0, domain, secure)


def _set(response: Response, name: str, value: str, max_age_s: int, domain: str | None, secure: bool) -> None:
    # Not HttpOnly: the browser client must read them.
    response.set_cookie(
        name, value, max_age=max_age_s, path="/", domain=domain, secure=secure, httponly=False, samesite="Lax"
    )


def _parsed(header: str) -> dict[str, str]:
    jar: dict[str, str] = {}
    for part in header.split(";"):
        name, equals, value = part.strip().partition("=")
        if equals:
            # The first of a name is the one with the longest path, which browsers send first.
            jar.setdefault(unquote(name), value)
    return jar


def _value(raw: str | None) -> str | None:
    """The id in a cookie: bare, percent-encoded, or a JSON string (classic analytics.js wrote those)."""
    text = unquote(raw or "").strip()
    if text.startswith('"'):
        try:
            text = str(json.loads(text))
        except ValueError:
            text = text.strip('"')
    return None if text in {"", "null", "undefined"} else text
