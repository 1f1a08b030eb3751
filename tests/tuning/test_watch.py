import io
import json

import pytest
from made_searches import make_search
from rich.console import Console

from keras_lstm.presets import get_preset
from keras_lstm.tasks.increment import Increment
from keras_lstm.tuning import watch
from keras_lstm.tuning.settings import Search
from keras_lstm.tuning.watch import SearchProgress, expected_trials, watching


def lines(progress):
    console = Console(file=io.StringIO(), width=120)
    console.print(progress.block())
    text = console.file.getvalue()
    return [" ".join(line.split()) for line in text.splitlines()]


def test_trials_are_shown_as_they_run_with_the_best(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    search = make_search(tmp_path / "s", 3, 1, num_wrong=1)
    progress = SearchProgress(tmp_path / "s", search)
    first = lines(progress)
    assert first[0].endswith("2% 2 of 99 trials time left unknown")
    assert first[1:] == [
        "best: trial 01 units=16, learning_rate=0.01 9,203 examples to exact",
        "best so far, by trial: █▁",
        "trial 02 units=24, learning_rate=0.1 epoch 2/15 loss 0.25 █▁ "
        "val_sequence_accuracy 100% ▁█",
    ]
    # Two more are done, 60 s later.
    for path in (tmp_path / "s" / "keras_tuner").glob("*"):
        path.rename(tmp_path / path.name)
    for name in ("search.yaml",):
        (tmp_path / "s" / name).unlink()
    (tmp_path / "s" / "trials").rename(tmp_path / "old")
    make_search(tmp_path / "s", 4, num_wrong=1)
    now[0] += 60.0
    second = lines(progress)
    assert second[0].endswith("4% 4 of 99 trials about 48 minutes left")
    assert second[1].startswith("best: trial 03 units=32")
    assert second[2] == "best so far, by trial: █▁▁▁"
    assert len(second) == 3


def test_a_file_that_cannot_be_read_is_left_for_the_next_time(tmp_path):
    search = make_search(tmp_path, 2)
    state = tmp_path / "keras_tuner" / "trial_01" / "trial.json"
    text = state.read_text()
    state.write_text(text[:-9])
    progress = SearchProgress(tmp_path, search)
    assert "1 of 99 trials" in lines(progress)[0]
    state.write_text(text)
    assert "2 of 99 trials" in lines(progress)[0]


@pytest.mark.parametrize(
    ("names", "algorithm", "max_trials", "expected"),
    [
        (("units",), "grid", None, 8),
        (("units", "num_layers"), "grid", None, 24),
        (("units", "num_layers"), "grid", 5, 5),
        (("units", "learning_rate"), "grid", None, None),
        (("units",), "random", None, 10),
        (("units",), "bayesian", 30, 30),
        (("units",), "hyperband", None, None),
    ],
)
def test_the_number_of_trials_is_said_if_it_is_known(
    names, algorithm, max_trials, expected
):
    config = get_preset("increment").replace(Increment)
    search = Search(config, names, "", algorithm, max_trials)
    assert expected_trials(search) == expected


def test_a_log_shows_nothing_and_a_display_is_closed(tmp_path, monkeypatch):
    search = make_search(tmp_path, 2)
    with watching(tmp_path, search) as shown:
        assert not shown
    seen = []

    class Fake:
        def update(self, block):
            seen.append(block.beside)

        def close(self):
            seen.append("closed")

    monkeypatch.setattr(watch, "open_display", Fake)
    monkeypatch.setattr(watch, "_SECONDS_BETWEEN_READS", 1e-3)

    def search_that_fails():
        with watching(tmp_path, search) as shown:
            assert shown
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_that_fails()
    assert seen[-2:] == ["2 of 99 trials  time left unknown", "closed"]


def test_a_perfect_score_counts(tmp_path):
    search = make_search(tmp_path / "s", 4, num_wrong=0)
    for name, score in (("00", 0.5), ("01", 0.0), ("02", 0.25), ("03", 0.1)):
        path = tmp_path / "s" / "keras_tuner" / f"trial_{name}" / "trial.json"
        state = json.loads(path.read_text())
        path.write_text(json.dumps(state | {"score": score}))
    found = lines(SearchProgress(tmp_path / "s", search))
    assert "best so far, by trial: █▁▁▁" in found
