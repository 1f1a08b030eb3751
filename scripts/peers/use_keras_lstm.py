"""This project: its pipeline, its metrics, its compiled models."""

import answering
import keras

from keras_lstm import get_preset, make_dataset
from keras_lstm.config import Config
from keras_lstm.optimization import compiled_model
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment


def config_of(name: str, batch_size: int) -> Config:
    """The tutorials' presets, with the others' optimizer."""
    cls = Increment if name == "increment" else ImageRows
    return get_preset(f"{name}-tutorial").replace(
        cls,
        batch_size=batch_size,
        optimizer="adam",
        learning_rate=0.001,
        strategy="default",
        jit_compile=True,
    )


def train(name: str, batch_size: int) -> answering.Run:
    """`fit` on the project's own dataset."""
    config = config_of(name, batch_size)
    splits = config.task.splits(seed=0)
    model = compiled_model(config, splits)
    dataset = make_dataset(splits.train, batch_size, training=True)
    return lambda steps: model.fit(
        dataset, steps_per_epoch=steps, shuffle=False, verbose=0
    )


def infer(name: str, batch_size: int) -> answering.Run:
    """`predict` on the project's own dataset."""
    config = config_of(name, batch_size)
    dataset = make_dataset(
        config.task.splits(seed=0).train, batch_size, training=True
    )
    model = compiled_model(config)
    inputs = dataset.map(lambda inputs, _: inputs)
    return lambda steps: model.predict(inputs, steps=steps, verbose=0)


if __name__ == "__main__":
    keras.utils.disable_interactive_logging()
    answering.answer({"train": train, "infer": infer})
