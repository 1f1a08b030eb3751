"""Ranks and scores of trials."""

import math

from keras_lstm.runs.report import Report

# Scores are logarithms, so that exact trials remain distinct to KerasTuner's
# models even next to wrong ones. From `WRONG` on, something is wrong: nobody
# trains on 2^40 examples.
WRONG = 40.0
FAILED = 128.0


def trial_metrics(report: Report) -> dict[str, float]:
    """Return the figures of a run that a table of trials shows, by name."""
    return {
        "num_wrong": float(report.num_wrong),
        "training_examples": float(report.training_examples),
        "num_parameters": float(report.num_parameters),
        "seconds": report.seconds.total,
    }


def rank(report: Report, objective: str) -> tuple[int, float]:
    """Return the rank of a run: the number of wrong inputs, then the cost."""
    if objective == "accuracy":
        accuracy = report.validation_accuracy
        return 0, 1.0 if accuracy is None else 1.0 - float(accuracy)
    costs = {
        "cost": report.training_examples,
        "smallest": report.num_parameters,
    }
    return report.num_wrong, float(costs[objective])


def score(report: Report, objective: str) -> float:
    """Return the score of a run, which KerasTuner minimizes.

    Scores order trials as `rank` does, within the precision of float32: that
    is how KerasTuner's processes exchange them.
    """
    num_wrong, cost = rank(report, objective)
    if objective == "accuracy":
        return cost
    return WRONG + math.log2(num_wrong) if num_wrong else math.log2(cost)
