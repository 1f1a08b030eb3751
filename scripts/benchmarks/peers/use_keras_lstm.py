"""This project: its pipeline, its metrics, its compiled models."""

import answering

from keras_lstm import (
    ModelConfig,
    Stream,
    build_model,
    get_preset,
    make_dataset,
    verify,
)
from keras_lstm.config import Config
from keras_lstm.inference.quick_batches import make_quick_batches
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.compile import compiled_model

EXAMPLES = {"increment": 2**17, "image-rows": 2**15}


def config_of(name: str, batch_size: int) -> Config:
    """Return a tutorial's preset, with the optimizer of the other programs."""
    # "increment-64" is the preset increment with 64 bits.
    if name.startswith("increment-"):
        return get_preset("increment").replace(
            Increment,
            num_bits=int(name.removeprefix("increment-")),
            batch_size=batch_size,
            strategy="default",
        )
    cls = Increment if name == "increment" else ImageRows
    return get_preset(f"{name}-tutorial").replace(
        cls,
        batch_size=batch_size,
        optimizer="adam",
        learning_rate=0.001,
        strategy="default",
        # Long enough that compiling pays.
        epochs=10_000,
        steps_per_epoch=answering.steps_together(batch_size),
    )


def train(name: str, batch_size: int) -> answering.Run:
    """Return a run of `fit` on the project's own dataset."""
    config = config_of(name, batch_size)
    splits = config.task.splits(seed=0)
    model = compiled_model(config, splits)
    dataset = make_dataset(splits.train, batch_size, training=True)
    return lambda steps: model.fit(
        dataset, steps_per_epoch=steps, shuffle=False, verbose=0
    )


def infer(name: str, batch_size: int) -> answering.Run:
    """Return a run of the batches that `predict` asks, from memory."""
    if name not in EXAMPLES:
        return infer_by_keras(name, batch_size)
    config = config_of(name, batch_size)
    model = build_model(config.task, config.model)
    batches = make_quick_batches(model)
    inputs, _ = answering.examples(name, EXAMPLES[name])

    def run(steps: int) -> None:
        for step in range(steps):
            first = step * batch_size % len(inputs)
            batches.logits(inputs[first : first + batch_size])

    return run


def infer_by_keras(name: str, batch_size: int) -> answering.Run:
    """Return a run of `model.predict` on our own dataset, with XLA."""
    config = config_of(name, batch_size)
    dataset = make_dataset(
        config.task.splits(seed=0).train, batch_size, training=True
    )
    model = build_model(config.task, config.model)
    model.compile(jit_compile=True)
    inputs = dataset.map(lambda inputs, _: inputs)
    return lambda steps: model.predict(inputs, steps=steps, verbose=0)


def check(name: str, batch_size: int) -> answering.Run:
    """Return a run of `verify` on a trained model: all inputs at once."""
    config = get_preset(name)
    model = compiled_model(config)
    dataset = make_dataset(config.task.splits(seed=0).train, 128, training=True)
    model.fit(dataset, steps_per_epoch=120, shuffle=False, verbose=0)
    return lambda steps: verify(model, config.task)


def feed(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for one bit after the other."""
    stream = Stream(build_model(Increment(), ModelConfig()))

    def run(steps: int) -> None:
        for bit in answering.symbols(steps).tolist():
            stream.feed(bit)

    return run


def call(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for all bits in one call."""
    stream = Stream(build_model(Increment(), ModelConfig()))
    return lambda steps: stream.feed(answering.symbols(steps))


def input_alone(name: str, batch_size: int) -> answering.Run:
    """Return a run through the project's own dataset."""
    config = config_of(name, batch_size)
    dataset = make_dataset(
        config.task.splits(seed=0).train, batch_size, training=True
    )
    return answering.taking(dataset)


if __name__ == "__main__":
    answering.answer(
        {
            "train": train,
            "infer": infer,
            "infer by XLA": infer_by_keras,
            "check": check,
            "feed": feed,
            "call": call,
            "input": input_alone,
        }
    )
