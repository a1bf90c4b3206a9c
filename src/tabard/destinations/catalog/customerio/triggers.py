"""Which events mean something to Journeys itself, and which are ordinary ones (wire.md §4.6, §5.4)."""

_SEMANTIC_EVENTS = {
    "Device Created or Updated": "Create or Update Device",
    "Device Deleted": "Delete Device",
    "Relationship Deleted": "Delete Relationship",
    "User Deleted": "Delete Person",
    "User Suppressed": "Suppress Person",
    "User Unsuppressed": "Unsuppress Person",
    "Object Deleted": "Delete Object",
    "Report Delivery Event": "",
    "Report Content Event": "",
}
"""Each event with its title, which the documentation also uses as if it were the event's name: both are taken."""

# Mobile apps send these whether or not they know a person and a push token: without both they are ordinary events.
_WITH_DEVICE = "userId != null and context.device.token != null"
_APP_STARTED = '(event = "Application Installed" or event = "Application Opened")'
_APP_REMOVED = 'event = "Application Uninstalled"'


def _is(event: str) -> str:
    title = _SEMANTIC_EVENTS[event]
    return f'event = "{event}"' + (f' or event = "{title}"' if title else "")


def track_of(event: str) -> str:
    """The trigger for one semantic event, by name or title."""
    return f'type = "track" and ({_is(event)})'


DEVICE_SAVED = f'type = "track" and ({_is("Device Created or Updated")} or {_APP_STARTED} and {_WITH_DEVICE})'
DEVICE_DELETED = f'type = "track" and ({_is("Device Deleted")} or {_APP_REMOVED} and {_WITH_DEVICE})'
ORDINARY_EVENT = " and ".join(
    [
        'type = "track"',
        *(f'event != "{name}"' for pair in _SEMANTIC_EVENTS.items() for name in pair if name),
        f"not (({_APP_STARTED} or {_APP_REMOVED}) and {_WITH_DEVICE})",
    ]
)
