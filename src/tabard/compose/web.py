"""The web role: pages and admin API over read-only handles."""

import hashlib
import hmac
from typing import Any, Final

from tabard.compose.alarm import Alarm
from tabard.compose.configured import ConfiguredDestinations
from tabard.compose.controls import Controls
from tabard.compose.deliveries import InstallationDeliveries
from tabard.compose.http import serve_asgi
from tabard.compose.identity import StoreIdentity
from tabard.compose.listening import address_text, listener
from tabard.compose.orders import DeliveryOrders
from tabard.compose.quarantine import InstallationQuarantine
from tabard.compose.rejections import InstallationRejections
from tabard.compose.role_process import RoleProcess
from tabard.compose.sessions import EndedSessions
from tabard.compose.status import status
from tabard.compose.store import message_reader, profile_reader, wait_for_store
from tabard.settings import is_loopback
from tabard.storage.sqlite.keys import admin_token
from tabard.storage.sqlite.workspace import SqliteWorkspaceReader
from tabard.telemetry.logging import logger
from tabard.web.app import create_app
from tabard.web.auth import SESSION_S
from tabard.web.deps import Deps, Readers

_SESSION: Final = b"tabard web session"
_UNENCRYPTED: Final = (
    "other machines reach the web role, and the admin token crosses the network in plain text: listen on loopback, or "
    "put a proxy that speaks https in front and set public_url to its https:// URL"
)


def run_web(role: RoleProcess) -> None:
    """Serves until SIGTERM."""
    settings, installation = role.settings, role.installation
    wait_for_store(role).close()
    if not is_loopback(settings.web) and not settings.public_url.startswith("https:"):
        logger().warning("web.unencrypted", address=settings.web, fix=_UNENCRYPTED)
    sock = listener(settings.web)
    token = admin_token(installation)

    def open_readers() -> Readers:
        profiles = profile_reader(installation, settings)
        return Readers(
            messages=message_reader(installation),
            profiles=profiles,
            identity=StoreIdentity(profiles),
            deliveries=InstallationDeliveries(installation),
            rejections=InstallationRejections(installation),
            quarantine=InstallationQuarantine(installation),
            workspace=SqliteWorkspaceReader(installation.workspace_db),
        )

    def current_status() -> dict[str, Any]:
        return status(installation, role.clock.now_ms())

    deps = Deps(
        settings=settings,
        clock=role.clock,
        token_is_admin=lambda given: hmac.compare_digest(given.encode(), token.encode()),
        session_key=hmac.new(token.encode(), _SESSION, hashlib.sha256).digest(),
        open_readers=open_readers,
        controls=Controls(installation, role.clock),
        status=current_status,
        ended=EndedSessions(installation.sessions_file, installation.run / "sessions.lock", SESSION_S),
        destinations=ConfiguredDestinations(installation, role.clock),
        orders=DeliveryOrders(installation, role.clock),
    )
    alarm = Alarm(settings.alarm_url, current_status) if settings.alarm_url else None
    if alarm:
        alarm.start()
    serve_asgi(create_app(deps), sock, role, address_text(*sock.getsockname()[:2]))
    if alarm:
        alarm.stop()
