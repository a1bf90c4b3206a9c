"""Who may look and change: the admin token, as a bearer, as Basic user name, or once at `/login` for a signed session.

A session cookie is `expiry.id.signature`, HttpOnly and SameSite=Strict; a logout ends it and every copy of it.
Forms carry a CSRF token bound to the session; requests with the token in a header need none, since no page of another
site can set that header.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tabard.web.deps import Deps
from tabard.web.errors import Refused

COOKIE = "tabard_session"
SESSION_S = 12 * 3600


def new_session(deps: Deps) -> str:
    """The cookie value of a session that starts now."""
    stated = f"{_now_s(deps) + SESSION_S}.{secrets.token_urlsafe(16)}"
    return f"{stated}.{_sign(deps, 'login', stated)}"


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
    stated, _, signature = session.rpartition(".")
    if not _is_same(signature, _sign(deps, "login", stated)):
        return None
    expires_s, own_id = _parts(session)
    return session if expires_s > _now_s(deps) and not deps.ended.holds(own_id, expires_s) else None


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
    """Ends the session: the cookie goes from the browser, and a copy of it opens nothing any more."""
    await require_change(request)
    deps: Deps = request.app.state.deps
    session = session_of(request)
    if session is not None:
        expires_s, own_id = _parts(session)
        try:
            await run_in_threadpool(deps.ended.add, own_id, expires_s, _now_s(deps))
        except OSError as problem:
            message = f"the session goes on, its end cannot be written ({problem.strerror}): mend the disk, try again"
            raise Refused("session_not_ended", message, 503) from problem
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _parts(session: str) -> tuple[int, str]:
    """When a session with a good signature expires (s), and its id."""
    expiry, own_id, _ = session.split(".")
    return int(expiry), own_id


def _now_s(deps: Deps) -> int:
    return deps.clock.now_ms() // 1000


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _sign(deps: Deps, purpose: str, text: str) -> str:
    return hmac.new(deps.session_key, f"{purpose}:{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
