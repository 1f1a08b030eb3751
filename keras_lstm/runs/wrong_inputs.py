"""The wrong inputs that a run lists, and how those of two runs differ.

`failures.csv` lists the wrong inputs of the last check: that of the training,
or a later `verify` at the same length. It lists no more than 100,000, and fewer
if sequences are long, so its number of lines is compared with the count of that
check. Images and arrays are named by their place in the test split.
"""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from keras_lstm.core.errors import shown
from keras_lstm.core.files import open_regular, read_small_text
from keras_lstm.core.json_types import check_type
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.summary import RunSummary
from keras_lstm.tasks.registry import TASKS

_MAX_CHECK = 2**24
# A sequence of 4,096 symbols with long names, or a text.
_MAX_FIELD = 2**24
_COLUMNS = ("input", "target", "prediction")
_CHECK_TYPES = {"checked": str, "num_examples": int, "num_wrong": int}

# An input, with its line in a file of data, or 0.
Key = tuple[int, str]


@dataclasses.dataclass(frozen=True)
class WrongInput:
    """A wrong prediction.

    Args:
        line: line of the input in the file of data; None without one.
        input: the input.
        target: the right output.
        prediction: the model's output.
        wrong: `^` for each wrong symbol of the prediction and `.` for each
            right one; empty if it is no sequence of symbols.
    """

    line: int | None
    input: str
    target: str
    prediction: str
    wrong: str = ""


@dataclasses.dataclass(frozen=True)
class WrongInputs:
    """The wrong inputs of a run's last check.

    Args:
        checked: what was checked: "all inputs", "test split", or the kinds of
            inputs sampled; None without a check.
        num_checked: number of inputs checked.
        num_wrong: number of wrong ones.
        listed: those that are listed.
        reason: why none are listed; None if they are.
    """

    checked: str | None = None
    num_checked: int = 0
    num_wrong: int = 0
    listed: dict[Key, WrongInput] = dataclasses.field(default_factory=dict)
    reason: str | None = None

    @property
    def is_complete(self) -> bool:
        """True if all wrong inputs are listed."""
        return self.reason is None and len(self.listed) == self.num_wrong


@dataclasses.dataclass(frozen=True)
class Difference:
    """Inputs that one run gets right and another wrong, and vice versa.

    Args:
        first_right: inputs that the first run gets right and the other wrong;
            None if it is not known which the first gets right.
        other_right: inputs that the other run gets right and the first wrong;
            likewise.
        num_both_wrong: number of inputs that both list as wrong.
        is_complete: whether these are all, as neither list is cut.
        reason: why the runs cannot be compared by input; None if they can.
    """

    first_right: list[WrongInput] | None = None
    other_right: list[WrongInput] | None = None
    num_both_wrong: int = 0
    is_complete: bool = False
    reason: str | None = None


def read_wrong_inputs(run: RunSummary) -> WrongInputs:
    """Read the wrong inputs of a run's last check.

    Args:
        run: the run.

    Returns:
        The inputs; what cannot be read is the `reason`.
    """
    if run.report is None:
        return WrongInputs(reason="it has no result yet")
    folder = RunFolder(run.run_dir)
    check = _last_check(run, folder) or {
        name: getattr(run.report, name) for name in _CHECK_TYPES
    }
    found = WrongInputs(
        check["checked"], check["num_examples"], check["num_wrong"]
    )
    name = folder.failures.name
    try:
        listed = {
            (wrong.line or 0, wrong.input): wrong
            for wrong in _read_failures(folder.failures)
        }
    except FileNotFoundError:
        if not found.num_wrong:
            return found
        return dataclasses.replace(found, reason=f"it has no {name}")
    except (OSError, ValueError, csv.Error) as error:
        reason = f"its {name} cannot be read: {error}"
        return dataclasses.replace(found, reason=reason)
    if len(listed) > found.num_wrong:
        reason = (
            f"its {name} lists {len(listed):,} inputs, and its last check "
            f"counts {found.num_wrong:,}"
        )
        return dataclasses.replace(found, reason=reason)
    return dataclasses.replace(found, listed=listed)


def _last_check(run: RunSummary, folder: RunFolder) -> dict[str, Any] | None:
    """Return the later check that replaced `failures.csv`, if there is one."""
    num_bits = None if run.config is None else run.config.values.get("num_bits")
    if not isinstance(num_bits, int):
        return None
    try:
        text = read_small_text(folder.verification(num_bits), _MAX_CHECK)
        check: dict[str, Any] = json.loads(text)
        for name, hint in _CHECK_TYPES.items():
            check_type(name, check[name], hint)
    # Without it, or damaged: the number of lines tells if the report fits.
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return check


def _read_failures(path: pathlib.Path) -> Iterator[WrongInput]:
    """Yield the wrong inputs of a `failures.csv`.

    Args:
        path: the file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not UTF-8, or is no such file.
        csv.Error: if it is no CSV.
    """
    with open_regular(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        before = csv.field_size_limit(_MAX_FIELD)
        try:
            rows = csv.reader(text)
            header = next(rows, [])
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                raise ValueError(f"it has no column {missing[0]}")
            places = [header.index(name) for name in _COLUMNS]
            line = header.index("line") if "line" in header else None
            marks = header.index("wrong") if "wrong" in header else None
            for row in rows:
                if len(row) != len(header):
                    raise ValueError(f"line {rows.line_num} is not complete")
                number = None if line is None else int(row[line] or 0)
                asked, target, said = (row[place] for place in places)
                marked = "" if marks is None else row[marks]
                yield WrongInput(number, asked, target, said, marked)
        finally:
            csv.field_size_limit(before)


def compare_wrong_inputs(
    first: RunSummary,
    first_wrong: WrongInputs,
    other: RunSummary,
    other_wrong: WrongInputs,
) -> Difference:
    """Find the inputs that one run gets right and another does not.

    Args:
        first: a run.
        first_wrong: its wrong inputs.
        other: another run.
        other_wrong: its wrong inputs.

    Returns:
        The inputs. Of a run whose list is cut, an input that it does not list
        may be right or wrong: nothing is said of it.
    """
    reason = _other_inputs(first, first_wrong, other, other_wrong)
    if reason is None:
        for run, wrong in ((first, first_wrong), (other, other_wrong)):
            if wrong.reason is not None:
                reason = f"{run.name}: {wrong.reason}"
                break
    if reason is not None:
        return Difference(reason=reason)
    one, two = first_wrong.listed, other_wrong.listed
    only_two = [two[key] for key in two if key not in one]
    only_one = [one[key] for key in one if key not in two]
    return Difference(
        only_two if first_wrong.is_complete else None,
        only_one if other_wrong.is_complete else None,
        len(one.keys() & two.keys()),
        first_wrong.is_complete and other_wrong.is_complete,
    )


def _other_inputs(
    first: RunSummary,
    first_wrong: WrongInputs,
    other: RunSummary,
    other_wrong: WrongInputs,
) -> str | None:
    """Return why two runs were not checked on the same inputs, or None."""
    one, two = first.config, other.config
    for run, wrong in ((first, first_wrong), (other, other_wrong)):
        if wrong.checked is None:
            return f"{run.name}: {wrong.reason}"
    if one is None or two is None:
        return "their options are not known"
    if one.task != two.task:
        return f"their tasks are {one.task} and {two.task}"
    task = TASKS.get(one.task)
    ignored = set(task.training_options) if task else set()
    digests = [each.values.get("data_sha256") for each in (one, two)]
    if "data_sha256" in one.task_options:
        if None in digests:
            return "it is not known that their data is the same"
        # The same data may be found at another path.
        ignored.add("data")
    for name in sorted((one.task_options | two.task_options) - ignored):
        values = [config.values.get(name) for config in (one, two)]
        if values[0] != values[1]:
            texts = " and ".join(shown(value) for value in values)
            return f"their options differ: {name} is {texts}"
    if first_wrong.checked != other_wrong.checked:
        return (
            f"{first.name} was checked on {first_wrong.checked}, {other.name} "
            f"on {other_wrong.checked}"
        )
    if first_wrong.num_checked != other_wrong.num_checked:
        return (
            f"{first_wrong.num_checked:,} and {other_wrong.num_checked:,} "
            "inputs were checked"
        )
    return None
