"""A running door on a real socket, and a client that sends exactly the bytes a test wants."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabard.clock import SystemClock
from tabard.collector.app import Door
from tabard.collector.rejections import KeptRejection, SqliteRejections, newest_rejections
from tabard.collector.server import serve
from tabard.log.codec import decode
from tabard.log.drivers.memory import MemoryLog
from tabard.log.interface import LogUnavailable, LogWriter
from tabard.message.normalize import normalize
from tabard.message.types import Message
from tabard.settings import Settings
from tabard.workspace.types import Source, SourceKind

SOURCES = (
    Source(id="s1", name="shop", write_keys={"key": "active", "old": "rotated"}),
    Source(id="s2", name="page", kind=SourceKind.BROWSER, write_keys={"public": "active"}),
    Source(id="s3", name="lenient", permissive=True, write_keys={"lenient": "active"}),
    Source(id="s4", name="closed", enabled=False, write_keys={"shut": "active"}),
    Source(id="s5", name="listed", write_keys={"listed": "active"}, origins=("https://shop.example",)),
    Source(id="s6", name="slow", write_keys={"slow": "active"}, rate_per_s=2),
    Source(id="s7", name="stub", write_keys={"stub_write_key": "active", "pk_us_0123456789abcdef": "active"}),
)


class Workspace:
    """The sources of the tests; a test may change them."""

    def __init__(self) -> None:
        self.held: Sequence[Source] = SOURCES
        self.number = 1

    def version(self) -> int:
        return self.number

    def sources(self) -> list[Source]:
        return list(self.held)


class Breakable:
    """A log writer that fails while `problem` is set."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self.problem: LogUnavailable | None = None
        self.log_id, self.partition = log.log_id, log.partition

    def append(self, values: Sequence[bytes]) -> int:
        if self.problem:
            raise self.problem
        return self._log.append(values)

    def check(self) -> None:
        if self.problem:
            raise self.problem

    def close(self) -> None:
        self._log.close()


@dataclass
class Answer:
    """What came back: the status, the headers in lower case, the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A door that listens."""

    address: tuple[str, int]
    workspace: Workspace
    log: Breakable
    folder: Path
    memory: MemoryLog
    door: Door
    tls: ssl.SSLContext | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def messages(self) -> list[Message]:
        """All that was accepted, as the resolver sees it."""
        entries = self.memory.reader().read(1, 0, 100_000)
        return [normalize(decode(entry.value), skew_correction=True) for entry in entries]

    def rejections(self) -> list[KeptRejection]:
        """All that was refused and kept, newest first."""
        return newest_rejections(self.folder, 1000)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, closed at the end of the test if not before."""
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.tls, limit=2**22)
        self.writers.append(writer)
        return reader, writer

    async def send(self, data: bytes) -> Answer:
        """Writes bytes on a connection of their own and reads one answer."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            await writer.drain()
            return await read_answer(reader, is_head=data.startswith(b"HEAD "))
        finally:
            writer.close()

    async def ask(
        self, method: str, path: str, body: bytes = b"", key: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request with a body of known length."""
        named = {"Host": "door", "Content-Length": str(len(body))} | (headers or {})
        if key:
            named["Authorization"] = f"Bearer {key}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return await self.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)

    async def post(self, path: str, call: Any, key: str | None = "key", **headers: str) -> Answer:
        """A POST of JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", path, json.dumps(call).encode(), key, named)


async def read_answer(reader: asyncio.StreamReader, *, is_head: bool = False) -> Answer:
    """The next answer of a connection. Raises `IncompleteReadError` where the connection ended before."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    status = int(first.split(" ")[1])
    length = 0 if is_head or status in (204, 304) else int(headers["content-length"])
    return Answer(status, headers, await asyncio.wait_for(reader.readexactly(length), 10))


@asynccontextmanager
async def running(
    folder: Path, settings: Settings | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Running]:
    """A door on a free port, with the log in memory and the rejections on disk; drained at the end."""
    settings = settings or Settings()
    memory, workspace = MemoryLog(), Workspace()
    log = Breakable(memory.writer(1))
    rejections = SqliteRejections(folder, settings, SystemClock())
    door = Door(settings=settings, clock=SystemClock(), log=log, workspace=workspace, rejections=rejections)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()  # from here on a connection waits, it is not refused
    found = Running(sock.getsockname(), workspace, log, folder, memory, door, tls)
    serving = asyncio.create_task(serve(door, sock, stop=found.stop))
    try:
        yield found
    finally:
        for writer in found.writers:
            writer.close()
        for writer in found.writers:
            with suppress(ConnectionError):
                await writer.wait_closed()
        found.stop.set()
        await asyncio.wait_for(serving, 15)
        log.close()
        rejections.close()
