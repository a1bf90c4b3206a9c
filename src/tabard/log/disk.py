"""How much disk is left, and the floor below which the door takes nothing more."""

import os
from pathlib import Path
from typing import Final

import msgspec

_GIB: Final = 1024**3
_FLOOR_MIN_BYTES: Final = 2 * _GIB
_FLOOR_SHARE: Final = 0.05


class Disk(msgspec.Struct, frozen=True):
    """The file system a folder is on: its size, what is free for us, and the floor that holds there, in bytes."""

    total_bytes: int
    free_bytes: int
    floor_bytes: int

    @property
    def below_floor(self) -> bool:
        """Whether the door should refuse; resolver and deliverer go on, they are what frees the disk again."""
        return self.free_bytes < self.floor_bytes


def disk(folder: Path, floor_bytes: int = 0) -> Disk:
    """The disk under `folder`. `floor_bytes` 0 is the default floor: the larger of 2 GiB and 5 % of the disk."""
    numbers = os.statvfs(folder)
    total = numbers.f_blocks * numbers.f_frsize
    floor = floor_bytes or max(_FLOOR_MIN_BYTES, int(total * _FLOOR_SHARE))
    return Disk(total_bytes=total, free_bytes=numbers.f_bavail * numbers.f_frsize, floor_bytes=floor)


def is_read_only(folder: Path) -> bool:
    """Whether the file system refuses every write."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
