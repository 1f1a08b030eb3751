import dataclasses

import pytest
from made_runs import REPORT

from keras_lstm.presets import get_preset
from keras_lstm.runs.results import trained_text


@pytest.mark.parametrize(
    ("num_examples", "num_steps", "start"),
    [
        (1, 1, "Trained on 1 example, in 1 step; stopped because "),
        (19_200, 1_500, "Trained on 19,200 examples, in 1,500 steps; "),
    ],
)
def test_one_step_is_no_steps(num_examples, num_steps, start):
    report = dataclasses.replace(
        REPORT,
        training_examples=num_examples,
        distinct_training_examples=None,
        optimizer_steps=num_steps,
    )
    assert trained_text(get_preset("increment"), report).startswith(start)
