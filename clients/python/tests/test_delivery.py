"""What the server gets, and what becomes of a message when it does not answer 200."""

import base64
import gzip
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clients.python.tests.conftest import Drops
from clients.python.tests.recorder import Recorder, Reply

from tabard_client import Client, DropReason
from tabard_client.limits import BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, MESSAGE_BYTES_MAX

Make = Callable[..., Client]


def answers(*replies: Reply) -> Callable[[int], Reply]:
    """These, one a request, then 200."""
    return lambda number: replies[number - 1] if number <= len(replies) else Reply()


def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tabard_client.retry.BACKOFF_BASE_S", 0.01)
    monkeypatch.setattr("tabard_client.retry.BACKOFF_CAP_S", 0.05)


def test_a_call_arrives_with_key_library_and_times(make_client: Make, recorder: Recorder) -> None:
    client = make_client()
    receipt = client.track("u1", "Order", {"total": 9.5})
    assert receipt.success
    assert client.flush(5) == 0
    (call,) = recorder.calls
    assert call.path == "/v1/batch"
    assert call.headers["authorization"] == "Basic " + base64.b64encode(b"key:").decode()
    assert call.headers["content-type"] == "application/json"
    (message,) = call.body["batch"]
    assert message == {**receipt.message, "context": {"library": {"name": "tabard-python", "version": "0.1.0"}}}
    assert call.body["sentAt"] >= message["timestamp"]
    counts = client.counts()
    assert (counts.accepted, counts.delivered, counts.waiting, counts.dropped) == (1, 1, 0, {})


def test_a_hundred_waiting_messages_go_at_once_and_fewer_wait_for_company(
    make_client: Make, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (99, 100):
        client = make_client(host=f"{recorder.url}/{count}", upload_interval=60)
        with monkeypatch.context() as asleep:
            asleep.setattr(client._sender, "wake", lambda: None)
            for _ in range(count - 1):
                client.track("u1", "e")
        client.track("u1", "e")
    recorder.wait_for(lambda: len(recorder.messages) == 100)
    assert [call.path for call in recorder.calls] == ["/100/v1/batch"]


def test_a_backlog_goes_in_the_largest_batches_servers_take(make_client: Make, recorder: Recorder) -> None:
    recorder.stop()
    client = make_client()
    sent = [client.track("u1", "e").message["messageId"] for _ in range(3_000)]
    recorder.start()
    assert client.flush(20) == 0
    sizes = [len(call.body["batch"]) for call in recorder.calls]
    assert len(sizes) <= 3, "a round trip each"
    assert max(sizes) <= BATCH_MESSAGES_MAX
    assert max(len(call.raw) for call in recorder.calls) <= 500_000
    assert recorder.ids == sent


def test_an_upload_size_bounds_every_batch(make_client: Make, recorder: Recorder) -> None:
    client = make_client(upload_interval=5, upload_size=100)
    for number in range(250):
        client.track("u1", f"e{number}")
    assert client.flush(5) == 0
    assert [len(call.body["batch"]) for call in recorder.calls] == [100, 100, 50]
    assert [message["event"] for message in recorder.messages] == [f"e{number}" for number in range(250)]


def test_batches_are_cut_at_475_kilobytes(make_client: Make, recorder: Recorder) -> None:
    client = make_client()
    for _ in range(40):
        client.track("u1", "big", {"text": "x" * 30_000})
    assert client.flush(5) == 0
    assert len(recorder.messages) == 40
    assert len(recorder.calls) >= 3
    assert all(len(call.raw) < BATCH_BYTES_MAX + 1_000 for call in recorder.calls)


def test_a_message_above_32_kilobytes_is_dropped_by_name(make_client: Make, recorder: Recorder, drops: Drops) -> None:
    client = make_client(on_error=drops)
    receipt = client.track("u1", "huge", {"text": "x" * MESSAGE_BYTES_MAX})
    assert not receipt.success
    assert client.track("u1", "fine").success
    assert client.flush(5) == 0
    assert [message["event"] for message in recorder.messages] == ["fine"]
    assert client.counts().dropped == {DropReason.TOO_LARGE: 1}
    ((error, messages),) = drops.told
    assert error.reason is DropReason.TOO_LARGE
    assert messages == [receipt.message]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 202, 302])
def test_a_transient_answer_is_tried_again_with_the_same_ids_and_a_new_sent_at(
    status: int, make_client: Make, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_backoff(monkeypatch)
    recorder.reply = answers(Reply(status), Reply(status))
    client = make_client()
    client.track("u1", "a")
    client.track("u1", "b")
    assert client.flush(5) == 0
    first, second, third = recorder.calls
    assert first.ids == second.ids == third.ids
    assert first.body["sentAt"] < third.body["sentAt"]
    assert [call.headers.get("x-retry-count") for call in recorder.calls] == [None, "1", "2"]
    assert client.counts().retries == 2


def test_a_connection_that_dies_without_an_answer_is_tried_again(
    make_client: Make, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_backoff(monkeypatch)
    recorder.reply = answers(Reply(hangs_up=True), Reply(hangs_up=True), Reply(hangs_up=True))
    client = make_client()
    client.track("u1", "a")
    assert client.flush(5) == 0
    assert len(recorder.messages) == 1


def test_retry_after_is_obeyed(make_client: Make, recorder: Recorder) -> None:
    recorder.reply = answers(Reply(429, {"Retry-After": "1"}))
    client = make_client()
    client.track("u1", "a")
    assert client.flush(5) == 0
    first, second = recorder.calls
    assert 1.0 <= second.at - first.at < 4.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_final_answer_is_never_tried_again_and_the_messages_are_set_aside(
    status: int, make_client: Make, recorder: Recorder, spool_dir: Path, drops: Drops
) -> None:
    recorder.reply = answers(Reply(status, body=b'{"success": false, "code": "invalid_request", "message": "no"}'))
    client = make_client(on_error=drops)
    refused = client.track("u1", "bad").message
    assert client.flush(5) == 0
    client.track("u1", "good")
    assert client.flush(5) == 0
    assert len(recorder.calls) == 2
    assert [message["event"] for message in recorder.messages] == ["good"]
    ((error, messages),) = drops.told
    assert (error.reason, error.status, error.code) == (DropReason.REFUSED, status, "invalid_request")
    assert [message["messageId"] for message in messages] == [refused["messageId"]]
    (kept,) = spool_dir.glob("*/set-aside.txt")
    assert str(refused["messageId"]) in kept.read_text()


def test_a_413_halves_the_batch_until_it_is_taken(make_client: Make, recorder: Recorder) -> None:
    """A proxy in front may take less than a collector does."""
    recorder.stop()
    client = make_client()
    sent = [client.track("u1", "e", {"text": "x" * 1_000}).message["messageId"] for _ in range(400)]
    recorder.reply = lambda _: Reply(413 if len(recorder.calls[-1].raw) > 100_000 else 200)
    recorder.start()
    assert client.flush(10) == 0
    assert recorder.ids == sent
    assert client.counts().dropped == {}
    assert sum(len(call.raw) > 100_000 for call in recorder.calls) <= 4, "later batches stay small"


def test_a_single_message_answered_413_is_refused(make_client: Make, recorder: Recorder) -> None:
    client = make_client()
    recorder.reply = lambda _: Reply(413)
    client.track("u1", "a")
    client.track("u1", "b")
    assert client.flush(5) == 0
    assert client.counts().dropped == {DropReason.REFUSED: 2}


def test_what_is_refused_and_finds_no_room_aside_is_counted_and_logged(
    make_client: Make, recorder: Recorder, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a key is revoked for a while under a long backlog."""
    recorder.stop()
    client = make_client(spool_bytes_max=100_000)
    for _ in range(300):
        client.track("u1", "e")
    recorder.reply = lambda _: Reply(403)
    recorder.start()
    assert client.flush(10) == 0
    assert client.counts().not_set_aside == 0
    (kept,) = spool_dir.glob("*/set-aside.txt")
    assert len(kept.read_text().splitlines()) == 300
    for _ in range(300):
        client.track("u1", "e")
    assert client.flush(10) == 0
    lines = len(kept.read_text().splitlines())
    assert lines > 300
    assert client.counts().not_set_aside == 600 - lines
    assert "are kept nowhere" in caplog.text


def test_messages_a_200_lists_as_bad_are_counted_as_refused(
    make_client: Make, recorder: Recorder, drops: Drops
) -> None:
    """The form is the collector's own (`src/tabard/collector/respond.py`), which lists no more than a hundred."""
    errors = [{"index": 1, "code": "id_required", "field": "userId", "message": "userId or anonymousId is needed"}]
    body = {"success": True, "accepted": 2, "rejected": 2, "meta": {"errors": ["…"]}, "errors": errors}
    recorder.reply = answers(Reply(body=json.dumps(body).encode()))
    client = make_client(on_error=drops)
    for event in "abcd":
        client.track("u1", event)
    assert client.flush(5) == 0
    counts = client.counts()
    assert (counts.delivered, counts.dropped) == (2, {DropReason.REFUSED: 2})
    ((error, messages),) = drops.told
    assert error.code == "id_required"
    assert [message["event"] for message in messages] == ["b"]


def test_gzip_compresses_the_body(make_client: Make, recorder: Recorder) -> None:
    client = make_client(gzip=True)
    client.track("u1", "a", {"text": "x" * 1000})
    assert client.flush(5) == 0
    (call,) = recorder.calls
    assert call.headers["content-encoding"] == "gzip"
    assert len(call.raw) < 500
    assert json.loads(gzip.decompress(call.raw)) == call.body


def test_one_connection_serves_all_batches_and_a_closed_one_costs_no_failure(
    make_client: Make, recorder: Recorder
) -> None:
    client = make_client()
    for _ in range(3):
        client.track("u1", "a")
        assert client.flush(5) == 0
    assert recorder.connections == 1
    recorder.reply = lambda number: Reply(hangs_up=number == 4)
    client.track("u1", "b")
    assert client.flush(5) == 0
    assert recorder.connections == 2
    assert client.counts().retries == 0


def test_a_connection_that_lay_idle_is_not_trusted_after_a_freeze(
    make_client: Make, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What froze the process may have cut its connections without a sign: the call would wait for the time-out."""
    client = make_client(sync_mode=True)
    wall = time.time
    for skipped_s in (0, 20, 60, -100):
        monkeypatch.setattr("tabard_client.transport.time.time", lambda skipped_s=skipped_s: wall() + skipped_s)
        assert client.track("u1", "a").success
    assert len(recorder.messages) == 4
    assert recorder.connections == 3


def test_messages_of_a_former_host_or_key_are_named_where_they_wait(
    make_client: Make, recorder: Recorder, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.stop()
    former, present = make_client(), make_client(host=f"{recorder.url}/new")
    assert former.track("u1", "a").success
    former.join(5)
    (left,) = spool_dir.glob("*/*.spool")
    assert "another host" not in caplog.text
    os.utime(left, (time.time() - 4000,) * 2)
    with caplog.at_level(logging.WARNING, "tabard_client"):
        make_client(host=f"{recorder.url}/newer")
        make_client()
    assert caplog.text.count("messages for another host or write key wait in") == 1
    assert str(left.parent) in caplog.text
    assert present.counts().waiting == 0
    recorder.start()


def test_an_outage_loses_nothing_and_flush_says_what_is_not_yet_safe(
    make_client: Make, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_backoff(monkeypatch)
    recorder.stop()
    client = make_client()
    sent = [client.track("u1", f"e{number}").message["messageId"] for number in range(1_000)]
    assert client.flush(0.2) == 1_000
    recorder.start()
    assert client.flush(10) == 0
    assert recorder.ids == sent


def test_the_backlog_of_an_outage_is_sent_by_the_next_process(make_client: Make, recorder: Recorder) -> None:
    recorder.stop()
    first = make_client()
    sent = [first.track("u1", f"e{number}").message["messageId"] for number in range(300)]
    assert first.shutdown(0.1) == 300
    recorder.start()
    make_client()  # makes no call at all
    recorder.wait_for(lambda: len(recorder.messages) == 300)
    assert recorder.ids == sent


def test_a_full_spool_drops_the_newest_counts_it_and_takes_calls_again_later(
    make_client: Make, recorder: Recorder, drops: Drops, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_backoff(monkeypatch)
    recorder.stop()
    client = make_client(spool_bytes_max=64 * 1024, on_error=drops)
    receipts = [client.track("u1", f"e{number}", {"text": "x" * 1_000}) for number in range(100)]
    kept = [receipt.message["messageId"] for receipt in receipts if receipt.success]
    assert 30 < len(kept) < 100
    assert [receipt.success for receipt in receipts] == [True] * len(kept) + [False] * (100 - len(kept))
    assert client.counts().dropped == {DropReason.SPOOL_FULL: 100 - len(kept)}
    assert len(drops.told) == 100 - len(kept)
    recorder.start()
    assert client.flush(10) == 0
    assert recorder.ids == kept
    for _ in range(3):
        assert all(client.track("u1", "again", {"text": "x" * 1_000}).success for _ in kept)
        assert client.flush(10) == 0


def test_a_spool_that_cannot_be_written_drops_by_name_and_raises_nothing(
    make_client: Make, drops: Drops, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(on_error=drops)

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr("os.pwrite", fail)
        assert not client.track("u1", "a").success
    assert client.counts().dropped == {DropReason.SPOOL_ERROR: 1}
    assert client.track("u1", "b").success
    assert client.flush(5) == 0


def test_without_any_folder_the_client_says_that_it_can_lose(
    make_client: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    client = make_client(spool_dir=blocked)
    assert client.can_lose
    assert "CAN BE LOST" in caplog.text
    client.track("u1", "a")
    assert client.flush(5) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda client: client.track(None, "a"), "give user_id or anonymous_id"),
        (lambda client: client.track("", "a"), "give user_id or anonymous_id"),
        (lambda client: client.track("u"), "event must be the event's name"),
        (lambda client: client.track("u", "a", ["no dict"]), "properties must be a dict"),
        (lambda client: client.track("u", "a", context="x"), "context must be a dict"),
        (lambda client: client.track("u", "a", timestamp=5), "timestamp must be a datetime"),
        (lambda client: client.identify(), "give user_id or anonymous_id"),
        (lambda client: client.group("u"), "groupId is required"),
        (lambda client: client.alias("old"), "userId is required"),
        (lambda client: client.page("u", name=5), "name must be text"),
        (lambda client: client.track("u", "a", {"n": 10**5000}), "cannot be written as JSON"),
    ],
)
def test_a_wrong_call_raises_nothing_and_says_what_is_wrong(
    call: Callable[[Client], object], words: str, make_client: Make, drops: Drops
) -> None:
    client = make_client(on_error=drops)
    assert call(client)[0] is False  # type: ignore[index]
    assert client.counts().dropped == {DropReason.INVALID: 1}
    assert words in str(drops.told[0][0])


def test_calls_without_a_person_that_the_protocol_allows_are_sent(make_client: Make, recorder: Recorder) -> None:
    client = make_client()
    assert client.identify(traits={"email": "lead@example.com"}).success
    assert client.group(group_id="acme").success
    assert client.track(event="Report Delivery Event").success
    assert client.flush(5) == 0
    assert len(recorder.messages) == 3


def test_an_on_error_that_raises_or_calls_back_stops_nothing(make_client: Make, recorder: Recorder) -> None:
    recorder.reply = answers(Reply(400))
    clients: list[Client] = []

    def meddle(error: Exception, messages: list[dict[str, object]]) -> None:
        clients[0].track("u1", "from on_error")
        clients[0].flush(5)
        raise RuntimeError("a bug in the application")

    clients.append(make_client(on_error=meddle))
    clients[0].track("u1", "refused")
    recorder.wait_for(lambda: [message["event"] for message in recorder.messages] == ["from on_error"])
    assert clients[0].flush(5) == 0


@pytest.mark.parametrize("sync_mode", [True, False])
@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_passes_to_the_caller_and_leaves_a_client_that_works(
    ending: type[BaseException], sync_mode: bool, make_client: Make, recorder: Recorder
) -> None:
    recorder.reply = answers(Reply(400))

    def end(*_: object) -> None:
        raise ending

    client = make_client(on_error=end, sync_mode=sync_mode)
    with pytest.raises(ending):
        client.track("", "wrong call")
    if sync_mode:
        with pytest.raises(ending):
            client.track("u1", "refused")
    else:
        client.track("u1", "refused")
    recorder.wait_for(lambda: client.counts().waiting == 0)
    assert client.track("u1", "later").success
    assert client.flush(5) == 0
    assert [call.body["batch"][0]["event"] for call in recorder.calls] == ["refused", "later"]
    assert client.counts().dropped == {DropReason.INVALID: 1, DropReason.REFUSED: 1}


def test_an_on_error_that_shuts_the_client_down_breaks_nothing(make_client: Make, recorder: Recorder) -> None:
    recorder.reply = answers(Reply(400))
    clients: list[Client] = []
    clients.append(make_client(on_error=lambda *_: clients[0].shutdown(1)))
    clients[0].track("u1", "refused")
    recorder.wait_for(lambda: clients[0].counts().dropped == {DropReason.REFUSED: 1})
    recorder.wait_for(lambda: clients[0].counts().waiting == 0)
    clients[0].track("u1", "later")
    assert clients[0].flush(5) == 0
    assert [message["event"] for message in recorder.messages] == ["later"]


class Evil:
    """An object whose every use raises."""

    def __str__(self) -> str:
        raise RuntimeError("a bug in the application")


def test_an_object_that_cannot_be_read_drops_the_call_and_raises_nothing(make_client: Make, drops: Drops) -> None:
    client = make_client(on_error=drops)
    assert not client.track("u1", "a", {"evil": Evil()}).success
    assert not client.track(Evil(), "a").success  # type: ignore[arg-type]
    assert client.counts().dropped == {DropReason.INVALID: 2}
    assert "a bug in the application" in str(drops.told[0][0])


@pytest.mark.parametrize("sync_mode", [True, False])
def test_a_failure_on_the_sending_side_is_logged_and_the_message_stays_kept(
    sync_mode: bool,
    make_client: Make,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make_client(sync_mode=sync_mode)
    with monkeypatch.context() as fault:

        def fail(*_: object) -> bytes:
            raise OSError(5, "Input/output error")

        fault.setattr("os.pread", fail)
        assert client.track("u1", "a").success
        recorder.wait_for(lambda: "sending failed" in caplog.text)
    assert client.counts().waiting == 1
    assert client.flush(5) == 0
    assert len(recorder.messages) == 1


def test_drops_are_logged_once_a_minute_and_reason(make_client: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make_client()
    with caplog.at_level(logging.ERROR, "tabard_client"):
        for _ in range(50):
            client.track(None, "a")
    assert len(caplog.records) == 1


def test_sync_mode_delivers_within_the_call_and_keeps_what_fails(
    make_client: Make, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_backoff(monkeypatch)
    client = make_client(sync_mode=True)
    client.track("u1", "a")
    assert len(recorder.messages) == 1
    assert "tabard-sender" not in {thread.name for thread in threading.enumerate()}
    recorder.stop()
    assert client.track("u1", "b").success
    assert client.counts().waiting == 1
    recorder.start()
    time.sleep(0.06)
    client.track("u1", "c")
    assert [message["event"] for message in recorder.messages] == ["a", "b", "c"]


def test_sync_mode_does_not_wait_for_a_dead_server_at_every_call(make_client: Make, recorder: Recorder) -> None:
    recorder.reply = lambda _: Reply(503, {"Retry-After": "60"})
    client = make_client(sync_mode=True)
    for _ in range(20):
        assert client.track("u1", "a").success
    assert len(recorder.calls) == 1


def test_memory_only_mode_gives_up_after_max_retries_by_name(
    make_client: Make, recorder: Recorder, drops: Drops, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_backoff(monkeypatch)
    recorder.reply = lambda _: Reply(500)
    client = make_client(memory_only_can_lose=True, max_retries=2, on_error=drops)
    assert client.can_lose
    client.track("u1", "a")
    assert client.flush(5) == 0
    assert len(recorder.calls) == 3
    assert client.counts().dropped == {DropReason.RETRIES_EXHAUSTED: 1}
    assert drops.told[0][0].status == 500


def test_memory_only_mode_is_bounded_by_max_queue_size(make_client: Make, recorder: Recorder) -> None:
    recorder.stop()
    client = make_client(memory_only_can_lose=True, max_queue_size=10)
    assert [client.track("u1", "a").success for _ in range(12)] == [True] * 10 + [False] * 2
    recorder.start()


def test_send_false_builds_and_checks_but_keeps_nothing(make_client: Make, recorder: Recorder) -> None:
    client = make_client(send=False)
    assert client.track("u1", "a").success
    assert not client.track(None, "a").success
    assert client.flush(1) == 0
    assert recorder.calls == []


def test_calls_after_shutdown_are_sent_too(make_client: Make, recorder: Recorder) -> None:
    client = make_client()
    client.track("u1", "a")
    assert client.shutdown() == 0
    client.track("u1", "b")
    assert client.shutdown() == 0
    assert [message["event"] for message in recorder.messages] == ["a", "b"]


def test_threads_may_call_at_once_and_every_call_arrives_once(make_client: Make, recorder: Recorder) -> None:
    client = make_client()

    def burst(name: int) -> None:
        for number in range(500):
            client.track("u1", f"{name}-{number}")

    threads = [threading.Thread(target=burst, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(10) == 0
    assert len(recorder.ids) == len(set(recorder.ids)) == 4_000


@pytest.mark.parametrize(
    ("key", "host", "options", "words"),
    [
        ("", None, {}, "write_key is missing"),
        (None, None, {}, "write_key is missing"),
        ("key", "ftp://example.com", {}, "host must look like"),
        ("key", "http://user@example.com", {}, "no user name"),
        ("key", "http://example.com:port", {}, "port"),
        ("key", None, {"upload_size": 0}, "upload_size must be between"),
        ("key", None, {"timeout": -1}, "timeout must be between"),
    ],
)
def test_a_wrong_option_is_refused_at_start_by_name(
    key: str | None, host: str | None, options: dict[str, object], words: str, spool_dir: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        Client(key, host, **options)  # type: ignore[arg-type]


def test_the_write_key_is_in_no_file_name_log_or_error(
    make_client: Make, recorder: Recorder, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.reply = lambda _: Reply(401)
    with caplog.at_level(logging.DEBUG):
        client = Client("very-secret-key\n", recorder.url, spool_dir=spool_dir, debug=True)
        client.track("u1", "a")
        client.flush(5)
        client.join(5)
    assert recorder.calls[0].headers["authorization"] == "Basic " + base64.b64encode(b"very-secret-key:").decode()
    assert "very-secret" not in caplog.text
    assert not [path for path in spool_dir.rglob("*") if "very-secret" in str(path)]
    logging.getLogger("tabard_client").setLevel(logging.NOTSET)


def test_a_proxy_is_used_when_named(make_client: Make, recorder: Recorder) -> None:
    client = make_client(host="http://collector.invalid", proxies={"http": recorder.url})
    client.track("u1", "a")
    assert client.flush(5) == 0
    assert recorder.calls[0].path == "http://collector.invalid/v1/batch"
    assert recorder.calls[0].headers["host"] == "collector.invalid"


def test_a_sync_mode_client_that_is_dropped_leaves_its_messages_to_the_next(
    make_client: Make, recorder: Recorder, spool_dir: Path
) -> None:
    recorder.stop()
    client = Client("key", recorder.url, sync_mode=True)
    client.track("u1", "a")
    del client
    recorder.start()
    make_client()
    recorder.wait_for(lambda: len(recorder.messages) == 1)
