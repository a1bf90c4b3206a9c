"""`tabard dead-letter` and `tabard replay`: what could not be delivered, and sending again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tabard.clock import SystemClock
from tabard.commands.frame import (
    EXIT_USAGE,
    CommandFailed,
    data_option,
    example,
    json_option,
    not_found,
    print_block,
    print_json,
    print_line,
    print_table,
)
from tabard.compose.deliveries import InstallationDeliveries
from tabard.compose.orders import DeliveryOrders
from tabard.delivery.dead_letter import LetterSearch
from tabard.delivery.replay import ReplayRefused, asked
from tabard.destinations.kit.trigger_syntax import TriggerInvalid
from tabard.message.traits import parse_instant
from tabard.message.types import position_named
from tabard.storage.sqlite.installation import open_installation

_destination_option = click.option("--destination", help="Of this destination, or of the replay of this id, only.")


def _search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which dead letters are meant."""
    for option in (
        click.option("--identifier", default="", help="Only those about this user, anonymous id or e-mail, as sent."),
        click.option("--since", help="Only those failing since this time or later (ISO 8601)."),
        click.option("--code", default="", help="Only those with this code, such as http_422."),
        click.option("--text", default="", help="Only those with this text in code, reason or message id."),
    ):
        command = option(command)
    return command


@click.group("dead-letter", epilog=example("tabard dead-letter list", "tabard dead-letter resend crm --all"))
def dead_letter() -> None:
    """Deliveries that ended without success."""


@dead_letter.command("list", epilog=example("tabard dead-letter list --destination crm --text 401 --json"))
@_destination_option
@_search_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, newest first.")
@data_option
@json_option
def list_letters(destination: str | None, limit: int, data: Path, as_json: bool, **given: Any) -> None:
    """List dead letters, newest first."""
    consumer = _orders(data).consumer(destination) if destination else None
    found = InstallationDeliveries(open_installation(data)).dead_letters(_search(consumer, given), limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("POSITION", "DESTINATION", "TYPE", "MESSAGE ID", "SINCE", "REASON"),
        (
            (
                each["position"],
                each["name"] if each["replay"] is None else f"{each['name']}, replay {each['replay']}",
                each["type"],
                each["messageId"],
                each["failingSince"],
                each["reason"],
            )
            for each in found["deadLetters"]
        ),
    )


@dead_letter.command(epilog=example("tabard dead-letter show crm 1:42"))
@click.argument("destination", metavar="DESTINATION|REPLAY_ID")
@click.argument("position", metavar="PARTITION:OFFSET")
@data_option
@json_option
def show(destination: str, position: str, data: Path, as_json: bool) -> None:
    """Show one dead letter with its attempts: what was sent and what came back, secrets cut out."""
    deliveries = InstallationDeliveries(open_installation(data))
    found = deliveries.dead_letter(_orders(data).consumer(destination), _position(position))
    if found is None:
        raise not_found("dead letter", position, "`tabard dead-letter list` shows them")
    if as_json:
        print_json(found)
        return
    for attempt in found.pop("tries"):
        print_line(f"{attempt['at']} {attempt['outcome']} {attempt['code']} after {attempt['tookMs']} ms")
        print_block(f"{attempt['request']}\n\n{attempt['answer']}\n")
    for name, value in found.items():
        print_line(f"{name:14} {value}")


@dead_letter.command(
    epilog=example("tabard dead-letter resend crm --position 1:42", "tabard dead-letter resend crm --all")
)
@click.argument("destination", metavar="DESTINATION|REPLAY_ID")
@click.option("--position", "positions", multiple=True, metavar="PARTITION:OFFSET", help="This one; repeat it.")
@_search_options
@click.option("--all", "everything", is_flag=True, help="All of them.")
@data_option
@json_option
def resend(
    destination: str, positions: tuple[str, ...], everything: bool, data: Path, as_json: bool, **given: Any
) -> None:
    """Try dead letters again, with the destination's present configuration.

    Those of a replay are named by its id (`tabard dead-letter list`, `tabard replay list`).
    """
    if not (positions or everything or any(given.values())):
        raise CommandFailed(
            "usage", "say which: --position, --text, --code, --since, --identifier or --all", EXIT_USAGE
        )
    orders = _orders(data)
    chosen = tuple(map(_position, positions)) or None
    _print(orders.resend(orders.consumer(destination), _search(None, given), chosen), as_json=as_json)


@click.group(epilog=example("tabard replay start crm --since 2026-11-01", "tabard replay list"))
def replay() -> None:
    """Send a range of the past to one destination again."""


@replay.command(epilog=example("tabard replay start crm --since 2026-11-01 --until 2026-11-02 --only failed"))
@click.argument("destination")
@click.option("--since", required=True, help="Messages received from this time on (ISO 8601), or beginning.")
@click.option("--until", help="Until this time; now unless given.")
@click.option("--only", type=click.Choice(["all", "failed", "undelivered"]), default="all", show_default=True)
@click.option("--trigger", default="", help="Only messages this trigger matches.")
@click.option("--rate", "rate_per_s", type=click.FloatRange(min=0), default=0, help="Most requests a second; 0 = any.")
@data_option
@json_option
def start(destination: str, data: Path, as_json: bool, **options: Any) -> None:
    """Begin a replay. It runs behind live traffic, keeps books of its own and may overtake what still waits."""
    given = {**options, "until": options["until"] or ""}
    try:
        answer = _orders(data).start_replay(destination, asked(**given))
    except (ReplayRefused, TriggerInvalid) as problem:
        raise CommandFailed("replay_refused", str(problem), EXIT_USAGE) from problem
    _print(answer, as_json=as_json)


@replay.command(epilog=example("tabard replay cancel 0f2c7c1e-2f5e-4f4e-9f0e-6f8d1a2b3c4d"))
@click.argument("replay_id")
@data_option
@json_option
def cancel(replay_id: str, data: Path, as_json: bool) -> None:
    """End a replay where it is."""
    _print(_orders(data).cancel_replay(replay_id), as_json=as_json)


@replay.command("list", epilog=example("tabard replay list --json"))
@click.option("--destination", help="Of this destination only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, newest first.")
@data_option
@json_option
def list_replays(destination: str | None, limit: int, data: Path, as_json: bool) -> None:
    """List replays with their progress and books, newest first."""
    consumer = _orders(data).consumer(destination) if destination else None
    found = InstallationDeliveries(open_installation(data)).replays(limit, destination_id=consumer)
    if as_json:
        print_json(found)
        return
    print_table(
        ("ID", "DESTINATION", "STATE", "DONE", "DELIVERED", "DEAD"),
        (
            (
                each["id"],
                each["name"],
                each["state"],
                f"{each['progress']:.0%}",
                each["books"]["delivered"],
                each["books"]["dead"],
            )
            for each in found["replays"]
        ),
    )


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    """Prints what the deliverer said to an order."""
    if as_json:
        print_json(answer)
    elif answer.get("waiting"):
        print_line(f"order {answer['order']} waits for the deliverer; it is applied when that next runs")
    else:
        print_line(", ".join(f"{key}: {value}" for key, value in answer.items() if key != "order"))


def _orders(data: Path) -> DeliveryOrders:
    return DeliveryOrders(open_installation(data), SystemClock())


def _search(consumer: str | None, given: dict[str, Any]) -> LetterSearch:
    since = _instant(given["since"]) if given["since"] else 0
    return LetterSearch(
        consumer=consumer, text=given["text"], code=given["code"], since=since, identifier=given["identifier"]
    )


def _position(text: str) -> int:
    found = position_named(text)
    if found is None:
        raise CommandFailed("usage", f"{text!r} is no position; write partition:offset, as in 1:42", EXIT_USAGE)
    return found


def _instant(text: str) -> int:
    instant = parse_instant(text)
    if instant is None:
        raise CommandFailed("usage", f"{text!r} is no time; write it as in 2026-11-24T18:00Z", EXIT_USAGE)
    return instant
