"""Sequences of tokens from files."""

import csv
import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.cli import main
from keras_lstm.config import Config, ModelConfig, TrainingConfig
from keras_lstm.config_file import read_config
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.models.text_input import with_text_input
from keras_lstm.runs.model_file import read_model, save_model
from keras_lstm.tasks import token_survey
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.labels import parse_names
from keras_lstm.tasks.partition import divide
from keras_lstm.tasks.token_sequences import TokenSequences
from keras_lstm.tasks.tokens import TOKENS, split_tokens
from keras_lstm.verification.evaluation import evaluate

LETTERS = "abcdefgh"


def made_rows(count=300, seed=0):
    """Return texts and whether they have an a, with lengths 1 to 12."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        text = "".join(rng.choice(list(LETTERS), rng.integers(1, 13)))
        found.append((text, "yes" if "a" in text else "no"))
    return found


def write_csv(path, rows, header=("text", "label")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Return a file of texts with a label each."""
    path = tmp_path_factory.mktemp("data") / "labelled.csv"
    return str(write_csv(path, made_rows()))


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """Return a file of texts that tells which characters are vowels."""
    path = tmp_path_factory.mktemp("data") / "tagged.tsv"
    with path.open("w") as file:
        file.write("word\ttags\n")
        for text, _ in made_rows():
            tags = "".join("v" if x in "ae" else "c" for x in text)
            file.write(f"{text}\t{tags}\n")
    return str(path)


def texts_of(split, task):
    """Return the texts and target names of a split."""
    found = []
    for inputs, targets in make_dataset(split, 7).as_numpy_iterator():
        for one, target in zip(inputs, targets, strict=True):
            text = "".join(task.known_tokens.decode(one.tolist()))
            names = [task.class_names[x] for x in np.atleast_1d(target)]
            found.append((text, "".join(names[: len(text)])))
    return found


def test_what_a_file_holds_is_found(labelled, tagged):
    task = TokenSequences(data=labelled)
    assert (task.input, task.target, task.tokens) == (
        *("text", "label"),
        "characters",
    )
    assert (task.target_kind, task.class_names) == ("label", ("no", "yes"))
    assert sorted(task.known_tokens.tokens) == list(LETTERS)
    assert (task.num_symbols, task.output_shape) == (10, ())
    assert task.recommended() == {"head": "last_state"}
    task = TokenSequences(data=tagged)
    assert (task.target_kind, task.output_shape) == ("per_token", (None,))
    assert task.recommended() == {"head": "per_step"}


def test_every_row_is_in_one_part_and_classes_in_proportion(labelled):
    task = TokenSequences(data=labelled)
    splits = task.splits(seed=3)
    parts = [texts_of(x, task) for x in (splits.train, splits.validation)]
    parts.append(texts_of(splits.test, task))
    assert sorted(itertools.chain(*parts)) == sorted(made_rows())
    inputs = [{text for text, _ in part} for part in parts]
    assert not inputs[0] & inputs[1]
    assert not (inputs[0] | inputs[1]) & inputs[2]
    share = np.mean([label == "yes" for _, label in made_rows()])
    for part in parts:
        found = np.mean([label == "yes" for _, label in part])
        assert abs(found - share) < 0.12
    again = TokenSequences(data=labelled, split_seed=1).splits(seed=3)
    assert texts_of(again.test, task) != parts[2]


def test_a_group_stays_together():
    keys = np.repeat(np.arange(50, dtype=np.uint64) * 977, 4)
    parts = divide(keys, np.arange(200, dtype=np.int32) % 3, 0.2, 0.2)
    assert all(len(set(part)) == 1 for part in parts.reshape(50, 4).tolist())
    assert min(np.bincount(parts)[1:]) >= 32


def test_a_column_of_parts_must_not_divide_a_group(tmp_path):
    rows = [
        (text, label, user, part)
        for user, part in (("u", "train"), ("v", "test"), ("w", "dev"))
        for text, label in made_rows(30)
    ]
    header = ("text", "label", "user", "part")
    path = str(write_csv(tmp_path / "a.csv", rows, header))
    options = {"data": path, "group": "user", "part": "part"}
    assert np.bincount(TokenSequences(**options).survey().parts).tolist() == (
        [30, 30, 30]
    )
    rows[0] = (*rows[0][:3], "test")
    write_csv(tmp_path / "a.csv", rows, header)
    with pytest.raises(InputError, match=r"one part\. Received: 1 val"):
        TokenSequences(**options)


def test_rows_that_are_the_same_once_cut_stay_together(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (f"{i % 40:08b}" + "".join(rng.choice(list("01"), 8)), i % 2)
        for i in range(400)
    ]
    path = str(write_csv(tmp_path / "a.csv", rows))
    task = TokenSequences(data=path, tokens="characters", max_length=8)
    found = task.survey()
    assert (np.bincount(found.parts) > 20).all()
    part_of = {}
    for part, each in found.examples():
        assert part_of.setdefault(tuple(each.tokens[:8]), part) == part
    assert found.defects.num_repeated == 360
    whole = TokenSequences(data=path, tokens="characters").survey()
    assert whole.defects.num_repeated < 20


def test_columns_are_found_by_their_names_not_their_places(tmp_path):
    rows = [(str(i), text, text, label) for i, (text, label) in enumerate(
        made_rows(40)
    )]  # fmt: skip
    header = ("category", "text", "input", "target")
    task = TokenSequences(data=str(write_csv(tmp_path / "a.csv", rows, header)))
    assert (task.input, task.target) == ("input", "target")


def test_a_vocabulary_is_as_long_in_any_alphabet(tmp_path, monkeypatch):
    monkeypatch.setattr(token_survey, "_MAX_NAMES", 2000)
    known = []
    for first, size in ((97, 1), (0x430, 2)):
        words = [
            "".join(chr(first + int(x)) for x in f"{i:06}") for i in range(300)
        ]
        rows = [(f"{word} {word}", i % 2) for i, word in enumerate(words)]
        path = str(write_csv(tmp_path / f"{size}.csv", rows))
        task = TokenSequences(data=path, tokens="words")
        known.append(len(parse_names(task.vocabulary, "vocabulary")))
    # Letters of two bytes, and quotes, a comma and a space of one each.
    assert known == [2000 // 10, 2000 // 16]


def test_a_run_that_could_not_be_read_again_is_not_begun(tmp_path, capsys):
    texts = [text for text, _ in made_rows(300)]
    rows = [(text, f"{i % 100:03}" * 2000) for i, text in enumerate(texts)]
    path = str(write_csv(tmp_path / "a.csv", rows))
    run_dir = tmp_path / "run"
    arguments = ["--data", path, "--units", "4", "--epochs", "1", "--quiet"]
    arguments += ["--run-dir", str(run_dir)]
    assert main(["train", "sequences", *arguments]) == 2
    err = capsys.readouterr().err
    assert "`classes` must be shorter" in err
    assert "at most 500,000 bytes" in err
    assert not (run_dir / "config.yaml").exists()


def test_other_data_says_what_is_wrong_with_it(tmp_path):
    task = TokenSequences(
        data=str(write_csv(tmp_path / "a.csv", made_rows(60))), bad_rows="skip"
    )
    path = str(
        write_csv(tmp_path / "b.csv", [*made_rows(5), ("", "x"), ("", "y")])
    )
    assert task.to_evaluate(data=path).defects() == ["2 bad rows are skipped"]


def test_lines_lead_back_to_the_file(labelled):
    task = TokenSequences(data=labelled)
    test = task.splits(0).test
    with open(labelled) as file:
        lines = file.read().splitlines()
    inputs, targets = test.batch(np.arange(test.num_examples))
    for one, target, line in zip(
        inputs.numpy(), targets.numpy(), test.lines, strict=True
    ):
        text = "".join(task.known_tokens.decode(one.tolist()))
        assert lines[line - 1] == f"{text},{task.class_names[target]}"


def test_columns_and_files_name_parts(tmp_path):
    rows = [(*row, name) for row, name in zip(
        made_rows(90), ["train", "Dev", "test"] * 30, strict=True
    )]  # fmt: skip
    path = write_csv(tmp_path / "a.csv", rows, ("text", "label", "part"))
    task = TokenSequences(data=str(path), part="part")
    splits = task.splits(0)
    for split, name in (
        *((splits.train, "train"), (splits.validation, "Dev")),
        (splits.test, "test"),
    ):
        chosen = [(text, label) for text, label, part in rows if part == name]
        assert sorted(texts_of(split, task)) == sorted(chosen)
    data = str(write_csv(tmp_path / "b.csv", made_rows(60)))
    tested = [*made_rows(60, seed=1), made_rows(60)[7]]
    test = str(write_csv(tmp_path / "c.csv", tested))
    task = TokenSequences(data=data, test_data=test, validation_fraction=0.0)
    splits = task.splits(0)
    assert splits.validation is None
    assert sorted(texts_of(splits.test, task)) == sorted(tested)
    assert any("are in the training part as well" in x for x in task.remarks())


def test_a_column_of_parts_is_suggested(tmp_path, capsys):
    parts = ["train", "Dev", "test"] * 20
    rows = [(*row, p) for row, p in zip(made_rows(60), parts, strict=True)]
    header = ("text", "label", "fold")
    path = str(write_csv(tmp_path / "a.csv", rows, header))
    assert TokenSequences(data=path).suggested()["part"] == "fold"
    assert main(["data", path]) == 0
    assert "--target label --part fold\n" in capsys.readouterr().out
    grouped = TokenSequences(data=path, group="fold").suggested()
    tested = TokenSequences(data=path, test_data=path).suggested()
    assert "part" not in grouped | tested
    # Without a row to train on, or with any other name, it is another column.
    for name in ("test", "training set"):
        rows = [(*row, name) for row in made_rows(60)]
        path = str(write_csv(tmp_path / "b.csv", rows, header))
        assert "part" not in TokenSequences(data=path).suggested()


def test_fractions_that_have_no_effect_are_told(tmp_path):
    rows = [(*row, "train") for row in made_rows(60)]
    data = str(write_csv(tmp_path / "a.csv", rows, ("text", "label", "part")))
    test = str(write_csv(tmp_path / "b.csv", rows, ("text", "label", "part")))
    divided = {"test_fraction": 0.4, "split_seed": 3}
    task = TokenSequences(data=data, part="part", **divided)
    for name in divided:
        assert f"`{name}` has no effect beside `part`" in task.remarks()
    columns = {"data": data, "input": "text", "target": "label"}
    task = TokenSequences(**columns, test_data=test, **divided)
    told = [line for line in task.remarks() if "no effect" in line]
    assert told == ["`test_fraction` has no effect beside `test_data`"]
    for others in ({"part": "part"}, {"test_data": test}, divided):
        lines = TokenSequences(**columns, **others).remarks()
        assert not any("no effect" in line for line in lines)


def test_the_vocabulary_is_of_the_training_part_alone(tmp_path):
    rows = [("ab", "x", "train"), ("ba", "y", "train"), ("aq", "x", "test")]
    path = write_csv(tmp_path / "a.csv", rows, ("text", "label", "part"))
    task = TokenSequences(data=str(path), part="part", tokens="characters")
    assert task.known_tokens.tokens == ("a", "b")
    inputs, _ = task.splits(0).test.batch(np.arange(1))
    assert inputs.numpy().tolist() == [[2, 1]]
    assert any("50% of the valid" in line for line in task.remarks())
    small = TokenSequences(data=str(path), part="part", max_vocabulary=1)
    assert small.known_tokens.tokens == ("a",)


def test_a_long_sequence_is_cut(tagged):
    task = TokenSequences(data=tagged, max_length=3)
    for split in (task.splits(0).train, task.splits(0).test):
        inputs, targets = split.batch(np.arange(split.num_examples))
        assert inputs.shape == targets.shape
        assert inputs.shape[1] == 3
    assert any("are cut to 3 tokens" in line for line in task.remarks())


def test_batches_have_similar_lengths_and_every_example(labelled):
    task = TokenSequences(data=labelled)
    train = task.splits(0).train
    batches = list(make_dataset(train, 16, training=True, seed=1).take(60))
    widths = [int(inputs.shape[1]) for inputs, _ in batches]
    assert len(set(widths)) > 5
    padding = np.mean([np.mean(inputs == 0) for inputs, _ in batches])
    assert padding < 0.1
    # A pass has every example once; the next pass has another order.
    inputs = [
        row[row > 0].tolist() for batch, _ in batches for row in batch.numpy()
    ]
    count = train.num_examples
    whole, _ = train.batch(np.arange(count))
    expected = sorted(row[row > 0].tolist() for row in whole.numpy())
    assert sorted(inputs[:count]) == expected
    assert sorted(inputs[count : 2 * count]) == expected
    assert inputs[:count] != inputs[count : 2 * count]
    later = make_dataset(train, 16, training=True, seed=1, start_step=37)
    for (one, _), (other, _) in zip(batches[37:], later, strict=False):
        np.testing.assert_array_equal(one, other)


def test_padding_changes_nothing(labelled, tagged):
    for data, head, both in (
        (labelled, "last_state", False),
        (labelled, "last_state", True),
        (tagged, "per_step", True),
    ):
        task = TokenSequences(data=data)
        config = ModelConfig(head, units=4, bidirectional=both)
        model = build_model(task, config)
        assert model.count_params() > 0
        test = task.splits(0).test
        inputs, _ = test.batch(np.arange(test.num_examples))
        together = model(inputs).numpy()
        for row in range(6):
            length = int(test.lengths[row])
            alone = model(inputs[row : row + 1, :length]).numpy()[0]
            found = together[row]
            found = found if head == "last_state" else found[:length]
            np.testing.assert_allclose(found, alone, atol=1e-6)


def test_an_evaluation_counts_tokens_not_padding(tagged):
    task = TokenSequences(data=tagged)
    model = build_model(task, ModelConfig("per_step", units=3))
    test = task.splits(0).test
    result = evaluate(model, test)
    assert result.num_tokens == test.lengths.sum()
    for row in range(5):
        length = int(test.lengths[row])
        inputs, targets = test.batch(np.array([row]))
        logits = model(inputs).numpy()[0]
        np.testing.assert_array_equal(result.targets[row, :length], targets[0])
        assert (result.targets[row, length:] == -1).all()
        np.testing.assert_array_equal(
            result.predictions[row, :length], logits.argmax(-1)
        )
    wrong = (result.predictions != result.targets).any(1).sum()
    assert result.num_wrong == wrong


TEXTS = [
    "ab",
    "A b, a!",
    "é\u3000b",
    "\U0001f600b",
    "[UNK] a",
    "a\tb\nc",
    "_a'b",
]


@pytest.mark.parametrize("tokens", ["characters", "words", "spaces"])
def test_the_stock_layer_splits_and_numbers_alike(tokens):
    task = TokenSequences(
        tokens=tokens, vocabulary='["a", "b", "é"]', classes='["x", "y"]'
    )
    model = build_model(task, ModelConfig("last_state", units=2))
    layer = with_text_input(model, task).get_layer("tokens")
    rng = np.random.default_rng(0)
    drawn = [
        "".join(rng.choice(list("abAé \t\n.,'-\u3000x[]UNK"), 9))
        for _ in range(200)
    ]
    for text in [*TEXTS, *drawn]:
        mine = task.known_tokens.encode(split_tokens(text, tokens)).tolist()
        assert layer(tf.constant([text])).numpy()[0].tolist() == mine, text


@pytest.mark.parametrize("tokens", TOKENS)
def test_a_saved_model_reads_what_people_write(tmp_path, tokens):
    names = ["ab", "a b", "c"] if tokens == "list" else ["a", "b", "c"]
    task = TokenSequences(
        tokens=tokens, vocabulary=json.dumps(names), classes='["x", "y"]'
    )
    config = Config("sequences", task, ModelConfig("last_state", units=2))
    model = build_model(task, config.model, seed=1)
    path = tmp_path / "model.keras"
    save_model(model, path, task)
    stock = keras.saving.load_model(path)
    texts = task.random_texts(np.random.default_rng(0), 5, 4)
    rows = [
        list(x) if tokens == "list" else split_tokens(x, tokens) for x in texts
    ]
    numbers = np.stack([task.known_tokens.encode(row) for row in rows])
    expected = model(numbers).numpy()
    np.testing.assert_allclose(
        stock(tf.constant(texts.tolist())).numpy(), expected, atol=1e-6
    )
    read = read_model(path, config)
    np.testing.assert_array_equal(read(numbers).numpy(), expected)
    other = config.replace(vocabulary='["ab", "c", "d"]')
    with pytest.raises(InputError, match="layer `tokens` with vocabulary="):
        read_model(path, other)


def test_a_configuration_needs_the_file_no_more(labelled, tmp_path):
    task = TokenSequences(data=labelled)
    config = Config(
        "sequences", task, ModelConfig("last_state"), TrainingConfig()
    )
    text = config.to_yaml().replace(labelled, "gone.csv")
    file = read_config(text, TokenSequences)
    again = config.replace(**file.values)
    assert again.task.class_names == task.class_names
    assert again.task.num_symbols == task.num_symbols
    with pytest.raises(InputError, match="cannot be read"):
        again.task.splits(0)


def test_another_file_is_not_taken_for_the_same(labelled, tmp_path):
    task = TokenSequences(data=labelled)
    path = str(write_csv(tmp_path / "a.csv", made_rows(200, 5)))
    with pytest.raises(InputError, match="must be the file of `data_sha256`"):
        task.__class__(**(task.to_mapping() | {"data": path})).splits(0)
    other = task.to_evaluate(data=path).splits(0)
    assert sorted(texts_of(other.test, task)) == sorted(made_rows(200, 5))


BAD = [
    ("text,label\na,x\n,y\n", {}, "line 3: column text must have a value"),
    ("text,label\na,x\nb,\n", {}, "line 3: column label must have a value"),
    ("text,label\na,x\nb,x\n", {}, "at least two classes in the training part"),
    ("a,b,c\n1,2,3\n4,5,6\n", {}, "`input` must be given for a file of other"),
    ("a,b,c\n1,2,3\n4,5,6\n", {"input": "d"}, "`d` is no column of"),
    (
        "text,tags\nab,xy\ncd,xyz\n",
        {"target_kind": "per_token"},
        "line 3: a target must have as many tokens as its input, 2",
    ),
    (
        "text,label,part\na,x,train\nb,y,train\nc,z,test\n",
        {"part": "part"},
        "line 4: each class must be in the training part as well",
    ),
    (
        "text,label,part\na,x,train\nb,y,other\n",
        {"part": "part"},
        "line 3: a part must be one of train",
    ),
    ("text,label\na,x\nb,y\n", {"test_fraction": 0.95}, "at most 1 together"),
    ("text,label\na,x\nb,y\n", {"vocabulary": "a"}, "must be a JSON list"),
    (
        "text,label\na,x\nb,y\n",
        {"vocabulary": '["a", ""]'},
        "none of them empty",
    ),
    ("text,label\na,x\nb,y\n", {"classes": '["x"]'}, "at least two different"),
    ("text,label\na,x\nb,y\n", {"tokens": "list"}, "must be a list of tokens"),
    ("text,label\na,x\n\0,y\n", {}, "line 3: a text must have no NUL char"),
    ("text,label\na,x\nb,\0\n", {}, "line 3: a text must have no NUL char"),
    (
        "text,label,g\na,x,1\nb,y,\n",
        {"group": "g"},
        "line 3: column g must have a value",
    ),
]


@pytest.mark.parametrize(("content", "options", "message"), BAD)
def test_bad_data_is_refused(tmp_path, content, options, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(InputError) as info:
        TokenSequences(data=str(path), **options)
    assert message in str(info.value)
    assert len(str(info.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": ["a", 1], "label": "x"}, "must be all strings or all"),
        ({"text": ["a"], "label": 1.5}, "a class must be a text or an integer"),
        ({"text": ["a"], "label": None}, "column label must have a value"),
        ({"text": ["a"]}, "column label must have a value"),
        ({"text": {}, "label": "x"}, "a sequence must be a list of tokens"),
        ({"text": ["a", ""], "label": "x"}, "tokens must not be empty"),
        ({"text": ["\udc80"], "label": "x"}, "or lone surrogates"),
    ],
)
def test_bad_json_is_refused_with_its_line(tmp_path, row, message):
    path = tmp_path / "a.jsonl"
    good = [
        {"text": ["a", "b"], "label": True},
        {"text": ["b"], "label": False},
    ]
    path.write_text("".join(json.dumps(x) + "\n" for x in [*good, row]))
    with pytest.raises(InputError, match="line 3") as info:
        TokenSequences(data=str(path), input="text", target="label")
    assert message in str(info.value)
    task = TokenSequences(
        data=str(path), input="text", target="label", bad_rows="skip"
    )
    assert task.class_names == ("false", "true")
    assert task.remarks()[-1] == "1 bad rows are skipped"


def test_bad_usage_starts_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (
        ["train", "sequences"],
        ["train", "sequences", "--data", "none.csv"],
        ["data", "none.csv"],
        ["data", "none.csv", "--task", "increment"],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_from_a_file_to_predictions(tmp_path, capsys):
    """Three commands: look, train, predict; then measure and export."""
    data = str(write_csv(tmp_path / "mine.csv", made_rows(400)))
    run_dir = str(tmp_path / "run")
    assert main(["data", data]) == 0
    out = capsys.readouterr().out
    assert f"keras-lstm train sequences --data {data} --input text" in out
    command = ["train", "sequences", "--data", data, "--run-dir", run_dir]
    options = ("--epochs", "2", "--units", "8", "--balance", "true")
    assert main([*command, *options]) == 0
    out, err = capsys.readouterr()
    assert "8 known; 2 classes of column label, one each" in err
    assert "For comparison: majority class" in out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["num_wrong"] == sum(
        x["num_wrong"] for x in report["by_length"]
    )
    assert report["best_epoch"] in (1, 2)
    with (tmp_path / "run" / "failures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == report["num_wrong"]
    with open(data) as file:
        lines = file.read().splitlines()
    for row in rows:
        assert lines[int(row["line"]) - 1] == f"{row['input']},{row['target']}"
        assert row["prediction"] != row["target"]
    assert main(["predict", run_dir, "abc", "zz", "--json"]) == 0
    found = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    assert found[0]["class"] in ("yes", "no")
    assert [x["num_unknown_tokens"] for x in found] == [0, 2]
    assert main(["evaluate", run_dir, "--json"]) == 0
    details = json.loads(capsys.readouterr().out)
    assert details["num_wrong"] == report["num_wrong"]
    other = str(write_csv(tmp_path / "other.csv", made_rows(50, 9)))
    assert main(["evaluate", run_dir, "--data", other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_examples"] == 50
    assert main(["export", run_dir, "--format", "saved_model"]) == 0
    assert "text (batch) string -> logits" in capsys.readouterr().out


def test_a_text_is_predicted_as_it_is_written():
    task = TokenSequences(
        tokens="characters",
        vocabulary='["a", " "]',
        classes='["x", "y"]',
        max_length=3,
    )
    notation = task.notation(any_length=True)
    assert notation.keeps_blanks
    (query,) = notation.read(" aab")
    assert query.value.tolist() == [3, 2, 2]
    with pytest.raises(InputError, match="lone surrogates"):
        notation.read("a\udcff")
    model = build_model(task, ModelConfig("last_state", units=2))
    text = with_text_input(model, task)
    found = text(tf.constant([" aab", "a"])).numpy()
    expected = [model(np.array([row])).numpy()[0] for row in ([3, 2, 2], [2])]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    lists = TokenSequences(
        tokens="list", vocabulary='["a b"]', classes='["x", "y"]'
    ).notation(any_length=True)
    assert lists.read('["a b", "c"]')[0].value.tolist() == [2, 1]
    assert lists.read("c d")[0].value.tolist() == [1, 1]


def test_a_class_of_one_row_is_trained_on(tmp_path):
    path = tmp_path / "a.tsv"
    rows = [("".join(text), "c" * len(text)) for text, _ in made_rows(80)]
    for seed in range(5):
        rows[seed] = (rows[seed][0], "Z" + rows[seed][1][1:])
        lines = ["word\ttags", *("\t".join(row) for row in rows)]
        path.write_text("\n".join(lines))
        task = TokenSequences(data=str(path), split_seed=seed)
        assert task.class_names == ("Z", "c")
        rows[seed] = (rows[seed][0], "c" * len(rows[seed][0]))


def test_other_files_are_part_of_what_is_resumed(tmp_path):
    data = str(write_csv(tmp_path / "a.csv", made_rows(60)))
    test = write_csv(tmp_path / "b.csv", made_rows(60, 1))
    task = TokenSequences(data=data, test_data=str(test))
    write_csv(test, made_rows(60, 2))
    with pytest.raises(InputError, match="must be the file of `data_sha256`"):
        task.splits(0)


def test_without_rows_to_test_on_nothing_is_trained(tmp_path):
    data = str(write_csv(tmp_path / "a.csv", made_rows(60)))
    task = TokenSequences(data=data, test_fraction=0.0)
    assert (
        "no test sequences: `test_fraction` must leave some" in task.summary()
    )
    with pytest.raises(InputError, match="must leave rows to test on"):
        task.splits(0)


def test_the_command_keeps_what_was_given(tmp_path, capsys):
    data = str(write_csv(tmp_path / "a.csv", made_rows(60), ("--x", "y")))
    options = ["--input=--x", "--target", "y", "--split-seed", "3"]
    assert main(["data", data, *options]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.endswith(f"--data {data} --input=--x --target y --split-seed 3")
