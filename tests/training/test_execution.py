import keras
import pytest

from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.training import execution
from keras_lstm.training.compile import compiled_model
from keras_lstm.training.execution import (
    choose_execution,
    execution_of,
    execution_text,
    predict_seconds,
)
from keras_lstm.training.train import train

TUTORIAL = get_preset("image-rows-tutorial")
SMALL = get_preset("increment-noise").replace(
    num_bits=4, units=4, epochs=2, steps_per_epoch=4, input_noise=0.0
)


def chosen(config, steps_per_epoch, cores=2):
    config = choose_execution(config, steps_per_epoch, cores)
    return config.training.execution


def test_long_training_is_computed_in_parts_on_all_cores():
    assert chosen(TUTORIAL, 782).num_microbatches == 2
    assert chosen(TUTORIAL, 782, cores=4).num_microbatches == 4
    # A part has 32 examples or more, and the parts are equal.
    assert chosen(TUTORIAL, 782, cores=16).num_microbatches == 4
    assert chosen(TUTORIAL, 782, cores=3).num_microbatches == 2
    assert chosen(TUTORIAL, 782, cores=1).num_microbatches == 1


@pytest.mark.parametrize(
    ("batch_size", "cores", "num_parts"),
    [
        (256, 2, 2),
        (258, 2, 6),
        # 2 times a prime.
        (514, 2, 2),
        (1034, 2, 22),
        (1046, 2, 1),
        (1024, 2, 8),
        (2048, 2, 16),
        (2048, 16, 16),
        # Larger parts, since more cost too much at the start.
        (8192, 2, 32),
        (16_384, 2, 32),
        (32_768, 2, 1),
    ],
)
def test_a_large_batch_has_several_parts_for_each_core(
    batch_size, cores, num_parts
):
    config = get_preset("increment-tutorial").replace(batch_size=batch_size)
    assert chosen(config, 782, cores).num_microbatches == num_parts


@pytest.mark.parametrize(
    ("units", "batch_size", "num_parts"),
    [(128, 512, 2), (128, 2048, 4), (128, 8192, 16), (64, 2048, 16)],
)
def test_parts_that_do_not_fit_the_cache_are_large(
    units, batch_size, num_parts
):
    config = TUTORIAL.replace(units=units, batch_size=batch_size)
    assert chosen(config, 782, cores=2).num_microbatches == num_parts


def test_short_training_is_computed_plainly():
    assert chosen(TUTORIAL.replace(steps_per_epoch=5), 5) == Execution()
    assert chosen(SMALL, 4) == Execution()


@pytest.mark.parametrize(
    "options",
    [{"dropout": 0.1}, {"input_noise": 0.1}, {"precision": "mixed_bfloat16"}],
)
def test_noise_is_drawn_as_it_was(options):
    execution = chosen(TUTORIAL.replace(**options), 782)
    assert execution._replace(steps_per_execution=1) == Execution()


def test_training_on_counterexamples_is_computed_plainly():
    config = get_preset("increment-last-state")
    execution = chosen(config, 100)
    assert execution._replace(steps_per_execution=1) == Execution()


def test_what_is_proved_is_computed_as_a_whole():
    config = get_preset("increment-proved").replace(
        epochs=1000, batch_size=1024
    )
    execution = chosen(config, 50)
    assert execution._replace(steps_per_execution=1) == Execution()


def test_xla_is_left_out_where_it_would_compile_without_end(tmp_path):
    # Sequences of different lengths.
    assert chosen(TUTORIAL, 782).jit_compile
    assert chosen(get_preset("image-rows"), 215).jit_compile
    rows = [f"{'ab' * (1 + i % 7)},{'xy'[i % 2]}" for i in range(40)]
    path = tmp_path / "words.csv"
    path.write_text("\n".join(["text,label", *rows, ""]))
    words = get_preset("sequences").replace(
        data=str(path), dropout=0.0, input_noise=0.0, epochs=10**5
    )
    assert None in words.task.input_shape
    assert not chosen(words, 50).jit_compile


def test_a_call_is_short_and_divides_an_epoch():
    config = SMALL.replace(epochs=10**6, steps_per_epoch=20)
    assert chosen(config, 20).steps_per_execution == 10
    odd = config.replace(steps_per_epoch=19)
    assert chosen(odd, 19).steps_per_execution == 1
    every = config.replace(checkpoint_every_steps=7)
    assert chosen(every, 20).steps_per_execution == 1
    _, seconds = predict_seconds(TUTORIAL, Execution(2))
    together = chosen(TUTORIAL, 782).steps_per_execution
    assert together * seconds < 0.25


def test_steps_with_a_line_or_a_profile_are_computed_one_by_one(
    tmp_path, capsys
):
    config = SMALL.replace(epochs=1, steps_per_epoch=8)
    long = SMALL.replace(epochs=10**6, steps_per_epoch=20)
    assert chosen(long, 20).steps_per_execution > 1
    alone = choose_execution(long, 20, one_by_one=True).training.execution
    assert alone.steps_per_execution == 1
    asked = []

    def choose(config, steps, **options):
        asked.append(options)
        return config.with_execution(Execution())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_lstm.training.compile.choose_execution", choose)
        train(config, tmp_path / "run", log_every_steps=2)
    assert asked[0] == {"one_by_one": True}
    lines = capsys.readouterr().err
    assert [f"step {n}" in lines for n in (2, 4, 6, 8)] == [True] * 4


@pytest.mark.parametrize(
    ("text", "num_parts"), [("1", 1), ("64", 2), ("two", 2), ("", 2)]
)
def test_threads_of_tensorflow_limit_the_parts(monkeypatch, text, num_parts):
    monkeypatch.setattr(execution, "num_cores", lambda: 2)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", text)
    monkeypatch.setattr(
        execution.tf.config.threading,
        "get_intra_op_parallelism_threads",
        lambda: 0,
    )
    config = choose_execution(TUTORIAL, 782)
    assert config.training.execution.num_microbatches == num_parts


@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker"])
def test_several_replicas_compute_plainly(strategy):
    config = TUTORIAL.replace(strategy=strategy)
    assert chosen(config, 782) == Execution()


def test_a_gpu_computes_plainly(monkeypatch):
    # XLA would keep Keras from cuDNN's LSTM.
    monkeypatch.setattr(
        execution.tf.config, "list_physical_devices", lambda kind: [kind]
    )
    assert chosen(TUTORIAL, 782) == Execution()


def test_what_is_given_stays():
    given = TUTORIAL.replace(num_microbatches=1, jit_compile=False)
    assert chosen(given, 782)[:2] == (1, False)
    everything = given.replace(steps_per_execution=2)
    assert choose_execution(everything, 782) is everything
    with pytest.raises(InputError, match="of at least 1, or auto"):
        TUTORIAL.replace(num_microbatches=0)
    assert TUTORIAL.replace(jit_compile="auto") == TUTORIAL


def test_a_run_keeps_what_was_chosen(tmp_path, monkeypatch, capsys):
    best = Execution(2, True, 2)
    monkeypatch.setattr(
        "keras_lstm.training.compile.choose_execution",
        lambda config, steps, **options: config.with_execution(best),
    )
    train(SMALL, tmp_path / "run")
    saved = RunFolder(tmp_path / "run").read_config()
    assert saved.training.execution == best
    assert execution_text(best) in capsys.readouterr().err
    monkeypatch.setattr(
        "keras_lstm.training.compile.choose_execution",
        lambda config, steps, **options: (
            config if not config.left_to_choose else None
        ),
    )
    more = SMALL.replace(epochs=3)
    result = train(more, tmp_path / "run", resume=True, quiet=True)
    assert result.report.epochs == 3
    saved = RunFolder(tmp_path / "run").read_config()
    assert saved.training.execution == best


def test_a_compiled_model_is_computed_as_it_was_compiled(monkeypatch):
    for best in (Execution(1, True), Execution(2, False, 2), Execution()):
        model = compiled_model(SMALL.with_execution(best))
        assert execution_of(model) == best
    # Keras refuses to compile while operations are deterministic.
    monkeypatch.setattr(keras.Model, "jit_compile", True)
    assert execution_of(model) == Execution(1, True)


def test_the_line_says_what_was_chosen():
    assert execution_text(Execution(2, True, 8)) == (
        "training steps: in 2 parts, compiled by XLA, 8 in a call"
    )
