import types

import keras
import keras_tuner
import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.tuning.hypermodel import LSTMHyperModel
from keras_lstm.tuning.scores import FAILED, score
from keras_lstm.tuning.settings import SEARCHABLE

SMALL = get_preset("increment-noise").replace(
    Increment, num_bits=6, epochs=6, steps_per_epoch=10
)
DIGITS = get_preset("digits").replace(ImageRows, epochs=1)


def test_units_are_searched_first_of_all():
    hp = keras_tuner.HyperParameters()
    LSTMHyperModel(SMALL).config_of(hp)
    (units,) = hp.space
    assert units.values == [8, 16, 24, 32, 48, 64, 96, 128]


def test_all_that_can_be_searched_gets_into_the_configuration():
    hp = keras_tuner.HyperParameters()
    hypermodel = LSTMHyperModel(SMALL, SEARCHABLE)
    hypermodel.config_of(hp)
    hp.values |= {"units": 24, "num_layers": 3, "learning_rate": 0.005}
    hp.values |= {"embedding_dim": 4, "dropout": 0.2}
    config = hypermodel.config_of(hp)
    assert config.model.units == 24
    assert config.model.num_layers == 3
    assert config.model.embedding_dim == 4
    assert config.model.dropout == 0.2
    assert config.training.learning_rate == 0.005
    assert config.task == SMALL.task


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (["unit"], "Did you mean `units`"),
        (["seed"], "`seed` is no searchable option"),
        ([], "`search` must name an option"),
    ],
)
def test_what_cannot_be_searched_is_refused(search, message):
    with pytest.raises(InputError, match=message):
        LSTMHyperModel(SMALL, search)


@pytest.mark.slow
def test_a_search_in_somebodys_own_script(tmp_path):
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(epoch)

    tuner = keras_tuner.RandomSearch(
        LSTMHyperModel(SMALL),
        keras_tuner.Objective("score", "min"),
        max_trials=2,
        seed=0,
        directory=tmp_path,
    )
    tuner.search(callbacks=[Seen()], verbose=0)
    trials = tuner.oracle.get_best_trials(2)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    assert trials[0].score <= trials[1].score
    for trial in trials:
        metrics = trial.metrics
        assert trial.score == metrics.get_best_value("score")
        examples = metrics.get_best_value("training_examples")
        wrong = metrics.get_best_value("num_wrong")
        report = types.SimpleNamespace(
            num_wrong=int(wrong), training_examples=examples, num_parameters=0
        )
        assert trial.score == score(report, "cost")
    assert seen
    best = tuner.get_best_hyperparameters()[0]
    assert best.get("units") in (8, 16, 24, 32, 48, 64, 96, 128)


def test_numbers_that_go_wrong_are_the_worst_result():
    wrong = SMALL.replace(
        Increment, learning_rate=1e38, global_clipnorm=None, epochs=1
    )
    hp = keras_tuner.HyperParameters()
    hypermodel = LSTMHyperModel(wrong)
    assert hypermodel.fit(hp, hypermodel.build(hp)) == {"score": FAILED}


def test_a_trial_that_is_finished_is_not_trained_again(tmp_path):
    """Its process may have been killed before KerasTuner knew the result."""
    hp = keras_tuner.HyperParameters()
    hypermodel = LSTMHyperModel(SMALL)
    first = hypermodel.fit(hp, hypermodel.build(hp), tmp_path / "run", epochs=1)
    report = (tmp_path / "run" / "report.json").read_bytes()
    again = hypermodel.fit(hp, hypermodel.build(hp), tmp_path / "run", epochs=1)
    # The report holds rounded seconds.
    assert again == pytest.approx(first, abs=0.01)
    assert (tmp_path / "run" / "report.json").read_bytes() == report


@pytest.mark.slow
def test_images_are_searched_by_validation_accuracy():
    hp = keras_tuner.HyperParameters()
    hypermodel = LSTMHyperModel(DIGITS)
    found = hypermodel.fit(hp, hypermodel.build(hp), epochs=2)
    assert 0 < found["score"] < 1
    assert found["num_parameters"] > 0
