"""Named configurations, each with its source and its measured result.

`describe` parses the last four entries of each docstring, for `keras-lstm
list`.
"""

# Long because each preset states its source and its measured result.

import inspect
from collections.abc import Callable

from keras_lstm.config import Config, ModelConfig, TrainingConfig
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import check_known
from keras_lstm.tasks.feature_sequences import FeatureSequences
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.token_sequences import TokenSequences


def increment() -> Config:
    """Increment, proved right for numbers of any length.

    A network that predicts at every step generalizes to any length. With a
    forget bias of -8, a cell forgets at once, so the recurrent state must hold
    the memory, where it does not drift. After the first epoch, the network is
    also trained on boxes: bounds that its states should not leave. After each
    epoch from then on, a proof is searched for.

    Returns:
        The configuration.

    Source: this project; docs/proof.md explains it.
    Command: keras-lstm train increment
    Result: proved for each of the seeds 0-9, with 4 boxes, from 12,800
        or 19,200 examples
        (`python scripts/benchmarks/seeds.py increment --seeds 0-9`).
    Time: 9 s on 2 cores, from the shell to the result.
    """
    return Config(
        preset="increment",
        task=Increment(),
        model=ModelConfig(forget_bias=-8.0),
        training=TrainingConfig(
            batch_size=128,
            epochs=10,
            steps_per_epoch=50,
            learning_rate=0.02,
            global_clipnorm=1.0,
            prove_from_epoch=1,
            prove_wait_steps=100,
            prove_ramp_steps=50,
        ),
    )


def increment_noise() -> Config:
    """Exact increment at any length, with noise instead of a proof.

    Noise keeps the states distinct. The network is right on every input that
    was ever checked, but not trained for a proof: boxes prove one seed of
    0-9.

    Returns:
        The configuration.

    Source: this project; docs/recipes.md says what was tried.
    Command: keras-lstm train increment --preset increment-noise
    Result: 0 wrong of 1,048,575 for each of the seeds 0-9, from 15,360
        examples
        (`python scripts/benchmarks/seeds.py increment-noise --seeds 0-9`).
    Time: 9 s on 2 cores from the shell to the result, of which 3 s import
        TensorFlow and Keras.
    """
    return Config(
        preset="increment-noise",
        task=Increment(),
        model=ModelConfig(input_noise=1.0, layer_noise=0.3, forget_bias=-8.0),
        training=TrainingConfig(
            batch_size=128,
            epochs=15,
            steps_per_epoch=10,
            learning_rate=0.03,
            schedule="cosine",
            global_clipnorm=1.0,
            monitor="val_sequence_accuracy",
            start_from_epoch=11,
        ),
    )


def increment_proved() -> Config:
    """Increment proved with a small network, of 8 units; 3 are enough.

    It takes longer than `increment`: the network is trained for 300 steps
    before boxes are added.

    Returns:
        The configuration.

    Source: this project; docs/proof.md explains it, and has the options for 3
        units.
    Command: keras-lstm train increment --preset increment-proved
    Result: proved for each of the seeds 0-9, with 4 or 8 boxes, from 44,800
        examples
        (`python scripts/benchmarks/seeds.py increment-proved --seeds 0-9`).
    Time: 15 s on 2 busy cores from the shell to the result.
    """
    return Config(
        preset="increment-proved",
        task=Increment(validation_examples=0),
        model=ModelConfig(units=8, num_layers=1, forget_bias=-8.0),
        training=TrainingConfig(
            batch_size=128,
            epochs=16,
            steps_per_epoch=50,
            learning_rate=0.02,
            global_clipnorm=1.0,
            prove_from_epoch=6,
        ),
    )


def increment_tutorial() -> Config:
    """Settings of the TensorFlow 1 tutorial on increment.

    Returns:
        The configuration.

    Source: the tutorial: its initial values, optimizer, sizes and stopping
        rule, which looks at the training average.
    Command: keras-lstm train increment --preset increment-tutorial
    Result: 30 wrong of the 786,431 held out, 42 of all 1,048,575 (seed 0);
        the training average reaches 99.995%, never 1.
    Time: 14 minutes on 2 cores, 27 if they are busy.
    """
    return Config(
        preset="increment-tutorial",
        task=Increment(sampling="permutation", validation_examples=0),
        model=ModelConfig(
            head="last_state",
            embedding_initializer="glorot_uniform",
            recurrent_initializer="glorot_uniform",
            output_kernel_initializer="truncated_normal(1.0)",
            output_bias_initializer="constant(0.1)",
        ),
        training=TrainingConfig(
            batch_size=512,
            epochs=100,
            optimizer="adagrad",
            learning_rate=0.1,
            monitor="sequence_accuracy",
        ),
    )


def increment_last_state() -> Config:
    """The tutorial's network, made exact by training on its errors.

    Returns:
        The configuration.

    Source: the tutorial's model; the training is this project's.
    Command: keras-lstm train increment --preset increment-last-state
    Result: 0 wrong of 1,048,575 for each of the seeds 0-9, from 512,000 to
        1,228,800 examples
        (`python scripts/benchmarks/seeds.py increment-last-state --seeds 0-9`).
    Time: 1 to 2 minutes on 2 busy cores.
    """
    return Config(
        preset="increment-last-state",
        task=Increment(sampling="carry"),
        model=ModelConfig(head="last_state"),
        training=TrainingConfig(
            batch_size=512,
            # At most 1,945,600 examples.
            epochs=38,
            steps_per_epoch=100,
            learning_rate=0.01,
            schedule="cosine",
            global_clipnorm=1.0,
            counterexamples_from_epoch=7,
        ),
    )


def machine() -> Config:
    """Any finite-state machine, learned from examples, or else constructed.

    If no proof is found by the end of the training, the weights are set from
    the machine, and the report says so (`taught_by`).

    Returns:
        The configuration.

    Source: this project.
    Command: keras-lstm train machine.dot
    Result: proved for all 17 machines of the library for each of the seeds
        0-9, 10 of them always by examples
        (`python scripts/benchmarks/machines.py --seeds 0-9`).
    Time: 14 to 35 s on 2 busy cores from the shell (medians of ten seeds).
    """
    return Config(
        preset="machine",
        task=FiniteStateMachine(sampling="lengths"),
        model=ModelConfig(
            units=64, num_layers=1, input_noise=1.0, forget_bias=-4.0
        ),
        training=TrainingConfig(
            batch_size=128,
            epochs=40,
            steps_per_epoch=25,
            learning_rate=0.03,
            schedule="cosine",
            global_clipnorm=1.0,
            prove_from_epoch=20,
            prove_ramp_steps=100,
            prove_radius=0.04,
            prove_containment_weight=0.2,
            prove_forget_weight=3.0,
            fallback="construction",
        ),
    )


def sequences() -> Config:
    """Sequences of tokens from a file of your own.

    Returns:
        The configuration.

    Source: this project; docs/own-data.md has results for three files.
    Command: keras-lstm train sequences --data syllables.csv
    Result: 96.06% of 11,733 test words have the right number of syllables for
        seed 0; logistic regression on their letters: 70.38%
        (`python scripts/benchmarks/own_data.py FOLDER` writes the file).
    Time: 5 minutes on 2 cores that did other work at the same time.
    """
    return Config(
        preset="sequences",
        task=TokenSequences(),
        model=ModelConfig(
            head="last_state",
            units=128,
            num_layers=1,
            embedding_dim=64,
            dropout=0.3,
        ),
        training=TrainingConfig(
            batch_size=64,
            epochs=12,
            keep_best=True,
            monitor="val_sequence_accuracy",
            learning_rate=0.003,
            schedule="cosine",
            warmup_fraction=0.05,
            global_clipnorm=1.0,
        ),
    )


def rows() -> Config:
    """Sequences of numbers from a file or a folder of images of your own.

    Returns:
        The configuration.

    Source: this project; docs/own-data.md has results.
    Command: keras-lstm train rows --data FILE.npz
    Result: mean 97.99%, lowest 97.77% of 179 digits of scikit-learn, read from
        a folder of pictures (`python scripts/benchmarks/own_features.py
        FOLDER`), for the seeds 0-4.
    Time: 27 to 56 s on 2 busy cores, most of it training.
    """
    return Config(
        preset="rows",
        task=FeatureSequences(),
        model=ModelConfig(
            head="last_state", units=128, num_layers=1, dropout=0.3
        ),
        training=TrainingConfig(
            batch_size=64,
            epochs=60,
            learning_rate=0.003,
            schedule="cosine",
            warmup_fraction=0.05,
            global_clipnorm=1.0,
        ),
    )


def image_rows() -> Config:
    """Best accuracy on rows of MNIST, read forwards only.

    Returns:
        The configuration.

    Source: this project; docs/recipes.md says what each part contributes.
    Command: keras-lstm train image-rows
    Result: mean 99.598%, lowest 99.56% of 10,000 test images for the seeds
        0-4 (`python scripts/benchmarks/seeds.py image-rows --seeds 0-4`);
        of Fashion-MNIST, with nothing changed, 89.79% and 89.57%.
    Time: 6 minutes on 2 cores, 8 if they are busy.
    """
    return Config(
        preset="image-rows",
        task=ImageRows(
            rotation=0.15, scale=0.08, shear=0.12, shift=2.0, elastic=0.7
        ),
        model=ModelConfig(
            head="last_state",
            units=128,
            num_layers=2,
            encoder_units=96,
            encoder_steps=5,
        ),
        training=TrainingConfig(
            batch_size=256,
            epochs=19,
            optimizer="adamw",
            learning_rate=0.003,
            schedule="cosine",
            # 180 steps of 4,085.
            warmup_fraction=0.0441,
            global_clipnorm=1.0,
            weight_decay=0.01,
            label_smoothing=0.1,
            # About 120 steps: a momentum of 0.992.
            ema_fraction=0.0294,
            early_prediction=0.3,
        ),
    )


def image_rows_tutorial() -> Config:
    """Settings of the TensorFlow 1 tutorial on rows of MNIST.

    Returns:
        The configuration.

    Source: https://jasdeep06.github.io/posts/Understanding-LSTM-in-Tensorflow-MNIST/
        whose 97.66% was on the first 128 test images.
    Command: keras-lstm train image-rows --preset image-rows-tutorial
    Result: 96.56% of all 10,000 test images; 98.44% of the first 128 (seed 0).
    Time: 21 s on 2 cores.
    """
    return Config(
        preset="image-rows-tutorial",
        task=ImageRows(test_first=128),
        model=ModelConfig(
            head="last_state",
            units=128,
            num_layers=1,
            output_kernel_initializer="random_normal(1.0)",
            output_bias_initializer="random_normal(1.0)",
        ),
        training=TrainingConfig(
            # 100,000 examples, rounded up to full batches.
            batch_size=128,
            steps_per_epoch=782,
            learning_rate=0.001,
        ),
    )


def digits() -> Config:
    """Rows of scikit-learn's 8 x 8 digits; needs no network and no files.

    Returns:
        The configuration.

    Source: this project.
    Command: keras-lstm train image-rows --preset digits
    Result: 98.89% of the 360 test images: 4 wrong (seed 0).
    Time: 11 s on 2 cores.
    """
    return Config(
        preset="digits",
        task=ImageRows(dataset="digits"),
        model=ModelConfig(
            head="last_state", units=128, num_layers=1, input_noise=0.2
        ),
        training=TrainingConfig(
            batch_size=64,
            epochs=40,
            learning_rate=0.005,
            schedule="cosine",
            global_clipnorm=1.0,
        ),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "increment": increment,
    "increment-noise": increment_noise,
    "increment-proved": increment_proved,
    "increment-tutorial": increment_tutorial,
    "increment-last-state": increment_last_state,
    "machine": machine,
    "sequences": sequences,
    "rows": rows,
    "image-rows": image_rows,
    "image-rows-tutorial": image_rows_tutorial,
    "digits": digits,
}


def get_preset(name: str, task: type[Task] | None = None) -> Config:
    """Look up a preset.

    Args:
        name: a name among `PRESETS`.
        task: class of the task to use the preset for, with the same
            `default_preset` as the preset's own task; None for its own task.

    Returns:
        The configuration.

    Raises:
        InputError: if there is no such preset, or it is for another kind of
            task.

    Example:

    >>> get_preset("increment", Parity).task
    Parity(num_bits=20, sampling='uniform', ...)
    """
    check_known(name, PRESETS, "preset")
    preset = PRESETS[name]()
    own = type(preset.task)
    if task is None or task is own:
        return preset
    if task.default_preset != own.default_preset:
        raise InputError(
            f"`preset` {name} is for {own.name}. Received: task={task.name}"
        )
    return preset.replace(task)


def describe(name: str) -> dict[str, str]:
    """Return the parts of a preset's docstring.

    Args:
        name: a name among `PRESETS`.

    Returns:
        The text of each part: "summary", "source", "command", "result" and
        "time"; without docstrings, an empty "summary" only.
    """
    lines = inspect.cleandoc(PRESETS[name].__doc__ or "").splitlines()
    # `python -OO` strips docstrings.
    lines = lines or [""]
    parts = {"summary": lines[0]}
    key = ""
    for line in lines[1:]:
        head, colon, rest = line.partition(": ")
        if colon and head in ("Source", "Command", "Result", "Time"):
            key = head.lower()
            parts[key] = rest.strip()
        elif key and line.startswith(" "):
            parts[key] += " " + line.strip()
        else:
            key = ""
    return parts
