"""Measure runs on longer sequences than they were trained on, as one table.

Command: python scripts/benchmarks/longer.py RUN_DIR ... [--lengths 41-500]

The score is that of Delétang et al. (arXiv:2207.02098): the accuracy of the
answer after the last symbol, averaged over all lengths of the range. 512 random
sequences are read, and each of their prefixes of such a length counts.
"""

import argparse
import pathlib

import numpy as np
from tables import numbers, print_table

from keras_lstm.runs.run import load_run

_SEQUENCES, _AT_ONCE = 512, 64


def row(run_dir: pathlib.Path, lengths: range) -> dict[str, str]:
    """Return a run's row of the table."""
    run = load_run(run_dir)
    task, report = run.machine, run.report
    rng = np.random.default_rng(0)
    symbols = rng.integers(task.num_symbols, size=(_SEQUENCES, lengths[-1]))
    answers = run.model.predict(symbols, batch_size=_AT_ONCE, verbose=0)
    right = (answers.argmax(-1) == task.targets(symbols))[:, lengths[0] - 1 :]
    return {
        "run": f"`{run_dir}`",
        "score": f"{100 * right.mean():.4f}",
        "wrong answers": f"{(~right).sum():,}",
        "proved": "yes" if report.proved else "no",
        "taught by": str(report.taught_by),
        "training examples": f"{report.training_examples:,}",
        "seconds of training": f"{report.seconds.train:.1f}",
    }


def main() -> None:
    """Measure the runs and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("runs", metavar="RUN_DIR", type=pathlib.Path, nargs="+")
    parser.add_argument("--lengths", default="41-500")
    arguments = parser.parse_args()
    lengths = numbers(arguments.lengths)
    print_table([row(each, lengths) for each in arguments.runs])


if __name__ == "__main__":
    main()
