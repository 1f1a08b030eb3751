"""What trials are ranked by."""

import math
from typing import Any

# Scores are logarithms, so that KerasTuner's models of them tell exact trials
# apart beside others. From here on something is wrong; 2^40 examples are more
# than anybody trains on.
WRONG = 40.0
FAILED = 128.0


def trial_metrics(report: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a run that a table of trials shows, by name."""
    names = ("num_wrong", "training_examples", "num_parameters")
    metrics = {name: float(report[name]) for name in names}
    return metrics | {"seconds": float(report["seconds"]["total"])}


def rank(report: dict[str, Any], objective: str) -> tuple[int, float]:
    """Return what a run is ranked by: wrong answers, then the cost."""
    if objective == "accuracy":
        accuracy = report["validation_accuracy"]
        return 0, 1.0 if accuracy is None else 1.0 - float(accuracy)
    name = {"cost": "training_examples", "smallest": "num_parameters"}
    return report["num_wrong"], float(report[name[objective]])


def score(report: dict[str, Any], objective: str) -> float:
    """Return the one number that KerasTuner minimises.

    It orders trials as `rank` does, as nearly as float32 can, which is what
    KerasTuner's processes tell one another.
    """
    num_wrong, cost = rank(report, objective)
    if objective == "accuracy":
        return cost
    return WRONG + math.log2(num_wrong) if num_wrong else math.log2(cost)
