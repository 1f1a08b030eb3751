"""The checker in `scripts/` and `check_proof` decide alike."""

import copy
import importlib.util
import json
import pathlib

import handmade
import numpy as np
import pytest

from keras_lstm.models.weights import read_weights
from keras_lstm.proof.certificate import (
    Proof,
    ProofError,
    _checksum,
    check_proof,
)
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.increment import Add, Decrement, Increment, Parity

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "check_proof.py"
TASKS = (Increment(), Decrement(), Parity(), Add())


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
    content = {"checksum": _checksum(content), **content}
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
        for _ in range(20):
            write_proof(tmp_path, mutate(content, rng))
            ours, theirs = verdicts(checker, tmp_path, model, task)
            assert ours == theirs
            decided.add(ours is None)
    assert decided == {False, True}
