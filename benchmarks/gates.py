"""The figures the project must reach, held beside what a run measured; `make bench` fails when one is missed.

A gate is the least that counts as done, a goal what we aim for. Machines are noisy: a miss on a busy machine says so by
the load average printed with it.
"""

import os
from dataclasses import dataclass

_checked: list["Gate"] = []


@dataclass(frozen=True)
class Gate:
    """One measured figure with its gate and its goal. `at_most`: smaller is better."""

    name: str
    value: float
    gate: float
    goal: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        return self.value <= self.gate if self.at_most else self.value >= self.gate

    def line(self) -> str:
        reached = self.value <= self.goal if self.at_most else self.value >= self.goal
        verdict = "goal reached" if reached else "gate met" if self.is_met else "MISSED"
        sign = "≤" if self.at_most else "≥"
        return f"{verdict:12}  {self.name}: {self.value:,.2f} (gate {sign} {self.gate:,g}, goal {sign} {self.goal:,g})"


def check(name: str, value: float, gate: float, goal: float | None = None, *, at_most: bool = False) -> None:
    """Holds a figure against its gate and prints the verdict."""
    held = Gate(name, value, gate, gate if goal is None else goal, at_most)
    _checked.append(held)
    print(held.line(), flush=True)


def missed() -> list[Gate]:
    """The gates of this process's run that were not met."""
    return [held for held in _checked if not held.is_met]


def summary() -> int:
    """Prints every verdict again, with the load average; the exit code of the run."""
    if _checked:
        print(f"\n== gates (load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
        for held in _checked:
            print(held.line())
    return 1 if missed() else 0
