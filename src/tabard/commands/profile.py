"""`tabard profile`: one person: what is known and why. What is stated of people is in `controls`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec

from tabard.commands.controls import KINDS, delete, instant, reading, split, suppress, unsplit, unsuppress
from tabard.commands.frame import (
    behind_text,
    data_option,
    example,
    json_option,
    not_found,
    print_json,
    print_line,
    print_table,
)
from tabard.compose.identity import StoreIdentity
from tabard.compose.workspace import source_names
from tabard.message.shown import gist
from tabard.message.traits import iso_ms
from tabard.message.types import StoredMessage, position_text
from tabard.storage.interface import AsOf, Explanation, Profile, Reason, TraitWrite
from tabard.storage.shown import as_of_json, explanation_json, history_json, profile_json, traits_json
from tabard.storage.sqlite.store_profiles import SqliteProfileReader

_FIX: Final = "write user:…, email:… or anon:…; `tabard tail` shows what arrives"


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


for _control in (split, unsplit, delete, suppress, unsuppress):
    profile.add_command(_control)


@profile.command(epilog=example("tabard profile show user:u1", "tabard profile show u1 --as-of 2026-11-01 --json"))
@click.argument("identifier")
@click.option("--as-of", help="As events up to this time made it (ISO 8601).")
@data_option
@json_option
def show(identifier: str, as_of: str | None, data: Path, as_json: bool) -> None:
    """Show identifiers, traits with where they come from, groups and counts."""
    then = instant(as_of) if as_of else None
    with _opened(identifier, data) as opened:
        if then is None:
            found = AsOf(opened.profile, opened.answers.provenance(opened.profile.canonical))
        else:
            found = _as_of(opened, then)
    if as_json:
        document = profile_json(found.profile) if then is None else as_of_json(found, then)
        print_json({**document, "provenance": traits_json(found.provenance)})
        return
    if then is not None:
        print_line(f"as the events up to {iso_ms(then)} made it")
    _show(found, source_names(data))


def _show(found: AsOf, names: dict[str, str]) -> None:
    person, written = found.profile, found.provenance
    print_line(f"profile      {person.profile_id}")
    print_line(f"identifiers  {', '.join(person.identifiers)}")
    print_line(f"groups       {', '.join(person.groups) or '-'}")
    print_line(f"messages     {person.events} from {iso_ms(person.first_seen)} to {iso_ms(person.last_seen)}")
    if person.truncated:
        print_line("this is part of it: the neighbourhood is too large to be looked at whole")
    if person.traits:
        print_line()
        print_table(
            ("TRAIT", "VALUE", "SINCE", "SOURCE", "MESSAGE", "BEFORE"),
            (_trait_row(key, value, written.get(key), names) for key, value in sorted(person.traits.items())),
        )


def _trait_row(key: str, value: Any, write: TraitWrite | None, names: dict[str, str]) -> tuple[str, ...]:
    if write is None:
        return key, _text(value), "(made of others)", "", "", ""
    behind = write.message
    before = _text(write.replaced.value) if write.replaced else "-"
    where = (iso_ms(behind.timestamp), names.get(behind.source, behind.source), behind.message_id)
    return key, _text(value), *where, before


@profile.command(epilog=example("tabard profile explain u1"))
@click.argument("identifier")
@data_option
@json_option
def explain(identifier: str, data: Path, as_json: bool) -> None:
    """Say why these identifiers are one person, and why near misses are not; or why an identifier is in no profile."""
    with reading(data) as profiles:
        found = _explained(identifier, profiles)
    if as_json:
        print_json(explanation_json(found))
        return
    names = source_names(data)
    if found.profile_id is None:
        print_line(f"{found.canonical} is in no profile:")
    elif not found.together:
        print_line(f"{found.canonical} is linked with no other identifier")
    else:
        print_line(f"{found.canonical} is one person:")
        _print_reasons(found.together, names)
    if found.profile_id is not None and found.apart:
        print_line("what does not belong, and why:")
    _print_reasons(found.apart, names)
    if found.truncated:
        print_line("this is part of it: there are more identifiers, claims or aliases than are looked at")


def _print_reasons(reasons: tuple[Reason, ...], names: dict[str, str]) -> None:
    for reason in reasons:
        print_line(f"  {reason.sentence}")
        if reason.message:
            print_line(f"      {behind_text(reason.message, names)}")


@profile.command(epilog=example("tabard profile history u1 plan"))
@click.argument("identifier")
@click.argument("trait")
@data_option
@json_option
def history(identifier: str, trait: str, data: Path, as_json: bool) -> None:
    """Show every write of one trait, newest first."""
    with _opened(identifier, data) as opened:
        found = opened.answers.history(opened.profile.canonical, trait)
    if as_json:
        print_json(history_json(found))
        return
    names = source_names(data)
    print_table(
        ("TIME", "VALUE", "IDENTIFIER", "SOURCE", "MESSAGE"),
        (
            (
                iso_ms(each.message.timestamp),
                _text(each.value),
                each.identifier,
                names.get(each.message.source, each.message.source),
                each.message.message_id,
            )
            for each in found.writes
        ),
    )
    if found.since is not None:
        print_line(f"only messages resolved after one of {iso_ms(found.since)} were looked at; there are older ones")


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
    print_table(("TIME", "TYPE", "WHAT", "MESSAGE"), map(_line, messages))


def _line(message: StoredMessage) -> tuple[str, ...]:
    what = gist(msgspec.json.decode(message.body)) if message.body else "(erased)"
    return iso_ms(message.timestamp), message.type, what, message.message_id


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
    with reading(data) as profiles:
        found = profiles.changes(after, limit)
    if as_json:
        print_json({"changes": msgspec.to_builtins(found), "next": found[-1].seq if found else after})
        return
    print_table(
        ("SEQ", "IDENTIFIER", "FROM", "TO", "CAUSE"),
        ((one.seq, one.identifier, one.old_profile_id or "-", one.new_profile_id or "-", one.cause) for one in found),
    )


@contextlib.contextmanager
def _opened(text: str, data: Path) -> Iterator[_Opened]:
    with reading(data) as profiles:
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


def _as_of(opened: _Opened, then: int) -> AsOf:
    """The profile then of the identifier asked for, or else of one that is the same person now."""
    for identifier in dict.fromkeys([opened.profile.canonical, *opened.profile.identifiers]):
        found = opened.answers.as_of(identifier, then)
        if found is not None:
            return found
    raise not_found("profile", opened.profile.canonical, f"it was not known at {iso_ms(then)}; leave --as-of out")


def _found(text: str, profiles: SqliteProfileReader) -> Profile | None:
    if text.partition(":")[0] in KINDS:
        return profiles.profile(text)
    by_id = profiles.profile_by_id(text)
    if by_id is not None:
        return by_id
    return next(filter(None, map(profiles.profile, _spellings(text))), None)


def _spellings(text: str) -> list[str]:
    """The identifiers that a text may mean."""
    return [text] if text.partition(":")[0] in KINDS else [f"{kind}:{text}" for kind in KINDS]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
