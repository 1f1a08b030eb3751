"""Make networks provable that were trained without a proof, as one table.

Command: python scripts/benchmarks/repair.py --seeds 0-9 [--stop-at 0.9]
    [--task TASK] [--out DIR]

Each network is trained by the preset `increment-noise`, or until this fraction
of validation sequences is right; then `make_provable` repairs a copy. The table
is Markdown, for the docs. `--out` keeps models and proofs, for check_proof.py.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tables import numbers, print_table

from keras_lstm.config import Config
from keras_lstm.models.build import build_model, copy_weights
from keras_lstm.presets import get_preset
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.registry import get_task
from keras_lstm.training.compile import compiled_model
from keras_lstm.training.repair import make_provable
from keras_lstm.verification.verify import verify


class StopAt(keras.callbacks.Callback):
    """Stop as soon as a fraction of the validation sequences is right."""

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self.fraction = fraction
        self.reached = 0.0

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stop at the fraction."""
        self.reached = (logs or {})["val_sequence_accuracy"]
        if self.reached >= self.fraction:
            self.model.stop_training = True


def training_data(config: Config) -> tf.data.Dataset:
    """Return the batches that the preset trains on."""
    return make_dataset(
        config.task.splits(config.seed).train,
        config.training.batch_size,
        training=True,
        seed=config.seed,
    )


def trained(config: Config) -> keras.Model:
    """Return a network trained without a proof, as the preset does."""
    fitted = compiled_model(config)
    fitted.fit(
        training_data(config),
        # The preset stops here at the earliest.
        epochs=config.training.start_from_epoch + 1,
        steps_per_epoch=10,
        shuffle=False,
        verbose=0,
    )
    return _without_noise(fitted, config)


def mediocre(config: Config, stop_at: float) -> keras.Model:
    """Return a network of which a part of the answers is right."""
    data = training_data(config)
    splits = config.task.splits(config.seed)
    validation = make_dataset(splits.validation, 1024)
    # A fast training jumps over the fraction.
    for rate in (0.003, 0.001, 0.0003, 0.0001):
        fitted = compiled_model(
            config.replace(learning_rate=rate, schedule="constant")
        )
        stop = StopAt(stop_at)
        fitted.fit(
            data,
            epochs=1000,
            steps_per_epoch=5,
            shuffle=False,
            verbose=0,
            validation_data=validation,
            callbacks=[stop],
        )
        if stop_at <= stop.reached <= 0.99:
            return _without_noise(fitted, config)
    raise SystemExit(
        f"seed {config.seed}: from below {stop_at} to {stop.reached} in 5 steps"
    )


def _without_noise(fitted: keras.Model, config: Config) -> keras.Model:
    model = build_model(config.task, config.model)
    copy_weights(fitted, model)
    return model


def row(config: Config, stop_at: float | None, out: Any) -> dict[str, str]:
    """Train and repair a network; return its row of the table."""
    task = config.task
    model = trained(config) if stop_at is None else mediocre(config, stop_at)
    before = verify(model, task)
    found = {
        "seed": f"{config.seed}",
        "wrong before": f"{before.num_wrong:,} "
        f"({before.num_wrong / before.num_examples:.1%})",
        "margin before": f"{before.min_margin:.3g}",
        "boxes before": "no"
        if find_proof(model, task).proof is None
        else "yes",
    }
    repair = make_provable(model, task, seed=config.seed, max_seconds=600)
    found |= {
        "schedule": f"{repair.schedule}",
        "steps": f"{repair.num_steps}",
        "seconds": f"{repair.seconds:.1f}",
    }
    proof = repair.search.proof
    if repair.model is None or proof is None:
        return found | {"proved margin": "-"}
    after = verify(repair.model, task)
    old, new = (
        np.concatenate([np.ravel(w) for w in each.get_weights()])
        for each in (model, repair.model)
    )
    moved = np.linalg.norm(new - old) / np.linalg.norm(old)
    if out is not None:
        folder = out / f"seed{config.seed}"
        folder.mkdir(parents=True)
        repair.model.save(folder / "model.keras")
        (folder / "proof.json").write_text(proof.to_json())
        (folder / "report.json").write_text(json.dumps({"task": task.name}))
    return found | {
        "weights moved": f"{moved:.1%}",
        "answers changed": f"{before.num_wrong:,} of {before.num_examples:,}",
        "wrong after": f"{after.num_wrong:,}",
        "margin after": f"{after.min_margin:.3g}",
        "boxes": f"{len(proof.states)}",
        "proved margin": f"{repair.search.margin:.3g}",
    }


def main() -> None:
    """Repair the networks and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--task", default="increment")
    parser.add_argument("--seeds", default="0-9", help="for example 0-9 or 3")
    parser.add_argument("--stop-at", type=float, help="for example 0.9")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    rows = []
    for seed in numbers(arguments.seeds):
        config = get_preset("increment-noise", get_task(arguments.task))
        config = config.replace(seed=seed)
        rows.append(row(config, arguments.stop_at, arguments.out))
        print(rows[-1], file=sys.stderr, flush=True)
    titles = max(rows, key=len)
    print_table([{t: each.get(t, "-") for t in titles} for each in rows])


if __name__ == "__main__":
    main()
