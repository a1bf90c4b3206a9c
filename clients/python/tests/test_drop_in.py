"""Code written for the published Python SDKs runs with one import changed, and sends the same."""

import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from importlib.metadata import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import customerio.analytics as customerio_analytics
import pytest
import segment.analytics as segment_analytics
from clients.python.tests.recorder import Recorder, Reply

import tabard_client.analytics as ours
from tabard.message.traits import parse_instant
from tabard_client import Client
from tabard_client.options import PUBLISHED_ORDER, ClientOptions

PUBLISHED = [
    pytest.param(customerio_analytics, id="customerio-cdp-analytics"),
    pytest.param(segment_analytics, id="segment-analytics-python"),
]


@pytest.fixture(autouse=True)
def fresh_modules(spool_dir: Path) -> Iterator[None]:
    """Each test sets the module attributes anew, as a new process would."""
    modules = [ours, customerio_analytics, segment_analytics]
    before = [dict(vars(module)) for module in modules]
    yield
    for module, attributes in zip(modules, before, strict=True):
        client = module.default_client
        if client is not None:
            with suppress(TypeError):  # the published join() of a sync_mode client iterates over None
                client.join()
        vars(module).update(attributes)


class Plan(Enum):
    PRO = "pro"


WHEN = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("identify", ("u1", {"email": "a@b.c", "name": "Ä \u2028 \U0001f600"}), {}),
    ("identify", (), {"user_id": 4, "traits": {"age": 41}, "anonymous_id": "anon"}),
    ("identify", (), {"anonymous_id": 5, "traits": {"nested": {"a": [1, 2.5, None, True, "x"]}}}),
    ("identify", ("u1",), {"traits": {"born": date(1990, 5, 1), "seen": WHEN, "sum": Decimal("10.10")}}),
    ("identify", ("u1",), {"traits": {"plan": Plan.PRO, "tags": {"only"}, "pair": (1, 2), "raw": b"bytes"}}),
    ("identify", ("u1",), {"traits": {"big": 2**53 + 1, "bigger": 10**30, "minus": -0.0, "": "empty key", "a.b": 1}}),
    ("identify", ("u1", {}, {"ip": "1.2.3.4", "library": {"name": "mine"}}, WHEN), {}),
    ("identify", ("u1", None, None), {"timestamp": datetime(2020, 1, 2, 3, 4, 5)}),  # noqa: DTZ001 - a naive time
    ("track", ("u1", "Order", {"total": 9.5}), {}),
    ("track", (4, "Order"), {"message_id": "my-own-id"}),
    ("track", (), {"user_id": 15, "event": "Order", "integrations": {"All": False, "Mixpanel": True}}),
    ("track", (), {"anonymous_id": "anon", "event": "Order", "context": {"page": {"url": "https://x"}}}),
    ("page", ("u1", "Docs", "Index", {"url": "https://x"}), {}),
    ("page", (), {"anonymous_id": "anon"}),
    ("screen", ("u1", None, "Main"), {"properties": {"depth": 1}}),
    ("group", ("u1", "acme", {"industry": "Coffee", "employees": 7}), {}),
    ("group", (), {"anonymous_id": "anon", "group_id": 12}),
    ("alias", ("old", "new"), {}),
    ("alias", (), {"previous_id": 1, "user_id": 2, "context": {"a": 1}}),
]


def comparable(message: dict[str, Any], call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> dict[str, Any]:
    """The message without what no two clients share: who sent it, and what the client makes up itself.

    One difference is meant: the published SDKs make text of a numeric userId but leave a numeric groupId and
    previousId a number; here every id is text, as every collector makes of it anyway.
    """
    seen = deepcopy(message)
    for key in ("groupId", "previousId"):
        if key in seen:
            seen[key] = str(seen[key])
    assert set(seen["context"].pop("library")) == {"name", "version"}
    given = repr(call)
    if "my-own-id" not in given:
        assert re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", seen.pop("messageId"))
    if "datetime" not in given or "seen" in given:
        made = datetime.fromisoformat(seen.pop("timestamp"))
        assert abs(datetime.now(UTC) - made).total_seconds() < 30
    return seen


@pytest.mark.parametrize("published", PUBLISHED)
@pytest.mark.parametrize("style", ["module", "Client", "sync_mode"])
def test_the_same_calls_send_the_same_messages_field_by_field(
    published: ModuleType, style: str, recorder: Recorder
) -> None:
    def sent_by(module: ModuleType) -> list[dict[str, Any]]:
        recorder.messages.clear()
        target: Any = module
        if style == "module":
            module.write_key, module.host = "key", recorder.url  # type: ignore[attr-defined]
        else:
            target = module.Client("key", host=recorder.url, upload_interval=0.05, sync_mode=style == "sync_mode")
        for method, args, kwargs in deepcopy(CALLS):
            ok, message = getattr(target, method)(*args, **kwargs)
            assert ok is True
            assert message["type"] == method
        if style != "sync_mode":
            target.shutdown()
        del target  # a sync_mode client has nothing to shut down
        return list(recorder.messages)

    theirs, mine = sent_by(published), sent_by(ours)
    assert len(theirs) == len(mine) == len(CALLS)
    for call, their_message, my_message in zip(CALLS, theirs, mine, strict=True):
        assert comparable(my_message, call) == comparable(their_message, call), call


@pytest.mark.parametrize("published", PUBLISHED)
def test_the_request_goes_to_the_same_path_with_the_same_key_and_times(
    published: ModuleType, recorder: Recorder
) -> None:
    for module in (published, ours):
        client = module.Client("key", host=recorder.url + "/", upload_interval=0.05)
        client.track("u1", "a")
        client.flush()
        client.join()
    theirs, mine = recorder.calls
    assert theirs.path == mine.path
    for header in ("authorization", "content-type"):
        assert theirs.headers[header] == mine.headers[header]
    assert (
        datetime.fromisoformat(mine.body["sentAt"]).utcoffset()
        == datetime.fromisoformat(theirs.body["sentAt"]).utcoffset()
    )
    # segment-analytics-python repeats the key in the body; one place is enough for every collector.
    assert set(theirs.body) - {"writeKey"} == set(mine.body)


def forms(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    """How it may be called: each parameter's name, kind and default."""
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


@pytest.mark.parametrize("published", PUBLISHED)
def test_every_public_name_and_every_signature_of_the_published_module_is_ours_too(published: ModuleType) -> None:
    names = {name for name, value in vars(published).items() if not name.startswith("_")}
    modules = {name for name in names if inspect.ismodule(getattr(published, name))}
    assert names - modules - set(vars(ours)) == set()
    for method in ("identify", "track", "page", "screen", "group", "alias"):
        assert forms(getattr(Client, method)) == forms(getattr(published.Client, method))
    for method in ("flush", "join", "shutdown"):
        assert forms(getattr(Client, method))[:1] == forms(getattr(published.Client, method)), "the rest is optional"
    options = set(inspect.signature(published.Client.__init__).parameters) - {"self", "write_key", "host"}
    assert options - set(ClientOptions.__annotations__) == set()


@pytest.mark.parametrize("published", PUBLISHED)
def test_options_are_taken_by_position_in_the_published_order(published: ModuleType, recorder: Recorder) -> None:
    theirs = tuple(inspect.signature(published.Client.__init__).parameters)[1:]
    assert ("write_key", "host", *PUBLISHED_ORDER)[: len(theirs)] == theirs
    told: list[list[Any]] = []
    values: Any = (True, 1, True, lambda _, items: told.append(items), True, 0, True, 5, {}, 1, 7, 0.05)
    client = ours.Client("key", recorder.url, *values)
    recorder.reply = lambda _: Reply(400)
    client.track("u1", "a", message_id="m1")
    assert [[item["messageId"] for item in items] for items in told] == [["m1"]], "on_error, within the call: sync_mode"
    assert recorder.calls[0].headers["content-encoding"] == "gzip"


def test_an_option_too_many_or_given_twice_is_refused_as_python_does() -> None:
    with pytest.raises(TypeError, match="debug"):
        ours.Client("key", None, True, debug=True)
    with pytest.raises(TypeError, match="at most 22"):
        ours.Client("key", None, *[None] * 21)


@pytest.mark.parametrize("published", PUBLISHED)
def test_the_published_defaults_are_ours(published: ModuleType) -> None:
    for name in ("debug", "send", "sync_mode", "max_queue_size", "gzip", "timeout", "max_retries", "on_error"):
        assert getattr(ours, name) == getattr(published, name), name


@pytest.mark.parametrize(
    ("distribution", "theirs", "mine"),
    [
        ("customerio-cdp-analytics", "from customerio import analytics", "from tabard_client import analytics"),
        (
            "segment-analytics-python",
            "import segment.analytics as analytics",
            "import tabard_client.analytics as analytics",
        ),
    ],
)
def test_the_usage_in_the_published_readme_runs_with_only_the_import_changed(
    distribution: str, theirs: str, mine: str, recorder: Recorder
) -> None:
    readme = str(metadata(distribution).get_payload())  # type: ignore[attr-defined]
    usage = next(code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if theirs in code)
    ours.host = recorder.url  # the only other change: our server instead of their cloud
    scope: dict[str, Any] = {}
    exec(usage.replace(theirs, mine), scope)
    if "track" not in usage:
        scope["analytics"].track("4", "order_complete")
    scope["analytics"].flush()
    (message,) = recorder.messages
    assert (message["userId"], message["event"]) == ("4", "order_complete")
    key = "Basic WU9VUl9XUklURV9LRVk6"  # YOUR_WRITE_KEY:
    assert recorder.calls[0].headers["authorization"] == key
    scope["analytics"].shutdown()


def test_on_error_of_the_published_form_is_told_of_a_refused_batch(recorder: Recorder) -> None:
    recorder.reply = lambda _: Reply(400, body=b'{"code": "bad", "message": "no"}')
    told: dict[str, list[Any]] = {}
    for name, module in (("theirs", segment_analytics), ("mine", ours)):

        def on_error(error: Exception, items: list[Any], name: str = name) -> None:
            told[name] = [error, items]

        client = module.Client("key", host=recorder.url, on_error=on_error, upload_interval=0.05)
        client.track("u1", "a", message_id="m1")
        client.flush()
        client.join()
    for error, items in told.values():
        assert (error.status, error.code) == (400, "bad")
        assert [item["messageId"] for item in items] == ["m1"]


def test_a_call_without_a_write_key_raises_nothing_and_one_set_later_is_used(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    ours.host = recorder.url
    assert ours.track("u1", "too early") == (False, {})
    assert "write_key is missing" in caplog.text
    ours.write_key = "key"
    assert ours.track("u1", "now").success
    assert ours.shutdown() == 0
    assert [message["event"] for message in recorder.messages] == ["now"]


def test_a_naive_time_of_just_now_is_local_and_an_older_one_is_utc(
    recorder: Recorder,
) -> None:
    client = Client("key", recorder.url, send=False)
    just_now = client.track("u", "e", timestamp=datetime.now()).message["timestamp"]  # noqa: DTZ005
    assert abs(datetime.fromisoformat(str(just_now)) - datetime.now(UTC)).total_seconds() < 5
    older = client.track("u", "e", timestamp=datetime(2020, 1, 2)).message["timestamp"]  # noqa: DTZ001
    assert older == "2020-01-02T00:00:00.000+00:00"


@pytest.mark.parametrize(
    ("stated", "sent"),
    [
        ("20260131T120000", "2026-01-31T12:00:00.000"),
        ("20260131T120000Z", "2026-01-31T12:00:00.000+00:00"),
        ("2026-W05-6", "2026-01-31T00:00:00.000"),
        ("2026-01-31 12:00:00.123456789", "2026-01-31 12:00:00.123456789"),
        (datetime(1, 1, 1), "0001-01-01T00:00:00.000+00:00"),  # noqa: DTZ001
        (datetime.max, "9999-12-31T23:59:59.999+00:00"),  # noqa: DTZ901
    ],
)
def test_whatever_time_is_accepted_is_sent_in_a_form_that_the_collector_reads(
    stated: datetime | str, sent: str
) -> None:
    timestamp = Client("key", send=False).track("u", "e", timestamp=stated).message["timestamp"]
    assert timestamp == sent
    assert parse_instant(timestamp) is not None


def test_a_fork_while_another_thread_makes_the_default_client_does_not_hang_the_child(
    recorder: Recorder, spool_dir: Path
) -> None:
    program = """
        import os, signal, sys, threading, time
        from tabard_client import analytics
        analytics.write_key, analytics.host = "key", sys.argv[1]
        begun, make = threading.Event(), analytics.Client.__init__
        def slowly(*arguments, **options):
            begun.set()
            time.sleep(0.5)
            make(*arguments, **options)
        analytics.Client.__init__ = slowly
        other = threading.Thread(target=analytics.track, args=("u", "parent"))
        other.start()
        begun.wait()
        if os.fork() == 0:
            signal.alarm(10)
            analytics.track("u", "child")
            os._exit(analytics.flush(5))
        sys.exit(os.wait()[1] + analytics.flush(5))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), recorder.url], check=True, timeout=30)
    assert sorted(message["event"] for message in recorder.messages) == ["child", "parent"]


def made(call: Callable[[Client], object]) -> dict[str, object]:
    client = Client("key", send=False)
    receipt: Any = call(client)
    return dict(receipt.message)


def test_the_callers_dicts_are_not_changed() -> None:
    context: dict[str, object] = {"ip": "1.2.3.4"}
    traits = {"plan": Plan.PRO}
    made(lambda client: client.identify("u", traits, context))
    assert context == {"ip": "1.2.3.4"}
    assert traits == {"plan": Plan.PRO}
