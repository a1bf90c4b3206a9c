"""What a web request says about its visitor, whichever framework holds it; none is imported here.

Every Python web request rests on a WSGI environ or an ASGI scope: Django and Flask carry the former
(`META`, `environ`), Starlette and FastAPI the latter (`scope`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl, quote

from tabard_client.cookies import Identity, identity_from_cookies
from tabard_client.identity import bind

_UTM = "utm_"
# Every visible ASCII character: what was encoded stays as it is.
_QUERY_SAFE = "".join(map(chr, range(0x21, 0x7F)))
# What a visitor sends may not fill the 32 KiB of a message: longer texts are cut, so that the call itself arrives.
_QUERY_CHARS_MAX = 4096
_REFERRER_CHARS_MAX = 2048
_CHARS_MAX = 1024
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}


@dataclass(frozen=True, slots=True)
class _Facts:
    headers: Mapping[str, str]  # lower-case names
    peer: str
    scheme: str
    host: str
    path: str
    query: str


def context_from_request(request: object, *, proxies_trusted: int = 0) -> dict[str, object]:
    """`context` of a request: ip, userAgent, locale, page (url, path, search, referrer) and campaign (utm_*).

    `request` is a WSGI environ, an ASGI scope, or a Django, Flask, Starlette or FastAPI request. Only with
    `proxies_trusted` = the number of proxies of your own in front are X-Forwarded-For, -Proto and -Host
    believed; anybody can send them. Raises TypeError for anything else.
    """
    facts = _facts(request)
    headers = facts.headers
    context: dict[str, object] = {}
    ip = _ip(facts, proxies_trusted)
    if ip:
        context["ip"] = ip
    if headers.get("user-agent"):
        context["userAgent"] = headers["user-agent"][:_CHARS_MAX]
    locale = headers.get("accept-language", "").split(",")[0].split(";")[0].strip()
    if locale and locale != "*":
        context["locale"] = locale[:_CHARS_MAX]
    context["page"] = _page(facts, proxies_trusted)
    campaign = _campaign(facts.query)
    if campaign:
        context["campaign"] = campaign
    return context


def identity_from_request(request: object) -> Identity:
    """The identity in the request's cookies; see `identity_from_cookies` for how far to trust it."""
    return identity_from_cookies(_facts(request).headers.get("cookie"))


def bind_request(request: object, *, user_id: object = None, proxies_trusted: int = 0) -> bind:
    """A `bind` for one request: its context, the browser's anonymousId, and `user_id`, the user you logged in.

    The user id in the cookie is not used: a visitor can write any id into it, and a server's word is trusted.
    """
    return bind(
        user_id,
        identity_from_request(request).anonymous_id,
        context_from_request(request, proxies_trusted=proxies_trusted),
    )


def _facts(request: object) -> _Facts:
    source: object = request
    for name in ("scope", "META", "environ"):
        held = getattr(request, name, None)
        if isinstance(held, Mapping):
            source = held
            break
    if isinstance(source, Mapping):
        if "REQUEST_METHOD" in source:
            return _from_environ(source)
        if source.get("type") in {"http", "websocket"}:
            return _from_scope(source)
    raise TypeError(
        "expected a WSGI environ, an ASGI http scope, or a Django, Flask, Starlette or FastAPI request, "
        f"not {type(request).__name__}"
    )


def _from_environ(environ: Mapping[str, object]) -> _Facts:
    def get(name: str) -> str:
        return str(environ.get(name) or "")

    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    scheme = get("wsgi.url_scheme") or "http"
    host = headers.get("host") or _address(get("SERVER_NAME"), get("SERVER_PORT"))
    path = quote((get("SCRIPT_NAME") + get("PATH_INFO")).encode("latin-1", "replace")) or "/"
    query = get("QUERY_STRING").encode("latin-1", "replace")
    return _Facts(headers, get("REMOTE_ADDR"), scheme, host, path, _query(query))


def _from_scope(scope: Mapping[str, object]) -> _Facts:
    raw = scope.get("headers")
    headers: dict[str, str] = {}
    for name, value in raw if isinstance(raw, list | tuple) else ():
        known, text = name.decode("latin-1").lower(), value.decode("latin-1")
        # A proxy may add a line of its own behind the visitor's; HTTP/2 sends each cookie on one.
        joint = "; " if known == "cookie" else ", "
        headers[known] = f"{headers[known]}{joint}{text}" if known in headers else text
    client, server = scope.get("client"), scope.get("server")
    peer = str(client[0]) if isinstance(client, list | tuple) and client else ""
    named = _address(*(str(part or "") for part in server[:2])) if isinstance(server, list | tuple) else ""
    query = scope.get("query_string")
    scheme = {"ws": "http", "wss": "https"}.get(str(scope.get("scheme")), str(scope.get("scheme") or "http"))
    return _Facts(
        headers,
        peer,
        scheme,
        headers.get("host") or named,
        quote(str(scope.get("path") or "/"), errors="replace"),
        _query(query) if isinstance(query, bytes) else "",
    )


def _address(name: str, port: str = "") -> str:
    """As it stands in a URL: an IPv6 address in brackets, a port where there is one."""
    host = f"[{name}]" if ":" in name and not name.startswith("[") else name
    return f"{host}:{port}" if port else host


def _query(raw: bytes) -> str:
    """As a browser writes it: what is not ASCII, which a client may send raw, percent-encoded."""
    return quote(raw[:_QUERY_CHARS_MAX], safe=_QUERY_SAFE)[:_QUERY_CHARS_MAX]


def _ip(facts: _Facts, proxies_trusted: int) -> str:
    """The address our outermost proxy saw: what stands left of it in X-Forwarded-For is the visitor's own word."""
    return _plain_address(_forwarded(facts, "x-forwarded-for", proxies_trusted)) or facts.peer


def _forwarded(facts: _Facts, name: str, proxies_trusted: int) -> str:
    """What the outermost of our proxies wrote into a header that each adds to, "" without."""
    parts = [part.strip() for part in facts.headers.get(name, "").split(",") if part.strip()]
    return parts[-min(proxies_trusted, len(parts))] if proxies_trusted > 0 and parts else ""


def _plain_address(text: str) -> str:
    """An IP address without the port and brackets some proxies write; "" for anything else, as `unknown`."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def _page(facts: _Facts, proxies_trusted: int) -> dict[str, object]:
    scheme = _forwarded(facts, "x-forwarded-proto", proxies_trusted) or facts.scheme
    host = _forwarded(facts, "x-forwarded-host", proxies_trusted) or facts.host
    name, _, port = host.rpartition(":")
    if (scheme, port) in _DEFAULT_PORTS:
        host = name
    search = f"?{facts.query}" if facts.query else ""
    path = facts.path[:_CHARS_MAX]
    url = f"{scheme}://{host[:_CHARS_MAX]}{path}{search}"
    page: dict[str, object] = {"url": url, "path": path, "search": search}
    referrer = facts.headers.get("referer")
    if referrer:
        page["referrer"] = referrer[:_REFERRER_CHARS_MAX]
    return page


def _campaign(query: str) -> dict[str, str]:
    pairs = parse_qsl(query)
    found = {key.removeprefix(_UTM): value for key, value in pairs if key.startswith(_UTM)}
    if "campaign" in found:
        found["name"] = found.pop("campaign")
    return found
