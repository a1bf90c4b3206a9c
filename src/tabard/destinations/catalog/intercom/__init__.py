"""Intercom: contacts, companies and events, through the REST API."""

from tabard.destinations.catalog.intercom.intercom import destination

__all__ = ["destination"]
