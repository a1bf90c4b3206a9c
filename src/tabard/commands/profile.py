"""`tabard profile`: one person: what is known, why, and the controls."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

from tabard.clock import SystemClock
from tabard.commands.frame import (
    EXIT_PROBLEM,
    EXIT_USAGE,
    CommandFailed,
    data_option,
    example,
    json_option,
    not_found,
    print_json,
    print_line,
    print_notes,
    print_table,
)
from tabard.compose.controls import Controls
from tabard.compose.identity import StoreIdentity
from tabard.compose.running import running_settings
from tabard.compose.store import profile_reader
from tabard.compose.workspace import source_names
from tabard.identity.controls import EVERYTHING
from tabard.identity.identifiers import parsed
from tabard.message.traits import iso_ms, parse_instant
from tabard.message.types import position_text
from tabard.storage.interface import Explanation, Profile, TraitWrite
from tabard.storage.sqlite.database import DatabaseMissing
from tabard.storage.sqlite.installation import open_installation
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

_KINDS: Final = ("user", "email", "anon")
_FIX: Final = "write user:…, email:… or anon:…; `tabard tail` shows what arrives"


_person_option = click.option("--person", is_flag=True, help="All identifiers of these people, as they are now.")


class _Opened(NamedTuple):
    """A profile that was asked for, and what answers further questions about it."""

    profile: Profile
    profiles: SqliteProfileReader
    answers: StoreIdentity


@click.group(epilog=example("tabard profile show u1", "tabard profile explain ann@example.com"))
def profile() -> None:
    """One person: what is known, why it is one person, and the controls.

    IDENTIFIER is user:…, email:… or anon:…, or a bare value, which is looked for as each of them; or a profile id.
    """


@profile.command(epilog=example("tabard profile show user:u1", "tabard profile show u1 --as-of 2026-11-01 --json"))
@click.argument("identifier")
@click.option("--as-of", help="As events up to this time made it (ISO 8601).")
@data_option
@json_option
def show(identifier: str, as_of: str | None, data: Path, as_json: bool) -> None:
    """Show identifiers, traits with where they come from, groups and counts."""
    with _opened(identifier, data) as opened:
        found = opened.profile
        if as_of:
            found = _as_of(opened, as_of)
        writes = {} if as_of else opened.answers.provenance(found.canonical)
    traits: dict[str, dict[str, Any]] = {key: {"value": value} for key, value in found.traits.items()}
    traits |= {key: _write(write) for key, write in writes.items()}
    if as_json:
        print_json({**_document(found), **({"asOf": as_of} if as_of else {"provenance": traits})})
        return
    names = source_names(data)
    print_line(f"profile      {found.profile_id}")
    print_line(f"identifiers  {', '.join(found.identifiers)}")
    print_line(f"groups       {', '.join(found.groups) or '-'}")
    if found.truncated:
        print_line("this is part of it: the neighbourhood is too large to be looked at whole")
    print_line(f"messages     {found.events} from {iso_ms(found.first_seen)} to {iso_ms(found.last_seen)}")
    print_line()
    print_table(
        ("TRAIT", "VALUE", "SINCE", "SOURCE", "MESSAGE", "BEFORE"),
        (_trait_row(key, entry, names) for key, entry in traits.items()),
    )


def _trait_row(key: str, entry: dict[str, Any], names: dict[str, str]) -> tuple[str, ...]:
    source, before = str(entry.get("source", "-")), entry.get("replaced")
    written = (str(entry.get("timestamp", "-")), names.get(source, source), str(entry.get("messageId", "-")))
    return (key, _text(entry["value"]), *written, "-" if before is None else _text(before))


@profile.command(epilog=example("tabard profile explain u1"))
@click.argument("identifier")
@data_option
@json_option
def explain(identifier: str, data: Path, as_json: bool) -> None:
    """Say why these identifiers are one person, and why near misses are not; or why an identifier is in no profile."""
    with _reading(data) as profiles:
        found = _explained(identifier, profiles)
    if as_json:
        print_json(found)
        return
    if found.profile_id is None:
        print_line(f"{found.canonical} is in no profile")
    names = source_names(data)
    for reason in (*found.together, *found.apart):
        print_line(reason.sentence)
        if reason.message:
            behind = reason.message
            source = names.get(behind.source, behind.source)
            print_line(f"    message {behind.message_id}, source {source}, {iso_ms(behind.timestamp)}")
    if found.truncated:
        print_line("this is part of it: there are more identifiers, claims or aliases than are looked at")


@profile.command(epilog=example("tabard profile history u1 plan"))
@click.argument("identifier")
@click.argument("trait")
@data_option
@json_option
def history(identifier: str, trait: str, data: Path, as_json: bool) -> None:
    """Show every write of one trait, newest first."""
    with _opened(identifier, data) as opened:
        history = opened.answers.history(opened.profile.canonical, trait)
    found = [_write(write) for write in history.writes]
    since = None if history.since is None else iso_ms(history.since)
    if as_json:
        print_json({"history": found, **({} if since is None else {"truncated": True, "from": since})})
        return
    print_table(
        ("TIME", "VALUE", "IDENTIFIER", "MESSAGE"),
        ((each["timestamp"], _text(each["value"]), each["identifier"], each["messageId"]) for each in found),
    )
    if since is not None:
        print_line(f"only messages resolved after one of {since} were looked at; there are older ones")


@profile.command(epilog=example("tabard profile timeline u1 --limit 100 --json"))
@click.argument("identifier")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, the last to arrive first."
)
@data_option
@json_option
def timeline(identifier: str, limit: int, data: Path, as_json: bool) -> None:
    """Show a person's messages, the last to arrive first; TIME is when each happened."""
    with _opened(identifier, data) as opened:
        messages = list(opened.profiles.timeline(opened.profile.canonical, limit))
    rows = [
        {
            "position": position_text(each.position),
            "timestamp": iso_ms(each.timestamp),
            "type": each.type,
            "messageId": each.message_id,
            "message": msgspec.json.decode(each.body) if each.body else None,
        }
        for each in messages
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("TIME", "TYPE", "WHAT", "MESSAGE"),
        ((each["timestamp"], each["type"], _what(each["message"]), each["messageId"]) for each in rows),
    )


@profile.command(epilog=example("tabard profile changes", "tabard profile changes --after 1200 --json"))
@click.option("--after", type=click.IntRange(0), default=0, help="Go on behind this number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many, oldest first.")
@data_option
@json_option
def changes(after: int, limit: int, data: Path, as_json: bool) -> None:
    """Show which profile each identifier moved to, in order: for exports that follow profile ids.

    Of each identifier its newest move only. With --json each has a `key`, which an erasure of the identifier does not
    change, and `next` is the --after to go on from.
    """
    with _reading(data) as profiles:
        found = profiles.changes(after, limit)
    if as_json:
        print_json({"changes": msgspec.to_builtins(found), "next": found[-1].seq if found else after})
        return
    print_table(
        ("SEQ", "IDENTIFIER", "FROM", "TO", "CAUSE"),
        ((one.seq, one.identifier, one.old_profile_id or "-", one.new_profile_id or "-", one.cause) for one in found),
    )


@profile.command(
    epilog=example("tabard profile split user:u1 anon:a1 --until 2026-11-01", "tabard profile split anon:kiosk '*'")
)
@click.argument("first")
@click.argument("second")
@click.option("--until", help="Only what linked them before this time (ISO 8601).")
@data_option
@json_option
def split(first: str, second: str, until: str | None, data: Path, as_json: bool) -> None:
    """State that two identifiers are not one person (a cut); `unsplit` takes it back.

    SECOND may be `*`: then nothing is one person with FIRST.
    """
    if until:
        _instant(until)
    _state(data, {"type": "cut", "a": _identifier(first), "b": _far_end(second), "until": until}, as_json=as_json)
    if _only_others_link(first, second, data):
        print_notes([f"nothing links {first} and {second} directly; split what `tabard profile explain {first}` names"])


@profile.command(epilog=example("tabard profile unsplit user:u1 anon:a1"))
@click.argument("first")
@click.argument("second")
@data_option
@json_option
def unsplit(first: str, second: str, data: Path, as_json: bool) -> None:
    """Take a split back; `*` as SECOND takes every split of FIRST back."""
    _state(data, {"type": "uncut", "a": _identifier(first), "b": _far_end(second)}, as_json=as_json)


@profile.command(
    epilog=example(
        "tabard profile delete user:u1 --person", "tabard profile delete user:u1 email:ann@example.com --yes"
    )
)
@click.argument("identifiers", nargs=-1, required=True)
@_person_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def delete(identifiers: tuple[str, ...], person: bool, yes: bool, data: Path, as_json: bool) -> None:
    """Delete what was said of these identifiers until now, here and (where possible) at destinations.

    Messages are overwritten on disk; what still holds data afterwards, and until when, is printed.
    """
    ids = _identifiers(identifiers, data, person=person)
    if not yes:
        if as_json:
            raise CommandFailed("not_confirmed", "--json asks nothing; add --yes", EXIT_PROBLEM)
        click.confirm(f"Delete {', '.join(ids)}? This cannot be undone", abort=True, err=True)
    _state(data, {"type": "delete", "ids": ids}, as_json=as_json)


@profile.command(epilog=example("tabard profile suppress user:u1 --person"))
@click.argument("identifiers", nargs=-1, required=True)
@_person_option
@data_option
@json_option
def suppress(identifiers: tuple[str, ...], person: bool, data: Path, as_json: bool) -> None:
    """Take no notice of these identifiers from now on: stored, never delivered."""
    _state(data, {"type": "suppress", "ids": _identifiers(identifiers, data, person=person)}, as_json=as_json)


@profile.command(epilog=example("tabard profile unsuppress user:u1"))
@click.argument("identifiers", nargs=-1, required=True)
@data_option
@json_option
def unsuppress(identifiers: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Take notice of them again."""
    _state(data, {"type": "unsuppress", "ids": _identifiers(identifiers, data, person=False)}, as_json=as_json)


def _state(data: Path, control: dict[str, Any], *, as_json: bool) -> None:
    controls = Controls(open_installation(data), SystemClock())
    try:
        unknown = controls.unknown(control.get("ids", []))
        still = controls.still_held() if control["type"] == "delete" else None
        position = controls.append(control)
    except ValueError as problem:
        raise CommandFailed("control_invalid", str(problem), EXIT_USAGE) from problem
    if as_json:
        ids = {"ids": control["ids"], "unknown": unknown} if "ids" in control else {}
        held = {"stillHeld": still} if still is not None else {}
        print_json({"accepted": True, "position": position, **ids, **held})
        return
    print_line(f"{control['type']} accepted at {position}" + "".join(f" {one}" for one in control.get("ids", ())))
    print_notes(f"nothing is known of {one}; it is obeyed if something comes" for one in unknown)
    for each in still or ():
        print_line(f"  {each['place']}: {each['until']}")


def _reading(data: Path) -> contextlib.closing[SqliteProfileReader]:
    installation = open_installation(data)
    return contextlib.closing(profile_reader(installation, running_settings(installation)))


@contextlib.contextmanager
def _opened(text: str, data: Path) -> Iterator[_Opened]:
    with _reading(data) as profiles:
        found = _found(text, profiles)
        if found is None:
            raise not_found("profile", text, _FIX)
        yield _Opened(found, profiles, StoreIdentity(profiles))


def _explained(text: str, profiles: SqliteProfileReader) -> Explanation:
    found = _found(text, profiles)
    named = [found.canonical] if found else _spellings(text)
    explained = next(filter(None, map(StoreIdentity(profiles).explain, named)), None)
    if explained is None:
        raise not_found("profile", text, _FIX)
    return explained


def _as_of(opened: _Opened, text: str) -> Profile:
    """The profile then of the identifier asked for, or else of one that is the same person now."""
    instant = _instant(text)
    for identifier in dict.fromkeys([opened.profile.canonical, *opened.profile.identifiers]):
        found = opened.answers.as_of(identifier, instant)
        if found is not None:
            return found
    raise not_found("profile", opened.profile.canonical, f"it was not known at {text}; leave --as-of out")


def _found(text: str, profiles: SqliteProfileReader) -> Profile | None:
    if text.partition(":")[0] in _KINDS:
        return profiles.profile(text)
    by_id = profiles.profile_by_id(text)
    if by_id is not None:
        return by_id
    return next(filter(None, map(profiles.profile, _spellings(text))), None)


def _spellings(text: str) -> list[str]:
    """The identifiers that a text may mean."""
    return [text] if text.partition(":")[0] in _KINDS else [f"{kind}:{text}" for kind in _KINDS]


def _identifier(text: str) -> str:
    if text.partition(":")[0] not in _KINDS:
        raise CommandFailed("usage", f"{text!r}: a control names user:…, email:… or anon:…", EXIT_USAGE)
    return text


def _only_others_link(first: str, second: str, data: Path) -> bool:
    """Whether two identifiers are one person by links with others alone, which a cut of the two does not touch."""
    if second == EVERYTHING:
        return False
    with contextlib.suppress(DatabaseMissing), _reading(data) as profiles:
        pair = {parsed(first), parsed(second)}
        graph = StoreIdentity(profiles).identity(first)
        if graph is not None and pair <= set(graph.nodes) and not graph.truncated:
            return all({one.low, one.high} != pair for one in graph.evidence)
    return False


def _identifiers(texts: tuple[str, ...], data: Path, *, person: bool) -> list[str]:
    named = [_identifier(each) for each in texts]
    if not person:
        return named
    try:
        return Controls(open_installation(data), SystemClock()).whole(named)
    except ValueError as problem:
        raise CommandFailed("control_invalid", str(problem), EXIT_USAGE) from problem


def _far_end(text: str) -> str:
    return text if text == EVERYTHING else _identifier(text)


def _write(write: TraitWrite) -> dict[str, Any]:
    return {
        "value": write.value,
        "identifier": write.identifier,
        "timestamp": iso_ms(write.message.timestamp),
        "source": write.message.source,
        "messageId": write.message.message_id,
        "replaced": write.replaced.value if write.replaced else None,
        **({"truncated": True} if write.truncated else {}),
    }


def _document(found: Profile) -> dict[str, Any]:
    return {
        "profileId": found.profile_id,
        "canonical": found.canonical,
        "identifiers": list(found.identifiers),
        "traits": found.traits,
        "groups": list(found.groups),
        "events": found.events,
        "firstSeen": iso_ms(found.first_seen),
        "lastSeen": iso_ms(found.last_seen),
        **({"truncated": True} if found.truncated else {}),
    }


def _instant(text: str) -> int:
    instant = parse_instant(text)
    if instant is None:
        raise CommandFailed("usage", f"{text!r} is no time; write it as in 2026-11-24T18:00Z", EXIT_USAGE)
    return instant


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _what(message: Any) -> str:
    if message is None:
        return "(erased)"
    return str(message.get("event") or message.get("name") or message.get("groupId") or "")
