"""Make networks provable that were trained without a proof, as one table.

Command: python scripts/benchmarks/repair.py --seeds 0-9 [--stop-at 0.9]
    [--task TASK] [--out DIR]

Each network is trained by the preset `increment-noise`, or until this fraction
of validation sequences is right, and at most 99%; then `make_provable` repairs
a copy. The table is Markdown, for the docs. `--out` keeps models and proofs,
for check_proof.py.
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
    """Stop when a fraction of the validation sequences, or more, is right.

    Args:
        fraction: the fraction. More than 99% does not count.
    """

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self.fraction = fraction
        self.reached: float | None = None

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stop at the fraction."""
        accuracy = (logs or {})["val_sequence_accuracy"]
        if self.fraction <= accuracy <= 0.99:
            self.reached = accuracy
            self.model.stop_training = True


def training_data(config: Config) -> tf.data.Dataset:
    """Return the batches to train on."""
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


def mediocre(
    config: Config, stop_at: float
) -> tuple[keras.Model, float] | None:
    """Return a network of which a part of the answers is right, and the part.

    Usual trainings jump over it: what is wrong last is a state of the machine,
    and half of all sequences. So batches are small, and steps large.
    """
    validation = make_dataset(config.task.splits(config.seed).validation, 1024)
    for rate in (0.1, 0.03, 0.01):
        tried = config.replace(
            learning_rate=rate,
            schedule="constant",
            batch_size=8,
            input_noise=0.0,
            layer_noise=0.0,
        )
        fitted = compiled_model(tried)
        stop = StopAt(stop_at)
        fitted.fit(
            training_data(tried),
            epochs=150,
            # Validated after each step.
            steps_per_epoch=1,
            shuffle=False,
            verbose=0,
            validation_data=validation,
            callbacks=[stop],
        )
        if stop.reached is not None:
            return _without_noise(fitted, config), stop.reached
    return None


def _without_noise(fitted: keras.Model, config: Config) -> keras.Model:
    model = build_model(config.task, config.model)
    copy_weights(fitted, model)
    return model


def row(
    config: Config, stop_at: float | None, out: Any
) -> dict[str, str] | None:
    """Train and repair a network; return its row of the table."""
    task, found = config.task, {"seed": f"{config.seed}"}
    if stop_at is None:
        model = trained(config)
    elif (stopped := mediocre(config, stop_at)) is None:
        return None
    else:
        model, reached = stopped
        found["stopped at"] = f"{reached:.1%}"
    before = verify(model, task)
    found |= {
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
    rows, jumped = [], []
    for seed in numbers(arguments.seeds):
        config = get_preset("increment-noise", get_task(arguments.task))
        config = config.replace(seed=seed)
        found = row(config, arguments.stop_at, arguments.out)
        if found is None:
            jumped.append(f"{seed}")
            continue
        rows.append(found)
        print(found, file=sys.stderr, flush=True)
    if rows:
        titles = max(rows, key=len)
        print_table([{t: each.get(t, "-") for t in titles} for each in rows])
    if jumped:
        print(
            f"\nSeeds that jump over {arguments.stop_at:.0%} to 99%: "
            + ", ".join(jumped)
        )


if __name__ == "__main__":
    main()
