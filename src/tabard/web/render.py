"""Pages from templates: everything a person or a client sent is escaped."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tabard.identity.rules import Ignored
from tabard.identity.words import IGNORED
from tabard.message.shown import gist
from tabard.web import auth
from tabard.web.pages.changes import DONE

HERE: Final = Path(__file__).parent

_TWINS: Final = (
    ("/messages/", "/api/trace/"),
    ("/people", "/api/profiles"),
    *(
        (page, f"/api{page}")
        for page in ("/messages", "/destinations", "/dead-letters", "/replays", "/rejections", "/quarantined")
    ),
)
"""Pages and the addresses of the same as JSON."""

_environment: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def _pretty(value: Any) -> str:
    # Not msgspec: a message may hold integers of more than 64 bits.
    return json.dumps(value, indent=2, ensure_ascii=False)


def _moment(text: str) -> str:
    """An ISO time as people read it: `2026-11-24 22:35:52` (UTC)."""
    return text[:19].replace("T", " ")


def _what(row: dict[str, Any]) -> str:
    """What a message is about, in a few words."""
    return "erased" if row["erased"] else gist(row["message"]) or row["type"]


def _name(profile: dict[str, Any]) -> str:
    """What a person is called: by name, else e-mail, else their main identifier."""
    return str(profile["traits"].get("name") or profile["traits"].get("email") or profile["canonical"])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _code(text: str) -> Markup:
    """Escaped text in which what stands between backticks is code."""
    parts = enumerate(text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if odd % 2 else part for odd, part in parts)


_environment.filters["code"] = _code
_environment.filters["moment"] = _moment
_environment.filters["what"] = _what
_environment.filters["name"] = _name
_environment.filters["plain"] = _plain
_environment.filters["ignored"] = lambda what: IGNORED[Ignored(what)]
_environment.filters["json"] = _pretty
# Slashes too: a messageId of `a/../b` must stay one piece of the path.
_environment.filters["segment"] = lambda text: quote(text, safe="")


def _twin(request: Request) -> str:
    """Where the page's data is as JSON; '' where there is none."""
    path: str = request.scope["raw_path"].decode("latin-1")
    query = f"?{request.url.query}" if request.url.query else ""
    for ours, twin in _TWINS:
        if path == ours or path.startswith(ours if ours.endswith("/") else f"{ours}/"):
            return f"{twin}{path.removeprefix(ours)}{query}"
    return ""


def page(request: Request, template: str, context: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A template with its context, the session's CSRF token, the current path, and what may be said after a change."""
    session = auth.session_of(request)
    known = {
        "csrf": auth.csrf_token(request.app.state.deps, session) if session else "",
        "path": request.url.path,
        "twin": _twin(request),
        "query": dict(request.query_params),
        "told": DONE,
    }
    return HTMLResponse(_environment.get_template(template).render(known | context), status)
