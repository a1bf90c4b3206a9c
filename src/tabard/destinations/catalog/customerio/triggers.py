"""Which events mean something to Journeys itself, and which are ordinary ones (wire.md §4.6, §5.4)."""

_SEMANTIC_EVENTS = (
    "Device Created or Updated",
    "Device Deleted",
    "Relationship Deleted",
    "User Deleted",
    "User Suppressed",
    "User Unsuppressed",
    "Object Deleted",
    "Report Delivery Event",
    "Report Content Event",
)

# Mobile apps send these whether or not they know a person and a push token: without both they are ordinary events.
_WITH_DEVICE = "userId != null and context.device.token != null"
_APP_STARTED = '(event = "Application Installed" or event = "Application Opened")'
_APP_REMOVED = 'event = "Application Uninstalled"'


def track_of(event: str) -> str:
    """The trigger for one event."""
    return f'type = "track" and event = "{event}"'


DEVICE_SAVED = f'type = "track" and (event = "Device Created or Updated" or {_APP_STARTED} and {_WITH_DEVICE})'
DEVICE_DELETED = f'type = "track" and (event = "Device Deleted" or {_APP_REMOVED} and {_WITH_DEVICE})'
ORDINARY_EVENT = " and ".join(
    [
        'type = "track"',
        *(f'event != "{event}"' for event in _SEMANTIC_EVENTS),
        f"not (({_APP_STARTED} or {_APP_REMOVED}) and {_WITH_DEVICE})",
    ]
)
