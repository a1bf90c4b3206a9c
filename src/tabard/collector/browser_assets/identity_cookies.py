"""`POST /v1/id`: the server sets the identity cookies it was sent once more.

Safari keeps cookies set by a script for seven days and those set by a server of the same site for as long as they ask.
The browser sends its `ajs_*` cookies here only where the collector is of the page's own site (they are Lax and this is
a POST), so another site can neither read nor plant an identity: without cookies nothing is set.
"""

from collections.abc import Iterable
from urllib.parse import quote, unquote

# Who the visitor is, and what they decided on it.
RENEWED_COOKIES = ("ajs_anonymous_id", "ajs_user_id", "ajs_group_id", "tabard_consent")
MAX_AGE_S = 365 * 86_400
DOMAIN_BYTES_MAX = 255
VALUE_CHARS_MAX = 1_000


def renewed_cookies(cookie_header: str, *, domain: str, host: str, secure: bool) -> tuple[str, ...]:
    """The `Set-Cookie` values that answer one request: one for each identity cookie it carried, and one for the
    visitor's decision.

    `domain` is the request's body, the widest domain the script could write (`.example.com`, or empty for this host
    alone); `host` the request's Host without its port. A domain this host is not part of gives no cookies.
    """
    if len(domain) > DOMAIN_BYTES_MAX or not _covers(domain, host):
        return ()
    attributes = f"Max-Age={MAX_AGE_S}; Path=/; SameSite=Lax"
    if domain:
        attributes += f"; Domain={domain.lower()}"
    if secure:
        attributes += "; Secure"
    return tuple(f"{name}={value}; {attributes}" for name, value in _identity(cookie_header))


def _covers(domain: str, host: str) -> bool:
    if not domain:
        return True
    labels = domain.lower().removeprefix(".")
    return domain.startswith(".") and "." in labels and f".{host.lower()}".endswith(f".{labels}")


def _identity(cookie_header: str) -> Iterable[tuple[str, str]]:
    # Not http.cookies: it stops at the first value it does not like, and other tools put JSON into theirs.
    sent = dict(part.strip().partition("=")[::2] for part in cookie_header.split(";"))
    for name in RENEWED_COOKIES:
        value = unquote(sent.get(name, ""))
        if value and value.isprintable() and len(value) <= VALUE_CHARS_MAX:
            yield name, quote(value, safe="")
