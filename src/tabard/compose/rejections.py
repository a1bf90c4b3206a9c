"""What the doors of an installation refused and kept, over all collectors."""

import heapq
from typing import Any

from tabard.collector.rejections import KeptRejection, newest_rejections
from tabard.compose.running import partition_folders
from tabard.message.traits import iso_ms
from tabard.storage.sqlite.installation import Installation


class InstallationRejections:
    """Reads every collector's rejections (`web.deps.RejectionReader`)."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def newest(self, limit: int, source: str | None = None) -> list[dict[str, Any]]:
        """The newest refusals of all collectors, newest first, as JSON data; `source` is a source's id."""
        found = (newest_rejections(folder, limit, source=source) for _, folder in partition_folders(self._installation))
        newest = heapq.merge(*found, key=lambda each: each.at, reverse=True)
        return [_shown(each) for each, _ in zip(newest, range(limit), strict=False)]


def _shown(kept: KeptRejection) -> dict[str, Any]:
    return {
        "receivedAt": iso_ms(kept.at),
        "source": kept.source,
        "code": kept.reason,
        "message": kept.message,
        "field": kept.field,
        "index": kept.item,
        "path": kept.path,
        "bytes": kept.raw_bytes,
        "body": kept.raw.decode("utf-8", "replace"),
    }
