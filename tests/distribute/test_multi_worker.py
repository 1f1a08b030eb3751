import csv
import importlib.util
import json
import os
import pathlib
import signal
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import workers

from keras_lstm.core.errors import InputError
from keras_lstm.distribute import strategies
from keras_lstm.distribute.multi_worker import enable_multi_worker
from keras_lstm.distribute.strategies import check_compiled
from keras_lstm.models.gradient_clipping import clip_aggregated_gradients

ROOT = pathlib.Path(__file__).parents[2]
PROVED = (sys.executable, "-m", "keras_lstm", "train", "increment")
TRAIN = (*PROVED, "--preset", "increment-noise")
SMALL = ("--num-bits", "8", "--units", "16", "--learning-rate", "0.05")


@pytest.fixture(scope="module")
def cluster():
    """Return scripts/local_cluster.py as a module."""
    path = ROOT / "scripts" / "local_cluster.py"
    spec = importlib.util.spec_from_file_location("local_cluster", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(cluster, monkeypatch):
    """Return a function that runs a command as workers.

    It returns their exit codes and lines. All workers are ended after the test.
    """
    # Each worker has one device, as in a cluster of machines.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    started = []

    def run(command, num_workers=2, on_line=lambda line, processes: None):
        processes = cluster.start([str(word) for word in command], num_workers)
        started.extend(processes)
        lines = [[] for _ in processes]
        for line in processes[0].stdout:
            lines[0].append(line.rstrip())
            on_line(line, processes)
        for index, process in enumerate(processes[1:], 1):
            lines[index] = process.communicate(timeout=120)[0].splitlines()
        processes[0].wait(timeout=120)
        return [process.returncode for process in processes], lines

    yield run
    monkeypatch.setattr(cluster, "SECONDS_TO_END", 0.0)
    cluster.end(started)
    for process in started:
        process.stdout.close()


def compare(tmp_path, run, mirrored, num_workers, *options):
    script = ROOT / "tests" / "workers.py"
    codes, lines = run(
        [sys.executable, script, tmp_path / "out", *options], num_workers
    )
    assert codes == [0] * num_workers, lines
    found = [np.load(f"{tmp_path}/out.{i}.npz") for i in range(num_workers)]
    assert [bool(each["chief"]) for each in found] == [
        index == 0 for index in range(num_workers)
    ]
    alone = workers.fit(strategies.get_strategy("default"))
    for other in (
        workers.fit(mirrored),
        *(
            {
                "weights": [
                    each[f"weight_{i}"] for i in range(len(alone["weights"]))
                ],
                "predicted": each["predicted"],
                **json.loads(str(each["logs"])),
            }
            for each in found
        ),
    ):
        for one, two in zip(alone["weights"], other["weights"], strict=True):
            np.testing.assert_allclose(one, two, atol=1e-5)
        for name, values in alone["history"].items():
            if "sequence_accuracy" in name:
                assert other["history"][name] == values
            np.testing.assert_allclose(
                other["history"][name], values, rtol=1e-4
            )
        name = "sequence_accuracy"
        assert alone["evaluated"][name] > 0
        assert other["evaluated"][name] == alone["evaluated"][name]
        assert other["predicted"].shape == (101, 4, 2)
        np.testing.assert_allclose(
            other["predicted"], alone["predicted"], atol=1e-4
        )
    if not options:
        return
    # If stock Keras no longer fails, `enable_multi_worker` is not needed.
    assert all(str(each["stock"]) != "none" for each in found)
    alone = workers.fit_sequential(strategies.get_strategy("default"))
    for each in found:
        for i, one in enumerate(alone["weights"]):
            np.testing.assert_allclose(one, each[f"other_{i}"], atol=1e-5)
        for name, values in alone["history"].items():
            np.testing.assert_allclose(
                json.loads(str(each["logs"]))["other"][name], values, rtol=1e-4
            )


def test_two_workers_learn_what_one_device_learns(tmp_path, run, mirrored):
    compare(tmp_path, run, mirrored, 2)


@pytest.mark.slow
def test_three_workers_learn_what_one_device_learns(tmp_path, run, mirrored):
    compare(tmp_path, run, mirrored, 3, "--all")


def finished(tmp_path, codes, lines):
    """Check a cluster's run folder, and return its report."""
    assert codes == [0] * len(codes), lines
    run_dir = tmp_path / "run"
    report = json.loads((run_dir / "report.json").read_text())
    assert report["num_wrong"] == 0
    # Only the chief has written: a second writer would add lines to the
    # history.
    for name in ("train", "validation"):
        assert len(list((run_dir / name).iterdir())) >= 1
    with (run_dir / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == report["epochs"]
    assert any("Nothing is wrong: 255 of 255" in line for line in lines[0])
    for others in lines[1:]:
        assert not any("Nothing is wrong" in line for line in others)
    return report


@pytest.mark.slow
def test_a_preset_with_noise_gets_exact_on_two_workers(tmp_path, run):
    codes, lines = run([*TRAIN, *SMALL, "--run-dir", tmp_path / "run"])
    report = finished(tmp_path, codes, lines)
    assert report["stopped_because"] == "full_accuracy"
    assert len(list((tmp_path / "run" / "train").iterdir())) == 1


@pytest.mark.slow
def test_a_preset_is_proved_on_two_workers(tmp_path, run):
    codes, lines = run([*PROVED, *SMALL, "--run-dir", tmp_path / "run"])
    report = finished(tmp_path, codes, lines)
    assert report["stopped_because"] == "proved"


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_that_dies(tmp_path, run, victim):
    command = [*TRAIN, *SMALL, "--run-dir", tmp_path / "run", "--resume"]
    command += ["--checkpoint-every-steps", "10", "--log-every-steps", "1"]

    def kill(line, processes):
        if line.startswith("step 25 "):
            processes[victim].kill()

    codes, lines = run(command, on_line=kill)
    assert codes[victim] == -9
    assert codes[1 - victim] == 1
    message = "keras-lstm: error: another worker is gone ("
    assert any(line.startswith(message) for line in lines[1 - victim])
    assert not (tmp_path / "run" / "report.json").exists()
    codes, lines = run(command)
    report = finished(tmp_path, codes, lines)
    assert report["resumed_from_step"] == 20


def test_workers_that_disagree_are_refused(tmp_path, run):
    code = (
        "import json, os, sys\n"
        "from keras_lstm.cli import main\n"
        "index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
        "sys.exit(main([*sys.argv[1:], '--batch-size', str(64 << index)]))\n"
    )
    command = [sys.executable, "-c", code, "train", "increment", *SMALL]
    codes, lines = run([*command, "--run-dir", tmp_path / "run"])
    assert codes == [2, 2]
    for each, batch_size in zip(lines, (64, 128), strict=True):
        message = "keras-lstm: error: all workers must have the same options"
        (line,) = (line for line in each if line.startswith(message))
        assert f"batch_size={batch_size}" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_worker_alone_may_be_stopped(tmp_path, cluster):
    processes = cluster.start([*TRAIN, "--run-dir", str(tmp_path / "run")], 2)
    # The other worker waits for this one, and handles signals meanwhile.
    processes[1].kill()
    try:
        for line in processes[0].stdout:
            if line.startswith("waiting for all of 2 workers"):
                break
        assert processes[0].poll() is None
        processes[0].send_signal(signal.SIGINT)
        processes[0].wait(timeout=30)
    finally:
        cluster.end(processes)
        for process in processes:
            process.stdout.close()
    # 130 if Python handled the signal, before that wait.
    assert processes[0].returncode in (-signal.SIGINT, 130)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"cluster": {}}', "KeyError: 'task'"),
        (
            '{"cluster": {"worker": ["a:1"]}, '
            '"task": {"type": "worker", "index": 0.9}}',
            "ValueError: invalid literal",
        ),
        ("worker,3", "index 3 is out of range for 2 addresses"),
        ("worker,-1", "index -1 is out of range for 2 addresses"),
        ("worker,one", "ValueError"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": '
            '{"type": "worker", "index": 1e400}}',
            "ValueError: invalid literal",
        ),
        ("[" * 100_000, "RecursionError"),
        ("evaluator,0", "KeyError: 'evaluator'"),
        (
            '{"cluster": {"worker": ["a"]}, "task": '
            '{"type": "worker", "index": 0}}',
            "addresses must be host:port",
        ),
        (
            '{"cluster": {"worker": ["a:99999"]}, "task": '
            '{"type": "worker", "index": 0}}',
            "addresses must be host:port",
        ),
        (
            '{"cluster": {"worker": ["a:1", "a:1"]}, "task": '
            '{"type": "worker", "index": 0}}',
            "two workers have the same address",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": '
            '{"type": "worker", "index": 0}}',
            "parameter servers are not supported",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": '
            '{"type": "ps", "index": 0}}',
            "task type ps is neither chief nor worker",
        ),
        (
            '{"cluster": {"worker": {"a:1": 0, "b:1": 1}}, "task": '
            '{"type": "worker", "index": 0}}',
            "TypeError: worker must be list",
        ),
    ],
)
@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_a_malformed_cluster_is_one_line(monkeypatch, text, problem, name):
    if text[0] not in "{[":
        kind, index = text.split(",")
        text = json.dumps(
            {
                "cluster": {"worker": ["a:1", "b:1"]},
                "task": {"type": kind, "index": index},
            }
        )
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG must be JSON") as info:
        strategies.get_strategy(name)
    assert f"({problem}" in str(info.value)
    assert "\n" not in str(info.value)
    # Other strategies do not read TF_CONFIG.
    assert strategies.get_strategy("default").num_replicas_in_sync == 1


def cluster_of(monkeypatch, kind, index, **cluster):
    config = {"cluster": cluster, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_who_writes(monkeypatch):
    workers = ["a:1", "b:1"]
    cluster_of(monkeypatch, "worker", 0, worker=workers)
    found = strategies.read_cluster("auto")
    assert (found.num_workers, found.is_chief) == (2, True)
    cluster_of(monkeypatch, "worker", 1, worker=workers)
    assert not strategies.read_cluster("auto").is_chief
    cluster_of(monkeypatch, "worker", 0, worker=workers, chief=["c:1"])
    found = strategies.read_cluster("multi_worker")
    assert (found.num_workers, found.is_chief) == (3, False)
    cluster_of(monkeypatch, "chief", 0, worker=workers, chief=["c:1"])
    assert strategies.read_cluster("auto").is_chief
    cluster_of(monkeypatch, "worker", 0, worker=["a:1"])
    assert strategies.read_cluster("auto") is None
    assert strategies.read_cluster("multi_worker").is_chief
    monkeypatch.delenv("TF_CONFIG")
    with pytest.raises(InputError, match="multi_worker needs the variable TF_"):
        strategies.get_strategy("multi_worker")


def test_auto_takes_several_workers_where_there_are(monkeypatch):
    made = []
    monkeypatch.setattr(
        strategies, "_make_once", lambda kind, make: made.append(kind)
    )
    cluster_of(monkeypatch, "worker", 1, worker=["a:1", "b:1"])
    strategies.get_strategy("auto")
    assert made == [tf.distribute.MultiWorkerMirroredStrategy]


def test_a_second_mirrored_strategy_is_refused(mirrored, monkeypatch):
    monkeypatch.setattr(strategies, "_made", {})
    with pytest.raises(InputError, match="can have one MirroredStrategy"):
        strategies.get_strategy("mirrored")
    monkeypatch.setattr(
        strategies, "_made", {tf.distribute.MirroredStrategy: mirrored}
    )
    assert strategies.get_strategy("mirrored") is mirrored


def compiled(strategy, **options):
    optimizer = options.pop("optimizer", {})
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        jit_compile = options.pop("jit_compile", False)
        model.compile(
            keras.optimizers.SGD(0.1, **optimizer),
            "mse",
            **({"jit_compile": False} | options),
        )
    # `compile` turns it off if TensorFlow operations are deterministic.
    model._jit_compile = jit_compile
    return model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps_per_execution": 2}, "`steps_per_execution` must be 1 with 2"),
        ({"jit_compile": True}, "`jit_compile` must be False with 2 replicas"),
        (
            {"optimizer": {"clipnorm": 1.0}},
            "`clipnorm` must be None with 2 replicas, unless clip_aggregated",
        ),
        (
            {"optimizer": {"use_ema": True, "ema_overwrite_frequency": 3}},
            "`ema_overwrite_frequency` must be None with 2 replicas: use Swap",
        ),
        (
            {"optimizer": {"gradient_accumulation_steps": 4}},
            "`gradient_accumulation_steps` must be None with 2 replicas: use a",
        ),
    ],
)
def test_what_replicas_cannot_do_is_refused(mirrored, options, message):
    check_compiled(compiled(mirrored))
    check_compiled(compiled(tf.distribute.get_strategy(), **options))
    with pytest.raises(InputError, match=message):
        check_compiled(compiled(mirrored, **options))


def test_one_machine_needs_nothing_enabled(mirrored):
    model = compiled(mirrored)
    step = model.train_step
    assert enable_multi_worker(model) is model
    assert model.train_step == step


OPTIMIZERS = {
    "clipnorm": lambda: keras.optimizers.Adam(0.05, clipnorm=0.01),
    "global_clipnorm": lambda: keras.optimizers.Adam(
        0.05, global_clipnorm=0.01
    ),
    "clipvalue": lambda: keras.optimizers.SGD(0.05, clipvalue=0.001),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.AdamW(0.05, global_clipnorm=0.01, use_ema=True)
    ),
}


def clipped(strategy, make, fix):
    rng = np.random.default_rng(0)
    symbols = rng.integers(5, size=(64, 4))
    targets = (symbols.sum(1) > 8).astype(int)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((4,), dtype="int32"),
                keras.layers.Embedding(5, 3),
                keras.layers.LSTM(4),
                keras.layers.Dense(2),
            ]
        )
        optimizer = make()
        model.compile(
            clip_aggregated_gradients(optimizer) if fix else optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=False,
        )
    model.fit(
        *(symbols, targets), batch_size=16, epochs=4, shuffle=False, verbose=0
    )
    return np.concatenate([w.ravel() for w in model.get_weights()])


@pytest.mark.parametrize(
    "name",
    [
        "global_clipnorm",
        pytest.param("scaled", marks=pytest.mark.slow),
        pytest.param("clipnorm", marks=pytest.mark.slow),
        pytest.param("clipvalue", marks=pytest.mark.slow),
    ],
)
def test_clipping_does_not_depend_on_replicas(mirrored, name):
    make = OPTIMIZERS[name]
    alone = clipped(tf.distribute.get_strategy(), make, fix=True)
    stock = clipped(tf.distribute.get_strategy(), make, fix=False)
    np.testing.assert_allclose(alone, stock, atol=1e-6)
    two = clipped(mirrored, make, fix=True)
    np.testing.assert_allclose(alone, two, atol=1e-5)


def test_keras_still_clips_each_replicas_part(mirrored):
    """If it does not, `clip_aggregated_gradients` is no longer needed."""
    make = OPTIMIZERS["global_clipnorm"]
    alone = clipped(tf.distribute.get_strategy(), make, fix=False)
    two = clipped(mirrored, make, fix=False)
    assert np.abs(alone - two).max() > 1e-3


def test_the_script_ends_all_and_tells_the_first_failure(cluster, capfd):
    code = (
        "import json, os, sys, time\n"
        "index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
        "print('worker', index, flush=True)\n"
        "sys.exit(7) if index else time.sleep(600)\n"
    )
    processes = cluster.start([sys.executable, "-c", code], 2)
    try:
        assert cluster.wait(processes, patience=0.5) == 7
        assert processes[0].poll() is None
    finally:
        cluster.end(processes)
        for process in processes:
            process.stdout.close()
    assert [process.returncode for process in processes] == [-15, 7]
    ports = [
        json.loads(text)["cluster"]["worker"]
        for text in cluster.configurations(3)
    ]
    assert ports[0] == ports[1] == ports[2]
    assert len(set(ports[0])) == 3
    assert "TF_CONFIG" not in os.environ
