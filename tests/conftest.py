"""With CI set a skipped test fails the run, unless `.ci/allowed-skips` names it with its reason."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ALLOWED_FILE = Path(__file__).parents[1] / ".ci" / "allowed-skips"


class Skips:
    """What was skipped in this run without leave."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        self._allowed = [tuple(part.strip() for part in line.split("|", 1)) for line in lines]
        self.refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._look(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._look(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for refused in self.refused:
            terminalreporter.write_line(f"SKIPPED WITHOUT LEAVE {refused} (name it in {ALLOWED_FILE.name})", red=True)

    def _look(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(fnmatchcase(report.nodeid, test) and reason.startswith(why) for test, why in self._allowed):
            self.refused.append(f"{report.nodeid}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    """Takes the rule into force where CI is set."""
    if os.environ.get("CI"):
        config.pluginmanager.register(Skips(ALLOWED_FILE.read_text("utf-8")), "skips")
