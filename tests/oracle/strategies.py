"""Small worlds for hypothesis (identity.md §9): few ids, one text of two kinds, ties, odd values, 15 % controls."""

from typing import Any

from hypothesis import strategies as st

from tests.oracle.rules import about

Event = dict[str, Any]

USERS: list[Any] = [*["u1", "u2", "u3"] * 3, "x", 7, 7.0, " u1 ", "lead@x.io", "Lead@X.io", "two@x.io"]
DEVICES: list[Any] = ["a1", "a1", "a2", "x", "7"]
MAILS: list[Any] = ["lead@x.io", "lead@x.io", "two@x.io", "LEAD@x.io"]
ODD: list[Any] = [None, "", "null", "000-0", "undefined", True, 1.5, [], {"a": 1}, "anonymous"]
NAMED = ["user:u1", "user:u2", "user:u3", "user:x", "email:lead@x.io", "email:two@x.io", "anon:a1", "anon:a2", "anon:x"]
GROUPS = ["acme", "beta"]
CALLS = ["identify", "identify", "identify", "track", "page", "alias", "alias", "alias", "group", "ungroup"]


def _time(second: int) -> str:
    return f"2024-05-01T12:00:{second:02d}.000Z"


times = st.integers(0, 6).map(_time)
message_ids = st.integers(0, 40).map(lambda n: f"m{n:02d}")


def _some(values: list[Any], odd: float = 0.1) -> st.SearchStrategy[Any]:
    usual = st.sampled_from(values)
    return st.integers(0, 99).flatmap(lambda n: usual if n < 100 - odd * 100 else st.sampled_from(ODD))


traits = st.dictionaries(
    st.sampled_from(["plan", "name", "first_name", "age"]),
    st.sampled_from([None, 1, "v", True, {"k": [1]}, 2.5, ""]),
    max_size=2,
)


@st.composite
def calls(draw: st.DrawFn) -> Event:
    """One call with ids of the small universe; any of them may be absent or odd."""
    kind = draw(st.sampled_from(CALLS))
    event: Event = {"messageId": draw(message_ids), "timestamp": draw(times), "type": kind}
    if kind == "alias" or draw(st.integers(0, 2)):
        event["userId"] = draw(_some(USERS))
    if draw(st.booleans()):
        event["anonymousId"] = draw(_some(DEVICES))
    if kind == "alias":
        event["previousId"] = draw(_some(USERS * 2 + DEVICES))
    if kind in ("group", "ungroup"):
        event["groupId"] = draw(_some(GROUPS))
    if kind in ("identify", "group"):
        event["traits"] = draw(traits)
    if kind == "identify" and draw(st.booleans()):
        event["traits"]["email"] = draw(_some(MAILS))
    return event


ids = st.lists(st.sampled_from([*NAMED, "group:acme"]), min_size=1, max_size=2, unique=True)


@st.composite
def controls(draw: st.DrawFn) -> Event:
    """A delete, suppress, unsuppress, cut or uncut of identifiers of the small universe."""
    kind = draw(st.sampled_from([*["delete", "suppress", "cut"] * 2, "unsuppress", "uncut"]))
    event: Event = {"messageId": draw(message_ids), "timestamp": draw(times), "type": kind}
    if kind in ("cut", "uncut"):
        event["a"] = draw(st.sampled_from(NAMED))
        event["b"] = draw(st.sampled_from([*NAMED, "*"]))
        if kind == "cut" and draw(st.booleans()):
            event["until"] = draw(times)
    else:
        event["ids"] = draw(ids)
    return event


@st.composite
def deletes(draw: st.DrawFn) -> Event:
    """A delete of identifiers of the small universe, groups among them."""
    return {"messageId": draw(message_ids), "timestamp": draw(times), "type": "delete", "ids": draw(ids)}


messages = st.integers(0, 99).flatmap(lambda n: calls() if n < 85 else controls())
events = st.integers(0, 16).flatmap(lambda count: st.lists(messages, min_size=count, max_size=count))
limits = st.fixed_dictionaries(
    {"max_alias": st.integers(1, 3), "max_owners": st.integers(1, 3), "max_claims": st.integers(1, 3)}
)

limits_of_traits = st.builds(lambda caps, most: caps | {"max_traits": most}, limits, st.integers(1, 3))
"""As `limits`, and so few traits and memberships an identifier; which are kept is no rule the oracle knows."""


def unordered(some: list[Event]) -> bool:
    """Whether copies of one message differ at one time and a delete takes one of them: once its body is erased, they
    cannot be put in order any more (docs/identity.md, Controls)."""
    deleted = [(who, event["timestamp"]) for event in some if event["type"] == "delete" for who in event["ids"]]
    copies: dict[tuple[str, str], list[Event]] = {}
    for event in some:
        copies.setdefault((event["messageId"], event["timestamp"]), []).append(event)
    return any(
        copy != same[0] and any(_takes(who, until, one) for who, until in deleted for one in same)
        for same in copies.values()
        for copy in same
    )


def _takes(who: str, until: str, event: Event) -> bool:
    return event["type"] in CALLS and about(event) == who and event["timestamp"] <= until


def apart(some: list[Event], messages_of: int) -> list[Event]:
    """The same events as copies of so few messages, each at a time of its own."""
    return [
        event
        | {"timestamp": event["timestamp"].replace(".000Z", f".{number:03d}Z")}
        | {"messageId": f"m{number % messages_of}"}
        for number, event in enumerate(some)
    ]
