import keras
import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.presets import PRESETS, describe, get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment, Parity

# What a task finds in data of one's own.
FOUND = {
    "sequences": {"vocabulary": '["a", "b"]', "classes": '["x", "y"]'},
    "rows": {"num_steps": 5, "num_features": 3, "classes": '["x", "y"]'},
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_to_expect(name):
    parts = describe(name)
    assert set(parts) == {"summary", "source", "command", "result", "time"}
    assert all(parts.values())
    task = type(get_preset(name).task).name
    assert parts["command"].startswith(f"keras-lstm train {task}")
    assert "not run" not in parts["result"] + parts["time"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_keeps_to_the_conditions_of_cudnn(name):
    config = get_preset(name).replace(**FOUND.get(name, {}))
    model = build_model(config.task, config.model)
    lstms = [x for x in model.layers if isinstance(x, keras.layers.LSTM)]
    assert len(lstms) == config.model.num_layers
    for lstm in lstms:
        assert lstm.activation is keras.activations.tanh
        assert lstm.recurrent_activation is keras.activations.sigmoid
        assert lstm.use_bias
        assert not lstm.unroll
        assert lstm.recurrent_dropout == 0
        assert lstm.use_cudnn == "auto"
    # cuDNN supports only right-padded masks, such as those of padding.
    masks = [getattr(layer, "mask_zero", False) for layer in model.layers]
    assert any(masks) == config.task.pads


def test_a_preset_serves_the_tasks_of_its_kind():
    assert get_preset("increment", Parity).task == Parity()


def test_a_preset_of_another_kind_is_refused():
    with pytest.raises(InputError, match="`preset` digits is for image-rows"):
        get_preset("digits", Increment)
    with pytest.raises(InputError, match="Received: task=image-rows"):
        get_preset("increment", ImageRows)
