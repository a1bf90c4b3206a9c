"""Asks a destination whether its settings work. Apart from the desk: it brings a whole HTTP client."""

import asyncio
from typing import Any

from tabard.compose.destinations import DestinationDesk
from tabard.delivery.egress import Egress, EgressRules
from tabard.destinations.kit.destination import CheckCredentials, DestinationTestFailed
from tabard.destinations.kit.errors import DestinationError
from tabard.destinations.kit.payload import check_settings
from tabard.settings import Settings
from tabard.workspace.types import DestinationInstance


def ask_destination(instance: DestinationInstance, desk: DestinationDesk, settings: Settings) -> None:
    """Asks a destination whether its settings work. Raises `DestinationTestFailed`."""
    kind = desk.kind(instance.slug)
    if kind.test is None:
        raise DestinationTestFailed(f"{kind.name} offers no way to test its settings; send it a message instead")
    plain = check_settings(kind.settings, desk.opened(instance).settings)
    rules = EgressRules(timeout_s=settings.delivery_timeout_s, allows_private=settings.egress_private)
    try:
        asyncio.run(_ask(kind.test, plain, rules))
    except DestinationError as problem:
        raise DestinationTestFailed(f"{instance.name}: {problem}") from problem


async def _ask(test: CheckCredentials, plain: dict[str, Any], rules: EgressRules) -> None:
    egress = Egress(rules)
    try:
        await test(egress, plain)
    finally:
        await egress.close()
