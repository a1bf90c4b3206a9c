"""Orders to the deliverer from other processes: files in a folder, because delivery.db has one writer.

An order is written whole or not at all and stays until a deliverer has applied it, now or when it next starts.
Applying it twice does the same as once.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tabard.clock import Clock
from tabard.delivery.dead_letter import LetterSearch
from tabard.storage.deliveries import Replay

_SUFFIX: Final = ".order"


class OrderRefused(Exception):
    """The deliverer will not do it; the text is its reason."""


class Resend(msgspec.Struct, frozen=True, kw_only=True, tag="resend"):
    """Dead deliveries of a consumer are to be tried again: those at `positions`, or all that are looked for."""

    id: str
    consumer: str
    positions: tuple[int, ...] | None = None
    search: LetterSearch = LetterSearch()

    @property
    def own(self) -> LetterSearch:
        """The search among the consumer's own dead letters."""
        return msgspec.structs.replace(self.search, consumer=self.consumer)


class StartReplay(msgspec.Struct, frozen=True, kw_only=True, tag="replay"):
    """A replay is to begin; its consumer has the order's id."""

    id: str
    destination: str
    replay: Replay


class CancelReplay(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """A replay is to end where it is."""

    id: str
    consumer: str


class Probe(msgspec.Struct, frozen=True, kw_only=True, tag="probe"):
    """A resting destination is to be tried now."""

    id: str
    destination: str


Order = Resend | StartReplay | CancelReplay | Probe

_decoder = msgspec.json.Decoder(Order)


def place(folder: Path, order: Order, clock: Clock) -> str:
    """Hands an order over; on disk when this returns. Returns its id."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{clock.now_ms():015d}-{order.id}"
    partial = folder / f".{name}"
    with partial.open("wb") as file:
        file.write(msgspec.json.encode(order))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(folder / f"{name}{_SUFFIX}")
    opened = os.open(folder, os.O_RDONLY)
    os.fsync(opened)
    os.close(opened)
    return order.id


def pending(folder: Path) -> Iterator[tuple[Path, Order | None]]:
    """The orders that wait, oldest first; None for a file that holds none."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else ():
        try:
            yield path, _decoder.decode(path.read_bytes())
        except msgspec.DecodeError:
            yield path, None
