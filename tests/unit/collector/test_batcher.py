"""Group commit: who shares a commit, who gets which position, and what a failing disk means for each."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from tabard.collector import batcher as module
from tabard.collector.batcher import Batcher
from tabard.collector.rejections import KeptRejection
from tabard.log.interface import LogUnavailable

REJECTION = KeptRejection(1, "s1", "no_user_anon_id", "m", "userId", None, "/v1/page", b"{}", 2)


class Log:
    """A writer that a test can hold up and make fail; it notes each commit."""

    log_id = "log"
    partition = 1

    def __init__(self) -> None:
        self.commits: list[list[bytes]] = []
        self.checks = 0
        self.open = threading.Event()
        self.open.set()
        self.problem: Exception | None = None

    def append(self, values: Sequence[bytes]) -> int:
        assert self.open.wait(5)
        if self.problem:
            raise self.problem
        first = sum(map(len, self.commits))
        self.commits.append(list(values))
        return first

    def check(self) -> None:
        self.checks += 1
        if self.problem:
            raise self.problem

    def close(self) -> None: ...


class Rejections:
    """A store that keeps what it is given, or fails."""

    def __init__(self) -> None:
        self.kept: list[KeptRejection] = []
        self.fails = False

    def keep(self, rejections: Sequence[KeptRejection]) -> bool:
        if not self.fails:
            self.kept.extend(rejections)
        return not self.fails

    def close(self) -> None: ...


class Call:
    """A submission whose outcome can be awaited."""

    def __init__(self, *values: bytes, rejections: Sequence[KeptRejection] = ()) -> None:
        self.values = list(values)
        self.rejections = rejections
        self.outcome: asyncio.Future[tuple[int, LogUnavailable | None, bool]] = (
            asyncio.get_running_loop().create_future()
        )

    def settle(self, first_offset: int, problem: LogUnavailable | None, rejections_kept: bool) -> None:
        self.outcome.set_result((first_offset, problem, rejections_kept))


async def test_calls_that_arrive_during_a_commit_share_the_next_and_each_has_its_position() -> None:
    log, rejections = Log(), Rejections()
    batcher = Batcher(log, rejections)
    batcher.start()
    log.open.clear()
    first = Call(b"0")
    batcher.submit(first)
    await asyncio.sleep(0.02)
    others = [Call(b"1"), Call(b"2", b"3"), Call(b"4")]
    for call in others:
        batcher.submit(call)
    log.open.set()
    outcomes = [await call.outcome for call in (first, *others)]
    assert [offset for offset, *_ in outcomes] == [0, 1, 2, 4]
    assert log.commits == [[b"0"], [b"1", b"2", b"3", b"4"]]
    await batcher.stop()


async def test_calls_of_one_turn_of_the_loop_share_a_commit() -> None:
    log = Log()
    batcher = Batcher(log, Rejections())
    batcher.start()
    calls = [Call(b"a"), Call(b"b")]
    for call in calls:
        batcher.submit(call)
    await asyncio.gather(*(call.outcome for call in calls))
    assert log.commits == [[b"a", b"b"]]
    await batcher.stop()


@pytest.mark.parametrize("problem", [LogUnavailable("disk_full", "full"), OSError("gone")])
async def test_a_failed_commit_acknowledges_nobody_and_the_next_may_work(problem: Exception) -> None:
    log = Log()
    batcher = Batcher(log, Rejections())
    batcher.start()
    log.problem = problem
    calls = [Call(b"a"), Call(b"b")]
    for call in calls:
        batcher.submit(call)
    codes = {(await call.outcome)[1] for call in calls}
    assert {code.code for code in codes if code} <= {"disk_full", "log_failed"}
    assert None not in codes
    log.problem = None
    again = Call(b"a")
    batcher.submit(again)
    assert (await again.outcome)[:2] == (0, None)
    await batcher.stop()


async def test_rejections_are_on_disk_before_the_answer_and_their_loss_is_told() -> None:
    log, rejections = Log(), Rejections()
    batcher = Batcher(log, rejections)
    batcher.start()
    kept = Call(rejections=[REJECTION])
    batcher.submit(kept)
    assert (await kept.outcome)[2] is True
    assert rejections.kept == [REJECTION]
    assert log.checks == 0
    rejections.fails = True
    lost = Call(b"a", rejections=[REJECTION])
    batcher.submit(lost)
    assert await lost.outcome == (0, None, False)
    await batcher.stop()


async def test_a_question_makes_a_commit_of_its_own_or_shares_one() -> None:
    log = Log()
    batcher = Batcher(log, Rejections())
    batcher.start()
    question = Call()
    batcher.submit(question)
    await question.outcome
    assert log.checks == 1
    log.problem = LogUnavailable("disk_floor", "low")
    refused = Call()
    batcher.submit(refused)
    problem = (await refused.outcome)[1]
    assert problem is not None
    assert problem.code == "disk_floor"
    await batcher.stop()


async def test_when_too_much_waits_the_door_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALUES_MAX", 2)
    log = Log()
    batcher = Batcher(log, Rejections())
    batcher.start()
    log.open.clear()
    batcher.submit(Call(b"0"))
    await asyncio.sleep(0.02)
    batcher.submit(Call(b"1", b"2"))
    with pytest.raises(LogUnavailable, match="too many calls"):
        batcher.submit(Call(b"3"))
    log.open.set()
    await batcher.stop()
    assert log.commits == [[b"0"], [b"1", b"2"]]


async def test_one_failing_answer_does_not_cost_the_others_theirs() -> None:
    batcher = Batcher(Log(), Rejections())
    batcher.start()
    broken, fine = Call(b"a"), Call(b"b")
    broken.outcome.set_result((0, None, True))  # settling it again raises
    batcher.submit(broken)
    batcher.submit(fine)
    assert (await fine.outcome)[0] == 1
    await batcher.stop()
