"""Keras in common usage: Sequential, arrays, default settings."""

import answering
import keras
import numpy as np
import tensorflow as tf

# Examples in memory: as many as the longest call takes.
EXAMPLES = {"increment": 2**17, "image-rows": 2**15}


def build(model: str) -> keras.Model:
    """Build a tutorial's network."""
    if model == "increment":
        return keras.Sequential(
            [
                keras.Input((20,)),
                keras.layers.Embedding(2, 10),
                keras.layers.LSTM(32, return_sequences=True),
                keras.layers.LSTM(32),
                keras.layers.Dense(40),
                keras.layers.Reshape((20, 2)),
            ]
        )
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.LSTM(128),
            keras.layers.Dense(10),
        ]
    )


def train(name: str, batch_size: int) -> answering.Run:
    """Return a run of `fit` on arrays."""
    inputs, targets = answering.examples(name, EXAMPLES[name])
    model = build(name)
    model.compile(
        "adam",
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return lambda steps: model.fit(
        inputs[: steps * batch_size],
        targets[: steps * batch_size],
        batch_size=batch_size,
        verbose=0,
    )


def infer(name: str, batch_size: int) -> answering.Run:
    """Return a run of `predict` on arrays."""
    inputs, _ = answering.examples(name, EXAMPLES[name])
    model = build(name)
    return lambda steps: model.predict(
        inputs[: steps * batch_size], batch_size=batch_size, verbose=0
    )


def check(name: str, batch_size: int) -> answering.Run:
    """Return a brute-force check: `predict` on all inputs."""
    model = build(name)
    return answering.checking(
        name,
        batch_size,
        lambda inputs: model.predict(inputs, batch_size=batch_size, verbose=0),
    )


def _stateful() -> keras.Model:
    """Build the tutorial's layers so that they keep their state."""
    options = {"return_sequences": True, "stateful": True}
    return keras.Sequential(
        [
            keras.Input(batch_shape=(1, None)),
            keras.layers.Embedding(2, 10),
            keras.layers.LSTM(32, **options),
            keras.layers.LSTM(32, **options),
            keras.layers.Dense(2),
        ]
    )


def feed(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for one bit after the other."""
    model = _stateful()

    def run(steps: int) -> None:
        for bit in answering.symbols(steps)[:, np.newaxis, np.newaxis]:
            model.predict_on_batch(bit).argmax()

    return run


def call(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for all bits in one call."""
    model = _stateful()
    return lambda steps: model.predict_on_batch(
        answering.symbols(steps)[np.newaxis]
    ).argmax(-1)


def input_alone(name: str, batch_size: int) -> answering.Run:
    """Return a run through a common tf.data pipeline."""
    arrays = answering.examples(name, EXAMPLES[name])
    dataset = (
        tf.data.Dataset.from_tensor_slices(arrays)
        .shuffle(10_000)
        .repeat()
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    return answering.taking(dataset)


if __name__ == "__main__":
    answering.answer(
        {
            "train": train,
            "infer": infer,
            "check": check,
            "feed": feed,
            "call": call,
            "input": input_alone,
        }
    )
