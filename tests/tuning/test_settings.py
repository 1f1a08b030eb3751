import textwrap

import pytest

from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.registry import TASKS
from keras_lstm.tasks.token_sequences import TokenSequences
from keras_lstm.tuning.folder import check_same_search
from keras_lstm.tuning.settings import (
    OBJECTIVES,
    SEARCHABLE,
    Search,
    check_objective,
)

SMALL = get_preset("increment-noise").replace(
    Increment, num_bits=6, epochs=6, steps_per_epoch=10
)
DIGITS = get_preset("digits").replace(ImageRows, epochs=1)


def test_a_task_has_the_objectives_of_its_kind():
    assert Search(SMALL).objective == "cost"
    assert Search(SMALL, objective="smallest").objective == "smallest"
    assert Search(DIGITS).objective == "accuracy"
    for task in TASKS.values():
        assert set(task.objectives) <= set(OBJECTIVES)


def test_a_search_ranks_only_what_was_learned():
    config = get_preset("machine")
    assert config.training.fallback == "construction"
    assert Search(config).config == config.replace(fallback=None)
    # A trial may then be smaller than its machine.
    Search(config).config.replace(units=1)


@pytest.mark.parametrize(
    ("config", "objective", "message"),
    [
        (SMALL, "accuracy", "must be cost or smallest for increment"),
        (DIGITS, "cost", "must be accuracy for image-rows"),
        (SMALL, "coast", "Did you mean `cost`"),
    ],
)
def test_an_objective_that_the_task_has_not_got_is_refused(
    config, objective, message
):
    with pytest.raises(InputError, match=message):
        check_objective(config, objective)


def test_accuracy_needs_a_validation_split(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "ab,x\ncd,y\n" * 20)
    config = get_preset("sequences")
    task = {"data": str(path), "monitor": None, "keep_best": False}
    with pytest.raises(InputError, match="needs a task with a validation spl"):
        Search(config.replace(TokenSequences, **task, validation_fraction=0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ("units", "unit")}, "Did you mean `units`"),
        ({"names": ()}, "`search` must name an option"),
        ({"objective": "accuracy"}, "must be cost or smallest for incr"),
        ({"algorithm": "gird"}, "Did you mean `grid`"),
        ({"max_trials": 0}, "`max_trials` must be an integer of at least 1"),
        (
            {"max_trials": 3, "algorithm": "hyperband"},
            "`max_trials` must be left out with hyperband",
        ),
    ],
)
def test_a_search_that_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Search(SMALL, **options)


def test_a_search_is_told_from_another_by_its_yaml():
    search = Search(SMALL, SEARCHABLE[:2], "smallest", "random", 4, 7)
    config = textwrap.indent(SMALL.to_yaml(), "  ")
    # A folder with other settings is refused.
    assert search.to_yaml() == (
        "algorithm: random\nobjective: smallest\n"
        "search:\n- units\n- num_layers\nmax_trials: 4\nseed: 7\n"
        f"config:\n{config}"
    )


def test_settings_with_the_names_of_version_0_1_are_the_same(tmp_path):
    config = SMALL.replace(global_clipnorm=0.5, warmup_fraction=0.1)
    config = config.with_execution(Execution())
    search = Search(config)
    text = search.to_yaml()
    for now, before in (
        ("global_clipnorm", "clipnorm"),
        ("warmup_fraction", "warmup"),
        ("carry_fraction", "carry_share"),
        ("num_microbatches", "shards"),
    ):
        assert f"{now}: " in text
        text = text.replace(f"{now}: ", f"{before}: ")
    (tmp_path / "search.yaml").write_text(text)
    check_same_search(tmp_path, search)
    (tmp_path / "search.yaml").write_text(
        text.replace("shards: 1", "shards: 2")
    )
    with pytest.raises(InputError, match="other settings in"):
        check_same_search(tmp_path, search)


def test_a_search_that_computed_plainly_goes_on_with_what_is_chosen(tmp_path):
    plain = SMALL.with_execution(Execution())
    for before, now in ((plain, SMALL), (SMALL, SMALL), (plain, plain)):
        (tmp_path / "search.yaml").write_text(Search(before).to_yaml())
        check_same_search(tmp_path, Search(now))
    with pytest.raises(InputError, match="other settings in"):
        check_same_search(tmp_path, Search(SMALL.replace(num_microbatches=2)))


@pytest.mark.parametrize("text", ["", "[1]", "config: 3", "a: [", "config: {}"])
def test_settings_that_are_none_are_refused(tmp_path, text):
    (tmp_path / "search.yaml").write_text(text)
    with pytest.raises(InputError, match="other settings in"):
        check_same_search(tmp_path, Search(SMALL))
