import numpy as np
import pytest
from made_searches import make_search

from keras_lstm.tuning.importance import MIN_TRIALS, measure_importance
from keras_lstm.tuning.results import read_trials


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    return read_trials(folder, make_search(folder, 24, num_wrong=0))


def test_the_option_that_decides_is_the_first(trials):
    found = measure_importance(trials, ("learning_rate", "units"))
    assert list(found.places) == ["units", "learning_rate"]
    assert found.places["units"] > 4
    assert abs(found.places["learning_rate"]) < 1
    assert found.is_found
    assert found.error < 2 < found.error_without
    assert found.num_trials == 24


def test_noise_is_not_called_important(trials):
    rng = np.random.default_rng(0)
    mixed = [trials[i] for i in rng.permutation(len(trials))]
    found = measure_importance(mixed, ("units", "learning_rate"))
    assert not found.is_found


def test_of_few_trials_or_one_option_nothing_is_said(trials):
    names = ("units", "learning_rate")
    assert measure_importance(trials[: MIN_TRIALS - 1], names) is None
    assert measure_importance(trials, ("units",)) is None
