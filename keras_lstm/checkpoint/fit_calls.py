"""The calls of `fit` that a process has made with a model and a folder."""

import dataclasses
import pathlib
import weakref
from typing import Any

import keras


@dataclasses.dataclass
class FitCalls:
    """Finished calls of `fit` with one model and one folder of checkpoints.

    Attributes:
        step: number of optimizer steps done in all of them.
        histories: the epochs and the history of each call.
        settings: settings of the optimizers at the start of the first call;
            None before it.
    """

    step: int = 0
    histories: list[list[Any]] = dataclasses.field(default_factory=list)
    settings: dict[str, dict[str, str]] | None = None


_calls: weakref.WeakKeyDictionary[keras.Model, dict[pathlib.Path, FitCalls]] = (
    weakref.WeakKeyDictionary()
)
# The model of the last call of `fit` that was finished, by folder.
_finished_by: dict[pathlib.Path, "weakref.ref[keras.Model]"] = {}


def fit_calls(model: keras.Model, folder: pathlib.Path) -> FitCalls:
    """Return the calls of `fit` that this process has finished.

    Args:
        model: the model. The calls with another model are others.
        folder: the folder of the checkpoints.

    Returns:
        The calls; the same object every time, to be updated in place.
    """
    calls = _calls.setdefault(model, {})
    return calls.setdefault(folder.absolute(), FitCalls())


def note_finished(model: keras.Model, folder: pathlib.Path) -> None:
    """Note that a call of `fit` is finished.

    Args:
        model: the model.
        folder: the folder of the checkpoints.
    """
    _finished_by[folder.absolute()] = weakref.ref(model)


def is_of_another_model(model: keras.Model, folder: pathlib.Path) -> bool:
    """Return whether this process has finished another model's training there.

    Args:
        model: the model that is about to be trained.
        folder: the folder of the checkpoints.
    """
    last = _finished_by.get(folder.absolute())
    return last is not None and last() is not model
