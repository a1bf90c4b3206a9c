"""Which addresses destinations may not have unless `egress_private` is set. Loads no HTTP client."""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

# What `ipaddress` calls global but leads inside: NAT64 and 6to4 carry an IPv4 address, shared space is a provider's.
_ALSO_REFUSED: Final = tuple(
    ipaddress.ip_network(each) for each in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "100.64.0.0/10")
)


def is_refused(address: str) -> bool:
    """Whether a destination may not be at this IP address: anything that is not plainly on the public internet.

    Private, loopback, link-local (the cloud's metadata too), multicast, unspecified, reserved, and IPv4 addresses
    of that kind inside IPv6 ones.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    real = mapped or found
    if not real.is_global or real.is_multicast or real.is_reserved or real.is_unspecified:
        return True
    return any(real.version == network.version and real in network for network in _ALSO_REFUSED)


REFUSED: Final = (
    "nothing is delivered to a private or loopback address until `egress_private` is set: start "
    "`tabard serve --set egress_private=true`, or set TABARD_EGRESS_PRIVATE=true"
)


def refused_host(settings: Mapping[str, Any]) -> str:
    """The host in a destination's settings that is refused as it stands, "" where there is none.

    Looks at literal addresses and `localhost` only: what a name resolves to is known when a socket is made.
    """
    for value in settings.values():
        host = _host(value) if isinstance(value, str) else ""
        if host == "localhost" or host.endswith(".localhost") or (host and _is_refused_literal(host)):
            return host
    return ""


def _host(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        return ""
    try:
        return urlsplit(value).hostname or ""
    except ValueError:
        return ""


def _is_refused_literal(host: str) -> bool:
    try:
        return is_refused(host)
    except ValueError:
        return False
