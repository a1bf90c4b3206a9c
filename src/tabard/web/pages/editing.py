"""The pages of destinations and the forms in them: settings, options, triggers, mappings, previews."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tabard.destinations.kit.destination import DestinationTestFailed
from tabard.destinations.kit.subscription import compile_trigger
from tabard.destinations.kit.trigger_syntax import TriggerInvalid
from tabard.message.parse import Refused as CallRefused
from tabard.storage.deliveries import Term
from tabard.web import auth
from tabard.web.deps import Json
from tabard.web.errors import Refused, refusal_of
from tabard.web.pages.changes import back, deps_of, form_of
from tabard.web.pages.destinations import LAST_MAX, action_of, checked_preview, chosen, described, listed
from tabard.web.pages.shown import number_of
from tabard.web.render import page
from tabard.workspace.declaration import DeclarationInvalid, Fault
from tabard.workspace.edit import ChangedMeanwhile, DestinationEdit, PreviewAsked, SubscriptionEdit, plain_value

TERMS: Final = ("stored", "before_start", "pending", *(str(term) for term in Term if term is not Term.BEFORE_START))
"""The books' terms in the order in which they add up."""

OPTIONS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "record": ("Whether request and answer are kept of failed attempts only, or of all.", ("failures", "all")),
    "no_needless_calls": ("Leave out an identify that equals the last one delivered.", ("false", "true")),
    "order_patience_s": ("Seconds after which a failing message lets those behind it pass.", ()),
    "rate_per_s": ("Most requests a second; 0 for no limit of yours.", ()),
    "batch_size": ("Most messages of one request, where the action can send batches; 1 sends singly.", ()),
    "batch_wait_s": ("Seconds that an incomplete batch waits for more.", ()),
    "consent_categories": ('Goes only if consent is given for all of these: `["Advertising"]`.', ()),
}
"""What each delivery option is for, and its choices where there are a few."""

NEW: Final = "new"
"""Stands in the address of a page for a subscription that is not there yet."""

_LOOKED_AT: Final = 50
_SHOWN_AGAIN: Final = (DeclarationInvalid, ChangedMeanwhile, DestinationTestFailed, CallRefused, Refused)
"""What is refused and shown above the form that was filled in."""


def destinations_page(request: Request) -> Response:
    """`GET /destinations`."""
    auth.require_admin(request)
    return page(request, "destinations.html", listed(request))


def destination_page(request: Request) -> Response:
    """`GET /destinations/{name}`."""
    auth.require_admin(request)
    return _destination_page(request, {}, None)


async def destination_form(request: Request) -> Response:
    """`POST /destinations/{name}`: what its forms ask for, by the button that was pressed (`do`)."""
    await auth.require_change(request)
    form = await form_of(request)
    try:
        word = await run_in_threadpool(_destination_done, request, form)
    except _SHOWN_AGAIN as problem:
        return await run_in_threadpool(_destination_page, request, form, problem)
    return back(request.url.path, word)


def subscription_page(request: Request) -> Response:
    """`GET /destinations/{name}/subscriptions/{subscription}`; of `new` with the `action` that it is to switch on."""
    auth.require_admin(request)
    destination = described(request)
    edited = _edited(request, destination, request.query_params.get("action", ""))
    form = {
        "name": edited["name"],
        "subscribe": edited["subscribe"],
        "mapping": _pretty(edited["mapping"]),
        "enabled": "1" if edited["enabled"] else "",
        "event": _example(request, edited["subscribe"]),
        "last": "100",
    }
    return _subscription_page(request, destination, edited, form, {})


async def subscription_form(request: Request) -> Response:
    """`POST /destinations/{name}/subscriptions/{subscription}`: saves, previews or removes it (`do`)."""
    await auth.require_change(request)
    form = await form_of(request)
    return await run_in_threadpool(_subscription_done, request, form)


def _destination_page(request: Request, form: Mapping[str, str], problem: Exception | None) -> Response:
    refusal = refusal_of(problem) if problem else None
    context = {
        "destination": described(request),
        "terms": TERMS,
        "options": OPTIONS,
        "form": form,
        "problem": refusal,
    }
    return page(request, "destination.html", context, refusal.status if refusal else 200)


def _destination_done(request: Request, form: Mapping[str, str]) -> str:
    """Does what a form of the destination's page asks for; the word for it."""
    destinations, name = deps_of(request).destinations, request.path_params["name"]
    match form.get("do"):
        case "test":
            destinations.test(name)
            return "tested"
        case "enable":
            destinations.edit(name, DestinationEdit(enabled=True))
            return "enabled"
        case "disable":
            destinations.edit(name, DestinationEdit(enabled=False))
            return "disabled"
        case "pause":
            destinations.pause(name)
            return "paused"
        case "resume":
            destinations.resume(name)
            return "resumed"
        case "settings":
            given = {key.removeprefix("settings."): value for key, value in form.items() if key.startswith("settings.")}
            secret = {each["key"] for each in described(request)["declaration"]["settings"] if each["secret"]}
            # An empty box of a secret leaves it as it is: what is stored is never shown in it.
            kept = {key: value for key, value in given.items() if value or key not in secret}
            removed = {key.removeprefix("remove."): None for key in form if key.startswith("remove.")}
            destinations.edit(name, DestinationEdit(settings={**kept, **removed}, version=_version(form)))
            return "saved"
        case "options":
            options = {
                key.removeprefix("options."): plain_value(value) if value else None
                for key, value in form.items()
                if key.startswith("options.")
            }
            destinations.edit(name, DestinationEdit(options=options, version=_version(form)))
            return "saved"
    raise Refused("bad_request", "this form has no such button")


def _version(form: Mapping[str, str]) -> int | None:
    return number_of(form.get("version", ""))


def _edited(request: Request, destination: Json, action: str) -> Json:
    """The subscription that the address names; of `new` as the action's declaration suggests it."""
    wanted = request.path_params["subscription"]
    if wanted != NEW:
        return chosen(destination, wanted)
    declared = action_of(destination, action)
    if declared is None:
        raise Refused("not_found", f"a {destination['kind']} has no action {action!r}", 404)
    return {
        "id": NEW,
        "name": declared["title"],
        "action": action,
        "subscribe": declared["subscribe"] or 'type = "track"',
        "enabled": True,
        "mapping": declared["mapping"],
        "declaration": declared,
    }


def _subscription_done(request: Request, form: dict[str, str]) -> Response:
    destination = described(request)
    edited = _edited(request, destination, form.get("action", ""))
    name, is_new = destination["name"], edited["id"] == NEW
    destinations, page_of_it = deps_of(request).destinations, request.url.path.partition("/subscriptions/")[0]
    try:
        if form.get("do") == "remove" and not is_new:
            destinations.remove_subscription(name, edited["id"])
            return back(page_of_it, "removed")
        edit = SubscriptionEdit(
            name=form.get("name", "").strip() or edited["action"],
            action=edited["action"],
            subscribe=form.get("subscribe", "").strip(),
            mapping=_object(form.get("mapping", ""), "mapping"),
            enabled=bool(form.get("enabled")),
        )
        if form.get("do") == "preview":
            wanted = "" if is_new else edited["id"]
            shown = {"preview": _previewed(request, name, wanted, edit, form)}
            return _subscription_page(request, destination, edited, form, shown)
        if is_new:
            destinations.add_subscription(name, edit)
            return back(page_of_it, "added")
        destinations.edit_subscription(name, edited["id"], edit)
        return back(page_of_it, "saved")
    except _SHOWN_AGAIN as problem:
        return _subscription_page(request, destination, edited, form, {"problem": refusal_of(problem)})


def _previewed(request: Request, name: str, subscription: str, edit: SubscriptionEdit, form: Mapping[str, str]) -> Json:
    """What it would send for the call in the form, and for the last messages."""
    destinations = deps_of(request).destinations
    shown: Json = {}
    if form.get("event", "").strip():
        event = _object(form["event"], "event")
        shown["event"] = destinations.preview(name, PreviewAsked(event=event, subscription=subscription, change=edit))
    if form.get("last", "").strip():
        last = number_of(form["last"].strip()) or 0
        asked = checked_preview(PreviewAsked(last=last, subscription=subscription, change=edit))
        shown["last"] = destinations.preview(name, asked)
    return shown


def _subscription_page(
    request: Request, destination: Json, edited: Json, form: Mapping[str, str], shown: Json
) -> Response:
    problem: Refused | None = shown.get("problem")
    faults = [_of_form(each) for each in problem.faults] if problem else []
    context = {
        "destination": destination,
        "subscription": edited,
        "form": form,
        "last_max": LAST_MAX,
        "problem": problem,
        "faults": faults,
        "faulty": {each.path.partition("/")[0] for each in faults},
        "preview": shown.get("preview"),
    }
    return page(request, "subscription.html", context, problem.status if problem else 200)


def _of_form(fault: Fault) -> Fault:
    """The fault with its place in the form, which holds one subscription."""
    lead, _, rest = fault.path.partition("].")
    return Fault(rest, fault.message) if lead.startswith("subscriptions[") else fault


def _object(text: str, field: str) -> dict[str, Any]:
    """The JSON object in a box of the form. Raises `DeclarationInvalid` with the line at fault."""
    try:
        return msgspec.convert(json.loads(text), dict[str, Any])
    except json.JSONDecodeError as problem:
        reason = f"line {problem.lineno}, column {problem.colno}: {problem.msg}"
    except (msgspec.ValidationError, RecursionError, ValueError):
        reason = "should be a JSON object, such as {}"
    raise DeclarationInvalid(f"{field}: {reason}", [Fault(field, reason)])


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _example(request: Request, trigger: str) -> str:
    """The newest stored message that the trigger matches, of the last ones; '' where there is none."""
    try:
        matches = compile_trigger(trigger).matches
    except TriggerInvalid:
        return ""
    newest = deps_of(request).readers().messages.newest(_LOOKED_AT)
    bodies = (msgspec.json.decode(each.body) for each in newest if each.body)
    found = next((body for body in bodies if matches(body)), None)
    return "" if found is None else _pretty(found)
