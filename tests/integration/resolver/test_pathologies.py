"""Inputs that break simpler designs stay cheap: kiosks, constant ids, alias chains, ties, retried copies."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tabard.storage.sqlite.store_explain import Explainer
from tests.integration.resolver.engine import Engine, Event

MESSAGES = 12_000
BATCH = 4000
RATIO_MAX = 4.0
"""The promise is 3 (issue 3, §3); a busy machine gets a little room."""
QUERY_S_MAX = 0.05


def at(ms: int) -> str:
    return f"2024-05-01T12:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}Z"


def call(kind: str, name: str, ms: int, **fields: object) -> Event:
    return {"type": kind, "messageId": name, "timestamp": at(ms), **fields}


def usual(count: int) -> Iterator[Event]:
    for n in range(count):
        yield call("track", f"m{n}", n, userId=f"u{n // 5}", anonymousId=f"d{n // 5}", event="E")


def one_device_of_many_users(count: int) -> Iterator[Event]:
    for n in range(count):
        yield call("track", f"m{n}", n, userId=f"u{n}", anonymousId="probe", event="E")


def one_user_of_many_devices(count: int) -> Iterator[Event]:
    for n in range(count):
        yield call("track", f"m{n}", n, userId="probe", anonymousId=f"d{n}", event="E")


def a_chain_of_aliases(count: int) -> Iterator[Event]:
    for n in range(count // 2):
        yield call("track", f"t{n}", n, userId=f"probe{n or ''}", event="E")
        yield call("alias", f"m{n}", n, userId=f"probe{n + 1}", previousId=f"probe{n or ''}")


def many_aliases_to_one_user(count: int) -> Iterator[Event]:
    for n in range(count // 2):
        yield call("track", f"t{n}", n, userId=f"u{n}", event="E")
        yield call("alias", f"m{n}", n, userId="probe", previousId=f"u{n}")


def one_time_for_all(count: int) -> Iterator[Event]:
    for n in range(count):
        yield call("identify", f"m{n * 7919 % count}", 1, userId="probe" if n < 50 else f"u{n // 5}", traits={"n": n})


def retried_copies(count: int) -> Iterator[Event]:
    for n in range(count):
        known = n % 500
        earlier = 5000 + known * 10 - n // 500
        yield call(
            "identify", f"m{known}", earlier, userId="probe", anonymousId="d", traits={"n": known, f"k{n % 9}": 1}
        )


def a_constant_message_id(count: int) -> Iterator[Event]:
    for n in range(count):
        yield call("track", "constant", count - n, userId=f"u{n}", anonymousId="probe", event="E")


def cost_s(folder: Path, events: list[Event]) -> tuple[float, Engine]:
    """CPU of storing and projecting the events, a message."""
    folder.mkdir()
    engine = Engine(folder)
    started = time.process_time()
    engine.feed(events, batch=BATCH)
    engine.settle()
    return (time.process_time() - started) / len(events), engine


@pytest.mark.parametrize(
    "shape",
    [
        one_device_of_many_users,
        one_user_of_many_devices,
        a_chain_of_aliases,
        many_aliases_to_one_user,
        one_time_for_all,
        retried_copies,
        a_constant_message_id,
    ],
    ids=lambda shape: str(shape.__name__),
)
def test_a_pathology_costs_at_most_a_few_times_the_usual_and_no_question_is_slow(
    shape: Callable[[int], Iterator[Event]], tmp_path: Path
) -> None:
    usually_s, engine = cost_s(tmp_path / "usual", list(usual(MESSAGES)))
    engine.close()
    here_s, engine = cost_s(tmp_path / "shape", list(shape(MESSAGES)))
    assert here_s < usually_s * RATIO_MAX
    reader = engine.profiles()
    for identifier in ("user:probe", "anon:probe"):
        questions = (
            lambda: reader.profile(identifier),  # noqa: B023 - asked at once
            lambda: reader.timeline(identifier, 50),  # noqa: B023
            lambda: Explainer(reader).explain(identifier),  # noqa: B023
            lambda: Explainer(reader).graph(identifier),  # noqa: B023
        )
        for question in questions:
            started = time.process_time()
            question()
            assert time.process_time() - started < QUERY_S_MAX
    engine.close()
