import json
import os
import subprocess
import sys

import pytest
import yaml

from keras_lstm.cli import main
from keras_lstm.presets import PRESETS

SMALL = ["--num-bits", "6", "--units", "8", "--epochs", "2"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, **options):
    """Run the command in a separate process."""
    return subprocess.run(
        [sys.executable, "-m", "keras_lstm", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def test_a_run_from_the_shell(tmp_path):
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    flags = ("--preset", "increment-noise", *SMALL)
    done = run("train", "increment", *flags, env=environment)
    assert done.returncode == 0
    # Standard output holds the result, standard error only progress.
    lines = done.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "carry length" in done.stdout
    (run_dir,) = (tmp_path / "logs" / "increment").iterdir()
    assert done.stdout.splitlines()[-1].endswith(run_dir.name)
    assert run_dir.name.startswith("increment-noise-seed0-")
    report = json.loads((run_dir / "report.json").read_text())
    assert f"{report['num_wrong']} of 63 answers are wrong" in done.stdout
    assert report["seconds"]["import"] > 0


@pytest.mark.slow
def test_an_exact_run_says_so_in_one_sentence(capsys):
    assert main(["train", "increment", "--num-bits", "8", "--quiet"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("Proved: for every binary number, of any len")
    assert lines[3] == (
        "Nothing is wrong: 255 of 255 answers are right (all inputs)."
    )
    assert err == ""


@pytest.mark.slow
def test_a_task_of_ones_own_trains(tmp_path, capsys):
    (tmp_path / "negating.py").write_text(
        "import dataclasses\n"
        "import keras_lstm\n"
        "from keras_lstm.core.options import option\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Negate(keras_lstm.TransducerTask):\n"
        "    name = 'negate'\n"
        "    next_state = ((0, 1), (1, 1))\n"
        "    output = ((0, 1), (1, 0))\n"
        "    flavour: str = option('plain', 'not used')\n"
    )
    arguments = ["--num-bits", "8", "--flavour", "sour", "--quiet"]
    assert main(["train", "negating:Negate", *arguments]) == 0
    assert "256 of 256 answers are right" in capsys.readouterr().out
    (run_dir,) = (tmp_path / "logs" / "negating.Negate").iterdir()
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert config["task"]["name"] == "negating:Negate"
    assert config["task"]["flavour"] == "sour"
    again = ["train", "negating:Negate", "--config", f"{run_dir}/config.yaml"]
    assert main([*again, "--smoke", "--run-dir", "again", "--quiet"]) == 0


def test_a_smoke_run_goes_through_everything(tmp_path, capsys):
    arguments = ["--dataset", "digits", "--smoke", "--run-dir", "run"]
    assert main(["train", "image-rows", *arguments]) == 0
    assert "of 360 are wrong" in capsys.readouterr().out
    assert (tmp_path / "run" / "model.keras").is_file()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["optimizer_steps"] == 2


def test_later_values_win(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(
        "seed: 3\nmodel: {units: 5}\ntraining: {epochs: 7}\n"
    )
    arguments = ["--config", "mine.yaml", "--epochs", "9", "--print-config"]
    assert main(["train", "increment", *arguments]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["seed"] == 3
    assert config["model"]["units"] == 5
    assert config["model"]["forget_bias"] == -8.0
    assert config["training"]["epochs"] == 9
    assert not (tmp_path / "logs").exists()


def test_a_config_file_may_name_the_preset(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("preset: increment-tutorial\n")
    arguments = ["--config", "mine.yaml", "--print-config"]
    assert main(["train", "increment", *arguments]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["training"]["optimizer"] == "adagrad"


def test_a_printed_configuration_is_taken_back(tmp_path, capsys):
    assert main(["train", "increment", *SMALL, "--print-config"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "printed.yaml").write_text(text)
    arguments = ["--config", "printed.yaml", "--print-config"]
    assert main(["train", "increment", *arguments]) == 0
    assert capsys.readouterr().out == text


def test_list_names_tasks_and_presets_with_their_results(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*PRESETS, "parity", "image-rows"))
    assert "0 wrong of 1,048,575" in out


def test_help_describes_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    for flag in ("--num-bits", "--units", "--learning-rate", "--dataset"):
        assert flag in out


BAD = [
    ("train increment --num-bits 0", "`num_bits` must be an integer from 1"),
    ("train increment --units -3", "Received: units=-3"),
    ("train increment --dropout 1.0", "Received: dropout=1.0"),
    ("train increment --learning-rate nan", "Received: learning_rate=nan"),
    ("train incremnt", "`incremnt` is no task. Did you mean `increment`?"),
    ("train increment --preset incement", "Did you mean `increment`?"),
    ("train increment --dataset mnist", "`dataset` is no option of increment"),
    ("train increment --colour red", "unrecognized arguments: --colour"),
    ("train image-rows --dataset mnst", "Received: dataset=mnst"),
    ("train image-rows --data-dir . --dataset mnist", "`data_dir` must hold"),
    ("train increment --config none.yaml", "`config` must be a readable"),
    ("train increment --config key.yaml", "Did you mean `units`?"),
    ("train increment --config type.yaml", "`units` must be an integer"),
    ("train increment --config other.yaml", "`config` is for image-rows"),
    ("train increment --run-dir held", "`run_dir` must not hold a run yet"),
    ("train increment --run-dir key.yaml", "`run_dir` must be a folder"),
    ("train increment --run-dir key.yaml/x", "`run_dir` must be a folder"),
    (f"train increment --run-dir {'x' * 300}", "`run_dir` must be the path"),
    ("train increment --resume", "`resume` needs `run_dir`"),
    ("train increment --preset a:b", "`a:b` is no preset"),
    ("train increment --config a:b", "`config` must be a readable file"),
    ("train increment --input-noise 2", "`input_noise` must be a finite"),
    ("train increment --batch-size 9999999999", "`batch_size` must be an"),
    (f"train increment --seed {'9' * 5000}", "`seed` must be an integer"),
    ("train increment --config .", "`config` must be a readable file"),
    (
        "train increment --run-dir=",
        "--run-dir: must be a path. Received: nothing",
    ),
    ("train image-rows --dataset mnist --data-dir ~nobody0/x", "`data_dir`"),
    (
        "train increment --output-kernel-initializer random_normal(-1)",
        "must have a number of at least 0",
    ),
    ("train increment --init-from .", "`init_from` must hold a finished"),
    ("train increment --log-every-steps 0", "`log_every_steps` must be"),
    ("train increment --epochs", "expected one argument"),
    ("train image-rows --data-dir bad --dataset mnist", "magic number"),
    ("train", "required: TASK"),
    ("", "required: COMMAND"),
    ("trian increment", "invalid choice: 'trian'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_gets_one_line_and_exit_code_2(
    tmp_path, capsys, write_dataset, write_idx, arguments, message
):
    (tmp_path / "key.yaml").write_text("model: {unitz: 3}")
    (tmp_path / "type.yaml").write_text("model: {units: many}")
    (tmp_path / "other.yaml").write_text("task: {name: image-rows}")
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "report.json").write_text("{}")
    (tmp_path / "bad").mkdir()
    if "bad" in arguments:
        write_dataset(tmp_path / "bad", 10, 10)
        path = tmp_path / "bad" / "train-images-idx3-ubyte"
        path.write_bytes(b"\0\0\x09\x03" + path.read_bytes()[4:])
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-lstm: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "logs").exists()


def test_bad_input_leaves_no_traceback_in_a_real_process():
    done = run("train", "increment", "--num-bits", "0")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "keras-lstm: error: `num_bits` must be an integer from 1 to 4096. "
        "Received: num_bits=0\n"
    )


LIGHT = """
import sys
import keras_lstm, keras_lstm.config, keras_lstm.cli
try:
    keras_lstm.cli.main({arguments})
except SystemExit:
    pass
heavy = {{"tensorflow", "keras", "sklearn", "keras_tuner"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["list"],
        ["train", "increment", "--print-config"],
        ["train", "increment", "--num-bits", "0"],
    ],
)
def test_what_needs_no_tensorflow_imports_none(arguments):
    code = LIGHT.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_command_imports_only_what_it_needs(tmp_path):
    # Settings for other programs that use Keras.
    settings = {"floatx": "float64", "image_data_format": "channels_first"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    environment = {"HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    code = (
        "import sys\n"
        "from keras_lstm.cli import main\n"
        "options = '--num-bits 4 --units 4 --epochs 1 --steps-per-epoch 1'\n"
        "main(['train', 'increment', *options.split(), '--run-dir', "
        "sys.argv[1], '--quiet'])\n"
        "names = ('sklearn', 'scipy.stats', 'scipy.special')\n"
        "names += ('IPython', 'matplotlib.pyplot')\n"
        "names += ('pandas', 'keras_tuner', 'tensorboard.program', 'aalpy')\n"
        "print([name for name in names if name in sys.modules])\n"
        "import keras, matplotlib.pyplot, sklearn.metrics\n"
        "print(keras.__name__, sklearn.metrics.accuracy_score([1], [1]))\n"
        "print(keras.config.backend(), keras.config.floatx())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == [
        *("[]", "keras 1.0", "tensorflow float32")
    ]


def test_messages_held_back_are_shown_when_loading_fails(monkeypatch, capfd):
    from keras_lstm.cli import startup

    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with startup.startup_messages_held():
        os.write(2, b"chatter\n")
    assert capfd.readouterr().err == ""

    def fail():
        with startup.startup_messages_held():
            os.write(2, b"the reason\n")
            raise ImportError

    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "the reason\n"
