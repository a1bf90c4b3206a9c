"""`make bench`: every measurement in one run, each beside its baseline. `python -m benchmarks NAME …` runs some.

Bounded to about ten minutes in all; the long forms (`--messages`, `--seconds`) are flags of each module.
"""

import runpy
import sys

NAMES = ("collector", "resolver", "pathologies", "delivery", "end_to_end", "python_client")


def main(wanted: list[str]) -> int:
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in wanted or NAMES:
        print(f"\n== {name}", flush=True)
        sys.argv = [f"benchmarks.{name}"]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
