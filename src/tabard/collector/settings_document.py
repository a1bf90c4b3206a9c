"""What browser and mobile clients ask for first: where to send. Without it they send nothing, or to their vendor.

The smallest document that all published clients take for their own: the entry of each family with our host in it, no
metrics, no remote plugin (sdks.md §5). The RudderStack form is `/sourceConfig` (wire.md §1.10).
"""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from tabard.workspace.types import Source

ENTRIES: Final = ("Customer.io Data Pipelines", "Segment.io")
"""The names under which the two families of clients look for their own entry."""


def settings_document(base_url: str, write_key: str) -> bytes:
    """The settings document for the clients of Customer.io and Segment. `base_url` is how they reach the collector."""
    url = urlsplit(base_url)
    entry = {"apiKey": write_key, "apiHost": f"{url.netloc}{url.path.rstrip('/')}/v1", "protocol": url.scheme}
    return msgspec.json.encode({"integrations": dict.fromkeys(ENTRIES, entry), "metrics": {"sampleRate": 0}})


def source_config(source: Source, write_key: str) -> bytes:
    """The document of RudderStack's browser client."""
    off = {"enabled": False}
    return msgspec.json.encode(
        {
            "source": {
                "id": source.id,
                "name": source.name,
                "writeKey": write_key,
                "enabled": source.enabled,
                "workspaceId": "tabard",
                "config": {"statsCollection": {"errors": off, "metrics": off}},
                "connections": [],
                "destinations": [],
            }
        }
    )
