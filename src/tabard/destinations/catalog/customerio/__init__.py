"""Customer.io Journeys: people, events, devices and objects, through the Track API v2."""

from tabard.destinations.catalog.customerio.journeys import destination

__all__ = ["destination"]
