"""Why identifiers are one person, or not, in plain words. Pure: the store hands in names, this gives the sentence."""

from typing import Final

from tabard.identity.rules import Ignored
from tabard.message.traits import iso_ms

SENTENCES: Final = {
    "alias": "an alias call named {other} as the one that {identifier} became",
    "device": "one message carried both the device {identifier} and {other}",
    "email": "{other} stated the address {identifier}",
    "claimed_first": "{other} claims {identifier} too, but {owner} outranks it or claimed it first",
    "shared": "{identifier} is claimed by more than {limit} owners, so it is shared and nobody's (max_owners)",
    "heavy": "{other} claims more than {limit} identifiers of this kind, so none of them counts (max_claims)",
    "class_too_large": "aliases join more than {limit} identifiers here, so none of them counts (max_alias)",
    "cut": "a cut of {at} keeps {identifier} and {other} apart{until}",
    "cut_in_vain": (
        "a cut of {at} keeps {identifier} and {other} from a direct link{until}; other links make them one person"
    ),
    "deleted": "{identifier} was deleted: nothing up to {at} counts",
    "suppressed": "{identifier} is suppressed: nothing since {at} counts",
    "message_deleted": "{identifier} was deleted at {at}: nothing up to then counts or is delivered any more",
    "message_suppressed": "{identifier} is suppressed since {at}: stored, never delivered",
    "blocked_value": "{other} never identifies anybody: the value is on the blocked list",
    "untrusted_alias": "the source of this message may not join {identifier} with another by alias",
    "untrusted": "the source of this message may not claim an address ({identifier}) for a userId",
}
"""Reason → sentence; the names in braces are those `say` takes."""

IGNORED: Final = {
    Ignored.CONTROL: "its control: only a server source may state one, and not from a page",
    Ignored.ALIAS: "its previousId: this source may not alias (`tabard source add --allow-alias`)",
    Ignored.EMAIL_CLAIM: "its e-mail as an identifier: this source may not claim one for a userId "
    "(`tabard source add --allow-email-claim`)",
}
"""What of a message is ignored, and why."""


def say(name: str, *, at: int = 0, until: int | None = None, limit: int = 0, **who: str) -> str:
    """The sentence of a reason. `at` and `until` in milliseconds; `who`: identifier, other, owner, those it names."""
    reach = "" if until is None else f" for evidence up to {iso_ms(until)}"
    return SENTENCES[name].format(**who, limit=limit, at=iso_ms(at), until=reach)
