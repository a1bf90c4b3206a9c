"""Webhook: every message as a JSON POST to a URL of yours, signed if you wish."""

from tabard.destinations.catalog.webhook.webhook import destination

__all__ = ["destination"]
