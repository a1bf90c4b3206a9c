"""What random inputs found wrong in the engine once, as small examples."""

import apsw
import pytest

from tabard.storage.interface import Fenced
from tests.oracle.engine import Engine, Event, answer, engine
from tests.oracle.rules import World

CAPS = {"max_alias": 3, "max_owners": 3, "max_claims": 3}


def call(kind: str, name: str, second: int, **fields: object) -> Event:
    return {"type": kind, "messageId": name, "timestamp": f"2024-05-01T12:00:{second:02d}.000Z", **fields}


def fed(one: Engine, *events: Event) -> dict[str, object]:
    """Feeds one by one, everything projected and erased in between."""
    for event in events:
        one.feed([event])
        one.settle()
    return one.store.dump()


def test_a_differing_copy_with_a_smaller_time_takes_the_place_of_an_erased_message() -> None:
    events = [
        call("identify", "m", 1, userId="x", traits={"plan": 1}),
        call("delete", "d", 1, ids=["user:x"]),
        call("group", "m", 0, userId="two@x.io", groupId="acme"),
    ]
    with engine(CAPS) as one:
        assert fed(one, *events) == World(events).answer()


def test_a_retry_of_an_erased_message_is_known_again_and_stays_erased() -> None:
    message = call("identify", "m", 2, userId="x", traits={"plan": 1})
    with engine(CAPS) as one:
        fed(one, message, call("delete", "d", 3, ids=["user:x"]))
        assert fed(one, {**message, "timestamp": "2024-05-01T12:00:01.000Z"}) == {"profiles": [], "groups": {}}
        assert bodies(one, "m") == 0


def test_a_better_copy_gives_an_erased_identifier_its_text_back() -> None:
    events = [
        call("delete", "d", 1, ids=["anon:x", "anon:a1"]),
        call("page", "m", 4, anonymousId="x"),
        call("alias", "m", 3, userId="u3", anonymousId="a1", previousId="x"),
    ]
    with engine(CAPS) as one:
        assert fed(one, *events) == World(events).answer() == answer(CAPS, events)


def test_the_text_of_a_deleted_device_stays_while_a_message_may_yet_count_for_it() -> None:
    events = [
        call("identify", "m", 5, userId="u1", anonymousId="a1", traits={"plan": 1}),
        call("suppress", "s", 3, ids=["anon:a1"]),
        call("delete", "d", 1, ids=["anon:a1"]),
        call("unsuppress", "n", 4, ids=["anon:a1"]),
    ]
    with engine(CAPS) as one:
        assert fed(one, *events) == World(events).answer()


def test_a_retry_that_turns_out_older_than_a_delete_is_erased() -> None:
    message = call("identify", "m", 5, userId="x", traits={"plan": "secret"})
    with engine(CAPS) as one:
        fed(one, message, call("delete", "d", 3, ids=["user:x"]))
        assert bodies(one, "m") == 1
        fed(one, {**message, "timestamp": "2024-05-01T12:00:02.000Z"})
        assert bodies(one, "m") == 0


def bodies(one: Engine, message: str) -> int:
    """How many bodies of a message are stored."""
    query = "SELECT count(*) FROM body JOIN message USING (position) WHERE message_id = ?"
    return int(one.store.database.execute(query, (message,)).get)


def test_a_commit_that_fails_leaves_no_transaction_open() -> None:
    def refuse(_: object, sql: str, __: object) -> bool:
        return sql != "COMMIT"

    with engine(CAPS) as one:
        one.log = [call("page", "m", 1, anonymousId="a")]
        one.store.database.exec_trace = refuse
        with pytest.raises(apsw.ExecTraceAbort):
            one.catch_up()
        one.store.database.exec_trace = None
        one.catch_up()
        one.settle()
        assert one.store.dump() == World(one.log).answer()


def test_a_resolver_that_lost_its_store_does_not_project_from_an_old_memory() -> None:
    with engine(CAPS) as one:
        one.feed([call("page", "m", 1, anonymousId="a")])
        zombie = one.fenced_by_another()
        with pytest.raises(Fenced):
            zombie.project(10)
        zombie.close()


def test_an_address_whose_text_was_erased_asserts_its_real_text_again() -> None:
    events = [
        call("identify", "m", 3, userId="x", traits={"email": "lead@x.io"}),
        call("delete", "d", 5, ids=["user:x"]),
        call("page", "n", 4, anonymousId="a1"),
        call("identify", "n", 1, userId="lead@x.io", anonymousId="a1", traits={"plan": True}),
    ]
    with engine(CAPS) as one:
        assert fed(one, *events) == World(events).answer()


def test_an_erasure_takes_the_previous_id_that_only_an_erased_alias_named() -> None:
    with engine(CAPS) as one:
        fed(one, call("alias", "m", 1, userId="x", previousId="secret"), call("delete", "d", 2, ids=["user:x"]))
        texts = [text for (text,) in one.store.database.execute("SELECT text FROM node")]
        assert not any("secret" in text for text in texts)


def test_a_delete_is_not_taken_back_by_a_smaller_copy_of_it_in_either_order() -> None:
    events = [
        call("identify", "m", 5, userId="u1", anonymousId="a1", traits={"plan": 1}),
        call("delete", "d", 6, ids=["user:u1", "anon:a1"]),
        call("delete", "d", 4, ids=["user:u1"]),
    ]
    for order in (events, events[::-1]):
        with engine(CAPS) as one:
            assert fed(one, *order) == World(events).answer() == {"profiles": [], "groups": {}}
            assert bodies(one, "m") == 0


def test_a_delete_holds_whatever_copy_of_its_message_is_the_message() -> None:
    events = [
        call("identify", "m", 5, userId="u1", traits={"plan": 1}),
        call("delete", "d", 6, ids=["user:u1"]),
        call("delete", "d", 4, ids=["user:u2"]),
        call("page", "d", 3, anonymousId="a1"),
    ]
    digests = set()
    for order in (events, events[::-1], [events[at] for at in (2, 0, 3, 1)]):
        with engine(CAPS) as one:
            assert fed(one, *order) == World(events).answer()
            digests.add(one.store.digest())
    assert len(digests) == 1
