"""Tabard's Python client: `Client` and `AsyncClient`, the module style of the published SDKs (`analytics`),
identity bound to a request (`bind`, `bind_request`), and the browser's identity cookies."""

from tabard_client import analytics
from tabard_client.aio import AsyncClient
from tabard_client.client import Client
from tabard_client.cookies import (
    Identity,
    clear_identity_cookies,
    identity_from_cookies,
    set_identity_cookies,
)
from tabard_client.drops import Counts, DropError, DropReason, Receipt
from tabard_client.identity import bind, set_user
from tabard_client.middleware import AsgiIdentity, WsgiIdentity
from tabard_client.options import Options
from tabard_client.traits import Address, Company, GroupTraits, Traits
from tabard_client.version import VERSION
from tabard_client.web_request import bind_request, context_from_request, identity_from_request

__version__ = VERSION

__all__ = [
    "Address",
    "AsgiIdentity",
    "AsyncClient",
    "Client",
    "Company",
    "Counts",
    "DropError",
    "DropReason",
    "GroupTraits",
    "Identity",
    "Options",
    "Receipt",
    "Traits",
    "WsgiIdentity",
    "analytics",
    "bind",
    "bind_request",
    "clear_identity_cookies",
    "context_from_request",
    "identity_from_cookies",
    "identity_from_request",
    "set_identity_cookies",
    "set_user",
]
