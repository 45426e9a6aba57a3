"""`make bench`: every benchmark, or those that are named: `python -m benchmarks labeling`. Each ends with one JSON line."""

import importlib
import sys

NAMES = ("datasets", "formats", "labeling", "duplicates", "search", "gateway", "engine", "training")


def main() -> None:
    names = sys.argv[1:] or NAMES
    for name in names:
        if name not in NAMES:
            sys.exit(f"There is no benchmark {name!r}. There are: {', '.join(NAMES)}.")
    for name in names:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
