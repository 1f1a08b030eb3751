"""Tables of runs are filtered and sorted, and escape what files say."""

import csv
import io
import json
import re

import pytest
from made_runs import make_run

from keras_lstm.core.errors import InputError
from keras_lstm.runs.filters import parse_filter
from keras_lstm.runs.summary import find_runs
from keras_lstm.runs.table import (
    runs_csv,
    runs_json,
    runs_text,
    select_runs,
    short_value,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the summaries of four runs."""
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "a", seed=1, report={"proved": True})
    make_run(root / "b", units=8, report={"num_wrong": 5})
    make_run(
        *(root / "c", "digits"),
        report={
            "task": "image-rows",
            "checked": "test split",
            "num_wrong": 4,
            "sequence_accuracy": 0.9843,
        },
        learning_rate=0.01,
    )
    make_run(root / "d", "increment-noise", report=None, monitor=None)
    return find_runs(root)[0]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], "abcd"),
        (["units>=32"], "acd"),
        (["units < 32"], "b"),
        (["units!=32"], "bc"),
        (["units=8"], "b"),
        (["learning-rate<=0.01"], "c"),
        (["task=image-rows"], "c"),
        (["preset!=increment"], "cd"),
        (["state=stopped"], "d"),
        (["state=finished", "wrong>0"], "bc"),
        (["wrong=0"], "a"),
        # It is not known of a run without a result.
        (["wrong!=0"], "bc"),
        (["wrong=none"], "d"),
        (["wrong!=none"], "abc"),
        (["proved=yes"], "a"),
        (["proved=false"], "bc"),
        (["result<0.99"], "c"),
        (["seconds>1e1"], ""),
        (["seconds>=10"], "abc"),
        (["step=100"], "abcd"),
        (["seed=1"], "a"),
        # A run whose task has no such option does not meet the condition.
        (["num_bits=20"], "abd"),
        (["num_bits!=21"], "abd"),
        (["dataset=digits"], "c"),
        # Here none is a value like any other.
        (["monitor=none"], "abcd"),
        (["monitor!=val_sequence_accuracy"], "abcd"),
        (["prove_from_epoch!=3"], "abcd"),
        (["prove_from_epoch<3"], "ab"),
        (["prove_from_epoch!=none"], "ab"),
        (["run=b"], "b"),
    ],
)
def test_filters_keep_what_meets_all_of_them(runs, filters, names):
    kept = select_runs(runs, filters)
    assert "".join(run.name for run in kept) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unit>=32", "`unit` is no column or option. Did you mean `units`?"),
        ("wrnog=0", "Did you mean `wrong`?"),
        (
            "units",
            "must be NAME OPERATOR VALUE, with one of the operators = !=",
        ),
        ("units>=", "Received: filter=units>="),
        ("units=>3", "Received: filter=units=>3"),
        ("units==3", "Received: filter=units==3"),
        ("=3", "Received: filter==3"),
        (
            "units>=many",
            "must compare `units` with a number. Received: filter=",
        ),
        ("units>=nan", "must compare `units` with a number"),
        ("units>none", "must compare `units` with a number"),
        ("proved=1", "must compare `proved` with true or false"),
        ("proved>false", "must compare `proved` by = or !="),
        ("task>=increment", "must compare `task` by = or !="),
        ("state=runing", "`runing` is no state. Did you mean `running`?"),
    ],
)
def test_what_is_no_filter_is_refused_in_one_line(runs, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        select_runs(runs, [text])


def test_options_of_custom_tasks_are_known_by_their_runs():
    condition = parse_filter("taste = sweet and sour ", {"taste": str})
    assert condition.keeps({"taste": "sweet and sour"})
    assert not condition.keeps({})
    # Another custom task's option of that name.
    assert not parse_filter("taste>3", {"taste": int}).keeps({"taste": "sour"})


@pytest.mark.parametrize(
    ("sort", "descending", "names"),
    [
        ("wrong", False, "acbd"),
        ("wrong", True, "bcad"),
        ("units", False, "badc"),
        ("num-bits", False, "abdc"),
        ("preset", False, "cabd"),
        ("monitor", False, "abcd"),
        (None, False, "abcd"),
    ],
)
def test_runs_are_sorted_and_what_is_not_known_is_last(
    runs, sort, descending, names
):
    found = select_runs(runs, [], sort, descending)
    assert "".join(run.name for run in found) == names
    with pytest.raises(InputError, match="`unit` is no column or option"):
        select_runs(runs, [], "unit")


def test_a_table_has_straight_columns(runs):
    lines = runs_text(runs).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["run", *"abcd"]
    assert [line.rstrip() for line in lines] == lines
    start = lines[0].index("differs")
    assert [line[start:] for line in lines[1:]] == [
        "seed=1",
        "units=8",
        "learning_rate=0.01",
        "monitor=none",
    ]
    assert "98.43% of test  4 of 255      no" in lines[3]
    assert "100% of all  0 of 255     yes       384       10" in lines[1]
    assert "stopped at step 100               -" in lines[4]


def test_json_has_the_columns_and_what_differs(runs):
    first, *_, last = json.loads(json.dumps(runs_json(runs), allow_nan=False))
    assert first == {
        "run": "a",
        "task": "increment",
        "preset": "increment",
        "state": "finished",
        "step": 100,
        "result": 1.0,
        "checked": "all inputs",
        "wrong": 0,
        "of": 255,
        "proved": True,
        "examples": 384,
        "parameters": 100,
        "seconds": 10.0,
        "problem": None,
        "differs": {"seed": 1},
    }
    assert (last["state"], last["wrong"]) == ("stopped", None)


def test_csv_has_a_column_for_each_option_that_differs(runs):
    rows = list(csv.DictReader(io.StringIO(runs_csv(runs))))
    names = ["seed", "units", "learning_rate", "monitor"]
    assert list(rows[0])[-4:] == names
    # What an option has in the runs where it does not differ, too.
    assert [rows[3][name] for name in names] == ["0", "32", "0.03", ""]
    assert [row["wrong"] for row in rows] == ["0", "5", "4", ""]
    assert [row["proved"] for row in rows] == ["True", "False", "False", ""]


def test_text_from_files_is_escaped(tmp_path):
    evil = "x\x1b[2J\n\u202ey"
    folder = make_run(tmp_path / evil, report={"checked": evil, "task": evil})
    folder.config.write_text(
        folder.config.read_text().replace(
            "name: increment\n", 'name: "a:\\e[2J"\n  "\\e]0;": "\\e[1m"\n'
        )
    )
    runs, _ = find_runs(tmp_path)
    assert runs[0].config.differing == {"\x1b]0;": "\x1b[1m"}
    for shown in (runs_text(runs), runs_csv(runs), json.dumps(runs_json(runs))):
        assert shown.replace("\n", "").isprintable()
    assert len(runs_text(runs).splitlines()) == 2
    assert r"x\x1b[2J\n\u202ey" in runs_text(runs)
    assert len(runs_csv(runs).splitlines()) == 2


def test_a_damaged_run_has_a_row(tmp_path):
    make_run(tmp_path / "a").config.write_text("model: 3")
    runs, _ = find_runs(tmp_path)
    line = runs_text(runs).splitlines()[1]
    # The report is whole.
    assert line.startswith("a    increment  increment  damaged  100% of all")
    assert "`model` must be a mapping" in line
    (row,) = runs_json(runs)
    assert (row["differs"], row["wrong"]) == (None, 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (0.0025, "0.0025"),
        (100000, "100000"),
        ("name: a\nstates:\n", "name: a..."),
        ("x" * 24, "x" * 24),
        ("x" * 25, "x" * 21 + "..."),
    ],
)
def test_values_are_short(value, text):
    assert short_value(value) == text


def test_many_options_are_counted(tmp_path):
    names = ("units", "num_layers", "embedding_dim", "batch_size", "epochs")
    names = (*names, "steps_per_epoch", "patience", "seed", "num_bits")
    make_run(tmp_path / "a", **dict.fromkeys(names, 3))
    (run,) = find_runs(tmp_path)[0]
    line = runs_text([run]).splitlines()[1]
    assert line.endswith("patience=3 and 1 more")
    assert len(run.config.differing) == 9
