"""Measure runs on longer sequences than they were trained on, as one table.

Command: python scripts/benchmarks/longer.py RUN_DIR ... [--lengths 41-500]

The score is that of Delétang et al. (arXiv:2207.02098): the accuracy of the
answer after the last symbol, averaged over all lengths of the range. 512 random
sequences are read, and each of their prefixes of such a length counts.
"""

import argparse
import pathlib

import numpy as np

from keras_lstm.runs.run import load_run

_SEQUENCES, _AT_ONCE = 512, 64


def row(run_dir: pathlib.Path, first: int, last: int) -> dict[str, str]:
    """Return a run's row of the table."""
    run = load_run(run_dir)
    task, report = run.machine, run.report
    rng = np.random.default_rng(0)
    symbols = rng.integers(task.num_symbols, size=(_SEQUENCES, last))
    answers = run.model.predict(symbols, batch_size=_AT_ONCE, verbose=0)
    right = answers.argmax(-1) == task.targets(symbols)
    seconds = report.seconds
    return {
        "run": f"`{run_dir}`",
        "score": f"{100 * right[:, first - 1 :].mean():.4f}",
        "wrong answers": f"{(~right[:, first - 1 :]).sum():,}",
        "proved": "yes" if report.proved else "no",
        "taught by": str(report.taught_by),
        "training examples": f"{report.training_examples:,}",
        "seconds of training": f"{seconds.train:.1f}",
    }


def main() -> None:
    """Measure the runs and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("runs", metavar="RUN_DIR", type=pathlib.Path, nargs="+")
    parser.add_argument("--lengths", default="41-500")
    arguments = parser.parse_args()
    first, _, last = arguments.lengths.partition("-")
    rows = [row(each, int(first), int(last)) for each in arguments.runs]
    print(f"| {' | '.join(rows[0])} |")
    print(f"|{' ---: |' * len(rows[0])}")
    for each in rows:
        print(f"| {' | '.join(each.values())} |")


if __name__ == "__main__":
    main()
