"""The declaration of Customer.io Journeys: settings, the 15 default actions and when they run (wire.md §5.4)."""

from collections.abc import Mapping
from typing import Any

from tabard.destinations.catalog.customerio import devices, events, objects, people
from tabard.destinations.catalog.customerio.entity import person_identifiers
from tabard.destinations.catalog.customerio.track_api import check_credentials, track_request
from tabard.destinations.kit.action import Rate
from tabard.destinations.kit.destination import Destination, Preset, Subject
from tabard.destinations.kit.errors import raise_for_status
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import Send

ACTIONS = (
    people.CREATE_UPDATE_PERSON,
    devices.CREATE_UPDATE_DEVICE,
    devices.DELETE_DEVICE,
    objects.DELETE_RELATIONSHIP,
    people.DELETE_PERSON,
    objects.DELETE_OBJECT,
    events.TRACK_EVENT,
    events.TRACK_PAGE_VIEW,
    events.TRACK_SCREEN_VIEW,
    objects.CREATE_UPDATE_OBJECT,
    people.MERGE_PEOPLE,
    people.SUPPRESS_PERSON,
    people.UNSUPPRESS_PERSON,
    events.REPORT_DELIVERY_EVENT,
    events.REPORT_CONTENT_EVENT,
)


async def _delete_subject(send: Send, settings: Mapping[str, Any], subject: Subject) -> None:
    """Deletes by id and by e-mail address, which may name two people. Anonymous people are events that expire."""
    wanted = [person_identifiers(known) for known in (subject.user_id, subject.email) if known]
    for identifiers in {str(each): each for each in wanted}.values():
        entity = {"type": "person", "action": "delete", "identifiers": identifiers}
        raise_for_status(await send(track_request(settings, "/api/v2/entity", entity)))


destination = Destination(
    slug="customerio",
    name="Customer.io Journeys",
    aliases=("Customer.io", "Customer.io (Actions)", "Actions Customerio", "Customer.io Actions"),
    description=(
        "People, events, devices and objects in a Customer.io Journeys workspace, through its Track API (version 2). "
        "Dates, ISO 8601 or epoch, go out as epoch seconds. Attributes keep the spelling they came in, but for "
        "createdAt, which becomes created_at, and a name is made of first and last name where only these came. "
        "Anonymous identify calls are left out; anonymous events are kept by Customer.io and joined when a later "
        "identify carries the anonymousId. An entity of more than 32 kB is refused before it is sent. In a batch each "
        "item has its own outcome; a batch that is refused as a whole is sent again item by item."
    ),
    settings={
        "siteId": Field(
            label="Site ID",
            type="string",
            description="From the workspace's API credentials.",
            required=True,
            secret=True,
        ),
        "apiKey": Field(
            label="API key",
            type="string",
            description="The Track API key that belongs to the site id.",
            required=True,
            secret=True,
        ),
        "accountRegion": Field(
            label="Account region",
            type="string",
            description="Where the account lives.",
            choices=("us", "eu"),
            default="us",
        ),
    },
    actions=ACTIONS,
    presets=tuple(Preset(action.title, action.slug, action.default_subscription) for action in ACTIONS),
    test=check_credentials,
    on_delete=_delete_subject,
    creates_people=("createUpdatePerson",),
    # The Track API's fair-use limit, for live and historical data alike.
    rate=Rate(requests=100, per_s=1),
)
