"""Against our own collector: what the client was told is delivered is in the collector's log, also across its kill."""

import json
import math
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tabard.log.drivers.sqlite.reader import SqliteLogReader
from tabard_client import Client, DropReason

UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
START_TIMEOUT_S = 10


class Collector:
    """`tabard collect` on a free port, as a process that can be killed and started again."""

    def __init__(self, data: Path) -> None:
        self._data = data
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def _tabard(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tabard", *arguments, "--data", str(self._data)]

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._tabard("collect", "--collect", f"127.0.0.1:{self.port}"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            assert time.monotonic() < deadline, "the collector does not start"
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def write_key(self) -> str:
        """The key of the first source."""
        listed = subprocess.run(self._tabard("source", "list", "--json"), capture_output=True, check=True)
        return str(json.loads(listed.stdout)["sources"][0]["writeKey"])

    def logged_ids(self) -> list[str]:
        """The messageIds in the log, in its order."""
        reader = SqliteLogReader(self._data / "log")
        ids: list[str] = []
        for partition in reader.partitions():
            offset, end = reader.start(partition), reader.end(partition)
            while offset < end:
                for entry in reader.read(partition, offset, 1_000):
                    found = UUID.search(entry.value)
                    assert found
                    ids.append(found.group().decode())
                    offset = entry.offset + 1
        reader.close()
        return ids


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path / "data")
    yield running
    running.kill()


@pytest.mark.e2e
def test_a_burst_across_a_kill_of_the_collector_is_in_its_log(collector: Collector, spool_dir: Path) -> None:
    client = Client(collector.write_key(), collector.url, upload_interval=0.01)
    made = [client.track("u1", "e", {"n": n}).message["messageId"] for n in range(2_000)]
    collector.kill()
    made += [client.track("u1", "e", {"n": n}).message["messageId"] for n in range(2_000)]
    collector.start()
    assert client.shutdown(20) == 0
    assert set(made) == set(collector.logged_ids())
    assert client.counts().dropped == {}


@pytest.mark.e2e
def test_what_the_collector_refuses_is_counted_item_by_item(collector: Collector, spool_dir: Path) -> None:
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]
    client = Client(collector.write_key(), collector.url)
    good = [
        client.identify("u1", {"email": "a@b.c", "created_at": datetime.now(UTC), "score": math.nan}),
        client.identify(traits={"email": "lead@example.com"}),
        client.track(anonymous_id="anon", event="Order", properties={"total": Decimal("9.5"), "text": "\ud83d \x00"}),
        client.page("u1", "Docs", "Index"),
        client.screen("u1", name="Main"),
        client.group(group_id="acme"),
        client.alias("old", "new"),
    ]
    bad = client.track("u1", "too deep", {"deep": deep})
    assert client.shutdown(20) == 0
    assert bad.success, "only the collector finds this one wrong"
    assert client.counts().dropped == {DropReason.REFUSED: 1}
    assert collector.logged_ids() == [receipt.message["messageId"] for receipt in good]
