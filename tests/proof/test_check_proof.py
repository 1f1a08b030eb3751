"""The checker in `scripts/` and `check_proof` decide alike."""

import copy
import importlib.util
import json
import pathlib
import subprocess
import sys
import zipfile

import handmade
import numpy as np
import pytest

from keras_lstm.models.weights import read_weights
from keras_lstm.proof.certificate import Proof, check_proof
from keras_lstm.proof.proof_json import ProofError, checksum_of
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.increment import Add, Decrement, Increment

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "check_proof.py"
TASKS = (Increment(), Decrement(), Add())


@pytest.fixture(scope="module")
def checker():
    spec = importlib.util.spec_from_file_location("checker", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(run_dir, model, task, content):
    model.save(run_dir / "model.keras")
    (run_dir / "report.json").write_text(json.dumps({"task": task.name}))
    write_proof(run_dir, content)


def write_proof(run_dir, content):
    content = {k: v for k, v in content.items() if k != "checksum"}
    content = {"checksum": checksum_of(content), **content}
    (run_dir / "proof.json").write_text(json.dumps(content))


def verdicts(checker, run_dir, model, task):
    """Return the margins by both checkers; None where a proof is refused."""
    try:
        theirs = checker.check(run_dir)
    except (ValueError, IndexError):
        theirs = None
    try:
        text = (run_dir / "proof.json").read_text()
        ours = check_proof(model, task, Proof.from_json(text))
    except ProofError:
        ours = None
    return ours, theirs


def mutate(content, rng):
    """Return a copy of a proof with one thing changed."""
    content = copy.deepcopy(content)
    boxes = content["boxes"]
    box = boxes[rng.integers(len(boxes))]
    kind = rng.integers(8)
    # A change of any magnitude, from the last bits of a number to all.
    change = 10.0 ** rng.uniform(-17, 1) * rng.choice([-1, 1])
    if kind < 3:
        bounds = box[("low", "high")[rng.integers(2)]]
        bounds[rng.integers(len(bounds))] += change
    elif kind == 3:
        box["margins"][rng.integers(len(box["margins"]))] += change
    elif kind == 4:
        row = box["successors"]
        row[rng.integers(len(row))] = int(rng.integers(-1, len(boxes) + 1))
    elif kind == 5:
        box["state"] = int(rng.integers(-1, len(content["next_state"]) + 1))
    elif kind == 6:
        i, j = rng.integers(len(boxes), size=2)
        boxes[i], boxes[j] = boxes[j], boxes[i]
    else:
        table = content[("next_state", "output")[rng.integers(2)]]
        row = table[rng.integers(len(table))]
        row[rng.integers(len(row))] = int(rng.integers(2))
    return content


def test_a_network_made_by_hand_is_proved_by_both(checker, tmp_path):
    rng = np.random.default_rng(0)
    decided = set()
    for task in TASKS:
        model = handmade.make_network(task)
        proof = find_proof(model, task).proof
        content = json.loads(proof.to_json())
        write(tmp_path, model, task, content)
        ours, theirs = verdicts(checker, tmp_path, model, task)
        assert ours == theirs > 3
        for _ in range(6):
            write_proof(tmp_path, mutate(content, rng))
            ours, theirs = verdicts(checker, tmp_path, model, task)
            assert ours == theirs
            decided.add(ours is None)
    assert decided == {False, True}


def perturbed(model, rng):
    """Change all weights; how much and how far they saturate varies."""
    scale, noise = rng.uniform(0.2, 1.2), 10.0 ** rng.uniform(-3, -0.7)
    model.set_weights(
        [
            w * scale * (1 + noise * rng.normal(size=w.shape))
            + noise * 0.1 * rng.normal(size=w.shape)
            for w in model.get_weights()
        ]
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_both_decide_alike_on_200_proofs_and_5000_mutants(checker, tmp_path):
    rng = np.random.default_rng(1)
    counts = {"proofs": 0, "refused": 0, "accepted": 0}
    while counts["proofs"] < 200:
        task = TASKS[rng.integers(len(TASKS))]
        model = handmade.make_network(task)
        perturbed(model, rng)
        proof = find_proof(model, task).proof
        if proof is None:
            continue
        counts["proofs"] += 1
        content = json.loads(proof.to_json())
        write(tmp_path, model, task, content)
        ours, theirs = verdicts(checker, tmp_path, model, task)
        assert ours == theirs > 0
        for _ in range(20):
            mutant = mutate(content, rng)
            write_proof(tmp_path, mutant)
            ours, theirs = verdicts(checker, tmp_path, model, task)
            assert ours == theirs, mutant
            counts["refused" if ours is None else "accepted"] += 1
        weights = model.get_weights()
        for _ in range(5):
            changed = copy.deepcopy(weights)
            one = changed[rng.integers(len(changed))].reshape(-1)
            one[rng.integers(len(one))] *= 1 + 10.0 ** rng.uniform(-8, 1)
            model.set_weights(changed)
            digest = read_weights(model, task.num_symbols).digest()
            mutant = content | {"weights_sha256": digest}
            write(tmp_path, model, task, mutant)
            ours, theirs = verdicts(checker, tmp_path, model, task)
            assert ours == theirs, changed
            counts["refused" if ours is None else "accepted"] += 1
    assert counts["refused"] + counts["accepted"] == 5000
    assert min(counts.values()) >= 200


def test_another_layer_is_refused(checker, tmp_path):
    task = Increment()
    model = handmade.make_network(task)
    content = json.loads(find_proof(model, task).proof.to_json())
    for name, value, message in (
        ("activation", "relu", "lstm_1 has another activation"),
        ("go_backwards", True, "lstm_1 has another go_backwards"),
    ):
        changed = model.get_config()
        changed["layers"][2]["config"][name] = value
        other = type(model).from_config(changed)
        other.set_weights(model.get_weights())
        write(tmp_path, other, task, content)
        with pytest.raises(ValueError, match=message):
            checker.check(tmp_path)


def _called_with(**arguments):
    def change(layers):
        layers["lstm_1"]["inbound_nodes"][0]["kwargs"] = arguments

    return change


def _typed(layer, dtype):
    def change(layers):
        layers[layer]["config"]["dtype"] = dtype

    return change


def _constant(value, dtype):
    config = {"value": value, "dtype": dtype}
    return {"class_name": "__numpy__", "config": config}


def _policy(kind, **config):
    return {
        "module": "keras",
        "class_name": kind,
        "config": config,
        "registered_name": "float32",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_called_with(mask=_constant([[0, 0]], "bool")), "plain chain"),
        (_called_with(initial_state=[_constant([[1.0]], "float32")]), "plain"),
        (_called_with(training=1), "plain chain"),
        (_typed("inputs", "bool"), "inputs of another type"),
        (_typed("lstm_1", "bfloat16"), "not in float32"),
        (
            _typed("lstm_1", _policy("DTypePolicy", name="mixed_bfloat16")),
            "not in float32",
        ),
        (
            _typed("logits", _policy("DTypePolicyMap", name="float32")),
            "not in float32",
        ),
        (lambda layers: layers["logits"].update(module="mine"), "own"),
    ],
)
def test_a_saved_model_that_computes_otherwise_is_refused(
    checker, tmp_path, change, message
):
    task = Increment()
    model = handmade.make_network(task)
    content = json.loads(find_proof(model, task).proof.to_json())
    write(tmp_path, model, task, content)
    checker.check(tmp_path)

    def of_layers(config):
        change({layer["name"]: layer for layer in config["config"]["layers"]})

    change_config(tmp_path / "model.keras", of_layers)
    with pytest.raises(ValueError, match=message):
        checker.check(tmp_path)


def change_config(path, change):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    change(config)
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_a_saved_model_that_returns_another_layer_is_refused(checker, tmp_path):
    task = Increment()
    model = handmade.make_network(task)
    content = json.loads(find_proof(model, task).proof.to_json())

    def refused(message, change):
        write(tmp_path, model, task, content)
        checker.check(tmp_path)
        change_config(tmp_path / "model.keras", change)
        with pytest.raises(ValueError, match=message):
            checker.check(tmp_path)

    ends = {"logits": ["lstm_1", 0, 0]}, ["lstm_1", 0, 0], [["lstm_1", 0, 0]]
    for end in ends:
        for key in ("output_layers", "input_layers"):
            changes = {key: end}
            refused(
                f"other {key}",
                lambda x, changes=changes: x["config"].update(changes),
            )
    # A name that is "in" the output's place.
    refused(
        "a layer's name", lambda x: x["config"]["layers"][-1].update(name=0)
    )
    refused("functional", lambda x: x.update(class_name="Sequential"))


def test_the_script_says_what_does_not_hold(tmp_path):
    task = Increment()
    model = handmade.make_network(task)
    content = json.loads(find_proof(model, task).proof.to_json())
    write(tmp_path, model, task, content)

    def run(*arguments):
        command = [sys.executable, SCRIPT, *(arguments or [tmp_path])]
        return subprocess.run(command, capture_output=True, text=True)

    done = run()
    assert (done.returncode, done.stdout) == (0, "Proved, with margin 7.616.\n")
    done = run(tmp_path, "another")
    assert (done.returncode, done.stderr[:22]) == (2, "Usage: check_proof.py ")
    for change, message in (
        ({"weights_sha256": "0" * 64}, "other weights"),
        ({"output": [[0, 1], [1, 0]]}, "it is not about increment"),
        (
            {"domain": "ellipsoids", "boxes": 0},
            "not by boxes, the only ones checked here",
        ),
    ):
        write_proof(tmp_path, content | change)
        done = run()
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"Not proved: {message}\n"
