"""Mixpanel: events, people and groups, through the Ingestion API."""

from tabard.destinations.catalog.mixpanel.mixpanel import destination

__all__ = ["destination"]
