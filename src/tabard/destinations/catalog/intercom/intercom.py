"""The declaration of Intercom: settings, actions and when they run (wire.md §5.6)."""

from collections.abc import Mapping
from typing import Any

from tabard.destinations.catalog.intercom.companies import IDENTIFY_COMPANY
from tabard.destinations.catalog.intercom.contacts import IDENTIFY_CONTACT, delete_contact, identity
from tabard.destinations.catalog.intercom.events import TRACK_EVENT
from tabard.destinations.catalog.intercom.rest_api import RestApi, check_credentials
from tabard.destinations.kit.action import Rate
from tabard.destinations.kit.destination import Destination, Preset, Subject
from tabard.destinations.kit.field import Field
from tabard.destinations.kit.request import HttpRequest, HttpResponse, Send


async def _delete_subject(send: Send, settings: Mapping[str, Any], subject: Subject) -> None:
    """By external id and by e-mail address: what a lead left under the address goes too."""
    api = RestApi(send, settings)
    ids = identity(subject.user_id, subject.email)
    for key, value in ids.items():
        await delete_contact(api, {key: value})


def _preview_answer(request: HttpRequest) -> HttpResponse:
    """A workspace that does not know the person yet and takes everything."""
    if request.url.endswith("/contacts/search"):
        return HttpResponse(200, {}, b'{"type": "list", "total_count": 0, "data": []}')
    if request.url.endswith("/companies"):
        return HttpResponse(200, {}, b'{"type": "company", "id": "NEW_COMPANY"}')
    return HttpResponse(200, {}, b'{"type": "contact", "id": "NEW_CONTACT"}')


destination = Destination(
    slug="intercom",
    name="Intercom",
    aliases=("Intercom Cloud Mode (Actions)", "Intercom (Actions)", "Actions Intercom"),
    description=(
        "Contacts, companies and events in an Intercom workspace. Reserved traits in either spelling get Intercom's "
        "names: createdAt becomes signed_up_at, and a name is made of first and last name where only these came. A "
        "person is looked for before they are written: by userId, or by e-mail address. Who was known by e-mail "
        "address only keeps their contact when they get a userId. Other traits are custom attributes, created in "
        "the workspace where it lacks them. When the rate limit is used up, deliveries wait until it resets."
    ),
    settings={
        "accessToken": Field(
            label="Access token",
            type="string",
            description="Of your app in Intercom's developer hub.",
            required=True,
            secret=True,
        ),
        "region": Field(
            label="Region",
            type="string",
            description="Where the workspace is hosted.",
            choices=("us", "eu", "au"),
            default="us",
        ),
    },
    actions=(IDENTIFY_CONTACT, IDENTIFY_COMPANY, TRACK_EVENT),
    presets=(
        Preset("Identify Contact", "identifyContact", 'type = "identify"'),
        Preset("Identify Company", "groupIdentifyContact", 'type = "group"'),
        Preset("Track Event", "trackEvent", 'type = "track"'),
    ),
    test=check_credentials,
    on_delete=_delete_subject,
    creates_people=("identifyContact",),
    # 10,000 a minute for an app, spread over windows of ten seconds.
    rate=Rate(requests=1_666, per_s=10),
    preview_answer=_preview_answer,
)
