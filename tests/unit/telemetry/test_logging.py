"""What is written to the log: each trouble when it begins, then once a minute."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tabard.telemetry.logging import AGAIN_S, NotAgain, configure, logger


@pytest.fixture
def configured() -> Iterator[None]:
    before = structlog.get_config()
    configure(as_json=False)
    yield
    structlog.configure(**before)


def line(**fields: Any) -> dict[str, Any]:
    return {"level": "error", "event": "store.unavailable", **fields}


def test_a_trouble_that_lasts_is_written_once_a_minute_with_how_often_it_came() -> None:
    now = [0.0]
    once = NotAgain(lambda: now[0])
    written = []
    for second in range(int(2 * AGAIN_S)):
        now[0] = float(second)
        try:
            written.append(once(None, "error", line(problem="disk_full")))
        except structlog.DropEvent:
            continue
    assert written == [line(problem="disk_full"), line(problem="disk_full", repeated=AGAIN_S - 1)]


def test_another_problem_and_what_is_no_trouble_are_written_each_time() -> None:
    once = NotAgain(lambda: 0.0)
    for number in range(3):
        assert once(None, "error", line(problem=str(number)))
        assert once(None, "info", {"level": "info", "event": "role.started"})
        assert once(None, "warning", {"level": "warning", "event": "destination.paused", "why": "test"})


def test_what_is_remembered_is_bounded() -> None:
    once = NotAgain(lambda: 0.0)
    for number in range(5_000):
        once(None, "error", line(problem=number))
    assert len(once._written) <= 1_000


@pytest.mark.usefixtures("configured")
def test_the_log_of_a_role_keeps_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(50):
        logger().error("log.progress.unwritten", consumer="resolver", problem="no space left on device")
        logger().info("said.each.time")
    said = capsys.readouterr().err
    assert (said.count("log.progress.unwritten"), said.count("said.each.time")) == (1, 50)
