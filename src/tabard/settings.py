"""Typed settings, layered default < file < environment `TABARD_*` < flag, validated together at start.

`tabard settings` lists them; docs/settings.md is held against this file by a test. A name ends in its unit.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

_KIB: Final = 1024
_GIB: Final = 1024**3


def _about(text: str, *, ge: int | None = None, gt: int | None = None) -> Meta:
    return Meta(description=text, ge=ge) if gt is None else Meta(description=text, gt=gt)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of an installation with its default. Sizes in bytes, times in seconds."""

    data: Annotated[str, _about("Folder that holds everything: log, stores, keys.")] = "./data"
    collect: Annotated[str, _about("Address of the collector, host:port.")] = "127.0.0.1:7070"
    web: Annotated[str, _about("Address of the web role, host:port.")] = "127.0.0.1:7071"
    public_url: Annotated[str, _about("URL under which clients reach the collector; required off loopback.")] = ""
    collectors: Annotated[
        int, _about("Collector processes on one port; each writes a log partition of its own.", ge=1)
    ] = 1
    trusted_proxies: Annotated[
        str, _about("Addresses or networks, comma-separated, whose X-Forwarded-* and Host are believed.")
    ] = ""
    metrics_readers: Annotated[
        str,
        _about("Addresses or networks, comma-separated, that may read /metrics; by default this machine and private."),
    ] = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
    tls_cert: Annotated[str, _about("PEM certificate chain of the collector; with tls_key it speaks https.")] = ""
    tls_key: Annotated[str, _about("PEM private key of the collector.")] = ""
    role_hung_s: Annotated[
        float, _about("A role without a heartbeat for so long is killed and started again.", ge=1)
    ] = 60.0
    log_json: Annotated[bool, _about("Logs as JSON lines instead of text.")] = False
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        _about("Least level that is logged: DEBUG, INFO, WARNING or ERROR."),
    ] = "INFO"

    message_bytes_max: Annotated[int, _about("Largest single message.", ge=1)] = 32 * _KIB
    batch_bytes_max: Annotated[int, _about("Largest batch body, decompressed.", ge=1)] = 500 * _KIB
    batch_items_max: Annotated[int, _about("Most items in a batch.", ge=1)] = 2500
    json_depth_max: Annotated[int, _about("Deepest nesting of a message.", ge=1)] = 64
    header_bytes_max: Annotated[int, _about("Largest request head.", ge=1)] = 32 * _KIB
    header_timeout_s: Annotated[float, _about("Time for a request head to arrive.", gt=0)] = 10.0
    body_timeout_s: Annotated[float, _about("Time for a request body to arrive.", gt=0)] = 30.0
    connections_max: Annotated[int, _about("Open connections of one collector process.", ge=1)] = 4096
    connections_per_address_max: Annotated[
        int, _about("Open connections of one client address, loopback exempt.", ge=1)
    ] = 512
    disk_floor_bytes: Annotated[
        int, _about("Free disk below which the door answers 503; 0 = the larger of 2 GiB and 5 %.", ge=0)
    ] = 0
    skew_correction: Annotated[bool, _about("Correct client clocks by sentAt (wire.md §2.2).")] = True
    rejections_max: Annotated[int, _about("Most rejections kept a collector.", ge=0)] = 10_000
    rejections_age_s: Annotated[int, _about("How long rejections are kept.", ge=0)] = 7 * 86_400
    rejection_bytes_max: Annotated[int, _about("How much of a refused body is kept.", ge=0)] = 32 * _KIB
    scripts_max: Annotated[
        int, _about("Most immutable scripts of the browser client that are kept, this release's among them.", ge=1)
    ] = 100
    scripts_bytes_max: Annotated[int, _about("Most bytes that these scripts take.", ge=1)] = 16 * 1024 * _KIB

    segment_bytes: Annotated[int, _about("Size at which a log segment is closed.", ge=64 * _KIB)] = 64 * 1024 * _KIB
    segment_age_s: Annotated[int, _about("Age at which a log segment is closed.", ge=1)] = 3600
    log_retention_s: Annotated[int, _about("How long the log keeps what every consumer has.", ge=0)] = 7 * 86_400
    log_bytes_max: Annotated[int, _about("Size above which consumed segments go early; 0 = no limit.", ge=0)] = 0

    max_alias: Annotated[int, _about("L: identifiers in one alias class (identity.md §3.3).", ge=1)] = 10
    max_owners: Annotated[int, _about("K: owners that may claim one identifier before it is shared.", ge=1)] = 5
    max_claims: Annotated[int, _about("M: identifiers of a kind one owner may claim.", ge=1)] = 1000
    max_traits: Annotated[int, _about("Traits, and memberships, kept of one identifier or group.", ge=1)] = 1000
    blocked_values: Annotated[
        str, _about("Identifier values, comma-separated, that never identify, besides the built-in list.")
    ] = ""
    archive_retention_s: Annotated[
        int, _about("How long message bodies are kept in the store; 0 = for ever.", ge=0)
    ] = 0

    resolver_cache_bytes: Annotated[
        int, _about("Page cache of the resolver's database; more helps stores of tens of millions.", ge=1024 * _KIB)
    ] = 16 * 1024 * _KIB

    egress_private: Annotated[bool, _about("Allow destinations at private, loopback and link-local addresses.")] = False
    delivery_timeout_s: Annotated[float, _about("Time for one request to a destination.", gt=0)] = 10.0
    order_patience_s: Annotated[
        int, _about("How long later messages of one identifier wait behind a failing one.", ge=0)
    ] = 900
    delivery_patience_s: Annotated[
        int, _about("How long a failing delivery is retried before it is a dead letter.", ge=0)
    ] = 4 * 86_400
    retry_after_max_s: Annotated[int, _about("Longest Retry-After that is obeyed.", ge=0)] = 86_400
    in_flight_max: Annotated[int, _about("Messages on their way to one destination at once.", ge=1)] = 1000
    usage_calls_max: Annotated[int, _about("Calls a month above which `tabard usage` warns; 0 = never.", ge=0)] = 0
    usage_people_max: Annotated[int, _about("People a month above which `tabard usage` warns; 0 = never.", ge=0)] = 0
    alarm_url: Annotated[
        str, _about("URL that gets a POST when lag, dead letters, disk or a breaker need a person.")
    ] = ""


class SettingsInvalid(ValueError):
    """The settings do not hold together; the text lists every problem with the layer it came from and its fix."""


ENVIRONMENT_PREFIX: Final = "TABARD_"
# Read elsewhere: the key of the installation is a secret and so no setting.
_NOT_SETTINGS: Final = frozenset({"TABARD_SECRET_KEY", "TABARD_SECRET_KEY_FILE"})
# What Kubernetes gives every container of a namespace that has a service `tabard` or `tabard-…`.
_SERVICE_LINK: Final = re.compile(
    r"TABARD_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)"
)
_SERVICE_URL: Final = re.compile(r"(tcp|udp|sctp)://")


def load(
    *,
    file: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of the layers given, later ones winning; unset is absent or None. Raises `SettingsInvalid`."""
    settings, _ = load_with_origins(file=file, environ=environ, flags=flags)
    return settings


def load_with_origins(
    *,
    file: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> tuple[Settings, dict[str, str]]:
    """As `load`, with the layer each setting came from: `default`, `file`, `environment` or `flag`."""
    layers: dict[str, Mapping[str, Any]] = {
        "file": file or {},
        "environment": _from_environment(environ or {}),
        "flag": {name: value for name, value in (flags or {}).items() if value is not None},
    }
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.__struct_fields__, "default")
    problems: list[str] = []
    wrong: set[str] = set()
    for layer, values in layers.items():
        for name, value in values.items():
            problem = _problem(name, value)
            if problem:
                shown = f"{ENVIRONMENT_PREFIX}{name.upper()}" if layer == "environment" else name
                problems.append(f"{layer}: {shown}: {problem}")
                wrong.add(name)
            else:
                merged[name] = value
                origins[name] = layer
    settings = msgspec.convert(merged, Settings, strict=False)
    # What hangs on a value that is wrong already says nothing new.
    problems += [text for names, text in _relations(settings) if wrong.isdisjoint(names)]
    if problems:
        raise SettingsInvalid("; ".join(problems))
    return settings, origins


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without its settings, for a child that is handed them whole; keys stay."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _NOT_SETTINGS
    }


def collector_url(settings: Settings) -> str:
    """The URL under which clients reach the collector: `public_url`, else its own address."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return f"{'https' if settings.tls_cert else 'http'}://{settings.collect}"


def is_loopback(address: str) -> bool:
    """Whether `host:port` can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def descriptions() -> dict[str, str]:
    """What each setting is for, by name."""
    hints = get_type_hints(Settings, include_extras=True)
    return {
        name: next(str(meta.description) for meta in get_args(hint)[1:] if isinstance(meta, Meta))
        for name, hint in hints.items()
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NOT_SETTINGS and not _is_service_link(name, value)
    }


def _is_service_link(name: str, value: str) -> bool:
    # `TABARD_WEB_PORT=8080` is no link but a setting that there is not, and is named.
    return bool(_SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_URL.match(value)))


def _problem(name: str, value: Any) -> str:
    if name not in Settings.__struct_fields__:
        return "no such setting; `tabard settings` lists them all"
    try:
        msgspec.convert({name: value}, Settings, strict=False)
    except msgspec.ValidationError as problem:
        choices = _CHOICES.get(name)
        return f"one of {', '.join(choices)}, not {value!r}" if choices else f"{problem} (given: {value!r})"
    return ""


_CHOICES: Final = {
    name: get_args(hint) for name, hint in get_type_hints(Settings).items() if get_origin(hint) is Literal
}


def _relations(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """What must hold of values together or needs more than a type: the settings it hangs on, and the problem."""
    if settings.message_bytes_max > settings.batch_bytes_max:
        yield (
            ("message_bytes_max", "batch_bytes_max"),
            "message_bytes_max is above batch_bytes_max: no such message could arrive; lower it or raise the other",
        )
    if bool(settings.tls_cert) != bool(settings.tls_key):
        yield ("tls_cert", "tls_key"), "tls_cert and tls_key go together: give both or none"
    for name in ("public_url", "alarm_url"):
        value = getattr(settings, name)
        if value and not value.startswith(("http://", "https://")):
            yield (name,), f"{name} begins with http:// or https://, as in https://data.example.com"
    for name in ("collect", "web"):
        value = str(getattr(settings, name))
        if not _is_address(value):
            yield (name,), f"{name} is an address host:port, as in 127.0.0.1:7070, not {value!r}"
    if _is_address(settings.collect) and not settings.public_url and not is_loopback(settings.collect):
        text = (
            f"collect is {settings.collect}, which other machines reach: set public_url to the URL that clients use, "
            "since the settings document and the snippet name it"
        )
        yield ("collect", "public_url"), text
    for name in ("trusted_proxies", "metrics_readers"):
        for part in filter(None, map(str.strip, getattr(settings, name).split(","))):
            try:
                ipaddress.ip_network(part, strict=False)
            except ValueError:
                yield (name,), f"{name} holds addresses and networks, as in 10.0.0.0/8, not {part!r}"


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal()
