"""Who may look and change: the admin token, as a bearer, as Basic user name, or once at `/login` for a signed session.

A session cookie is `expiry.signature`, HttpOnly and SameSite=Strict. Forms carry a CSRF token bound to the session;
requests with the token in a header need none, since no page of another site can set that header.
"""

import base64
import binascii
import hashlib
import hmac
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tabard.web.deps import Deps
from tabard.web.errors import Refused
from tabard.web.pages.shown import number_of

COOKIE = "tabard_session"
SESSION_S = 12 * 3600


def new_session(deps: Deps) -> str:
    """The cookie value of a session that starts now."""
    expiry = str(deps.clock.now_ms() // 1000 + SESSION_S)
    return f"{expiry}.{_sign(deps, 'session', expiry)}"


def csrf_token(deps: Deps, session: str) -> str:
    """The token the forms of this session carry."""
    return _sign(deps, "csrf", session)


def header_token(request: Request) -> str | None:
    """The token of an Authorization header (Bearer, or Basic with the token as user name), None without one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return None


def session_of(request: Request) -> str | None:
    """The request's session cookie if it is ours and not over."""
    deps: Deps = request.app.state.deps
    session = request.cookies.get(COOKIE, "")
    expiry, _, signature = session.partition(".")
    if number_of(expiry) is None or not _is_same(signature, _sign(deps, "session", expiry)):
        return None
    return session if int(expiry) > deps.clock.now_ms() // 1000 else None


def require_admin(request: Request) -> None:
    """Lets an admin pass. Raises `Refused` 401 `unauthorized` otherwise."""
    deps: Deps = request.app.state.deps
    token = header_token(request)
    if token is not None:
        if deps.token_is_admin(token):
            return
        raise Refused("unauthorized", "this admin token is not known; `tabard doctor` says where it is kept", 401)
    if session_of(request) is None:
        message = "send the admin token as `Authorization: Bearer TOKEN`, or log in at /login"
        raise Refused("unauthorized", message, 401)


async def require_change(request: Request) -> None:
    """Lets an admin change something: by header token, or by session with the form's CSRF token."""
    require_admin(request)
    if header_token(request) is not None:
        return
    session = session_of(request) or ""
    given = request.headers.get("x-csrf-token") or str((await request.form()).get("csrf", ""))
    if not _is_same(given, csrf_token(request.app.state.deps, session)):
        raise Refused("csrf", "this form is stale or came from another site; load the page again", 403)


async def log_in(request: Request) -> Response:
    """Starts a session if the form's token is the admin's, else shows the form again with the reason."""
    deps: Deps = request.app.state.deps
    form = await request.form()
    wanted = str(form.get("next", ""))
    if not deps.token_is_admin(str(form.get("token", ""))):
        return RedirectResponse(f"{login_address(wanted)}&wrong=1", 303)
    answer = RedirectResponse(_own_page(wanted), 303)
    secure = request.url.scheme == "https" or deps.settings.public_url.startswith("https:")
    answer.set_cookie(COOKIE, new_session(deps), SESSION_S, httponly=True, samesite="strict", secure=secure)
    return answer


def login_address(wanted: str) -> str:
    """Where to log in, and go on to a page from there."""
    return f"/login?next={quote(wanted, safe='/')}"


def _own_page(wanted: str) -> str:
    """A page to go on to: nobody's link may lead from our login to another site."""
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_path else "/messages"


async def log_out(request: Request) -> Response:
    """Takes the session from the browser."""
    await require_change(request)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _sign(deps: Deps, purpose: str, text: str) -> str:
    return hmac.new(deps.session_key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
