"""Runs are compared; nothing is said of inputs that a list leaves out."""

import dataclasses
import json

import pytest
from made_runs import make_run, write_failures

from keras_lstm.core.errors import InputError
from keras_lstm.runs.compare import compare_runs
from keras_lstm.runs.compare_text import comparison_text
from keras_lstm.tasks.registry import TASKS
from keras_lstm.tasks.transducer import TransducerTask

OWN = {
    "preset": "sequences",
    "vocabulary": '["a"]',
    "classes": '["x", "y"]',
    "data_sha256": "0" * 64,
}
TEST = {"task": "sequences", "checked": "test split"}


def wrong(path, inputs, num_wrong=None, columns=None, **options):
    """Make a run with wrong inputs, all of which are listed by default."""
    report = options.pop("report", {})
    count = len(inputs) if num_wrong is None else num_wrong
    folder = make_run(path, report={**report, "num_wrong": count}, **options)
    rows = [(name, "1", "0") for name in inputs]
    write_failures(
        folder.failures, rows, columns or ("input", "target", "prediction")
    )
    return folder.path


def inputs_of(found):
    return None if found is None else [each.input for each in found]


def test_options_that_differ_are_side_by_side(tmp_path):
    one = make_run(tmp_path / "one", units=8).path
    two = make_run(tmp_path / "two", seed=4).path
    three = make_run(tmp_path / "three", "digits").path
    assert compare_runs([one, two]).options == {
        "seed": [0, 4],
        "units": [8, 32],
    }
    options = compare_runs([one, three]).options
    assert options["preset"] == ["increment", "digits"]
    assert options["num_bits"] == [20, None]
    assert options["prove_from_epoch"] == [1, None]
    text = comparison_text(compare_runs([one, three]))
    # None is a value of one, and the other is no option of that task.
    rows = [line.split() for line in text.splitlines()]
    assert ["prove_from_epoch", "1", "none"] in rows
    assert ["num_bits", "20", "-"] in rows
    assert compare_runs([one, one]).options == {}


def test_results_are_side_by_side(tmp_path):
    one = make_run(tmp_path / "one", report={"proved": True, "min_margin": 2.5})
    two = make_run(tmp_path / "two", report={"sequence_accuracy": 0.5})
    three = make_run(tmp_path / "three", report=None, steps=(40,))
    found = compare_runs([one.path, two.path, three.path])
    assert found.results["proved"] == [True, False, None]
    assert found.results["state"] == ["finished", "finished", "stopped"]
    assert found.results["step"] == [100, 100, 40]
    assert found.results["seconds"] == [10.0, 10.0, None]
    assert "proof_boxes" not in found.results
    lines = comparison_text(found).splitlines()
    assert lines[2].endswith("three  stopped at step 40")
    rows = [line.split() for line in lines]
    assert ["sequence", "accuracy", "100%", "50%", "-"] in rows
    assert "The inputs of run 1 and run 3 are not compared: " in lines[-1]
    assert lines[-1].endswith("three: it has no result yet.")


def test_metrics_are_over_one_another(tmp_path):
    one, two, three = (make_run(tmp_path / name) for name in ("a", "b", "c"))
    one.history.write_text(
        "epoch,loss,val_loss,val_sequence_accuracy\n"
        "1,2.0,1.5,0.25\n2,1.0,1.25,0.99999\n"
    )
    two.history.write_text(
        "epoch,loss,val_loss\n"
        + "".join(f"{i},{i}.5,nan\n" for i in range(2, 60))
    )
    found = compare_runs([one.path, two.path, three.path])
    assert found.epochs == [*range(1, 60)]
    assert found.curves["loss"][0][:3] == [2.0, 1.0, None]
    assert found.curves["loss"][1][:3] == [None, 2.5, 3.5]
    assert found.curves["val_loss"][1] == [None] * 59
    assert found.curves["loss"][2] == [None] * 59
    assert found.problems == []
    text = comparison_text(found)
    accuracies, losses = text.split("\n\n")[3:5]
    assert accuracies.splitlines()[:2] == [
        "val_sequence_accuracy by epoch  run 1  run 2  run 3",
        "1                                 25%      -      -",
    ]
    # The first epoch and the last are among those shown.
    assert len(losses.splitlines()) == 22
    assert losses.splitlines()[-2].split() == ["59", "-", "-", "-"]
    assert losses.splitlines()[-1] == "(20 of 59 epochs)"
    # Without validation, the metrics of the training.
    two.history.write_text("epoch,loss\n1,0.5\n")
    text = comparison_text(compare_runs([two.path, three.path]))
    assert "loss by epoch  run 1  run 2\n1                0.5      -\n" in text


@pytest.mark.parametrize(
    "text",
    [
        *("loss\n1\n", "epoch,loss\nx,1\n", "epoch,loss\n1,y\n", "\0", b"\xff"),
        *(f"epoch,loss\n1{'0' * 400},1\n", "epoch,loss\n-1,1\n"),
    ],
)
def test_a_damaged_history_is_told(tmp_path, text):
    one, two = (make_run(tmp_path / name) for name in ("a", "b"))
    data = text if isinstance(text, bytes) else text.encode()
    one.history.write_bytes(data)
    found = compare_runs([one.path, two.path])
    if data == b"\0":
        assert found.problems == []
    else:
        (problem,) = found.problems
        assert problem.startswith(f"{one.path}: history.csv cannot be read: ")
        assert comparison_text(found).endswith(problem)
    assert found.epochs == []


def test_inputs_that_one_gets_right_and_the_other_wrong(tmp_path):
    one = wrong(tmp_path / "one", ["000", "001", "010"], seed=1)
    two = wrong(tmp_path / "two", ["010", "100"], sampling="carry")
    found = compare_runs([one, two])
    (difference,) = found.differences
    assert inputs_of(difference.first_right) == ["100"]
    assert inputs_of(difference.other_right) == ["000", "001"]
    assert difference.num_both_wrong == 1
    assert difference.is_complete
    assert comparison_text(found).split("\n\n")[-1] == (
        "Run 1 gets 1 right that run 2 gets wrong:\n"
        "  input  target  run 2\n"
        "  100         1      0\n"
        "Run 2 gets 2 right that run 1 gets wrong:\n"
        "  input  target  run 1\n"
        "  000         1      0\n"
        "  001         1      0\n"
        "Wrong in both: 1 of 255 (all inputs)."
    )
    mapping = json.loads(json.dumps(found.to_mapping(), allow_nan=False))
    (each,) = mapping["wrong_inputs"]
    assert each["run"] == str(one)
    assert each["first_right"] == [
        {
            "line": None,
            "input": "100",
            "target": "1",
            "prediction": "0",
            "wrong": "",
        }
    ]
    assert [each["num_listed"] for each in mapping["listed"]] == [3, 2]


def test_of_a_list_that_is_cut_nothing_is_said_that_is_not_known(tmp_path):
    one = wrong(tmp_path / "one", ["000", "001"], num_wrong=2)
    cut = wrong(tmp_path / "cut", ["001", "010"], num_wrong=50)
    (difference,) = compare_runs([one, cut]).differences
    assert inputs_of(difference.first_right) == ["010"]
    # `000` may be one of the 48 that are not listed.
    assert difference.other_right is None
    assert not difference.is_complete
    text = comparison_text(compare_runs([one, cut])).split("\n\n")[-1]
    assert text == (
        "Run 1 gets at least 1 right that run 2 gets wrong, such as:\n"
        "  input  target  run 2\n"
        "  010         1      0\n"
        "Which inputs run 2 gets right that run 1 gets wrong is not known: not "
        "all of its 50 wrong ones are listed.\n"
        "Wrong in both: at least 1 of 255 (all inputs).\n"
        "Of the 50 wrong inputs of run 2, only 2 are listed."
    )


def test_a_run_without_mistakes_gets_all_right_that_another_does_not(tmp_path):
    right = make_run(tmp_path / "right").path
    cut = wrong(tmp_path / "cut", ["001", "010"], num_wrong=50)
    text = comparison_text(compare_runs([right, cut])).split("\n\n")[-1]
    assert text.startswith(
        "Run 1 gets 50 right that run 2 gets wrong, such as:\n  input  target"
    )
    assert "\nWrong in both: 0 of 255 (all inputs).\n" in text
    text = comparison_text(compare_runs([right, right])).split("\n\n")[-1]
    assert text == (
        "Run 1 gets none right that run 2 gets wrong.\n"
        "Run 2 gets none right that run 1 gets wrong.\n"
        "Wrong in both: 0 of 255 (all inputs)."
    )


def test_ten_inputs_are_shown_of_many(tmp_path):
    many = wrong(tmp_path / "many", [f"{i:08b}" for i in range(30)])
    right = make_run(tmp_path / "right").path
    lines = comparison_text(compare_runs([many, right])).splitlines()
    start = lines.index("Run 2 gets 30 right that run 1 gets wrong, such as:")
    assert lines[start + 2 : start + 12] == [
        f"  {i:08b}       1      0" for i in range(10)
    ]
    assert lines[start + 12].startswith("Wrong in both: 0")


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({}, {"preset": "digits"}, "their tasks are increment and image-rows"),
        ({}, {"num_bits": 7}, "their options differ: num_bits is 20 and 7"),
        (
            {"report": {"checked": "9 inputs of these kinds: random"}},
            {},
            "was checked on 9 inputs of these kinds: random, ",
        ),
        ({"report": {"num_examples": 9}}, {}, "9 and 255 inputs were checked"),
        (
            {**OWN, "report": TEST},
            {**OWN, "report": TEST, "split_seed": 3},
            "their options differ: split_seed is 0 and 3",
        ),
        (
            {**OWN, "report": TEST},
            {**OWN, "report": TEST, "data_sha256": "1" * 64},
            "their options differ: data_sha256 is 0",
        ),
        (
            {**OWN, "report": TEST, "data_sha256": None},
            {**OWN, "report": TEST, "data_sha256": None},
            "it is not known that their data is the same",
        ),
    ],
)
def test_other_inputs_are_not_compared(tmp_path, first, second, reason):
    one = wrong(tmp_path / "one", ["000"], **first)
    two = wrong(tmp_path / "two", ["001"], **second)
    found = compare_runs([one, two])
    (difference,) = found.differences
    assert reason in difference.reason
    assert difference.first_right is difference.other_right is None
    assert comparison_text(found).splitlines()[-1] == (
        f"The inputs of run 1 and run 2 are not compared: {difference.reason}."
    )


def test_lines_of_the_same_data_are_compared_at_any_path(tmp_path):
    columns = ("line", "input", "target", "prediction", "confidence")
    folders = []
    for name, lines in (("one", (3, 8)), ("two", (8, 9, 12))):
        report = {**TEST, "num_wrong": len(lines)}
        folder = make_run(tmp_path / name, report=report, **OWN)
        text = folder.config.read_text()
        folder.config.write_text(text.replace(" null", f" {name}.csv", 1))
        rows = [(n, "ab\ncd" if n == 12 else "ab", "x", "y", 1) for n in lines]
        write_failures(folder.failures, rows, columns)
        folders.append(folder.path)
    found = compare_runs(folders)
    (difference,) = found.differences
    # Two lines may have the same input.
    assert [each.line for each in difference.first_right] == [9, 12]
    assert [each.line for each in difference.other_right] == [3]
    assert difference.num_both_wrong == 1
    assert (
        "  line  input  target  run 2\n"
        "  9        ab       x      y\n"
        "  12                x      y\n"
    ) in comparison_text(found)


def test_a_later_check_is_that_of_the_list(tmp_path):
    one = wrong(tmp_path / "one", ["000", "001"], num_bits=8)
    # `verify` found more, as it checked more.
    check = {"checked": "all inputs", "num_examples": 999, "num_wrong": 2}
    two = wrong(tmp_path / "two", ["000", "010"], num_wrong=1, num_bits=8)
    (two / "verify-8.json").write_text(json.dumps(check))
    found = compare_runs([one, two])
    assert found.differences[0].reason == "255 and 999 inputs were checked"
    (one / "verify-8.json").write_text(json.dumps(check))
    (difference,) = compare_runs([one, two]).differences
    assert inputs_of(difference.first_right) == ["010"]
    assert difference.is_complete
    # Damaged, the list no longer fits what is known.
    (two / "verify-8.json").write_text("{}")
    (one / "verify-8.json").unlink()
    (difference,) = compare_runs([one, two]).differences
    assert "lists 2 inputs, and its last check counts 1" in difference.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it has no failures.csv"),
        ("a,b\n1,2\n", "cannot be read: it has no column input"),
        ("input,target,prediction\n1,2\n", "line 2 is not complete"),
        ("line,input,target,prediction\nx,1,2,3\n", "cannot be read: "),
        ("", "it has no column input"),
        (b"input,target,prediction\n\xff,1,0\n", "cannot be read: "),
    ],
)
def test_a_list_that_cannot_be_read_is_told(tmp_path, content, reason):
    one = wrong(tmp_path / "one", ["000"])
    two = wrong(tmp_path / "two", ["000"])
    path = two / "failures.csv"
    path.unlink()
    if content is not None:
        path.write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    (difference,) = compare_runs([one, two]).differences
    assert difference.reason.startswith(f"{two}: it")
    assert reason in difference.reason


def test_each_run_is_compared_with_the_first(tmp_path):
    runs = [
        wrong(tmp_path / name, inputs)
        for name, inputs in (("a", ["0"]), ("b", ["0", "1"]), ("c", []))
    ]
    found = compare_runs(runs)
    assert [inputs_of(each.first_right) for each in found.differences] == [
        ["1"],
        [],
    ]
    assert [inputs_of(each.other_right) for each in found.differences] == [
        [],
        ["0"],
    ]


def test_what_is_no_run_is_refused(tmp_path):
    one = make_run(tmp_path / "one").path
    with pytest.raises(InputError, match="must be given twice or more often"):
        compare_runs([one])
    for name in ("none", "empty"):
        with pytest.raises(InputError, match=f"must hold a run.*{name}"):
            compare_runs([one, tmp_path / name])
        (tmp_path / "empty").mkdir(exist_ok=True)
    make_run(tmp_path / "bad").config.write_text("model: 3")
    with pytest.raises(InputError, match="`model` must be a mapping"):
        compare_runs([one, tmp_path / "bad"])


def test_text_of_files_is_escaped(tmp_path):
    one = wrong(tmp_path / "one\x1b", ["\x1b[2J\n"])
    two = wrong(tmp_path / "two", [], sampling="carry")
    (two / "history.csv").write_text("epoch,val_loss\n\x1b,1\n")
    text = comparison_text(compare_runs([one, two]))
    assert text.replace("\n", "").isprintable()
    assert r"one\x1b  finished" in text


def test_options_of_the_training_change_no_checked_input():
    for task in TASKS.values():
        fields = {field.name for field in dataclasses.fields(task)}
        assert set(task.training_options) <= fields
        machine = issubclass(task, TransducerTask)
        assert machine == ("sampling" in task.training_options)
        assert "num_bits" not in task.training_options
