import numpy as np
import pytest

from keras_lstm.optimization import make_optimizer, make_schedule
from keras_lstm.options import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.training import train


def rates(**values):
    """The learning rate at each step of ten epochs of 20."""
    config = get_preset("digits").replace(
        ImageRows, epochs=10, learning_rate=0.5, **values
    )
    schedule = make_schedule(config.training, 20)
    return [float(schedule(step)) for step in range(201)]


def test_the_learning_rate_rises_and_falls():
    found = rates(warmup=0.1)
    np.testing.assert_allclose(found[:21], np.linspace(0, 0.5, 21), atol=1e-6)
    assert np.all(np.diff(found[20:]) < 1e-9)
    assert found[110] == pytest.approx(0.25, abs=1e-6)
    assert found[200] == pytest.approx(0, abs=1e-6)
    assert rates()[0] == 0.5
    # As the preset was measured.
    training = get_preset("image-rows").training
    assert round(training.warmup * 30 * 215) == 300
    optimizer = make_optimizer(get_preset("image-rows"), 215)
    assert optimizer.ema_momentum == 0.995


def test_a_warmup_needs_a_cosine(tmp_path):
    config = get_preset("digits").replace(
        ImageRows, schedule="constant", warmup=0.1
    )
    with pytest.raises(InputError, match="`warmup` needs the schedule cosine"):
        train(config, tmp_path / "run")
