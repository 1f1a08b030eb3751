import types

import pytest

from keras_lstm.callbacks.tracker import Tracker
from keras_lstm.checkpoint.callback_state import match_states
from keras_lstm.core.errors import InputError


class Notebook(Tracker):
    """Track in a dictionary, which outlives the callback, as a server does."""

    # A package that is always there.
    package = "json"

    def __init__(self, runs, **options):
        super().__init__(**options)
        self.runs = runs
        self.is_down = False

    def _open(self):
        self._check()
        self.run = self.runs.setdefault(
            self.run_id, {"rows": [], "results": {}, "files": []}
        )
        self.run["state"] = "running"
        return max((epoch for epoch, _ in self.run["rows"]), default=0)

    def _place(self):
        return "a <notebook>\x1b"

    def _log(self, rows):
        self._check()
        self.run["rows"] += sorted(rows.items())

    def _add(self, values, files):
        self._check()
        self.run["results"] |= values
        self.run["files"] += [path.name for path in files]

    def _close(self, state):
        self._check()
        self.run["state"] = state

    def _check(self):
        if self.is_down:
            raise ConnectionError("no\x1b route\nto the host")


def make(runs, losses=(), **options):
    """Return a tracker in a `fit` whose history has these losses."""
    tracker = Notebook(runs, **options)
    fit = types.SimpleNamespace(stop_training=False)
    fit.history = types.SimpleNamespace(
        epoch=list(range(len(losses))), history={"loss": list(losses)}
    )
    tracker.set_model(fit)
    return tracker


def go_on(tracker, losses):
    """Call the hooks of epochs, as `fit` does."""
    history = tracker.model.history
    tracker.on_train_begin()
    for epoch in range(len(history.epoch), len(losses)):
        tracker.on_epoch_begin(epoch)
        tracker.on_epoch_end(epoch, {"loss": losses[epoch]})
        history.epoch.append(epoch)
        history.history["loss"].append(losses[epoch])


def rows(*losses):
    return [(i + 1, {"loss": loss}) for i, loss in enumerate(losses)]


def test_each_epoch_is_sent_once_and_the_run_ends_with_fit(capsys):
    runs = {}
    tracker = make(runs)
    go_on(tracker, [3.0, 2.0])
    assert runs[tracker.run_id]["state"] == "running"
    tracker.on_train_end()
    run = runs[tracker.run_id]
    assert (run["rows"], run["state"]) == (rows(3.0, 2.0), "finished")
    assert capsys.readouterr().err == "json: tracked in a <notebook>\\x1b\n"


def test_a_resumed_training_goes_on_in_the_same_run():
    runs = {}
    killed = make(runs)
    state = killed.get_state()
    # It was killed after three epochs; its checkpoint holds the first only.
    go_on(killed, [3.0, 2.0, 1.0])
    resumed = make(runs, [3.0], verbose=0)
    resumed.set_state(state)
    go_on(resumed, [3.0, 2.0, 1.0, 0.5])
    resumed.on_train_end()
    assert list(runs) == [killed.run_id]
    assert runs[killed.run_id]["rows"] == rows(3.0, 2.0, 1.0, 0.5)


def test_epochs_before_the_tracker_was_added_are_sent():
    runs = {}
    tracker = make(runs, [3.0, 2.0], verbose=0)
    # Of another length than the number of epochs: of which, is unknown.
    tracker.model.history.history["val_loss"] = [1.0]
    go_on(tracker, [3.0, 2.0, 1.0])
    assert runs[tracker.run_id]["rows"] == rows(3.0, 2.0, 1.0)


def test_a_tracker_that_fails_says_one_line_and_catches_up_at_the_end(capsys):
    runs = {}
    tracker = make(runs, verbose=0)
    go_on(tracker, [3.0])
    tracker.is_down = True
    go_on(tracker, [3.0, 2.0, 1.0])
    assert runs[tracker.run_id]["rows"] == rows(3.0)
    assert capsys.readouterr().err == (
        "json: not tracked for now, training goes on "
        "(ConnectionError: no\\x1b route)\n"
    )
    tracker.is_down = False
    tracker.on_train_end()
    run = runs[tracker.run_id]
    assert (run["rows"], run["state"]) == (rows(3.0, 2.0, 1.0), "finished")


def test_a_tracker_that_is_never_there_harms_nothing():
    runs = {}
    with make(runs, verbose=0) as tracker:
        tracker.is_down = True
        go_on(tracker, [3.0])
        tracker.on_train_end()
        tracker.add_result({"num_wrong": 0}, [])
    assert runs == {}


def test_results_and_files_come_before_the_end_of_the_block(tmp_path):
    runs = {}
    there = tmp_path / "report.json"
    there.write_text("{}")
    with make(runs, [3.0], verbose=0) as tracker:
        # No epoch was left to train.
        tracker.on_train_end()
        assert runs == {}
        tracker.add_result({"num_wrong": 0}, [there, tmp_path / "missing"])
    assert runs[tracker.run_id] == {
        "rows": rows(3.0),
        "results": {"num_wrong": 0},
        "files": ["report.json"],
        "state": "finished",
    }


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError, "failed"),
        (SystemExit, "killed"),
        (KeyboardInterrupt, "killed"),
    ],
)
def test_an_exception_ends_the_run_as_what_it_is(error, state):
    runs = {}
    tracker = make(runs, verbose=0)

    def fail():
        with tracker:
            go_on(tracker, [3.0])
            raise error

    with pytest.raises(error):
        fail()
    assert runs[tracker.run_id]["state"] == state


def test_a_checkpoint_of_a_tracked_training_resumes_without_the_tracker():
    saved = [["Notebook", make({}).get_state(), None]]
    assert match_states([], saved) == []


def test_a_package_that_is_missing_is_refused(monkeypatch):
    monkeypatch.setattr(Notebook, "package", "no_such_package")
    with pytest.raises(InputError, match="`track` no_such_package needs"):
        Notebook({})
