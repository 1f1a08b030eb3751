"""What trials are ranked by."""

import math

from keras_lstm.runs.report import Report

# Scores are logarithms, so that KerasTuner's models of them tell exact trials
# apart beside others. From here on something is wrong; 2^40 examples are more
# than anybody trains on.
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
    """Return what a run is ranked by: wrong answers, then the cost."""
    if objective == "accuracy":
        accuracy = report.validation_accuracy
        return 0, 1.0 if accuracy is None else 1.0 - float(accuracy)
    costs = {
        "cost": report.training_examples,
        "smallest": report.num_parameters,
    }
    return report.num_wrong, float(costs[objective])


def score(report: Report, objective: str) -> float:
    """Return the one number that KerasTuner minimises.

    It orders trials as `rank` does, as nearly as float32 can, which is what
    KerasTuner's processes tell one another.
    """
    num_wrong, cost = rank(report, objective)
    if objective == "accuracy":
        return cost
    return WRONG + math.log2(num_wrong) if num_wrong else math.log2(cost)
