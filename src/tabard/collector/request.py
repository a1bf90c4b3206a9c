"""One HTTP request as the protocol hands it to the door, and what can be asked of it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec


class Request(msgspec.Struct, gc=False):
    """A whole request. Header names are lower case; `body` is as on the wire; `peer` is the address of the socket.

    `oversize`: the body was larger than the protocol keeps and was dropped while it came in. `looked_again`: its key
    was unknown, and the workspace was read since.
    """

    method: bytes
    url: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    peer: str
    oversize: bool = False
    looked_again: bool = False

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, None where it was not sent."""
        return self.headers.get(name)

    @property
    def path(self) -> bytes:
        """The path, decoded, without a trailing slash."""
        path = self.url.partition(b"?")[0]
        if not path.startswith(b"/"):  # absolute form: http://host/path
            path = b"/" + path.partition(b"//")[2].partition(b"/")[2]
        if b"%" in path:
            path = unquote_to_bytes(path)
        return path.rstrip(b"/") or b"/"

    @property
    def query(self) -> list[tuple[str, str]]:
        """The parameters of the query in their order."""
        return parse_qsl(self.url.partition(b"?")[2].decode("utf-8", "replace"), keep_blank_values=True)

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter, None where it was not given."""
        if b"?" not in self.url:
            return None
        return next((value for key, value in self.query if key == name), None)


class Answer(NamedTuple):
    """An answer ready to be written: the head without its closing empty line, and the body."""

    status: int
    head: bytes
    body: bytes


Reply = Callable[[Answer], None]
"""Sends the answer of a request; called once, on the event loop, now or after the commit."""
