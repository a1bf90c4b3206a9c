"""The declaration of Mixpanel: settings, actions and when they run (wire.md §5.5)."""

from collections.abc import Mapping
from typing import Any

from tabard.destinations.catalog.mixpanel import events, profiles
from tabard.destinations.catalog.mixpanel.ingestion import check_credentials, engage_request
from tabard.destinations.kit.destination import Destination, Preset, Subject
from tabard.destinations.kit.errors import raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import Send


def _viewed(otherwise: str) -> dict[str, Any]:
    named = {"@template": "Viewed {{name}}"}
    return {"event": {"@if": {"exists": {"@path": "$.name"}, "then": named, "else": otherwise}}}


async def _delete_subject(send: Send, settings: Mapping[str, Any], subject: Subject) -> None:
    """Deletes the profiles. Events stay until Mixpanel's own GDPR API is asked, which needs another kind of token."""
    known = dict.fromkeys(each for each in (subject.user_id, subject.anonymous_id, subject.email) if each)
    token = settings["projectToken"]
    deletions = [
        {"$token": token, "$distinct_id": distinct_id, "$delete": "", "$ignore_alias": False} for distinct_id in known
    ]
    if deletions:
        raise_for_status(await send(engage_request(settings, deletions)))


destination = Destination(
    slug="mixpanel",
    name="Mixpanel",
    aliases=("Mixpanel (Actions)", "Actions Mixpanel"),
    description=(
        "Events, people and groups in a Mixpanel project. Events go to /import, so they may be of any age, and carry "
        "the messageId as $insert_id, so one that is sent twice counts once. Reserved traits in either spelling get "
        "Mixpanel's names: createdAt becomes $created, email $email, and so on. An anonymous identify sets the "
        "profile of the anonymous id; a later one ties it to the user. In a batch each item has its own outcome; a "
        "batch that is refused as a whole is sent again item by item. Deleting a person deletes the profile; to "
        "have their events deleted too, ask Mixpanel's GDPR API."
    ),
    settings={
        "projectToken": Field(
            label="Project token",
            type="string",
            description="From the project's settings.",
            required=True,
        ),
        "apiSecret": Field(
            label="API secret",
            type="string",
            description="From the project's settings; without it events are signed with the project token.",
            secret=True,
        ),
        "apiRegion": Field(
            label="Data residency",
            type="string",
            description="Where the project lives.",
            choices=("us", "eu", "in"),
            default="us",
        ),
        "sourceName": Field(
            label="Source name",
            type="string",
            description="Sent as segment_source_name with each event, where set.",
        ),
    },
    actions=(
        events.TRACK_EVENT,
        events.TRACK_PURCHASE,
        profiles.IDENTIFY_USER,
        profiles.GROUP_IDENTIFY_USER,
        events.ALIAS,
        profiles.INCREMENT_PROPERTIES,
    ),
    presets=(
        Preset("Track Calls", "trackEvent", 'type = "track" and event != "Order Completed"'),
        Preset("Order Completed Calls", "trackPurchase", 'type = "track" and event = "Order Completed"'),
        Preset("Page Calls", "trackEvent", 'type = "page"', _viewed("Viewed a Page")),
        Preset("Screen Calls", "trackEvent", 'type = "screen"', _viewed("Viewed a Screen")),
        Preset("Identify Calls", "identifyUser", 'type = "identify"'),
        Preset("Group Calls", "groupIdentifyUser", 'type = "group"'),
        Preset("Alias Calls", "alias", 'type = "alias"'),
    ),
    test=check_credentials,
    on_delete=_delete_subject,
    creates_people=("identifyUser",),
)
