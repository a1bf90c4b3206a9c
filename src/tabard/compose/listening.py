"""Listening sockets: several processes of one installation share a port, a second installation is refused it."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Final

_PORT_MAX: Final = 65_535


class AddressInvalid(ValueError):
    """An address that is not host:port."""


class AddressInUse(Exception):
    """Another program listens there already."""


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises `AddressInvalid`."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > _PORT_MAX:
        raise AddressInvalid(f"{address!r} is no address; write host:port, as in 127.0.0.1:7070")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 (an empty host is asked for as all addresses)


def address_text(host: str, port: int) -> str:
    """The two as one `host:port`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def reserved(address: str) -> Iterator[str]:
    """Keeps an address for the roles; yields it with its real port where 0 was asked. Raises `AddressInUse`."""
    host, port = parse_address(address)
    if port:
        try:
            with _bound(host, port, shared=False):
                pass
        except OSError as problem:
            raise AddressInUse(f"{address}: {problem.strerror}; stop the other program or choose a port") from problem
    with _bound(host, port, shared=True) as kept:
        yield address_text(host, kept.getsockname()[1])


def listener(address: str) -> socket.socket:
    """A listening socket that other roles of the installation may share. Raises `AddressInUse`.

    It listens from now on, so that a client that comes before the role is ready waits instead of being refused.
    """
    host, port = parse_address(address)
    try:
        made = _bound(host, port, shared=True)
        made.listen()
    except OSError as problem:
        raise AddressInUse(f"{address}: {problem.strerror}; stop the other program or choose a port") from problem
    return made


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
