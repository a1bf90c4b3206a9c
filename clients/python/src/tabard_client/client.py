# ruff: noqa: PLR0913, PLR0917 - the published SDKs fix the signatures of the six calls
"""The client: six calls that build a message, keep it, and return."""

import atexit
import logging
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack
from urllib.parse import SplitResult
from uuid import UUID, uuid4

from tabard_client.drops import Books, Counts, DropError, DropReason, Receipt
from tabard_client.encode import UnencodableError, encode
from tabard_client.limits import BATCH_MESSAGES_MAX, GATHER_MESSAGES, MESSAGE_BYTES_MAX
from tabard_client.message import InvalidCallError, complete
from tabard_client.options import DEFAULT_HOST, ClientOptions, Options, fallback_directory, spool_directory
from tabard_client.sender import Pace, Sender, exit_all
from tabard_client.spool import FileSpool, MemorySpool, Spool, SpoolFullError
from tabard_client.transport import Transport, server_url

log = logging.getLogger("tabard_client")

Id = str | int | float | UUID
Fields = Mapping[str, object]

atexit.register(exit_all)


class Client:
    """Sends calls to one collector with one write key, and loses none.

    A call returns after one write to this process's spool file; a background thread delivers, and what a
    killed process leaves is delivered by the next one. Calls never raise and never wait for the network:
    what cannot be kept is counted, logged and handed to `on_error`, and the receipt says `success=False`. Only what
    ends a program (KeyboardInterrupt, SystemExit) passes through a call, be it from a signal or from `on_error`.
    Safe from any thread and across `fork`. Options: see `Options`.

    Raises ValueError for a missing key, a malformed host, or an option out of range.
    """

    def __init__(self, write_key: str | None = None, host: str | None = None, **options: Unpack[ClientOptions]) -> None:
        key = (write_key or "").strip()
        if not key:
            raise ValueError("write_key is missing: `tabard source list` shows the keys of your sources")
        settings = Options(**options)
        self._settings = settings
        self._books = Books(settings.on_error)
        if settings.debug:
            log.setLevel(logging.DEBUG)
        if settings.log_handler is not None:
            log.addHandler(settings.log_handler)
        address = host or DEFAULT_HOST
        url = server_url(address)
        self._spool = _open_spool(address, key, settings)
        self._sender = _sender(url, key, self._spool, self._books, settings)
        if settings.sync_mode:
            # Without a thread that holds on to it, a client that is dropped must let go of its spool itself.
            weakref.finalize(self, self._sender.stop, 0).atexit = False
        elif settings.send and self._spool.may_have_orphans():
            self._sender.wake()

    def identify(
        self,
        user_id: Id | None = None,
        traits: Fields | None = None,
        context: Fields | None = None,
        timestamp: datetime | str | None = None,
        anonymous_id: Id | None = None,
        integrations: Fields | None = None,
        message_id: str | UUID | None = None,
    ) -> Receipt:
        """Who somebody is: `traits` of `user_id` (or of an anonymous visitor).

        Within `bind`, the visitor's anonymousId goes along and later calls there are this user's.
        """
        return self._keep(
            {
                "integrations": integrations or {},
                "anonymousId": anonymous_id,
                "timestamp": timestamp,
                "context": context or {},
                "type": "identify",
                "userId": user_id,
                "traits": traits or {},
                "messageId": message_id,
            }
        )

    def track(
        self,
        user_id: Id | None = None,
        event: str | None = None,
        properties: Fields | None = None,
        context: Fields | None = None,
        timestamp: datetime | str | None = None,
        anonymous_id: Id | None = None,
        integrations: Fields | None = None,
        message_id: str | UUID | None = None,
    ) -> Receipt:
        """What somebody did: an `event` by name."""
        return self._keep(
            {
                "integrations": integrations or {},
                "anonymousId": anonymous_id,
                "properties": properties or {},
                "timestamp": timestamp,
                "context": context or {},
                "userId": user_id,
                "type": "track",
                "event": event,
                "messageId": message_id,
            }
        )

    def page(
        self,
        user_id: Id | None = None,
        category: str | None = None,
        name: str | None = None,
        properties: Fields | None = None,
        context: Fields | None = None,
        timestamp: datetime | str | None = None,
        anonymous_id: Id | None = None,
        integrations: Fields | None = None,
        message_id: str | UUID | None = None,
    ) -> Receipt:
        """Which page somebody looked at."""
        return self._keep(
            {
                "integrations": integrations or {},
                "anonymousId": anonymous_id,
                "properties": properties or {},
                "timestamp": timestamp,
                "category": category,
                "context": context or {},
                "userId": user_id,
                "type": "page",
                "name": name,
                "messageId": message_id,
            }
        )

    def screen(
        self,
        user_id: Id | None = None,
        category: str | None = None,
        name: str | None = None,
        properties: Fields | None = None,
        context: Fields | None = None,
        timestamp: datetime | str | None = None,
        anonymous_id: Id | None = None,
        integrations: Fields | None = None,
        message_id: str | UUID | None = None,
    ) -> Receipt:
        """Which screen of an app somebody looked at."""
        return self._keep(
            {
                "integrations": integrations or {},
                "anonymousId": anonymous_id,
                "properties": properties or {},
                "timestamp": timestamp,
                "category": category,
                "context": context or {},
                "userId": user_id,
                "type": "screen",
                "name": name,
                "messageId": message_id,
            }
        )

    def group(
        self,
        user_id: Id | None = None,
        group_id: Id | None = None,
        traits: Fields | None = None,
        context: Fields | None = None,
        timestamp: datetime | str | None = None,
        anonymous_id: Id | None = None,
        integrations: Fields | None = None,
        message_id: str | UUID | None = None,
    ) -> Receipt:
        """Which group (company, account) somebody belongs to, and the group's `traits`."""
        return self._keep(
            {
                "integrations": integrations or {},
                "anonymousId": anonymous_id,
                "timestamp": timestamp,
                "groupId": group_id,
                "context": context or {},
                "userId": user_id,
                "traits": traits or {},
                "type": "group",
                "messageId": message_id,
            }
        )

    def alias(
        self,
        previous_id: Id | None = None,
        user_id: Id | None = None,
        context: Fields | None = None,
        timestamp: datetime | str | None = None,
        integrations: Fields | None = None,
        message_id: str | UUID | None = None,
    ) -> Receipt:
        """`previous_id` and `user_id` are one person."""
        return self._keep(
            {
                "integrations": integrations or {},
                "previousId": previous_id,
                "timestamp": timestamp,
                "context": context or {},
                "userId": user_id,
                "type": "alias",
                "messageId": message_id,
                "anonymousId": None,
            }
        )

    def flush(self, timeout: float | None = 10.0) -> int:
        """Send now and wait, at most `timeout` seconds (None: as long as it takes); how many messages the server
        has not confirmed then. With the spool these are still safe on disk; in memory-only mode they are not."""
        if self._settings.sync_mode:
            self._sender.drain(self._settings.timeout if timeout is None else timeout)
            return self._spool.waiting
        return self._sender.flush(timeout)

    def join(self, timeout: float | None = None) -> None:
        """End the background thread after the batch on its way. What waits stays spooled; a later call goes on."""
        self._sender.stop(timeout)

    def shutdown(self, timeout: float | None = 10.0) -> int:
        """`flush`, then `join`; how many messages are left for the next process."""
        left = self.flush(timeout)
        self.join(timeout)
        return left

    def counts(self) -> Counts:
        """The books: accepted, delivered, waiting, retries, and dropped by reason."""
        return self._books.counts(self._spool.waiting)

    @property
    def can_lose(self) -> bool:
        """Whether messages wait in memory only: asked for, or because no folder could be written."""
        return isinstance(self._spool, MemorySpool)

    @property
    def delivers_within_calls(self) -> bool:
        """Whether there is no background thread (`sync_mode`)."""
        return self._settings.sync_mode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _keep(self, message: dict[str, object]) -> Receipt:
        """Complete, encode and spool one message: the way of every call."""
        try:
            complete(message, now=datetime.now(UTC), new_id=str(uuid4()))
            line = encode(message)
            if len(line) > MESSAGE_BYTES_MAX:
                detail = f"a message of {len(line)} bytes; {MESSAGE_BYTES_MAX} are allowed"
                return self._drop(DropReason.TOO_LARGE, detail, message)
            if not self._settings.send:
                return Receipt(True, message)
            self._spool.append(line)
        except (InvalidCallError, UnencodableError) as error:
            return self._drop(DropReason.INVALID, str(error), message)
        except SpoolFullError as error:
            return self._drop(DropReason.SPOOL_FULL, str(error), message)
        except OSError as error:
            return self._drop(DropReason.SPOOL_ERROR, str(error), message)
        except Exception as error:  # noqa: BLE001 - a caller's odd object must not break the caller's program
            return self._drop(DropReason.INVALID, f"{type(error).__name__}: {error}", message)
        self._books.accepted()
        if self._settings.sync_mode:
            self._sender.drain(self._settings.timeout)
        else:
            self._sender.wake()
        return Receipt(True, message)

    def _drop(self, reason: DropReason, detail: str, message: dict[str, object]) -> Receipt:
        self._books.dropped(DropError(reason, detail), [message])
        return Receipt(False, message)


def _open_spool(host: str, write_key: str, settings: Options) -> Spool:
    if settings.memory_only_can_lose or not settings.send:
        return MemorySpool(settings.max_queue_size)
    ways: list[Callable[[], Path]] = [partial(spool_directory, host, write_key, settings.spool_dir)]
    if settings.spool_dir is None:
        ways.append(partial(fallback_directory, host, write_key))
    with suppress(OSError):  # logged there, folder by folder
        spool = FileSpool(*ways, bytes_max=settings.spool_bytes_max, durable=settings.durable)
        for folder in spool.left_behind():
            log.warning("messages for another host or write key wait in %s: only a client of these sends them", folder)
        return spool
    log.error("no folder for the spool: messages are kept in memory only and CAN BE LOST; set spool_dir")
    return MemorySpool(settings.max_queue_size)


def _sender(url: SplitResult, write_key: str, spool: Spool, books: Books, settings: Options) -> Sender:
    transport = Transport(url, write_key, timeout_s=settings.timeout, compress=settings.gzip, proxies=settings.proxies)
    pace = Pace(
        batch_messages_max=settings.upload_size or BATCH_MESSAGES_MAX,
        gather_messages=settings.upload_size or GATHER_MESSAGES,
        gather_s=settings.upload_interval,
        retries_max=settings.max_retries if isinstance(spool, MemorySpool) else None,
        exit_timeout_s=settings.exit_timeout_s,
    )
    return Sender(spool, transport, books, pace)
