"""The load options that a browser source puts into the script of its pages: which there are, and of what type."""

from typing import Any, Final, Literal

import msgspec

BYTES_MAX: Final = 50_000


class BrowserOptionsInvalid(ValueError):
    """Load options that the browser client does not have; the text names the place."""


class Undecided(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens until the visitor decides; `Undecided` of the client."""

    storage: Literal["none", "session", "all"] = "none"
    events: Literal["hold", "send", "drop"] = "hold"
    gpc: bool = True


class Cookie(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes of the identity cookies; `maxage` in days."""

    domain: str = ""
    maxage: float = 365
    path: str = "/"
    sameSite: Literal["Lax", "Strict", "None"] = "Lax"  # noqa: N815 (the client's own name)
    secure: bool = True


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`persist` false: as `disableClientPersistence`."""

    persist: bool = True


class QueryString(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Patterns that ids in a link must match; false switches one off."""

    aid: str | bool = ""
    uid: str | bool = ""


class BrowserOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`LoadOptions` of clients/browser/src/types.ts, and `global`: the name of the client in the page."""

    endpoint: str = ""
    consent: Undecided = Undecided()
    integrations: dict[str, Any] = {}
    initial_pageview: bool = False
    spa: bool = False
    cookie: Cookie = Cookie()
    user: User = User()
    disable_client_persistence: bool = False
    use_query_string: bool | QueryString = True
    click_ids: list[str] = []
    id_cookie: bool = False
    send_unchanged_identify: bool = False
    global_: str = msgspec.field(name="global", default="tabard")


def checked_browser_options(options: dict[str, Any], kind: str) -> dict[str, Any]:
    """The options as given, if a browser source may have them. Raises `BrowserOptionsInvalid`."""
    if not options:
        return options
    if kind != "browser":
        raise BrowserOptionsInvalid("browser options are for a source of kind browser; this one is of kind server")
    try:
        read = msgspec.convert(options, BrowserOptions)
    except msgspec.ValidationError as problem:
        names = ", ".join(field.encode_name for field in msgspec.structs.fields(BrowserOptions))
        raise BrowserOptionsInvalid(f"browser options: {problem}; there are {names}") from problem
    if not read.global_.isidentifier():
        raise BrowserOptionsInvalid(f"browser options: global: {read.global_!r} is no JavaScript name")
    if len(msgspec.json.encode(options)) > BYTES_MAX:
        raise BrowserOptionsInvalid(f"browser options: more than {BYTES_MAX} bytes, which every page would load")
    return options
