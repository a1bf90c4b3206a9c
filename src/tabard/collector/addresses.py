"""Who calls, and under which address we are called: forwarded headers count only from a trusted proxy."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from tabard.collector.request import Request
from tabard.settings import Settings

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class Addresses:
    """Who calls, and under which address we are called. Headers count only from a trusted proxy."""

    def __init__(self, settings: Settings, bound: Callable[[], str]) -> None:
        """`bound` gives the URL of the socket, for installations without a public URL."""
        self._public_url = settings.public_url.rstrip("/")
        self._bound = bound
        self._proxies = _networks(settings.trusted_proxies)
        self._metrics_readers = _networks(settings.metrics_readers)

    def trusts(self, peer: str) -> bool:
        """Whether an address is one of the trusted proxies."""
        return bool(self._proxies) and _is_within(peer, self._proxies)

    def reads_metrics(self, request: Request) -> bool:
        """Whether the caller may read the metrics. Behind a proxy that is not trusted, anybody may be calling."""
        is_forwarded = b"x-forwarded-for" in request.headers or b"forwarded" in request.headers
        if is_forwarded and not self.trusts(request.peer):
            return False
        return _is_within(self.client(request), self._metrics_readers)

    def is_near(self, peer: str) -> bool:
        """Whether many connections of one address are in order: this machine, or a proxy."""
        if self.trusts(peer):
            return True
        try:
            return ip_address(peer).is_loopback
        except ValueError:
            return False

    def client(self, request: Request) -> str:
        """The address of the person: the last one in X-Forwarded-For that is no proxy of ours, else the peer."""
        if not self._proxies or not self.trusts(request.peer):
            return request.peer
        forwarded = (request.header(b"x-forwarded-for") or b"").decode("latin-1")
        for part in reversed(forwarded.split(",")):
            address = _address(part)
            if address is None:
                break
            if not self.trusts(address):
                return address
        return request.peer

    def base_url(self, request: Request) -> str:
        """The URL that clients shall use, without a trailing slash."""
        if self._public_url:
            return self._public_url
        if self.trusts(request.peer):
            host = request.header(b"x-forwarded-host") or request.header(b"host")
            if host and _HOST.fullmatch(host):
                scheme = "https" if (request.header(b"x-forwarded-proto") or b"http") == b"https" else "http"
                return f"{scheme}://{host.decode('latin-1')}"
        return self._bound()


def _networks(text: str) -> list[IPv4Network | IPv6Network]:
    return [ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]


def _is_within(text: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    # A socket for both families shows 127.0.0.1 as ::ffff:127.0.0.1.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


def _address(text: str) -> str | None:
    """An address out of a list, without port and brackets; None for anything else."""
    part = text.strip()
    if part.startswith("["):
        part = part[1:].partition("]")[0]
    elif part.count(":") == 1:
        part = part.partition(":")[0]
    try:
        return str(ip_address(part))
    except ValueError:
        return None
