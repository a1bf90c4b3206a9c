"""Our requests say the same as the pairs recorded from another pipeline, but where the page or the vendor's current
document says otherwise: those differences are listed here, each with its reason.

All 162 pairs are compared. They are of 2023, for older vendor APIs (Customer.io Track v1, Mixpanel /track forms,
Intercom 1.4), so what is compared is their meaning: who, what, when, and which values under which of the vendor's
names. Slack's texts are settings of that pipeline; here they are the same templates in a mapping.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tabard.destinations.kit.destination import Destination
from tabard.destinations.kit.payload import check_settings
from tabard.destinations.kit.plan import Subscription, compile_subscription, preset_subscriptions
from tabard.destinations.preview import preview
from tests.unit.destinations.catalog.bench import NOW, REGISTRY, SETTINGS

Case = dict[str, Any]
Said = list[tuple[str, Any]]

SLUGS = {"customerio": "customerio", "mp": "mixpanel", "intercom": "intercom", "slack": "slack", "webhook": "webhook"}

DIFFERENCES: dict[str, tuple[str, ...]] = {
    "settings without an API key are refused when they are saved, not for each message": ("customerio-1",),
    "a page view is named by its URL, as Customer.io's own destination names it": ("customerio-5", "customerio-22"),
    "an e-mail address in the context does not say whose event it is: the page lets it identify in identify calls": (
        "customerio-7",
        "customerio-24",
        "customerio-38",
    ),
    "a device belongs to a userId (wire.md §4.6); without one the app's event is an ordinary event": (
        "customerio-12",
        "customerio-13",
        "customerio-14",
        "customerio-29",
        "customerio-30",
        "customerio-48",
        "customerio-49",
    ),
    "names are passed on whole; a vendor that finds one too long says so": ("customerio-37",),
    "a screen view is of the kind screen and named by the call's name, which is not here": (
        "customerio-39",
        "customerio-40",
    ),
    "device events have the names of Customer.io's specification; others are for a trigger of one's own": (
        "customerio-50",
        "customerio-52",
        "customerio-53",
        "customerio-54",
    ),
    "what to do with an object is said by the event (Object Deleted …), not by a trait named action": (
        "customerio-57",
        "customerio-58",
        "customerio-59",
    ),
    "a page view that nothing names is refused with the field, as the vendor would": ("customerio-64", "customerio-65"),
    "views are named Viewed and what was seen (wire.md §5.5)": (
        "mp-0",
        "mp-1",
        "mp-2",
        "mp-3",
        "mp-4",
        "mp-20",
        "mp-49",
    ),
    "a group call names its group by groupId; other group keys are for a mapping of one's own": (
        "mp-14",
        "mp-15",
        "mp-16",
        "mp-50",
    ),
    "who belongs to a group is said by the events' $group_id, not by the person's profile": ("mp-43",),
    "an alias needs a previousId (wire.md §4.5)": ("mp-21",),
    "imports take events of any age since 1971, and the vendor judges them": ("mp-32", "mp-33"),
    "a trait that only that pipeline knows": ("mp-39",),
    "there the event has no time at all; here it has the message's": ("mp-41", "mp-42", "mp-52"),
    "the pair has no time that can be read; our door gives every message one": ("mp-53",),
    "both ids on one event link them in either of Mixpanel's ways of merging; there is no setting to choose": (
        "mp-45",
        "mp-46",
        "mp-47",
    ),
    "a user id is the call's userId, not a trait of that name": ("intercom-0",),
    "a full name needs both its parts (the page)": (
        "intercom-2",
        "intercom-3",
        "intercom-5",
        "intercom-6",
        "intercom-7",
    ),
    "a revenue that is no number is refused with the field": ("intercom-8",),
    "an option of that pipeline to send a ready-made payload": ("intercom-11",),
    "an anonymousId is no id of a user": ("intercom-12", "intercom-17"),
    "a company's size is its reserved trait employees, and its age createdAt (wire.md §4.4)": (
        "intercom-14",
        "intercom-16",
    ),
    "a webhook is posted to; there is no setting for another method": ("webhook-3", "webhook-4", "webhook-14"),
    "where requests go, how and with which headers is for the operator to say, not for the message": (
        "webhook-8",
        "webhook-9",
        "webhook-10",
        "webhook-11",
        "webhook-12",
    ),
    "the address a call came from is put into its context at our door, not on the way out": ("webhook-5", "webhook-6"),
    "an event without a name is refused at our door": ("slack-5",),
    "a placeholder that names nothing is filled with nothing": ("slack-6",),
}
"""Reason → the pairs it holds for."""


def settings_of(case: Case) -> dict[str, Any]:
    config, destination = case["config"], case["destination"]
    if destination == "customerio":
        in_eu = config.get("datacenterEU") or config.get("datacenter") == "EU"
        own = {"siteId": config.get("siteID"), "apiKey": config.get("apiKey"), "accountRegion": "eu" if in_eu else "us"}
    elif destination == "mp":
        region = config.get("dataResidency", "us")
        own = {"projectToken": config.get("token"), "apiSecret": config.get("apiSecret"), "apiRegion": region}
    elif destination == "intercom":
        own = {"accessToken": config.get("apiKey")}
    else:
        headers = "\n".join(f"{each['from']}: {each['to']}" for each in config.get("headers", []) if each["from"])
        own = {"url": config["webhookUrl"]} | ({"headers": headers} if headers else {})
    return SETTINGS.get(SLUGS[destination], {}) | {key: value for key, value in own.items() if value}


def as_stored(message: dict[str, Any]) -> dict[str, Any]:
    """The message as our resolver passes it on: traits in one place, empty identifiers absent, a time."""
    stored = {key: value for key, value in message.items() if value not in ("", None)}
    if stored.get("type") == "identify":
        stored["traits"] = {**(message.get("context", {}).get("traits") or {}), **(message.get("traits") or {})}
    return {"timestamp": message.get("originalTimestamp", "2024-03-05T00:00:00Z")} | stored


def subscriptions_of(case: Case, destination: Destination) -> list[Subscription]:
    if destination.slug != "slack":
        return preset_subscriptions(destination)
    config = case["config"]
    channel = {"channel": config["eventChannelSettings"][0]["eventChannel"]}
    track = config["eventTemplateSettings"][0]["eventTemplate"].replace("{{name}}", "{{context.traits.name}}")
    identify = config["identifyTemplate"].replace("{{name}}", "{{traits.name}}")
    texts = {
        "track": {"text": track.replace("traitsList", "context.traits"), **channel},
        # The one trait that its settings list.
        "identify": {"text": identify.replace("{{traits}}", "hiji: {{traits.hiji}} ")},
    }
    sender = {"username": "RudderStack", "icon_url": "https://cdn.rudderlabs.com/rudderstack.png"}
    return [
        compile_subscription(
            destination,
            action="postToChannel",
            subscribe=f'type = "{kind}"',
            mapping={**text, **sender, "text": {"@template": text["text"]}},
        )
        for kind, text in texts.items()
    ]


async def ours(case: Case) -> list[dict[str, Any]]:
    """Our requests as {"method", "url", "headers", "body"}; [] where nothing would be sent."""
    destination = REGISTRY.destinations[SLUGS[case["destination"]]]
    settings = check_settings(destination.settings, settings_of(case))
    subscriptions = subscriptions_of(case, destination)
    previews = await preview(destination, settings, subscriptions, as_stored(case["message"]), NOW)
    return [
        {
            "method": request.method,
            "url": request.url,
            "headers": request.headers,
            "body": json.loads(request.body),
        }
        for previewed in previews
        if not previewed.refusals
        for request in previewed.requests
    ]


def theirs(case: Case) -> list[dict[str, Any]]:
    expected = case["expected"] if isinstance(case["expected"], list) else [case["expected"]]
    return [each for each in expected if "endpoint" in each]


def journeys_ours(requests: list[dict[str, Any]]) -> Said:
    said: Said = []
    for request in requests:
        host, body = request["url"].split("/api/")[0], request["body"]
        who = next(iter(body["identifiers"].values()), None)
        who = f"cio_{who}" if "cio_id" in body["identifiers"] else who
        detail: Any = None
        if body["action"] == "identify" and body["type"] == "person":
            detail = [body["attributes"].get(key) for key in ("email", "created_at")]
        elif body["type"] == "object":
            links = [link["identifiers"] for link in body.get("cio_relationships", [])]
            who, detail = body["identifiers"]["object_id"], [links, body["attributes"].get("name")]
        elif "device" in body:
            detail = [body["device"]["token"], body["device"].get("platform")]
        elif "name" in body:
            detail = [body["name"], body["attributes"], body.get("timestamp")]
        said.append((f"{host} {body['action']}", [who, detail]))
    return said


def journeys_theirs(requests: list[dict[str, Any]]) -> Said:
    said: Said = []
    for request in requests:
        host, path = request["endpoint"].split("/api/")
        body = request.get("body", {}).get("JSON", {})
        parts = path.split("/")
        if parts[1] == "batch":
            links = [link["identifiers"] for link in body["cio_relationships"]]
            detail = [links, body["attributes"].get("name")]
            said.append((f"{host} {body['action']}", [body["identifiers"]["object_id"], detail]))
        elif parts[-1] == "events":
            who = body.get("anonymous_id") if parts[1] == "events" else parts[2]
            event = [body.get("name"), body.get("data", {}), body.get("timestamp")]
            said.append((f"{host} {body['type']}", [who, event]))
        elif "devices" in parts:
            token = body["device"]["id"] if body else parts[4]
            platform = body["device"].get("platform") if body else None
            said.append((f"{host} {'add_device' if body else 'delete_device'}", [parts[2], [token, platform]]))
        else:
            said.append((f"{host} identify", [parts[2], [body.get("email"), body.get("created_at")]]))
    return said


NAMED = ("$email", "$created", "$name", "$phone", "$username")


def mixpanel_said(host: str, records: list[dict[str, Any]]) -> Said:
    """Who is given which of Mixpanel's own properties, and who did what with which message."""
    said: Said = []
    for record in records:
        if "$group_id" in record:
            said.append((f"{host} group", [record["$group_id"], record["$set"].get("company")]))
        elif "$set" in record:
            found = {name: record["$set"][name] for name in NAMED if name in record["$set"]}
            said.append((f"{host} profile", [record["$distinct_id"], found]))
        elif record.get("event") in ("$merge", "$identify"):
            both = record["properties"].get("$distinct_ids") or [
                record["properties"]["$identified_id"],
                record["properties"]["$anon_id"],
            ]
            said.append((f"{host} link", both))
        elif record.get("event") == "$create_alias":
            said.append((f"{host} alias", [record["properties"]["distinct_id"], record["properties"]["alias"]]))
        elif "event" in record:
            properties = record["properties"]
            ids = [properties["distinct_id"], properties["$insert_id"], properties.get("revenue")]
            time = properties["time"] or 0
            said.append((f"{host} event", [record["event"], *ids, time // 1000 if time > 10**11 else time]))
    return sorted(said, key=str)


def mixpanel_ours(requests: list[dict[str, Any]]) -> Said:
    return sorted((each for r in requests for each in mixpanel_said(r["url"].split(".com")[0], r["body"])), key=str)


def mixpanel_theirs(requests: list[dict[str, Any]]) -> Said:
    return sorted(
        (
            each
            for request in requests
            for each in mixpanel_said(
                request["endpoint"].split(".com")[0], json.loads(request["body"]["JSON_ARRAY"]["batch"])
            )
        ),
        key=str,
    )


CONTACT = ("email", "name", "phone", "signed_up_at")
COMPANY = ("company_id", "name", "plan", "industry", "website", "size", "monthly_spend", "remote_created_at")


def intercom_ours(requests: list[dict[str, Any]]) -> Said:
    said: Said = []
    for request in requests:
        path, body = request["url"].split(".io")[1], request["body"]
        if path == "/contacts":
            said.append(("contact", [body.get("external_id"), *(body.get(key) for key in CONTACT)]))
        elif path == "/companies":
            said.append(("company", [body.get(key) for key in COMPANY]))
        elif path == "/events":
            said.append(("event", [body.get("user_id") or body.get("email"), body["event_name"], body["created_at"]]))
    return said


def intercom_theirs(requests: list[dict[str, Any]]) -> Said:
    said: Said = []
    for request in requests:
        body = request["body"]["JSON"]
        if request["endpoint"].endswith("/users"):
            said.append(("contact", [body.get("user_id"), *(body.get(key) for key in CONTACT)]))
        elif request["endpoint"].endswith("/companies"):
            said.append(("company", [body.get(key) for key in COMPANY]))
        else:
            said.append(("event", [body.get("user_id") or body.get("email"), body["event_name"], body["created"]]))
    return said


def webhook_ours(requests: list[dict[str, Any]]) -> Said:
    said: Said = []
    for request in requests:
        headers = {name: value for name, value in request["headers"].items() if name != "idempotency-key"}
        said.append((f"{request['method']} {request['url']}", [headers, request["body"]]))
    return said


def webhook_theirs(requests: list[dict[str, Any]]) -> Said:
    return [
        (f"{each['method']} {each['endpoint']}", [each["headers"], as_stored(each["body"].get("JSON", {}))])
        for each in requests
    ]


def slack_ours(requests: list[dict[str, Any]]) -> Said:
    return [(request["url"], request["body"]) for request in requests]


def slack_theirs(requests: list[dict[str, Any]]) -> Said:
    return [(request["endpoint"], json.loads(request["body"]["FORM"]["payload"])) for request in requests]


SAID = {
    "webhook": (webhook_ours, webhook_theirs),
    "slack": (slack_ours, slack_theirs),
    "customerio": (journeys_ours, journeys_theirs),
    "mp": (mixpanel_ours, mixpanel_theirs),
    "intercom": (intercom_ours, intercom_theirs),
}


@pytest.mark.parametrize("destination", SAID)
async def test_the_same_is_said_but_for_the_listed_differences(peer: Callable[[str], Any], destination: str) -> None:
    say_ours, say_theirs = SAID[destination]
    cases = [case for case in peer("rudder_mit_cases.json")["cases"] if case["destination"] == destination]
    differing = [case["id"] for case in cases if say_ours(await ours(case)) != say_theirs(theirs(case))]
    listed = [name for names in DIFFERENCES.values() for name in names if name.startswith(f"{destination}-")]
    assert sorted(differing) == sorted(listed)
