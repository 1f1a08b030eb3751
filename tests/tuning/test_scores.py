import types

import numpy as np

from keras_lstm.tuning.scores import FAILED, rank, score


def test_models_with_nothing_wrong_come_before_all_others():
    def report(wrong, examples=0, parameters=0, accuracy=None):
        return types.SimpleNamespace(
            num_wrong=wrong,
            training_examples=examples,
            num_parameters=parameters,
            validation_accuracy=accuracy,
        )

    reports = [
        report(0, 1_000, 90),
        report(0, 2_000, 80),
        report(0, 10**11, 70),
        report(1, 10, 10),
        report(2, 10, 10),
        report(999_000, 10, 10),
        report(1_000_000, 10, 10),
    ]
    costs = [score(each, "cost") for each in reports]
    assert costs == sorted(costs)
    assert [rank(each, "cost") for each in reports[2:4]] == [
        (0, 10**11),
        (1, 10),
    ]
    # KerasTuner's processes exchange scores as float32.
    assert len(set(np.float32(costs))) == len(costs)
    # Next to a wrong model, exact ones still differ.
    assert (costs[1] - costs[0]) / (costs[3] - costs[0]) > 0.01
    sizes = [score(each, "smallest") for each in reports]
    assert np.argsort(sizes).tolist() == [2, 1, 0, 3, 4, 5, 6]
    assert max(costs + sizes) < FAILED
    accuracies = [score(report(1, accuracy=a), "accuracy") for a in (0.9, 0.5)]
    assert accuracies[0] < accuracies[1] < score(report(1), "accuracy") + 0.1
