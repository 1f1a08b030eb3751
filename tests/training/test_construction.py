import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models import without_symbol_names
from keras_lstm.models.build import build_model
from keras_lstm.presets import get_preset
from keras_lstm.proof.search import find_proof
from keras_lstm.runs.report import StopReason
from keras_lstm.runs.results import outcome_text, result_text
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.machine_arrows import Arrow
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.tasks.machine_table import make_table
from keras_lstm.training.construction import construct_weights
from keras_lstm.training.train import train
from keras_lstm.verification.verify import verify


def constructed(task, num_layers=1):
    model = build_model(
        task,
        ModelConfig(
            units=len(task.codes) + 1,
            num_layers=num_layers,
            embedding_dim=task.num_symbols,
        ),
    )
    construct_weights(model, task)
    return model


@pytest.mark.parametrize("num_layers", [1, 2])
def test_increment_is_constructed_exactly(num_layers):
    task = Increment(num_bits=10)
    model = constructed(task, num_layers)
    assert verify(model, task).num_wrong == 0
    search = find_proof(model, task)
    assert search.proof is not None
    assert search.margin > 5


def random_machine(seed):
    """Return a machine whose answers follow from all that was read."""
    rng = np.random.default_rng(seed)
    states, symbols = int(rng.integers(3, 9)), int(rng.integers(2, 5))
    arrows = [
        Arrow(
            *(f"{state}", f"{symbol}", f"{rng.integers(states)}"),
            *(f"{rng.integers(3)}", ""),
        )
        for state in range(states)
        for symbol in range(symbols)
    ]
    return FiniteStateMachine(
        machine=make_table(arrows, "0").to_text(), num_bits=6
    )


@pytest.mark.parametrize("seed", range(3))
def test_any_machine_is_constructed_and_proved(seed):
    task = random_machine(seed)
    model = constructed(task, num_layers=2)
    assert verify(model, task).num_wrong == 0
    assert find_proof(model, task).proof is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
def test_the_library_is_constructed_and_proved(name):
    task = FiniteStateMachine(machine=MACHINES[name]().to_text())
    assert find_proof(constructed(task), task).proof is not None


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"units": 3}, r"at least 4 units.*units=3"),
        ({"embedding_dim": 1}, r"embedding of at least 2 .*embedding_dim=1"),
    ],
)
def test_small_networks_are_refused(sizes, message):
    model = build_model(Increment(), ModelConfig(**{"units": 4} | sizes))
    with pytest.raises(InputError, match=message):
        construct_weights(model, Increment())


def test_a_run_says_that_its_weights_were_set(tmp_path):
    config = get_preset("machine", FiniteStateMachine).replace(
        num_bits=5,
        units=6,
        epochs=1,
        steps_per_epoch=2,
        prove_from_epoch=None,
        machine=MACHINES["tomita-1"]().to_text(),
    )
    result = train(config, tmp_path / "run", quiet=True)
    assert result.report.taught_by == "construction"
    # Not because of the proof, which is of other weights.
    assert result.report.stopped_because is StopReason.ALL_EPOCHS
    assert "the weights were set" in result_text(config, result)
    # As TensorBoard shows it.
    assert "the weights were set" in outcome_text(config, result)
    assert result.report.proved
    assert result.report.num_wrong == 0
    saved = keras.saving.load_model(tmp_path / "run" / "model.keras")
    with pytest.raises(InputError, match="must read numbers of symbols"):
        verify(saved, config.task)
    assert verify(without_symbol_names(saved), config.task).num_wrong == 0
    with pytest.raises(InputError, match="`fallback` needs `units` of at le"):
        config.replace(units=2)
    with pytest.raises(InputError, match="`fallback` needs the per_step head"):
        config.replace(sampling="uniform", head="last_state")
