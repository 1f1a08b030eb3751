"""Bad usage is refused in one line, at once, and before TensorFlow is loaded.

`tune` has its own list in `test_search.py`.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

DATA = pathlib.Path(__file__).parents[1] / "data"
PERMUTATION = "--sampling permutation --num-bits 6 --monitor none"

TRAIN = [
    ("--num-bits 0", "`num_bits` must be an integer from 1 to 4096"),
    ("--units -3", "Received: units=-3"),
    ("--dropout 1.0", "Received: dropout=1.0"),
    ("--learning-rate nan", "Received: learning_rate=nan"),
    ("--strategy cloud", "`strategy` must be one of"),
    ("--seed -1", "`seed` must be an integer"),
    ("--dataset mnist", "`dataset` is no option of increment"),
    ("--kernel-initializer he", "`kernel_initializer` must be one of"),
    ("--kernel-initializer zeros(1)", "Received: kernel_initializer=zeros(1)"),
    ("--kernel-initializer orthogonal(-1)", "a number of at least 0"),
    ("--num-microbatches 3", "`num_microbatches` must divide `batch_size` 128"),
    ("--num-microbatches 2 --strategy mirrored", "`strategy` must be default"),
    ("--jit-compile true --strategy multi_worker", "`strategy` must be"),
    ("--strategy multi_worker", "needs the variable TF_CONFIG"),
    ("--steps-per-epoch none", "`steps_per_epoch` must be given"),
    ("--steps-per-execution 3", "must divide the 50 steps of an epoch"),
    (
        "--warmup-fraction 0.1 --schedule constant",
        "`warmup_fraction` needs the schedule",
    ),
    (
        "--monitor val_sequence_accuracy --validation-examples 0",
        "`monitor` needs a validation part",
    ),
    ("--counterexamples-from-epoch 0 --num-bits 30", "at most 16777216 inputs"),
    (
        "--prove-from-epoch 0 --num-microbatches 2",
        "`prove_from_epoch` counts steps",
    ),
    (
        "--prove-from-epoch 0 --jit-compile true",
        "`prove_from_epoch` counts steps",
    ),
    ("--prove-from-epoch 0 --early-prediction 0.1", "for different tasks"),
    ("--prove-from-epoch 0 --ema-fraction 0.1", "`ema_fraction` keeps others"),
    ("--prove-from-epoch 0 --head last_state", "needs the per_step head"),
    ("--early-prediction 0.1", "needs one label per example"),
    ("--num-bits 30 --sampling permutation", "at most 16777216 inputs"),
    (f"{PERMUTATION} --train-examples 64", "at most the domain's 63 inputs"),
    (f"{PERMUTATION} --train-examples 40", "cut from `train_examples`"),
    (
        f"{PERMUTATION} --train-examples 40 --validation-examples 0",
        "`batch_size` must be at most the 40 training examples",
    ),
    ("--log-every-steps 0", "`log_every_steps` must be an integer"),
    ("--profile-steps 3,1", "`profile_steps` must be two step numbers"),
    ("--init-from nowhere", "`init_from` must hold a finished run"),
    ("--resume", "`resume` needs `run_dir`"),
    ("--run-dir finished", "must not hold a run yet"),
    ("--run-dir finished --resume --seed 3", "only `epochs` may grow"),
    ("--preset digits", "`preset` digits is for image-rows"),
    ("--track paper", "`track` must be one of mlflow, "),
    ("--track mlflow", "`track` mlflow needs packages that are not installed"),
    ("--config nowhere.yaml", "`config` must be a readable file"),
    ("--colour red", "unrecognized arguments: --colour"),
    ("--units=--", "`units` must have a value"),
    (f"--units {'1' * 401}", "`units` must be an integer below 2^63"),
    (f"--units {'1' * 5000}", "1111 (5,000 characters)"),
    (f"--learning-rate {'1' * 401}", "must be a finite number above 0.0"),
    ("--learning-rate 1e308", "must be a number that float32 can hold"),
    ("--kernel-initializer constant(1e308)", "must be one of constant"),
    ("--kernel-initializer random_uniform(1e308)", "must be one of constant"),
    ("--output-bias-initializer orthogonal", "an initializer of vectors"),
    (f"--profile-steps 1,{'9' * 20}", "two step numbers below 2^63"),
    (f"--log-every-steps {'9' * 20}", "at least 1 and below 2^63"),
    ("--run-dir \udcff", "must be a path in UTF-8. Received: \\udcff"),
    ("--run-dir a\0b", "without NUL characters. Received: a\\x00b"),
    ("--units \x1b[2J\u202e", "Received: units=\\x1b[2J\\u202e"),
]
IMAGES = [
    ("--head per_step", "`head` must be last_state"),
    ("--counterexamples-from-epoch 0", "needs a finite-state machine"),
    (
        "--prove-from-epoch 0 --early-prediction none --ema-fraction none",
        "a finite-state machine",
    ),
    ("--dataset cats", "`dataset` must be one of"),
    ("--test-first 0", "`test_first` must be an integer"),
]
OTHERS = [
    ("train nothing", "`nothing` is no task"),
    ("verify nowhere", "`run_dir` must hold a finished run"),
    ("verify finished --num-bits 0", "`num_bits` must be an integer"),
    ("verify finished --num-bits 5000", "`num_bits` must be an integer"),
    ("verify last_state --num-bits 7", "`num_bits` must be 6"),
    ("verify images", "must hold a run of a finite-state machine"),
    ("prove images", "must hold a run of a finite-state machine"),
    ("prove last_state", "must answer at every time step"),
    ("extract images", "must hold a run of a finite-state machine"),
    ("extract last_state", "must answer at every time step"),
    ("extract finished --output x.png", "`output` must end in .dot or .gv"),
    ("extract finished --max-states 0", "`max_states` must be an integer"),
    ("evaluate finished", "`keras-lstm verify` is for machines"),
    ("evaluate images --dataset cats", "`dataset` must be one of"),
    ("evaluate images --dataset mnist", "must have images of (8, 8)"),
    ("predict finished 12x", "`input` must be 6 digits below 2"),
    ("predict finished -- -5", "a number that is not negative"),
    ("predict finished @nowhere", "`input` must be a file after @"),
    ("predict finished 7 --rows 3", "`rows` is for images"),
    ("predict finished 7 --rows 0", "`rows` must be an integer"),
    ("predict last_state 64", "at most 6 bits"),
    ("predict images nowhere.npy", "`input` must be a file of images"),
    ("predict images x.npy --rows 9", "`rows` must be at most 8"),
    ("export finished --format tensorflow", "is no format"),
    ("export finished --format onnx --output x", "must end in .onnx"),
    ("export nowhere --format saved_model", "must hold a finished run"),
    ("tune increment --track mlflow", "`track` is for `train`"),
    ("report nowhere", "`run_dir` must hold a finished run"),
]

REFUSE = """
import contextlib, io, json, sys, time
from keras_lstm.cli import main
# As if it were not installed.
sys.modules["mlflow"] = None
startup = time.process_time()
found = []
for argv in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    begun = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(argv)
    seconds = startup + time.process_time() - begun
    heavy = {"tensorflow", "keras", "keras_tuner"} & set(sys.modules)
    found.append([code, out.getvalue(), err.getvalue(), sorted(heavy), seconds])
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of finished runs, whose models are never loaded."""
    path = tmp_path_factory.mktemp("runs")
    saved = DATA / "run-0.1.0-finished"
    for name in ("finished", "last_state", "images"):
        shutil.copytree(saved, path / name)
    config = path / "last_state" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("head: per_step", "head: last_state"))
    config = path / "images" / "config.yaml"
    config.write_text("preset: digits\ntask: {name: image-rows}\n")
    return path


def refuse(folder, cases):
    """Run commands one after another in one process; return the results."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSE],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_rule_is_checked_before_tensorflow_is_loaded(folder):
    cases = [
        *(("train increment " + each, text) for each, text in TRAIN),
        *(("train image-rows " + each, text) for each, text in IMAGES),
        *OTHERS,
    ]
    commands = [command.split() for command, _ in cases]
    before = sorted(folder.rglob("*"))
    runs = [refuse(folder, commands) for _ in range(3)]
    for (command, text), *results in zip(cases, *runs, strict=True):
        code, out, err, heavy, _ = results[0]
        assert (code, out) == (2, ""), (command, err)
        assert err.startswith("keras-lstm: error: "), command
        assert text in err, (command, err)
        assert err.count("\n") == 1, command
        assert heavy == [], command
        # CPU time with startup; the least of three, as machines may be busy.
        assert min(result[-1] for result in results) < 0.5, command
    assert sorted(folder.rglob("*")) == before
