"""Train the machines of the library, each in its own process, as one table.

Command: python scripts/benchmarks/machines.py [--only NAME ...] [--seeds 0-9]
    [--random 101-105 [--size 32x22]] [--out DIR] [FLAG VALUE ...]

With `--random`, random machines of 8 to 24 states and 2 to 10 symbols, or of
`--size`, are trained instead, one for each of these numbers. All other flags
are passed to `keras-lstm train`. The table is Markdown, for the docs; `--out`
keeps the run folders.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
from typing import Any

import numpy as np
from seeds import run
from tables import cell, numbers, print_table

from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.machine_arrows import Arrow
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.tasks.machine_table import MachineTable, make_table


def random_machine(number: int, size: str | None = None) -> MachineTable:
    """Return a random machine; all its states can be reached and told apart."""
    rng = np.random.default_rng(number)
    states, symbols = int(rng.integers(8, 25)), int(rng.integers(2, 11))
    if size is not None:
        states, symbols = map(int, size.split("x"))
    outputs = int(rng.integers(2, 5))
    while True:
        arrows = [
            Arrow(
                *(str(state), str(symbol), str(rng.integers(states))),
                *(str(rng.integers(outputs)), ""),
            )
            for state in range(states)
            for symbol in range(symbols)
        ]
        table = make_table(arrows, "0", name=f"random-{number}")
        if len(table.states) == states:
            return table


def row(
    name: str, table: MachineTable, reports: list[dict[str, Any]]
) -> dict[str, str]:
    """Return a machine's row of the table, for all its seeds."""
    task = FiniteStateMachine(machine=table.to_text())
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
    parser.add_argument("--random", help="for example 101-105")
    parser.add_argument("--size", help="states and symbols, such as 32x22")
    parser.add_argument("--seeds", default="0-9", help="for example 0-9 or 3")
    parser.add_argument("--out", type=pathlib.Path)
    arguments, flags = parser.parse_known_args()
    seeds = numbers(arguments.seeds)
    tables = {name: MACHINES[name]() for name in arguments.only}
    if arguments.random is not None:
        random = [
            random_machine(each, arguments.size)
            for each in numbers(arguments.random)
        ]
        tables = {table.name: table for table in random}
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            path = folder / f"{name}.yaml"
            path.write_text(table.to_text())
            reports = [
                run(str(path), "machine", seed, folder / name, flags)
                for seed in seeds
            ]
            rows.append(row(name, table, reports))
            print(rows[-1], file=sys.stderr, flush=True)
    print_table(rows)


if __name__ == "__main__":
    main()
