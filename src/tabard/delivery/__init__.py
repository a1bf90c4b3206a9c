"""Sending: route, order, attempt, retry, keep the books."""
