import json
import types

import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.cli import main
from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.models.early_prediction import build_stepwise_model
from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.train import train
from keras_lstm.verification.evaluation import Evaluation, accuracy_by_step
from keras_lstm.verification.evaluation_details import (
    evaluation_details,
    evaluation_details_text,
)


def task(num_classes=10):
    """Return the attributes of a task that the functions read."""
    return types.SimpleNamespace(
        num_classes=num_classes,
        class_names=None,
        step_label="row",
        example_label="image",
    )


def sketches(images):
    """Return the images as ImageRows sketches them."""
    return [ImageRows(dataset="digits").sketch(image) for image in images]


def evaluation(targets, predictions, confidences=None):
    size = len(targets)
    return Evaluation(
        np.array(targets, np.int32),
        np.array(predictions, np.int32),
        np.zeros(size, np.float32),
        np.array(confidences or [0.5] * size, np.float32),
    )


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """Return the folder of a run that gets some images wrong."""
    run_dir = tmp_path_factory.mktemp("digits") / "run"
    config = get_preset("digits").replace(ImageRows, epochs=4)
    train(config, run_dir, quiet=True)
    return run_dir


def test_the_figures_are_the_definitions():
    result = evaluation([0, 0, 1, 1, 2], [0, 1, 1, 1, 0])
    report = evaluation_details(result, np.array([0.2, 0.6]), task(3))
    assert (report["num_examples"], report["num_wrong"]) == (5, 2)
    assert report["sequence_accuracy"] == 3 / 5
    assert report["confusion"] == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert [row["precision"] for row in report["by_class"]] == [
        0.5,
        2 / 3,
        None,
    ]
    assert [row["recall"] for row in report["by_class"]] == [1 / 2, 1, 0]
    assert report["accuracy_by_rows"] == [0.2, 0.6]
    json.dumps(report, allow_nan=False)


def test_the_interval_is_wilsons():
    # Brown, Cai and DasGupta (2001) give the formula.
    right, n, z = 9940, 10_000, 1.959963984540054
    result = evaluation([0] * n, [0] * right + [1] * (n - right))
    accuracy = right / n
    middle = (accuracy + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(accuracy * (1 - accuracy) / n + z**2 / (4 * n**2))
    reach /= 1 + z**2 / n
    found = evaluation_details(result, np.array([1.0]), task(2))["interval_95"]
    assert found == pytest.approx([middle - reach, middle + reach], rel=1e-9)
    # A sample without mistakes does not exclude mistakes on other inputs.
    result = evaluation([0] * 50, [0] * 50)
    low, high = evaluation_details(result, np.array([1.0]), task(2))[
        "interval_95"
    ]
    assert 0.9 < low < 1
    assert high == 1


def test_the_most_confident_mistakes_come_first():
    result = evaluation([0, 1, 2, 0], [0, 0, 1, 1], [0.99, 0.4, 0.9, 0.6])
    np.testing.assert_array_equal(result.confident_mistakes(), [2, 3, 1])
    result = evaluation([0, 1, 2], [0, -1, 1], [0.9, np.nan, 0.2])
    np.testing.assert_array_equal(result.confident_mistakes(), [2, 1])
    assert result.num_wrong == 2


def test_the_text_shows_mistakes_first():
    result = evaluation([3, 1], [8, 1], [0.9, 0.9])
    report = evaluation_details(result, np.linspace(0, 0.5, 4), task())
    images = np.zeros((1, 4, 4), np.float32)
    images[0, :2] = 1.0
    lines = evaluation_details_text(
        report, sketches(images), task()
    ).splitlines()
    assert lines[0] == "The most confident mistakes:"
    assert lines[1].strip() == "@@@@"
    assert lines[2].strip() == ""
    assert lines[3] == "3, said 8 (90%)"
    assert any(line.startswith("50% of 2 images are right") for line in lines)
    assert "        4   50%" in lines


@pytest.mark.parametrize(("columns", "across"), [(20, 1), (60, 3), (200, 6)])
def test_pictures_fit_the_terminal(monkeypatch, columns, across):
    monkeypatch.setenv("COLUMNS", str(columns))
    report = evaluation_details(
        evaluation([3] * 8, [8] * 8), np.array([0.0]), task()
    )
    text = evaluation_details_text(
        report, sketches(np.ones((8, 4, 4), np.float32)), task()
    )
    lines = [line for line in text.splitlines() if "said" in line]
    assert [line.count("said") for line in lines] == [across] * (6 // across)


def test_without_mistakes_there_are_no_pictures():
    report = evaluation_details(evaluation([1], [1]), np.array([1.0]), task())
    text = evaluation_details_text(report, [], task())
    assert text.startswith("100% of 1 images are right: 0 are wrong.")


def test_asking_after_a_row_is_asking_an_image_that_ends_there():
    task = ImageRows(dataset="digits")
    model = build_model(
        task,
        ModelConfig("last_state", 6, encoder_units=5, encoder_steps=3),
    )
    split = task.splits(seed=0).test
    by_step = accuracy_by_step(model, split)
    images, labels = next(iter(make_dataset(split, 360)))
    shorter = build_model(
        task, ModelConfig("last_state", 6, encoder_units=5, encoder_steps=3)
    )
    every = build_stepwise_model(model).predict(images, verbose=0)
    for rows in (1, 5, 8):
        import keras

        inputs = keras.Input((rows, 8))
        x = inputs
        for layer in shorter.layers[1:]:
            x = layer(x)
        short = keras.Model(inputs, x)
        short.set_weights(model.get_weights())
        logits = short.predict(images[:, :rows], verbose=0)
        np.testing.assert_allclose(every[:, rows - 1], logits, atol=1e-5)
        right = (logits.argmax(-1) == labels.numpy()).mean()
        assert by_step[rows - 1] == pytest.approx(right)


def test_evaluate_reports_what_train_found(digits_run, capsys):
    assert main(["evaluate", str(digits_run)]) == 0
    out = capsys.readouterr().out
    report = json.loads((digits_run / "report.json").read_text())
    assert out.startswith("The most confident mistakes:")
    assert f": {report['num_wrong']} are wrong" in out
    assert main(["evaluate", str(digits_run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for key in ("num_examples", "num_wrong", "sequence_accuracy"):
        assert found[key] == report[key]
    assert found["accuracy_by_rows"][-1] == found["sequence_accuracy"]
    assert len(found["accuracy_by_rows"]) == 8
    assert np.sum(found["confusion"]) == 360
    assert len(found["mistakes"]) == min(20, found["num_wrong"])


def test_bad_input_to_evaluate(digits_run, tmp_path, capsys, write_dataset):
    write_dataset(tmp_path)
    arguments = ["--dataset", "mnist", "--data-dir", str(tmp_path)]
    assert main(["evaluate", str(digits_run), *arguments]) == 2
    err = capsys.readouterr().err
    assert "`dataset` must have images of (8, 8)" in err
    assert main(["evaluate", str(digits_run), "--dataset", "cats"]) == 2
    assert "`dataset` must be one of" in capsys.readouterr().err
    run_dir = tmp_path / "sequence"
    config = get_preset("increment-noise").replace(
        Increment, num_bits=4, epochs=1
    )
    train(config, run_dir, quiet=True)
    assert main(["evaluate", str(run_dir)]) == 2
    err = capsys.readouterr().err
    assert "must hold a run with a test split" in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_the_preset_takes_either_dataset(
    tmp_path, write_dataset, dataset, capsys
):
    folder = tmp_path / "files"
    folder.mkdir()
    write_dataset(folder, num_train=5400)
    run_dir = tmp_path / "run"
    arguments = ["--dataset", dataset, "--data-dir", str(folder), "--smoke"]
    arguments += ["--quiet", "--run-dir", str(run_dir)]
    assert main(["train", "image-rows", *arguments]) == 0
    report = json.loads((run_dir / "report.json").read_text())
    assert (report["preset"], report["num_examples"]) == ("image-rows", 50)
    assert report["num_parameters"] <= 500_000
    capsys.readouterr()
    assert main(["evaluate", str(run_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == dataset


@pytest.mark.parametrize("option", ["shift", "elastic"])
def test_augmentation_is_for_training_alone(option):
    task = ImageRows(dataset="digits", **{option: 2.0})
    plain = ImageRows(dataset="digits")
    splits, stock = task.splits(seed=0), plain.splits(seed=0)
    assert splits.validation.augment is splits.test.augment is None
    assert stock.train.augment is None

    def first(split, **options):
        return next(iter(make_dataset(split, 32, **options)))[0].numpy()

    moved = first(splits.train, training=True, seed=1)
    np.testing.assert_array_equal(
        moved, first(splits.train, training=True, seed=1)
    )
    assert (moved != first(splits.train, training=True, seed=2)).any()
    original = first(stock.train, training=True, seed=1)
    assert (moved != original).any()
    # Each pass over the same images draws other maps.
    passes = make_dataset(splits.train, 1257, training=True, seed=1)
    one, two = (np.sort(x.numpy().sum((1, 2))) for x, _ in passes.take(2))
    assert (one != two).any()
    np.testing.assert_array_equal(first(splits.train), first(stock.train))
    tf.debugging.assert_all_finite(moved, "")
