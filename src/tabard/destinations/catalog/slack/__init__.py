"""Slack: messages to a channel, through an incoming webhook."""

from tabard.destinations.catalog.slack.incoming_webhook import destination

__all__ = ["destination"]
