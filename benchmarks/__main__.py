"""`make bench`: every benchmark, or those that are named: `python -m benchmarks labeling`. Each ends with one JSON line.

`python -m benchmarks --rows 1000000 datasets` makes tables of another size, where a benchmark has one.
"""

import argparse
import importlib
import os

NAMES = ("datasets", "formats", "labeling", "duplicates", "search", "gateway", "engine", "training")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--rows", type=int)
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"There is no benchmark {name!r}. There are: {', '.join(NAMES)}.")
    if arguments.rows:
        os.environ["EMEND_BENCH_ROWS"] = str(arguments.rows)
    for name in arguments.names or NAMES:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
