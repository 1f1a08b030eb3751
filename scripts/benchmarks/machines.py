"""Train the machines of the library, each in its own process, as one table.

Command: python scripts/benchmarks/machines.py [--only NAME ...] [--seeds 0-9]
    [--out DIR] [FLAG VALUE ...]

All other flags are passed to `keras-lstm train`. The table is Markdown, for
the docs; `--out` keeps the run folders.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
from typing import Any

from seeds import cell, run

from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.machine_library import MACHINES


def row(name: str, reports: list[dict[str, Any]]) -> dict[str, str]:
    """Return a machine's row of the table, for all its seeds."""
    task = FiniteStateMachine(machine=MACHINES[name]().to_text())
    teachers = [report["taught_by"] for report in reports]
    margins = [r["proof_margin"] for r in reports if r["proved"]]
    seconds = [report["shell_seconds"] for report in reports]
    return {
        "machine": f"`{name}`",
        "states": cell(len(task.next_state)),
        "symbols": cell(task.num_symbols),
        "proved": f"{len(margins)} of {len(reports)}",
        "by examples": cell(teachers.count("examples")),
        "by construction": cell(teachers.count("construction")),
        "wrong": cell(sum(report["num_wrong"] for report in reports)),
        "smallest proved margin": cell(min(margins, default=None)),
        "median seconds": cell(statistics.median(seconds)),
        "longest": cell(max(seconds)),
    }


def main() -> None:
    """Train the machines and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", choices=MACHINES, default=MACHINES)
    parser.add_argument("--seeds", default="0-9", help="for example 0-9 or 3")
    parser.add_argument("--out", type=pathlib.Path)
    arguments, flags = parser.parse_known_args()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or pathlib.Path(temporary)
        for name in arguments.only:
            rows.append(
                row(
                    name,
                    [
                        run(name, "machine", seed, folder / name, flags)
                        for seed in seeds
                    ],
                )
            )
            print(rows[-1], file=sys.stderr, flush=True)
    print(f"| {' | '.join(rows[0])} |")
    print(f"|{' ---: |' * len(rows[0])}")
    for each in rows:
        print(f"| {' | '.join(each.values())} |")


if __name__ == "__main__":
    main()
