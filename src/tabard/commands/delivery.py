"""`tabard dead-letter` and `tabard replay`: what could not be delivered, and sending again."""

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
from tabard.compose.orders import give
from tabard.compose.workspace import named_destination, open_workspace
from tabard.delivery.orders import CancelReplay, Order, Resend, StartReplay
from tabard.delivery.replay import checked
from tabard.message.traits import parse_instant
from tabard.message.types import position
from tabard.storage.deliveries import Replay
from tabard.storage.sqlite.installation import open_installation

_destination_option = click.option("--destination", help="Of this destination, or of the replay of this id, only.")


@click.group("dead-letter", epilog=example("tabard dead-letter list", "tabard dead-letter resend crm --all"))
def dead_letter() -> None:
    """Deliveries that ended without success."""


@dead_letter.command("list", epilog=example("tabard dead-letter list --destination crm --text 401 --json"))
@_destination_option
@click.option("--text", default="", help="Only those with this text in code, reason or message id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, newest first.")
@data_option
@json_option
def list_letters(destination: str | None, text: str, limit: int, data: Path, as_json: bool) -> None:
    """List dead letters, newest first."""
    consumer = _consumer_or_replay(data, destination) if destination else None
    found = InstallationDeliveries(open_installation(data)).dead_letters(consumer, limit, text)
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
            for each in found
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
    found = deliveries.dead_letter(_consumer_or_replay(data, destination), _position(position))
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
@click.option("--text", default="", help="Those with this text in code, reason or message id.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@data_option
@json_option
def resend(
    destination: str, positions: tuple[str, ...], text: str, everything: bool, data: Path, as_json: bool
) -> None:
    """Try dead letters again, with the destination's present configuration.

    Those of a replay are named by its id (`tabard dead-letter list`, `tabard replay list`).
    """
    if not (positions or text or everything):
        raise CommandFailed("usage", "say which: --position, --text or --all", EXIT_USAGE)
    order = Resend(
        id=SystemClock().new_id(),
        consumer=_consumer_or_replay(data, destination),
        positions=tuple(map(_position, positions)) if positions else None,
        text=text,
    )
    _give(data, order, as_json=as_json)


@click.group(epilog=example("tabard replay start crm --since 2026-11-01", "tabard replay list"))
def replay() -> None:
    """Send a range of the past to one destination again."""


@replay.command(epilog=example("tabard replay start crm --since 2026-11-01 --until 2026-11-02 --only failed"))
@click.argument("destination")
@click.option("--since", required=True, help="Messages received from this time on (ISO 8601).")
@click.option("--until", help="Until this time; now unless given.")
@click.option("--only", type=click.Choice(["all", "failed", "undelivered"]), default="all", show_default=True)
@click.option("--trigger", default="", help="Only messages this trigger matches.")
@click.option("--rate", "rate_per_s", type=click.FloatRange(min=0), default=0, help="Most messages a second; 0 = any.")
@data_option
@json_option
def start(destination: str, data: Path, as_json: bool, **options: Any) -> None:
    """Begin a replay. It runs behind live traffic, keeps books of its own and may overtake what still waits."""
    chosen = Replay(
        since=_instant(options["since"]),
        until=_instant(options["until"]) if options["until"] else 0,
        only=options["only"],
        trigger=options["trigger"],
        rate_per_s=options["rate_per_s"],
    )
    try:
        checked(chosen, SystemClock().now_ms())
    except ValueError as problem:
        raise CommandFailed("replay_refused", str(problem), EXIT_USAGE) from problem
    order = StartReplay(id=SystemClock().new_id(), destination=_consumer(data, destination), replay=chosen)
    _give(data, order, as_json=as_json)


@replay.command(epilog=example("tabard replay cancel 0f2c7c1e-2f5e-4f4e-9f0e-6f8d1a2b3c4d"))
@click.argument("replay_id")
@data_option
@json_option
def cancel(replay_id: str, data: Path, as_json: bool) -> None:
    """End a replay where it is."""
    _give(data, CancelReplay(id=SystemClock().new_id(), consumer=replay_id), as_json=as_json)


@replay.command("list", epilog=example("tabard replay list --json"))
@data_option
@json_option
def list_replays(data: Path, as_json: bool) -> None:
    """List replays with their progress and books."""
    found = InstallationDeliveries(open_installation(data)).replays()
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
                each["total"]["delivered"],
                each["total"]["dead"],
            )
            for each in found
        ),
    )


def _give(data: Path, order: Order, *, as_json: bool) -> None:
    answer = give(open_installation(data), order, SystemClock())
    if as_json:
        print_json({"order": order.id, **answer})
    elif answer.get("waiting"):
        print_line(f"order {order.id} waits for the deliverer; it is applied when that next runs")
    else:
        print_line(", ".join(f"{key}: {value}" for key, value in answer.items()))


def _consumer(data: Path, name: str) -> str:
    with open_workspace(data) as workspace:
        return named_destination(workspace, name).id


def _consumer_or_replay(data: Path, name: str) -> str:
    replays = InstallationDeliveries(open_installation(data)).replays()
    return name if name in {each["id"] for each in replays} else _consumer(data, name)


def _position(text: str) -> int:
    partition, separator, offset = text.partition(":")
    if not separator or not partition.isdecimal() or not offset.isdecimal():
        raise CommandFailed("usage", f"{text!r} is no position; write partition:offset, as in 1:42", EXIT_USAGE)
    return position(int(partition), int(offset))


def _instant(text: str) -> int:
    instant = parse_instant(text)
    if instant is None:
        raise CommandFailed("usage", f"{text!r} is no time; write it as in 2026-11-24T18:00Z", EXIT_USAGE)
    return instant
