"""The life of a store: messages, retries, crashes, replays, takeovers and rebuilds in any order (identity.md §9)."""

import contextlib
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.oracle.engine import Engine, engine
from tests.oracle.rules import Limits, World
from tests.oracle.strategies import Event, limits, messages


class StoreLife(RuleBasedStateMachine):
    """Whatever happens to the store, it answers as the oracle does for the set of messages in its log."""

    def __init__(self) -> None:
        super().__init__()
        self.open = contextlib.ExitStack()
        self.contents: dict[tuple[str, str], Event] = {}

    @initialize(caps=limits)
    def begin(self, caps: dict[str, int]) -> None:
        self.limits = Limits(**caps)
        self.engine: Engine = self.open.enter_context(engine(caps))

    @rule(some=st.lists(messages, min_size=1, max_size=5))
    def arrive(self, some: list[Event]) -> None:
        """New messages. Copies of one message at one time are equal: erased ones could not be put in order."""
        self.engine.feed([self.contents.setdefault((e["messageId"], e["timestamp"]), e) for e in some])

    @precondition(lambda self: self.contents)
    @rule(data=st.data(), second=st.integers(0, 6))
    def retry(self, data: st.DataObject, second: int) -> None:
        """A copy that differs in its time only."""
        known = data.draw(st.sampled_from(sorted(self.contents.values(), key=repr)))
        at = f"2024-05-01T12:00:{second:02d}.000Z"
        self.engine.feed([self.contents.setdefault((known["messageId"], at), known | {"timestamp": at})])

    @rule(limit=st.integers(1, 5))
    def project(self, limit: int) -> None:
        self.engine.store.project(limit)

    @rule(limit=st.integers(1, 2))
    def erase(self, limit: int) -> None:
        self.engine.store.erase(limit)

    @rule(some=st.lists(messages, min_size=1, max_size=5), statements=st.integers(1, 50), again=st.booleans())
    def crash_resolving(self, some: list[Event], statements: int, again: bool) -> None:
        self.engine.log += [self.contents.setdefault((e["messageId"], e["timestamp"]), e) for e in some]
        self.engine.crash(statements, self.engine.catch_up)
        if again:
            self.engine.restart()
        self.engine.catch_up()

    @rule(statements=st.integers(1, 30), again=st.booleans())
    def crash_projecting(self, statements: int, again: bool) -> None:
        self.engine.crash(statements, self.engine.settle)
        if again:
            self.engine.restart()

    @precondition(lambda self: self.contents)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        self.engine.go_back(data.draw(st.integers(0, len(self.engine.log))))
        self.engine.catch_up()

    @rule()
    def be_taken_over(self) -> None:
        self.engine.fenced_by_another().close()

    @rule(statements=st.integers(0, 60))
    def rebuild(self, statements: int) -> None:
        """Cut off at a statement, unless it is 0, it goes on at the next start."""
        self.engine.crash(statements, self.engine.store.rebuild)
        self.engine.restart()

    @rule()
    def settle(self) -> None:
        self.engine.settle()
        assert self.state() == World(self.engine.log, self.limits).answer()

    @invariant()
    def nothing_waits_in_a_transaction(self) -> None:
        if hasattr(self, "engine"):
            assert not self.engine.store.database.in_transaction

    def state(self) -> dict[str, Any]:
        return self.engine.store.dump()

    def teardown(self) -> None:
        with self.open:
            if hasattr(self, "engine"):
                self.settle()


TestStoreLife = StoreLife.TestCase
TestStoreLife.settings = settings(
    max_examples=80, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
