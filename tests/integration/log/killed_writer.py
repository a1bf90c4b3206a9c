"""The child of test_killed_writer: appends and says so on standard output until it is killed."""

import random
import sys
from pathlib import Path

from tabard.log.drivers.sqlite import LogOptions, SqliteLogReader, SqliteLogWriter


def value_at(offset: int) -> bytes:
    """The value that stands at an offset, so that parent and child need not exchange them."""
    return b"%d:" % offset + bytes(offset * 7919 % 2500)


def main(root: Path, seed: int) -> None:
    """Appends for ever from where the log ends, printing the end after each acknowledgement."""
    chance = random.Random(seed)
    writer = SqliteLogWriter(root, 1, LogOptions(segment_bytes=500_000, disk_floor_bytes=1))
    end = SqliteLogReader(root).end(1)
    while True:
        count = chance.choice((1, 1, 5, 64))
        assert writer.append([value_at(offset) for offset in range(end, end + count)]) == end
        end += count
        sys.stdout.write(f"{end}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
