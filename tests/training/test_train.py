import csv
import dataclasses
import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.core.errors import InputError, RunError
from keras_lstm.models.build import build_model
from keras_lstm.models.metrics import SequenceAccuracy
from keras_lstm.pages import run_page
from keras_lstm.presets import get_preset
from keras_lstm.runs.report import StopReason
from keras_lstm.runs.results import write_results
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Decrement, Increment, Parity
from keras_lstm.training import train as training
from keras_lstm.training.train import train
from keras_lstm.verification.evaluation import accuracy_by_step, evaluate
from keras_lstm.verification.verify import verify

SMALL = {"num_bits": 6, "units": 8, "epochs": 2, "steps_per_epoch": 5}


def small(task=Increment, **values):
    return get_preset("increment-noise").replace(task, **(SMALL | values))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space"), "OSError: [Errno 28] No space"),
        # A custom task may raise anything.
        (ZeroDivisionError("in\n\x1bnotation"), "in \\x1bnotation"),
    ],
)
def test_a_page_that_cannot_be_written_leaves_the_run(
    tmp_path, monkeypatch, capsys, error, text
):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(run_page, "write_run_page", fail)
    result = train(small(), tmp_path / "a run", quiet=True)
    assert (result.run_dir / "report.json").exists()
    assert not (result.run_dir / "report.html").exists()
    message = capsys.readouterr().err
    assert message.startswith("page and model card: ")
    assert message.endswith(
        f"{text}. To write them: keras-lstm report '{result.run_dir}'\n"
    )


def test_a_signal_while_results_are_written_loses_nothing(
    tmp_path, monkeypatch
):
    def write_with_signal(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return write_results(*args)

    path = f"{train.__module__}.write_results"
    monkeypatch.setattr(path, write_with_signal)
    result = train(small(epochs=1), tmp_path / "run", quiet=True)
    names = {path.name for path in result.run_dir.iterdir()}
    assert {"report.json", "README.md", "report.html", "model.keras"} <= names


def test_a_run_folder_holds_what_it_should(tmp_path):
    result = train(small(), tmp_path / "run", quiet=True, import_seconds=1.5)
    names = {
        path.name
        for path in result.run_dir.iterdir()
        if not path.name.startswith("events.")
    }
    assert names == {
        *("config.yaml", "model.keras", "history.csv", "report.json"),
        *("failures.csv", "train", "validation", "checkpoints", ".lock"),
        *("curves.png", "projector", "projector_config.pbtxt"),
        *("report.html", "README.md"),
    }
    report = json.loads((result.run_dir / "report.json").read_text())
    assert report == result.report.to_mapping()
    assert report["task"] == "increment"
    assert report["preset"] == "increment-noise"
    assert report["checked"] == "all inputs"
    assert report["num_examples"] == 63
    assert report["num_wrong"] == result.check.num_wrong > 0
    assert report["sequence_accuracy"] == (63 - report["num_wrong"]) / 63
    assert report["training_examples"] == 2 * 5 * 128
    # 1,280 draws from 63 inputs hit every one.
    assert report["distinct_training_examples"] == 63
    assert (report["optimizer_steps"], report["epochs"]) == (10, 2)
    assert report["stopped_because"] == "all_epochs"
    assert report["test_num_examples"] is None
    assert report["proved"] is False
    assert report["seconds"]["import"] == 1.5
    assert set(report["seconds"]) == {
        *("import", "build", "train", "check", "total")
    }
    assert set(report["versions"]) == {
        *("python", "tensorflow", "keras", "keras_lstm")
    }
    with (result.run_dir / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["loss"]) for row in rows] == result.history["loss"]
    with (result.run_dir / "failures.csv").open() as file:
        failures = list(csv.DictReader(file))
    assert len(failures) == report["num_wrong"]
    first = failures[0]
    assert int(first["target"], 2) == int(first["input"], 2) + 1
    assert first["wrong"] == "".join(
        ".^"[a != b]
        for a, b in zip(first["target"], first["prediction"], strict=True)
    )
    events = list((result.run_dir / "validation").iterdir())
    assert len(events) == 1


@pytest.mark.slow
def test_the_same_configuration_gives_the_same_weights(tmp_path):
    runs = [
        train(small(seed=seed), tmp_path / name, quiet=True)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, again, other = (run.model.get_weights() for run in runs)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).any()
    histories = [(run.run_dir / "history.csv").read_text() for run in runs]
    assert histories[0] == histories[1] != histories[2]


def test_a_worker_but_the_chief_writes_no_page(tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(
        run_page, "write_run_page", lambda run, *_: pages.append(run.run_dir)
    )
    path = f"{train.__module__}.leads_cluster"
    monkeypatch.setattr(path, lambda config: False)
    result = train(small(epochs=1), tmp_path / "run", quiet=True)
    assert pages == []
    assert result.run_dir != tmp_path / "run"


def test_the_saved_model_is_stock_and_uncompiled(tmp_path):
    result = train(small(), tmp_path / "run", quiet=True)
    model = keras.saving.load_model(result.run_dir / "model.keras")
    assert not model.compiled
    for one, other in zip(
        model.get_weights(), result.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_training_stops_when_the_validation_part_is_right(tmp_path):
    config = small(
        num_bits=2, epochs=30, steps_per_epoch=10, start_from_epoch=1
    )
    result = train(config, tmp_path / "run", quiet=True)
    accuracies = result.history["val_sequence_accuracy"]
    assert accuracies[-1] == 1.0
    assert 1 < len(accuracies) < 30
    assert all(value < 1.0 for value in accuracies[1:-1])
    assert result.report.stopped_because is StopReason.FULL_ACCURACY


@pytest.mark.slow
@pytest.mark.parametrize("task", [Decrement, Parity])
def test_the_relatives_are_learned_too(tmp_path, task):
    config = get_preset("increment-noise").replace(task, num_bits=10)
    result = train(config, tmp_path / "run", quiet=True)
    assert result.report.num_wrong == 0
    assert result.report.num_examples == config.task.num_inputs()


def test_a_held_out_part_is_reported(tmp_path):
    config = small(
        sampling="permutation",
        train_examples=40,
        validation_examples=0,
        batch_size=16,
        steps_per_epoch=None,
        monitor="sequence_accuracy",
    )
    report = train(config, tmp_path / "run", quiet=True).report
    assert report.test_num_examples == 23
    assert report.distinct_training_examples == 40
    # A pass over 40 examples takes three batches of 16.
    assert report.optimizer_steps == 2 * 3


@pytest.mark.slow
def test_what_is_wrong_is_fed_back_until_nothing_is(tmp_path, capfd):
    config = small(
        head="last_state",
        num_bits=7,
        sampling="carry",
        batch_size=64,
        epochs=60,
        steps_per_epoch=20,
        learning_rate=0.02,
        monitor=None,
        counterexamples_from_epoch=2,
    )
    report = train(config, tmp_path / "run").report
    assert report.num_wrong == 0
    assert report.stopped_because is StopReason.NOTHING_WRONG
    assert 0 < report.distinct_training_examples <= 127
    last = f"epoch {report.epochs}: 0 of 127 are wrong"
    assert last in capfd.readouterr().err


def test_mistakes_need_predictions_at_the_end_alone():
    with pytest.raises(
        InputError, match="`counterexamples_from_epoch` needs a"
    ):
        get_preset("digits").replace(
            counterexamples_from_epoch=1, early_prediction=0.3
        )


@pytest.mark.slow
def test_early_answers_are_learned_and_the_model_stays_stock(tmp_path):
    def by_step(name, **values):
        config = get_preset("digits").replace(ImageRows, epochs=12, **values)
        model = train(config, tmp_path / name, quiet=True).model
        loaded = keras.saving.load_model(tmp_path / name / "model.keras")
        assert [x.name for x in loaded.layers] == [x.name for x in model.layers]
        assert loaded.output_shape == (None, 10)
        return accuracy_by_step(loaded, config.task.splits(seed=0).test)

    plain, early = by_step("plain"), by_step("early", early_prediction=1.0)
    assert early[5] > plain[5] + 0.1
    assert early[7] > 0.9


@pytest.mark.slow
def test_averaged_weights_are_what_is_kept(tmp_path):
    config = get_preset("digits").replace(ImageRows, epochs=3, ema_fraction=0.2)
    result = train(config, tmp_path / "run", quiet=True)
    # The weights that were validated are those that were saved.
    split = config.task.splits(seed=0).validation
    found = evaluate(result.model, split)
    fraction = 1 - found.num_wrong / found.num_examples
    assert result.report.validation_accuracy == pytest.approx(fraction)
    plain = train(
        config.replace(ImageRows, ema_fraction=None), tmp_path / "b", quiet=True
    )
    assert np.any(plain.model.get_weights()[0] != result.model.get_weights()[0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"head": "last_state", "num_bits": 4}, "one label per example"),
        ({"prove_from_epoch": 1}, "for different tasks"),
    ],
)
def test_early_answers_need_one_label(values, message):
    with pytest.raises(InputError, match=message):
        small(early_prediction=0.3, **values)


@pytest.mark.slow
def test_label_smoothing_changes_the_loss(tmp_path):
    config = get_preset("digits").replace(ImageRows, epochs=1)
    losses = [
        train(
            config.replace(ImageRows, label_smoothing=smoothing),
            tmp_path / str(smoothing),
            quiet=True,
        ).history["loss"][0]
        for smoothing in (0.0, 0.5)
    ]
    assert losses[1] > losses[0] + 0.1


def test_every_test_image_is_measured(tmp_path):
    config = get_preset("digits").replace(
        ImageRows, epochs=1, steps_per_epoch=3, test_first=100
    )
    report = train(config, tmp_path / "run", quiet=True).report
    assert report.checked == "test split"
    assert report.num_examples == report.test_num_examples == 360
    assert report.sequence_accuracy == (360 - report.num_wrong) / 360
    assert report.test_first_num_examples == 100
    lines = (tmp_path / "run" / "failures.csv").read_text().splitlines()
    assert lines[0] == "input,target,prediction,confidence"
    assert len(lines) == 1 + report.num_wrong
    # The most confident mistake is named by its place in the test split.
    place, target, said, _ = lines[1].split(",")
    index = int(place.removeprefix("image "))
    image, label = config.task.splits(0).test.batch([index])
    assert int(target) == int(label[0])
    logits = load_run(tmp_path / "run").model(image).numpy()
    assert int(said) == logits.argmax() != int(target)


def test_a_run_starts_from_another_ones_weights(tmp_path):
    first = train(small(), tmp_path / "a", quiet=True)
    config = small(learning_rate=1e-30, epochs=1)
    second = train(config, tmp_path / "b", init_from=first.run_dir, quiet=True)
    for one, other in zip(
        first.model.get_weights(), second.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="`init_from` must hold a model"):
        train(small(units=9), tmp_path / "c", init_from=first.run_dir)
    assert not (tmp_path / "c").exists()


def compiled(config, units=8):
    """A model of our own: SGD, and a layer that only training needs."""
    built = build_model(
        config.task, dataclasses.replace(config.model, units=units)
    )
    outputs = keras.layers.Dropout(0.1, name="ours")(built.output)
    model = keras.Model(built.input, outputs)
    model.compile(
        keras.optimizers.SGD(0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[SequenceAccuracy()],
    )
    return model


def test_a_model_of_the_users_own_is_trained(tmp_path):
    config = small()
    model = compiled(config)
    before = [weight.copy() for weight in model.get_weights()]
    result = train(config, tmp_path / "run", model=model, quiet=True)
    assert [layer.name for layer in result.model.layers] == [
        layer.name for layer in build_model(config.task, config.model).layers
    ]
    for layer in result.model.layers:
        own = model.get_layer(layer.name)
        for one, other in zip(
            layer.get_weights(), own.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert any(
        (one != other).any()
        for one, other in zip(before, model.get_weights(), strict=True)
    )


def test_a_model_with_other_layers_is_refused_before_training(tmp_path):
    config = small()
    with pytest.raises(InputError, match=r"`model` .* layer `lstm_1` has"):
        train(config, tmp_path / "run", model=compiled(config, units=9))
    other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    other.compile("sgd", "mse")
    with pytest.raises(InputError, match="Received: no such layer"):
        train(config, tmp_path / "run", model=other)
    assert not (tmp_path / "run").exists()


def test_two_replicas_train_through_the_same_call(
    tmp_path, mirrored, monkeypatch
):
    monkeypatch.setattr(
        training, "get_strategy", lambda name, seconds: mirrored
    )
    with pytest.raises(InputError, match="multiple of the 2 replicas"):
        train(small(batch_size=7), tmp_path / "odd")
    config = get_preset("increment-noise").replace(Increment, num_bits=10)
    result = train(config, tmp_path / "run", quiet=True)
    assert result.report.num_wrong == 0


@pytest.mark.slow
def test_mixed_precision_trains(tmp_path):
    config = small(precision="mixed_float16")
    result = train(config, tmp_path / "run", quiet=True)
    assert result.report.checked == "all inputs"
    assert result.report.method == "predict"
    assert result.history["loss"][1] < result.history["loss"][0]


def test_a_run_whose_numbers_go_wrong_fails(tmp_path):
    config = small(learning_rate=1e38, global_clipnorm=None, monitor=None)
    with pytest.raises(RunError) as error:
        train(config, tmp_path / "run", quiet=True)
    message = str(error.value)
    assert "a weight is not finite after step 1 (learning rate" in message
    assert f"{tmp_path}/run/checkpoints/step-000000000.ckpt" in message
    assert not (tmp_path / "run" / "report.json").exists()
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.parametrize("name", ["config.yaml", "model.keras", "report.json"])
def test_a_folder_that_holds_a_run_is_refused(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=f"must not hold a run.*{name}"):
        train(small(), tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps_per_epoch": None}, "`steps_per_epoch` must be given"),
        ({"validation_examples": 0}, "`monitor` needs a validation part"),
        (
            {
                "sampling": "permutation",
                "train_examples": 40,
                "validation_examples": 0,
                "monitor": None,
            },
            "`batch_size` must be at most the 40 training",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_first(values, message):
    with pytest.raises(InputError, match=message):
        small(**values)


@pytest.mark.slow
def test_the_noise_preset_is_exact_for_ten_seeds(tmp_path):
    for seed in range(10):
        config = get_preset("increment-noise").replace(Increment, seed=seed)
        report = train(config, tmp_path / str(seed), quiet=True).report
        assert report.num_wrong == 0
        assert report.num_examples == 1_048_575
        assert report.training_examples <= 20_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_last_state_preset_is_exact_for_ten_seeds(tmp_path):
    for seed in range(10):
        config = get_preset("increment-last-state")
        config = config.replace(Increment, seed=seed)
        report = train(config, tmp_path / str(seed), quiet=True).report
        assert report.num_wrong == 0
        assert report.training_examples <= 2_000_000
        assert report.stopped_because is StopReason.NOTHING_WRONG


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_noise_preset_holds_at_lengths_never_trained_on(tmp_path):
    for seed in range(10):
        config = get_preset("increment-noise").replace(Increment, seed=seed)
        model = train(config, tmp_path / str(seed), quiet=True).model
        for num_bits in (64, 256, 1024, 4096):
            found = verify(model, Increment(num_bits=num_bits))
            assert found.num_wrong == 0
            assert "inputs of these kinds" in found.checked


@pytest.mark.slow
def test_the_digits_preset_reaches_its_figure(tmp_path):
    report = train(get_preset("digits"), tmp_path / "run", quiet=True).report
    assert report.sequence_accuracy >= 0.97


@pytest.mark.slow
def test_the_image_tutorial_reaches_its_figure(tmp_path, mnist_dir):
    config = get_preset("image-rows-tutorial")
    report = train(config, tmp_path / "run", quiet=True).report
    assert report.num_examples == 10_000
    assert report.sequence_accuracy >= 0.955


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_increment_tutorial_reaches_its_figure(tmp_path):
    config = get_preset("increment-tutorial")
    report = train(config, tmp_path / "run", quiet=True).report
    assert report.test_num_examples == 786_431
    assert report.test_num_wrong <= 100


def test_a_file_in_place_of_tensorboards_folder_is_one_line(tmp_path):
    (tmp_path / "train").touch()
    with (
        pytest.raises(
            OSError, match=r"TensorBoard's event file: .*Not a directory"
        ),
        training._failures_in_one_line(),
    ):
        tf.summary.create_file_writer(str(tmp_path / "train"))
