"""Time training steps of presets, plain and as `auto` chooses them.

Command: python scripts/benchmarks/execution.py [PRESET ...] [--rounds 7]

Models of both kinds take turns in one process, on the preset's own data;
`keras_lstm/training/execution.py` predicts these times.
"""

import argparse
import statistics
import sys
import time

import tensorflow as tf
from tables import cell, print_table

from keras_lstm import make_dataset
from keras_lstm.config import Config
from keras_lstm.config_rules import Execution
from keras_lstm.presets import get_preset
from keras_lstm.tasks.make import make_splits
from keras_lstm.training.compile import compiled_model, count_steps_per_epoch
from keras_lstm.training.execution import (
    choose_execution,
    execution_text,
    predict_seconds,
)

PRESETS = ("image-rows-tutorial", "image-rows", "increment-tutorial")
# Steps of a round.
_STEPS = 32


class Contender:
    """A model that is trained for some steps in each round."""

    def __init__(self, config: Config) -> None:
        self.execution = config.training.execution
        splits = make_splits(config.task, config.seed)
        began = time.perf_counter()
        self._model = compiled_model(config, splits)
        train = make_dataset(
            splits.train, config.training.batch_size, training=True, seed=0
        )
        self._batches = iter(train.repeat())
        self._model.make_train_function()
        self._call()
        self.start = time.perf_counter() - began
        self.step_ms: list[float] = []

    def _call(self) -> None:
        logs = self._model.train_function(self._batches)
        float(logs["loss"])

    def measure(self) -> None:
        """Train for some steps."""
        calls = max(1, _STEPS // self.execution.steps_per_execution)
        began = time.perf_counter()
        for _ in range(calls):
            self._call()
        steps = calls * self.execution.steps_per_execution
        self.step_ms.append(1000 * (time.perf_counter() - began) / steps)


def measure(preset: str, rounds: int) -> dict[str, str]:
    """Return a row of the table."""
    config = get_preset(preset)
    splits = make_splits(config.task, config.seed)
    steps = count_steps_per_epoch(config.training, splits)
    chosen = choose_execution(config, steps)
    configs = {"plain": config.with_execution(Execution()), "auto": chosen}
    contenders = {name: Contender(each) for name, each in configs.items()}
    for round_number in range(rounds):
        for contender in list(contenders.values())[:: (-1) ** round_number]:
            contender.measure()
    row = {"preset": preset, "auto": execution_text(chosen.training.execution)}
    medians = {}
    for name, contender in contenders.items():
        medians[name] = statistics.median(contender.step_ms)
        _, predicted = predict_seconds(config, contender.execution)
        row[f"{name}: ms a step"] = cell(medians[name])
        row[f"{name}: predicted"] = cell(1000 * predicted)
        row[f"{name}: building, first call, s"] = cell(contender.start)
    row["auto : plain"] = f"{medians['auto'] / medians['plain']:.2f}"
    return row


def main() -> None:
    """Measure the presets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("presets", nargs="*", metavar="PRESET", default=PRESETS)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    tf.config.experimental.enable_op_determinism()
    rows = []
    for preset in arguments.presets:
        rows.append(measure(preset, arguments.rounds))
        print(rows[-1], file=sys.stderr)
    print_table(rows)


if __name__ == "__main__":
    main()
