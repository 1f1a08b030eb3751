import importlib.util
import itertools
import json
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.cli import main
from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError, RunError
from keras_lstm.inference import export
from keras_lstm.inference.export import check_export, export_model
from keras_lstm.inference.export_formats import FORMATS
from keras_lstm.models.build import build_model
from keras_lstm.presets import get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.train import train

TASKS = {
    "per_step": Increment(num_bits=6),
    "last_state": Increment(num_bits=6),
    "images": ImageRows(dataset="digits"),
}


def made(name, **options):
    head = "per_step" if name == "per_step" else "last_state"
    return build_model(TASKS[name], ModelConfig(units=4, head=head, **options))


def inputs(name, batch_size, length=6):
    rng = np.random.default_rng(0)
    if name == "images":
        return rng.random((batch_size, 8, 8), np.float32)
    return rng.integers(2, size=(batch_size, length), dtype=np.int32)


def needs(format_name):
    for module in FORMATS[format_name].modules:
        pytest.importorskip(module)


@pytest.mark.parametrize(
    "name",
    [
        "per_step",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in TASKS
            if n != "per_step"
        ),
    ],
)
@pytest.mark.parametrize("format_name", FORMATS)
def test_the_runtime_of_the_format_answers_as_keras_does(
    tmp_path, name, format_name
):
    needs(format_name)
    model = made(name)
    path = tmp_path / FORMATS[format_name].file_name
    seen = []
    found = export_model(
        model,
        TASKS[name],
        format_name,
        path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (1000, 1000)
    assert found.num_checked == 1000
    assert found.largest_difference < 1e-6
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    infer = FORMATS[format_name].load(
        path, "rows" if name == "images" else "symbols"
    )
    lengths = (1, 6, 77) if name == "per_step" else (6,)
    for length in lengths:
        for batch_size in (1, 3):
            batch = inputs(name, batch_size, length)
            np.testing.assert_allclose(
                infer(batch), model(batch), rtol=1e-5, atol=1e-6
            )


def test_a_saved_model_tells_servers_its_names(tmp_path):
    export_model(
        made("per_step"), TASKS["per_step"], "saved_model", tmp_path / "1"
    )
    signature = tf.saved_model.load(tmp_path / "1").signatures[
        "serving_default"
    ]
    _, named = signature.structured_input_signature
    assert {k: v.shape.as_list() for k, v in named.items()} == {
        "symbols": [None, None]
    }
    logits = signature.structured_outputs["logits"]
    assert logits.shape.as_list() == [None, None, 2]


def test_an_onnx_file_names_what_may_vary(tmp_path):
    onnx = pytest.importorskip("onnx")
    needs("onnx")
    path = tmp_path / "model.onnx"
    export_model(made("per_step"), TASKS["per_step"], "onnx", path)
    graph = onnx.load(path).graph
    sizes = [
        [dimension.dim_param or dimension.dim_value for dimension in shape]
        for shape in (
            tensor.type.tensor_type.shape.dim
            for tensor in (*graph.input, *graph.output)
        )
    ]
    assert sizes == [["batch", "time"], ["batch", "time", 2]]
    # The runtime's own LSTM, rather than a loop over the steps.
    assert [node.op_type for node in graph.node].count("LSTM") == 2


# LiteRT takes the longest to write.
QUICK = {("predictions", "saved_model"), ("logits", "onnx"), ("nan", "onnx")}


@pytest.mark.parametrize(
    ("wrong", "format_name"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] * (each not in QUICK))
        for each in itertools.product(
            ("predictions", "logits", "nan", "shape"), FORMATS
        )
    ],
)
def test_a_model_that_answers_otherwise_is_not_left_behind(
    tmp_path, monkeypatch, format_name, wrong
):
    needs(format_name)
    model, task = made("per_step"), TASKS["per_step"]
    kind = FORMATS[format_name]
    path = tmp_path / kind.file_name
    export_model(model, task, format_name, path)
    kept = sorted(tmp_path.rglob("*"))
    change = {
        "predictions": lambda logits: logits[..., ::-1],
        "logits": lambda logits: logits + 0.01,
        "nan": lambda logits: logits * np.nan,
        "shape": lambda logits: logits[:, :-1],
    }[wrong]

    def load(at, name):
        infer = kind.load(at, name)
        return lambda batch: change(infer(batch))

    monkeypatch.setitem(FORMATS, format_name, kind._replace(load=load))
    with pytest.raises(RunError, match="exported model"):
        export_model(model, task, format_name, path, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == kept
    with pytest.raises(RunError, match="exported model"):
        export_model(model, task, format_name, tmp_path / f"new{kind.suffix}")
    assert sorted(tmp_path.rglob("*")) == kept


def test_what_a_converter_stumbles_over_is_one_line(tmp_path, monkeypatch):
    def fail(*arguments):
        raise ValueError("first\n  last")

    monkeypatch.setitem(
        FORMATS, "litert", FORMATS["litert"]._replace(write=fail, modules=())
    )
    with pytest.raises(RunError, match="cannot be exported as litert:   last"):
        export_model(
            made("images"), TASKS["images"], "litert", tmp_path / "a.tflite"
        )


@pytest.mark.parametrize("format_name", FORMATS)
def test_one_that_is_there_is_replaced_only_if_asked(tmp_path, format_name):
    path = tmp_path / FORMATS[format_name].file_name
    if FORMATS[format_name].is_folder:
        path.mkdir()
        (path / "saved_model.pb").write_text("old")
    else:
        place, mark = FORMATS[format_name].mark
        path.write_bytes(bytes(place) + mark + b"old")
    needs(format_name)
    with pytest.raises(InputError, match="`output` must not exist unless"):
        check_export(format_name, path)
    if not FORMATS[format_name].is_folder:
        other = path.with_name(f"notes{path.suffix}")
        # The second begins as an ONNX model does, and many other files.
        for text in ("notes", "\x08hello my diary"):
            other.write_text(text)
            with pytest.raises(InputError, match="model to be overwritten"):
                check_export(format_name, other, overwrite=True)
    model = made("images")
    export_model(model, TASKS["images"], format_name, path, overwrite=True)
    batch = inputs("images", 2)
    infer = FORMATS[format_name].load(path, "rows")
    np.testing.assert_allclose(infer(batch), model(batch), atol=1e-6)


@pytest.mark.parametrize("format_name", FORMATS)
def test_nothing_but_such_a_model_is_replaced(tmp_path, format_name):
    needs(format_name)
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.tex").write_text("text")
    suffix = FORMATS[format_name].suffix
    if suffix:
        with pytest.raises(InputError, match="`output` must end in"):
            check_export(format_name, folder / "chapter.tex", overwrite=True)
        (tmp_path / f"folder{suffix}").mkdir()
        paths = [tmp_path / f"folder{suffix}"]
    else:
        # A model, and a file that does not belong to it.
        (tmp_path / "both").mkdir()
        (tmp_path / "both" / "saved_model.pb").touch()
        (tmp_path / "both" / "notes.txt").touch()
        paths = [folder, folder / "chapter.tex", tmp_path / "both"]
        paths += [pathlib.Path("/")]
    for path in paths:
        with pytest.raises(InputError, match="model to be overwritten"):
            check_export(format_name, path, overwrite=True)
    with pytest.raises(InputError, match="`output` must not be below a file"):
        check_export(format_name, folder / "chapter.tex" / f"model{suffix}")
    with pytest.raises(InputError, match="`output` must be a path in UTF-8"):
        check_export(format_name, tmp_path / f"{'a' * 300}{suffix}")
    with pytest.raises(InputError, match="surrogates not allowed"):
        check_export(format_name, tmp_path / "\udcff" / f"model{suffix}")


def test_what_a_link_names_is_replaced(tmp_path):
    model, task = made("images"), TASKS["images"]
    export_model(model, task, "saved_model", tmp_path / "model")
    (tmp_path / "link").symlink_to("model")
    (tmp_path / "model" / "fingerprint.pb").unlink()
    export_model(model, task, "saved_model", tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "model" / "fingerprint.pb").exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_packages_are_named(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "ai_edge_litert" else find(name),
    )
    with pytest.raises(InputError, match=r"not installed, ai-edge-litert: pip"):
        check_export("litert", tmp_path / "a.tflite")


@pytest.mark.parametrize("format_name", ["litert", "onnx"])
def test_mixed_precision_is_refused_where_it_is_not_known(
    tmp_path, format_name
):
    needs(format_name)
    model = made("per_step", precision="mixed_bfloat16")
    path = tmp_path / FORMATS[format_name].file_name
    with pytest.raises(InputError, match=r"float32\. Received: .* mixed_bf"):
        export_model(model, TASKS["per_step"], format_name, path)


def test_a_saved_model_may_compute_in_mixed_precision(tmp_path):
    model = made("per_step", precision="mixed_bfloat16")
    export_model(model, TASKS["per_step"], "saved_model", tmp_path / "model")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a finished run."""
    run_dir = tmp_path_factory.mktemp("runs") / "mine"
    config = get_preset("increment-noise").replace(
        Increment, num_bits=6, units=4, epochs=1, steps_per_epoch=2
    )
    train(config, run_dir, quiet=True)
    return run_dir


def test_export_from_the_shell(run, capsys):
    command = ["export", str(run), "--format", "saved_model"]
    assert main(command) == 0
    path, signature, compared = capsys.readouterr().out.splitlines()
    assert path == str(run / "saved_model")
    assert signature == (
        "symbols (batch, time) int32 -> logits (batch, time, 2) float32"
    )
    assert compared.startswith(
        "TensorFlow answers 1,000 random inputs as Keras"
    )
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "`output` must not exist unless `overwrite` is set" in err
    assert main([*command, "--overwrite"]) == 0
    assert main([*command[:-1], "saved"]) == 2
    assert "Did you mean `saved_model`" in capsys.readouterr().err


def test_the_model_loads_in_a_fresh_process_without_this_package(run):
    script = (
        "import sys, keras, numpy\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print(model(numpy.zeros((2, 9), 'int32')).shape)\n"
        "print([m for m in sys.modules if m.startswith('keras_lstm')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(run / "model.keras")],
        cwd=run,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["(2, 9, 2)", "[]"]


@pytest.mark.parametrize(
    "command",
    [
        "verify RUN",
        "prove RUN",
        "predict RUN 1",
        "export RUN --format saved_model",
        "train increment --init-from RUN --run-dir NEW",
    ],
)
def test_a_model_that_brings_code_is_refused(tmp_path, run, capsys, command):
    """Test each command that loads a model; `evaluate` is for other tasks."""
    evil = tmp_path / "evil"
    evil.mkdir()
    config = json.dumps(str(tmp_path / "proof-of-code"))
    for name in ("config.yaml", "report.json"):
        (evil / name).write_bytes((run / name).read_bytes())
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Lambda(
                eval(f"lambda x: [open({config}, 'w'), x][1]"),  # noqa: S307
                output_shape=(6,),
            ),
            keras.layers.Embedding(2, 2),
        ]
    )
    (tmp_path / "proof-of-code").unlink(missing_ok=True)
    model.save(evil / "model.keras")
    words = command.replace("RUN", str(evil)).replace(
        "NEW", str(tmp_path / "n")
    )
    assert main(words.split()) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "the model that its config.yaml describes" in err
    assert not (tmp_path / "proof-of-code").exists()
    assert not (tmp_path / "n").exists()


def test_a_lambda_that_names_a_function_is_refused_too(tmp_path, run, capsys):
    """Keras's safe mode loads such a layer, so the package must not ask it."""
    evil = tmp_path / "evil"
    shutil.copytree(run, evil)
    stock = keras.saving.load_model(run / "model.keras")
    layer = keras.layers.Lambda(keras.activations.linear)
    model = keras.Model(stock.input, layer(stock.output))
    model.save(evil / "model.keras")
    assert keras.saving.load_model(evil / "model.keras") is not None
    assert main(["predict", str(evil), "7"]) == 2
    assert ", a Lambda layer" in capsys.readouterr().err


def test_random_inputs_are_a_thousand_of_several_sizes():
    task = TASKS["per_step"]
    found = list(export._random_inputs(made("per_step"), task))
    assert sum(map(len, found)) == 1000
    assert {batch.shape[1] for batch in found} == {1, 6, 7}
    assert {len(batch) for batch in found} >= {1, 332}
    assert {int(batch.max()) for batch in found} <= {0, 1}


class Doubled(keras.Model):
    """Model with a `call` of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, inputs):
        return 2 * self.dense(inputs)


EXAMPLES = np.random.default_rng(0).normal(size=(20, 4))


@pytest.mark.parametrize("has_call", [False, True])
def test_a_model_that_is_none_of_ours_needs_no_task(tmp_path, has_call):
    model = Doubled()
    if not has_call:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    found = export_model(
        model, None, "saved_model", str(tmp_path / "1"), example_inputs=EXAMPLES
    )
    assert found.num_checked == 20
    assert "20 example inputs" in str(found)
    infer = FORMATS["saved_model"].load(
        tmp_path / "1", "inputs" if has_call else model.inputs[0].name
    )
    inputs = np.float32(EXAMPLES[:3])
    np.testing.assert_allclose(infer(inputs), model(inputs), atol=1e-6)


def two_inputs():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    return keras.Model(inputs, keras.layers.Add()(inputs))


def symbols_in():
    embedding = keras.layers.Embedding(5, 2)
    return keras.Sequential([keras.Input((3,), dtype="int32"), embedding])


@pytest.mark.parametrize(
    ("make", "examples", "message"),
    [
        (two_inputs, EXAMPLES, "one input and one output.* with 2 inputs"),
        (Doubled, None, "`example_inputs` must be given for a model without"),
        (Doubled, ["a"], "one array of numbers.* dtype <U1"),
        (Doubled, np.zeros((0, 4)), r"of shape \(0, 4\)"),
        (Doubled, [[1], [1, 2]], "one array of numbers.*inhomogeneous"),
        (symbols_in, [[1.7, 2.2, 1]], "numbers of int32.* float64 with others"),
        (symbols_in, [[2**32 + 1, 2, 1]], "numbers of int32.* int64 with"),
        (symbols_in, [[float("nan"), 2, 1]], "numbers of int32.* float64 with"),
        (Doubled, [[1e300, 1]], "numbers of float32.* float64 with others"),
        (symbols_in, [[1, 2]], r"shape \(batch, 3\).* \(1, 2\)"),
        (symbols_in, [1, 2], r"shape \(batch, 3\).* \(2\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, make, examples, message):
    path = tmp_path / "model"
    with pytest.raises(InputError, match=message):
        export_model(make(), None, "saved_model", path, example_inputs=examples)
    assert not path.exists()
