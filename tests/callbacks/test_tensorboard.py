import csv
import time

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from events import graph, hparams, images, scalars, texts
from google.protobuf import text_format
from tensorboard.plugins import projector
from tensorboard.plugins.hparams import plugin_data_pb2

from keras_lstm.callbacks import tensorboard
from keras_lstm.callbacks.tensorboard import TensorBoard
from keras_lstm.cli import main
from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.monitoring.diagnostics import SequenceDiagnostics
from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.train import train

TASK = Increment(num_bits=6)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Finished run of increment."""
    run_dir = tmp_path_factory.mktemp("runs") / "mine"
    config = get_preset("increment-noise").replace(
        Increment,
        num_bits=6,
        units=8,
        epochs=5,
        monitor=None,
        strategy="default",
    )
    return train(config, run_dir, quiet=True)


def model(units=4):
    made = build_model(TASK, ModelConfig(units=units, num_layers=1))
    made.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return made


def dataset(batch_size=16):
    return make_dataset(TASK.splits(seed=0).train, batch_size, training=True)


def fit(board, epochs=2, steps=3):
    model().fit(
        board.watch(dataset()),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[board],
    )


def test_scalars_are_those_of_the_history(run):
    with (run.run_dir / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for folder, prefix in (("train", ""), ("validation", "val_")):
        found = scalars(run.run_dir / folder)
        for name in ("loss", "sequence_accuracy", "token_accuracy"):
            expected = [float(row[prefix + name]) for row in rows]
            values = [value for _, value in found[f"epoch_{name}"]]
            np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_each_epoch_is_measured(run):
    found = scalars(run.run_dir / "train")
    for name in (
        *("epoch_learning_rate", "examples_per_second"),
        *("gradient_norm/mean", "gradient_norm/largest"),
        *("step_seconds/input_wait", "step_seconds/compute"),
    ):
        assert [step for step, _ in found[name]] == list(range(5)), name
        # The learning rate ends at 0.
        assert all(value > 0 for _, value in found[name][:-1]), name
    parts = zip(
        found["step_seconds/input_wait"],
        found["step_seconds/compute"],
        found["step_seconds/total"],
        strict=True,
    )
    for (_, wait), (_, compute), (_, total) in parts:
        assert wait + compute == pytest.approx(total, rel=1e-4)
    for (_, mean), (_, largest) in zip(
        found["gradient_norm/mean"], found["gradient_norm/largest"], strict=True
    ):
        assert mean <= largest


def test_accuracy_is_shown_by_carry_length(run):
    found = scalars(run.run_dir)
    curves = [name for name in found if name.startswith("sequence_accuracy_by")]
    assert curves == [
        f"sequence_accuracy_by_carry_length/{n}" for n in range(6)
    ]
    last = [found[name][-1] for name in curves]
    assert [step for step, _ in last] == [4] * 6


def test_pictures_and_texts_are_of_the_model_at_the_end(run):
    found = images(run.run_dir)
    assert set(found) == {
        *("activations", "sequence_accuracy_by_carry_length"),
        "token_accuracy_by_position",
    }
    for name, pictures in found.items():
        assert pictures[-1][0] == 4, name
        # The picture is not blank.
        assert len(np.unique(pictures[-1][1].reshape(-1, 4), axis=0)) > 100
    said = texts(run.run_dir)
    wrong = run.report.num_wrong
    expected = f"{wrong:,} of 63 answers" if wrong else "Nothing is wrong"
    assert expected in said["result"]
    assert "of the 96 answers asked for here" in said["wrong_answers"]


def test_the_graph_is_the_train_step(run):
    names = [node.name for node in graph(run.run_dir / "train").node]
    for part in ("embedding", "lstm_2", "gradient"):
        assert any(part in name for name in names), part


def test_keras_itself_writes_no_graph(tmp_path):
    """If this fails, `GradientNorms.graph` is no longer needed."""
    model().fit(
        dataset(),
        steps_per_epoch=2,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.TensorBoard(tmp_path)],
    )
    assert graph(tmp_path / "train") is None


def test_keras_itself_writes_nothing_for_the_projector(tmp_path):
    """keras#20210: if this fails, `write_projector` may not be needed."""
    board = keras.callbacks.TensorBoard(tmp_path, embeddings_freq=1)
    model().fit(
        dataset(),
        steps_per_epoch=2,
        shuffle=False,
        verbose=0,
        callbacks=[board],
    )
    config = projector.ProjectorConfig()
    text = (tmp_path / "projector_config.pbtxt").read_text()
    text_format.Parse(text, config)
    (embedding,) = config.embeddings
    assert embedding.tensor_path == ""
    assert not list(tmp_path.rglob("*.ckpt*.index"))


def test_the_projector_gets_embedding_and_states(run):
    text = (run.run_dir / "projector_config.pbtxt").read_text()
    config = text_format.Parse(text, projector.ProjectorConfig())
    found = {each.tensor_name: each for each in config.embeddings}
    assert set(found) == {"embedding", "lstm_2_h"}
    tokens = np.loadtxt(run.run_dir / found["embedding"].tensor_path)
    np.testing.assert_allclose(
        tokens, run.model.get_layer("embedding").get_weights()[0], rtol=1e-5
    )
    states = np.loadtxt(run.run_dir / found["lstm_2_h"].tensor_path)
    path = run.run_dir / found["lstm_2_h"].metadata_path
    heading, *rows = path.read_text().splitlines()
    assert heading.split("\t") == ["state", "symbol", "step"]
    assert states.shape == (len(rows), 8) == (96 * 6, 8)
    # The first symbol of six determines the state.
    name, symbol, step = rows[0].split("\t")
    assert (name, symbol, step) in {("carry", "1", "0"), ("done", "0", "0")}


def test_what_tells_runs_apart_is_shown_with_the_scores(run):
    found = hparams(run.run_dir)
    content = plugin_data_pb2.HParamsPluginData.FromString(
        found["_hparams_/session_start_info"]
    )
    values = content.session_start_info.hparams
    assert values["units"].number_value == 8
    assert values["preset"].string_value == "increment-noise"
    assert values["monitor"].string_value == "None"
    assert "forget_bias" not in values
    assert content.session_start_info.group_name == "mine"
    content = plugin_data_pb2.HParamsPluginData.FromString(
        found["_hparams_/experiment"]
    )
    metrics = {
        (info.name.group, info.name.tag)
        for info in content.experiment.metric_infos
    }
    for group in ("train", "validation"):
        assert (group, "epoch_sequence_accuracy") in metrics
        assert "epoch_sequence_accuracy" in scalars(run.run_dir / group)


def test_curves_are_drawn_for_those_without_tensorboard(run):
    picture = tf.io.decode_png((run.run_dir / "curves.png").read_bytes())
    assert picture.shape[1] > picture.shape[0] > 100


def test_a_plain_fit_on_arrays(tmp_path):
    made = model()
    symbols, targets = next(iter(dataset(64)))
    made.fit(
        symbols.numpy(),
        targets.numpy(),
        batch_size=16,
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[TensorBoard(tmp_path)],
    )
    found = scalars(tmp_path / "train")
    assert len(found["examples_per_second"]) == 2
    assert "step_seconds/total" in found
    assert "step_seconds/input_wait" not in found


def test_waiting_for_input_is_told_from_computing(tmp_path):
    def slow(symbols):
        time.sleep(0.05)
        return symbols

    def delayed(symbols, targets):
        found = tf.numpy_function(slow, [symbols], tf.int32)
        return tf.ensure_shape(found, symbols.shape), targets

    board = TensorBoard(tmp_path)
    model().fit(
        board.watch(dataset().map(delayed)),
        steps_per_epoch=6,
        shuffle=False,
        verbose=0,
        callbacks=[board],
    )
    found = scalars(tmp_path / "train")
    # The first step is left out because it includes the tracing.
    assert found["step_seconds/input_wait"][0][1] > 0.025
    assert found["step_seconds/compute"][0][1] > 0


def test_examples_are_counted_on_two_replicas(tmp_path, mirrored, monkeypatch):
    with mirrored.scope():
        made = model()
    board = TensorBoard(tmp_path)
    counts = []
    count = board._count_examples
    monkeypatch.setattr(
        board, "_count_examples", lambda: counts.append(count()) or counts[-1]
    )
    made.fit(
        dataset(),
        epochs=2,
        steps_per_epoch=3,
        shuffle=False,
        verbose=0,
        callbacks=[board],
    )
    # In the first epoch the count starts at the second step, because the
    # first is traced; in the second epoch it starts at the first.
    assert counts == [16, 48, 0, 48]
    found = scalars(tmp_path / "train")
    assert len(found["gradient_norm/mean"]) == 2


@pytest.mark.slow
def test_what_is_shown_does_not_change_what_is_learned(tmp_path):
    weights = []
    for board in (None, TensorBoard(tmp_path, SequenceDiagnostics(TASK))):
        keras.utils.set_random_seed(0)
        made = build_model(TASK, ModelConfig(units=4, input_noise=0.5), seed=1)
        made.compile(
            keras.optimizers.Adam(0.01, global_clipnorm=0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        made.fit(
            dataset() if board is None else board.watch(dataset()),
            epochs=2,
            steps_per_epoch=5,
            shuffle=False,
            verbose=0,
            callbacks=[board] if board else [],
        )
        weights.append(made.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("epochs", "drawn"),
    [
        (10, [0, 1, 3, 7, 9]),
        pytest.param(100, [0, 1, 3, 7, 15, 31, 63, 99], marks=pytest.mark.slow),
    ],
)
def test_a_long_training_writes_little(tmp_path, monkeypatch, epochs, drawn):
    # As if diagnostics took no time.
    monkeypatch.setattr(tensorboard._TimeBudget, "is_due", lambda self: True)
    fit(
        TensorBoard(tmp_path, SequenceDiagnostics(TASK)), epochs=epochs, steps=1
    )
    pictures = images(tmp_path)["activations"]
    assert [step for step, _ in pictures] == drawn
    asked = scalars(tmp_path)["sequence_accuracy_by_carry_length/0"]
    assert [step for step, _ in asked] == list(range(epochs))
    size = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
    assert size < 3_000_000


def test_work_keeps_to_its_share(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(tensorboard.time, "monotonic", lambda: now[0])
    budget = tensorboard._TimeBudget(0.1, 2.0)
    now[0] = 19.0
    assert not budget.is_due()
    now[0] = 20.0
    assert budget.is_due()

    def work(seconds):
        with budget:
            now[0] += seconds

    # The first time is not counted.
    work(50.0)
    assert budget.is_due()
    work(4.0)
    # 4 s spent and another 4 s are a tenth of 80 s.
    now[0] = 79.0
    assert not budget.is_due()
    now[0] = 80.0
    assert budget.is_due()


def test_epochs_seen_before_a_resume_are_kept(tmp_path):
    board = TensorBoard(tmp_path / "a", SequenceDiagnostics(TASK))
    fit(board, epochs=2)
    again = TensorBoard(tmp_path / "b", SequenceDiagnostics(TASK))
    again.set_model(model())
    again.on_train_begin()
    again.set_state(board.get_state())
    assert again.get_state() == board.get_state()
    assert again.diagnostics.get_state()["epochs"][-1] == 2


def test_images_are_shown(tmp_path):
    config = get_preset("digits").replace(ImageRows, epochs=2)
    train(config, tmp_path / "run", quiet=True)
    assert set(images(tmp_path / "run")) == {
        *("mistakes", "confusion", "accuracy_by_rows")
    }
    found = scalars(tmp_path / "run")
    assert [name for name in found if name.startswith("accuracy_by_rows")] == [
        f"accuracy_by_rows/{row:02}" for row in (1, 2, 3, 4, 5, 6, 8)
    ]
    (path,) = (tmp_path / "run" / "projector").glob("*_h-metadata.tsv")
    assert path.read_text().startswith("class\trows\timage\n")


@pytest.mark.slow
def test_steps_are_profiled_on_request(tmp_path, capsys):
    run_dir = tmp_path / "run"
    short = ["train", "increment", "--num-bits", "6", "--units", "4"]
    short += ["--epochs", "1", "--quiet", "--run-dir", str(run_dir)]
    assert main([*short, "--profile-steps", "3,4"]) == 0
    (trace,) = run_dir.rglob("*.xplane.pb")
    assert trace.stat().st_size > 1000
    for wrong in ("4,3", "0,1", "x", "3"):
        assert main([*short, "--profile-steps", wrong]) == 2
        err = capsys.readouterr().err
        assert f"Received: profile_steps={wrong}" in err


@pytest.mark.slow
def test_keras_tuner_gives_each_trial_a_folder(tmp_path):
    def build(hp):
        return model(hp.Choice("units", [2, 3]))

    tuner = keras_tuner.GridSearch(
        build,
        keras_tuner.Objective("loss", "min"),
        directory=tmp_path / "tuner",
    )
    tuner.search(
        dataset(),
        steps_per_epoch=2,
        shuffle=False,
        verbose=0,
        callbacks=[TensorBoard(tmp_path / "logs", SequenceDiagnostics(TASK))],
    )
    for trial in ("0000", "0001"):
        folder = tmp_path / "logs" / trial / "execution0"
        assert "activations" in images(folder)
        assert "epoch_loss" in scalars(folder / "train")


def test_what_others_have_trained_is_not_counted(tmp_path):
    made = model()

    def fit_on(*callbacks):
        made.fit(
            dataset(),
            steps_per_epoch=4,
            shuffle=False,
            verbose=0,
            callbacks=list(callbacks),
        )

    fit_on(TensorBoard(tmp_path / "first"))
    fit_on()
    fit_on(TensorBoard(tmp_path / "second"))
    found = scalars(tmp_path / "second" / "train")
    ((_, mean),) = found["gradient_norm/mean"]
    ((_, largest),) = found["gradient_norm/largest"]
    assert 0 < mean <= largest


def test_two_boards_show_the_same_gradients(tmp_path):
    boards = [TensorBoard(tmp_path / name) for name in ("one", "other")]
    model().fit(
        dataset(),
        epochs=2,
        steps_per_epoch=3,
        shuffle=False,
        verbose=0,
        callbacks=boards,
    )
    one, other = (
        scalars(tmp_path / name / "train")["gradient_norm/mean"]
        for name in ("one", "other")
    )
    assert one == other
    assert len(one) == 2
    assert one[0] != one[1]


def test_models_that_cannot_be_looked_into_are_trained_all_the_same(tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = keras.layers.Embedding(2, 3)
            self.lstm = keras.layers.LSTM(3, return_sequences=True)
            self.logits = keras.layers.Dense(2)

        def call(self, inputs):
            return self.logits(self.lstm(self.embedding(inputs)))

    made = Own()
    made.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    made.fit(
        dataset(),
        steps_per_epoch=2,
        shuffle=False,
        verbose=0,
        callbacks=[TensorBoard(tmp_path, SequenceDiagnostics(TASK))],
    )
    assert set(images(tmp_path)) == {
        *("sequence_accuracy_by_carry_length", "token_accuracy_by_position")
    }


def test_arrays_cannot_be_watched(tmp_path):
    with pytest.raises(InputError, match="`dataset` must be a tf"):
        TensorBoard(tmp_path).watch((np.ones((4, 2)), np.ones(4)))
