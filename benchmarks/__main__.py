"""`make bench`: every measurement in one run, each beside its baseline. `python -m benchmarks NAME …` runs some.

Bounded to about ten minutes in all; `--long` is the form the gates of the issues ask for (20 M stored messages, five
minutes end to end, about two hours and 40 GB). Ends with every gate, and with exit code 1 if one was missed.
"""

import runpy
import sys

from benchmarks import gates

LONG = {
    "resolver": ["--messages", "20000000"],
    "end_to_end": ["--seconds", "300"],
}
NAMES = ("collector", "resolver", "pathologies", "delivery", "end_to_end", "python_client")


def main(given: list[str]) -> int:
    """Runs the benchmarks named, or all of them."""
    wanted = [name for name in given if name != "--long"]
    flags = LONG if "--long" in given else {}
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in wanted or NAMES:
        print(f"\n== {name}", flush=True)
        sys.argv = [f"benchmarks.{name}", *flags.get(name, [])]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return gates.summary()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
