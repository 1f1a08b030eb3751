"""The page of a run: what it says, and that nothing from outside is HTML."""

import base64
import dataclasses
import hashlib
import itertools
import json
import pathlib
import re
import types

import numpy as np
import pytest
from finished import make_run, write_failures
from handmade import make_network
from matplotlib.figure import Figure
from page_reader import Reader

from keras_lstm.cli import main
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.pages import run_page
from keras_lstm.pages.drawings import draw
from keras_lstm.pages.live_images import describe_images
from keras_lstm.pages.run_page import make_run_page, rewrite_run_page
from keras_lstm.pages.split_result import SplitResult
from keras_lstm.presets import get_preset
from keras_lstm.proof.search import find_proof
from keras_lstm.runs.model_file import save_model
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.feature_sequences import FeatureSequences
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.task import Split
from keras_lstm.tasks.token_sequences import TokenSequences
from keras_lstm.verification.evaluation import Evaluation, evaluate
from keras_lstm.verification.mistakes import mistakes_csv

ODD = "<script>alert(1)</script>"
ODD_MACHINE = json.dumps(
    {
        "name": "odd",
        "states": {
            "<b>&": {ODD: '"> / </script>', "b&quot;": "<b>& / $x$"},
            '">': {ODD: "<b>& / $x$", "b&quot;": '"> / </script>'},
        },
    }
)


def increment(num_bits=8, **options):
    values = {"num_bits": num_bits, "units": 4, "num_layers": 1}
    return get_preset("increment").replace(Increment, **values | options)


def live_data(page):
    found = re.search(r'id="live-data">(.*?)</script>', page, re.S)
    return found and json.loads(found[1])


def test_an_exact_run_says_what_was_checked(tmp_path):
    run = make_run(tmp_path, increment())
    reader = Reader(make_run_page(run, None, None))
    said = "Nothing is wrong: 100 of 100 answers are right (all inputs)."
    assert said in reader.text
    assert "Proved" not in reader.text
    assert "Wrong answers" not in reader.text
    kinds = "7 inputs of these kinds: some"
    sampled = make_run(tmp_path, increment(), checked=kinds)
    reader = Reader(make_run_page(sampled, None, None))
    assert "all inputs" not in reader.text
    assert f"are right ({kinds})." in reader.text


def test_only_a_proof_that_holds_is_called_one(tmp_path):
    task = Increment(num_bits=8)
    model = make_network(task)
    config = increment(
        units=5, embedding_dim=2, forget_bias=0.0, layer_noise=0.0
    )
    proof = find_proof(model, task)
    assert proof.proof is not None
    run = make_run(tmp_path, config, model, proved=True)
    text = Reader(make_run_page(run, None, proof)).text
    assert "Proved: for every binary number, of any length" in text
    assert "the right symbol wins by at least" in text
    text = Reader(make_run_page(run, None, None)).text
    assert "Proved: for every" not in text
    assert "the folder holds no proof that holds for this model" in text


def test_wrong_answers_are_decoded_and_marked(tmp_path):
    run = make_run(tmp_path, increment(), num_wrong=2)
    write_failures(
        run,
        [
            ("00000111", "00001000", "00000100", "....^^..", 3, "-2.5"),
            ("00000001", "00000010", "0000001?", ".......^", 1, "-0.5"),
        ],
    )
    page = make_run_page(run, None, None)
    reader = Reader(page)
    assert "2 of 100 answers are wrong (all inputs)." in reader.text
    assert "00000111 (7)" in reader.text
    assert "<code>0000<mark>01</mark>00</code>" in page
    assert "2 of 2 wrong answers are here" in reader.text
    # The network begins with the first of them.
    assert live_data(page)["examples"][0] == "0b00000111"
    assert "keras-lstm predict" in reader.text


def test_a_page_shows_the_first_of_many_and_says_how_many_there_are(tmp_path):
    run = make_run(tmp_path, increment(), num_wrong=5000, num_examples=9000)
    row = ("00000111", "00001000", "00000100", "....^^..", 3, "-2.5")
    write_failures(run, [row] * 3000)
    page = make_run_page(run, None, None)
    text = Reader(page).text
    assert "1,000 of 5,000 wrong answers are here" in text
    assert "failures.csv, in the same folder, lists 3,000." in text
    assert page.count("<mark>01</mark>") == 1000
    assert len(page) < 600_000


def test_long_sequences_are_short_until_they_are_opened(tmp_path):
    run = make_run(tmp_path, increment(4096), num_wrong=100)
    row = ("01" * 2048, "10" * 2048, "11" * 2048, ".^" * 2048, 0, "-1")
    write_failures(run, [row] * 100)
    page = make_run_page(run, None, None)
    assert 20 < page.count(row[0]) < 60
    assert "010101010101010101010101...0101" in Reader(page).text
    assert len(page) < 1_000_000


def test_names_from_outside_are_text(tmp_path):
    config = get_preset("machine").replace(
        FiniteStateMachine, machine=ODD_MACHINE, num_bits=4
    )
    run = make_run(tmp_path / f"a {ODD.replace('/', '')}", config, num_wrong=1)
    names = [ODD, "b&quot;", ODD, ODD]
    write_failures(
        run,
        [
            (
                *(" ".join(names), "$x$ $x$ $x$ $x$"),
                *("</script> $x$ $x$ $x$", "^...", 0, "-1"),
            )
        ],
    )
    page = make_run_page(run, None, None)
    reader = Reader(page)
    assert "<script>alert" not in page
    # The style sheet aside, there are the data, and the page's own script.
    scripts = reader.all("script")
    assert [x.get("type") for x in scripts] == ["application/json", None]
    assert not reader.all("b")
    assert ODD in reader.text
    assert live_data(page)["reads"]["names"] == [ODD, "b&quot;"]
    assert f"'{ODD} b&quot; {ODD} {ODD}'" in reader.text
    assert reader.ids == sorted({*reader.ids}, key=reader.ids.index)


def test_only_the_pages_own_script_runs_and_nothing_is_loaded(tmp_path):
    page = make_run_page(make_run(tmp_path, increment()), None, None)
    (policy,) = re.findall(r'Policy" content="([^"]*)"', page)
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = hashlib.sha256(script.encode()).digest()
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)


def test_a_page_is_in_order_for_screen_readers(tmp_path):
    reader = Reader(make_run_page(make_run(tmp_path, increment()), None, None))
    levels = [int(x[1]) for x, _ in reader.elements if re.match("h[1-6]$", x)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert all(x.get("aria-label") for x in reader.all("svg"))
    assert reader.all("html") == [{"lang": "en"}]
    links = [x["href"][1:] for x in reader.all("a")]
    assert {*links} <= {*reader.ids}
    for each in reader.all("label"):
        assert each.get("for") is None or each["for"] in reader.ids


def test_the_configuration_is_what_differs_from_the_preset(tmp_path):
    run = make_run(tmp_path, increment(seed=7))
    text = Reader(make_run_page(run, None, None)).text
    assert "num_bits 8 20" in text
    assert "seed 7 0" in text
    assert "learning_rate" not in text.partition("All options")[0]
    whole = make_run(tmp_path, get_preset("increment"))
    text = Reader(make_run_page(whole, None, None)).text
    assert "Every option is that of the preset increment ." in text


def test_commands_are_quoted_for_a_shell(tmp_path):
    run = make_run(tmp_path / "a b'c", increment())
    text = Reader(make_run_page(run, None, None)).text
    quoted = f"""'{tmp_path}/a b'"'"'c'"""
    assert f"keras-lstm verify {quoted}" in text
    assert f"keras-lstm prove {quoted}" in text
    resume = f"train increment --run-dir {quoted} --resume --epochs 20"
    assert resume in text


def test_a_typed_input_is_no_option_and_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = get_preset("sequences").replace(
        TokenSequences,
        vocabulary=json.dumps(["a", "-", "\t"]),
        classes=json.dumps(["x", "y"]),
        tokens="characters",
        target_kind="label",
        head="last_state",
    )
    run = make_run(pathlib.Path("--odd"), config, num_wrong=1)
    run.folder.failures.write_text(
        "line,input,target,prediction,confidence\n2,-a\ta,x,y,0.9\n"
    )
    text = Reader(make_run_page(run, None, None)).text
    assert r"keras-lstm predict ./--odd -- $'-a\ta'" in text
    assert "keras-lstm evaluate ./--odd" in text


def test_an_input_that_names_a_file_is_not_typed(tmp_path):
    config = get_preset("sequences").replace(
        TokenSequences,
        vocabulary=json.dumps(["a", "@"]),
        classes=json.dumps(["x", "y"]),
        tokens="characters",
        target_kind="label",
        head="last_state",
    )
    run = make_run(tmp_path, config, num_wrong=1)
    run.folder.failures.write_text(
        "line,input,target,prediction,confidence\n2,@a,x,y,0.9\n"
    )
    text = Reader(make_run_page(run, None, None)).text
    assert f"keras-lstm predict {tmp_path} a" in text


def test_a_network_that_is_too_large_is_left_out_with_the_reason(tmp_path):
    run = make_run(tmp_path, increment(units=270))
    page = make_run_page(run, None, None)
    assert live_data(page) is None
    assert "only up to 280,000 fit into the page" in Reader(page).text


def test_the_live_network_has_the_weights(tmp_path):
    run = make_run(tmp_path, increment())
    packed = live_data(make_run_page(run, None, None))
    weights = [packed["embedding"]]
    weights += [x[y] for x in packed["lstms"] for y in x]
    weights += packed["dense"].values()
    for found, expected in zip(weights, run.model.get_weights(), strict=True):
        values = np.frombuffer(base64.b64decode(found["float32"]), "<f4")
        assert np.array_equal(values.reshape(found["shape"]), expected)


def test_images_show_confusions_and_pictures_of_mistakes(tmp_path):
    config = get_preset("digits").replace(ImageRows, units=4, num_layers=1)
    test = config.task.splits(0).test
    _, targets = test.batch(np.arange(test.num_examples))
    logits = 5.0 * np.eye(10, dtype=np.float32)[np.asarray(targets)]
    logits[3] = np.roll(logits[3], 1)
    by_step = np.array([0.125, 0.5, 0.5, 0.5, 0.5, 0.75, 1.0, 0.99999])
    result = Evaluation.of(np.asarray(targets), logits)
    tested = SplitResult(result, test, by_step)
    run = make_run(
        *(tmp_path, config),
        num_examples=360,
        num_wrong=1,
        checked="test split",
        preset="digits",
    )
    page = make_run_page(run, tested, None)
    reader = Reader(page)
    assert "99.7222% of the test images are right: 1 of 360" in reader.text
    (picture,) = reader.all("img")
    right = int(targets[3])
    said = f"test image 3, a {right}, taken for a {(right + 1) % 10}"
    assert picture["alt"] == said
    assert picture["src"].startswith("data:image/png;base64,")
    assert page.count('class="off"') == 1
    (alt,) = [
        each["aria-label"]
        for each in reader.all("svg")
        if "rows read" in each["aria-label"]
    ]
    said = "After 1: 12.5%, 2: 50%, 4: 50%, 6: 75%, 8: 99.999%"
    assert alt == f"Curve of the accuracy by rows read. {said}"
    assert "rows read right 1 12.5% 2 50% 3 50%" in reader.text
    # The mistake is the first of the images to choose from.
    reads = live_data(page)["reads"]
    first = reads["images"][0]
    assert (first["name"], first["target"]) == ("test image 3", right)
    pixels = np.frombuffer(base64.b64decode(first["pixels"]), np.uint8)
    image = test.batch([3])[0][0]
    assert np.array_equal(pixels.reshape(8, 8) / np.float32(16), image)
    names = {each["name"] for each in reads["images"]}
    assert len(names) == len(reads["images"]) == 20
    assert (reads["box"], reads["is_light"]) == (1.0, False)
    # Without its data, the rest is there.
    page = make_run_page(run, None, None)
    text = Reader(page).text
    assert live_data(page)["reads"]["images"] == []
    # What is wrong is listed all the same, by runs of this version.
    run.folder.failures.write_text(
        mistakes_csv(config.task, test, tested.result)
    )
    text = Reader(make_run_page(run, None, None)).text
    assert f"image 3 {right} {(right + 1) % 10} 0.94" in text
    assert len(Reader(make_run_page(run, tested, None)).all("img")) == 1
    run.folder.failures.unlink()
    text = Reader(page).text
    assert "the data that they are from was not there" in text


def test_sequences_of_features_are_not_live(tmp_path):
    config = get_preset("rows").replace(
        FeatureSequences, num_steps=3, num_features=2, classes='["x", "y"]'
    )
    text = Reader(make_run_page(make_run(tmp_path, config), None, None)).text
    assert "does not run in this page: its inputs are files." in text


def test_images_on_white_are_drawn_in_black():
    images = np.ones((12, 9, 6), np.float32)
    images[:, 2:7, 2:4] = 0.0
    images[:6, 2, 2] = 1.0
    targets = np.arange(12) % 3
    split = Split(12, lambda x: (images[x], targets[x]))
    result = Evaluation.of(targets, np.eye(3, dtype=np.float32)[targets])
    found = describe_images(SplitResult(result, split), 255.0)
    assert found["is_light"]
    assert found["box"] == round(5 / 6, 3)
    names = [each["name"] for each in found["images"]]
    # The first of each class, then the second.
    assert names == [f"test image {n}" for n in range(6)]


def test_own_data_shows_lines_baselines_and_lengths(tmp_path):
    classes = ["<i>x</i>", "y"]
    config = get_preset("sequences").replace(
        TokenSequences,
        vocabulary=json.dumps(["a", "b", "<", "\u2028", "</script>"]),
        classes=json.dumps(classes),
        tokens="words",
        target_kind="label",
        head="last_state",
    )
    groups = {"num_examples": 10, "num_wrong": 1}
    run = make_run(
        *(tmp_path, config),
        preset="sequences",
        num_wrong=1,
        baselines={"most_frequent": 0.5},
        by_length=[{"min_length": 1, "max_length": 4, **groups}],
    )
    run.folder.failures.write_text(
        "line,input,target,prediction,confidence\n"
        f'7,"a<b\n{"b" * 200_000}",{classes[0]},y,0.9\n'
    )
    page = make_run_page(run, None, None)
    reader = Reader(page)
    assert "\u2028" not in page
    assert live_data(page)["reads"]["vocabulary"][3:] == ["\u2028", "</script>"]
    assert "most frequent 50%" in reader.text
    assert "1 to 4 1 10 90%" in reader.text
    assert not reader.all("i")
    assert "99% of the test sequences are right" in reader.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("failures.csv", "input,target\n1\n"),
        ("failures.csv", ""),
        ("failures.csv", "input,target\n1,2\n"),
        ("failures.csv", "input,target,prediction,wrong\n1,x,1,^\n"),
        ("history.csv", "epoch,loss\n1,x\n"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, text):
    run = make_run(tmp_path, increment(), num_wrong=1)
    write_failures(run, [])
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"a readable {name}"):
        make_run_page(run, None, None)


def test_long_trainings_keep_the_page_small(tmp_path):
    run = make_run(tmp_path, increment())
    rows = [f"{n},{n % 97 / 97},{n % 89 / 89}" for n in range(1, 20_001)]
    text = "\n".join(["epoch,loss,val_loss", *rows])
    (tmp_path / "history.csv").write_text(text)
    assert len(make_run_page(run, None, None)) < 300_000


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_examples": 0}, "as many examples as are wrong"),
        ({"num_wrong": 101}, "as many examples as are wrong"),
        ({"by_hold_length": [{"num_wrong": 0}]}, "without hold_length"),
    ],
)
def test_damaged_reports_are_refused(tmp_path, fields, said):
    run = make_run(tmp_path, increment(), **fields)
    with pytest.raises(InputError, match=said):
        make_run_page(run, None, None)


def test_only_some_of_very_many_metrics_are_drawn(tmp_path):
    run = make_run(tmp_path, increment())
    names = [f"metric{n}" for n in range(200)]
    lines = ["epoch", *names], [1, *range(200)]
    run.folder.history.write_text(
        "".join(f"{','.join(map(str, line))}\n" for line in lines)
    )
    page = make_run_page(run, None, None)
    assert "Curve of metric23 by epoch" in page
    assert "Curve of metric24 by epoch" not in page
    assert "The first 24 of 200 metrics; history.csv has all." in page


def test_values_too_large_to_draw_are_gaps(tmp_path):
    run = make_run(tmp_path, increment())
    run.folder.history.write_text(
        "epoch,loss,val_loss\n1,1e308,-1e308\n2,-1e308,1e308\n3,1,2\n"
    )
    assert "first 1e+308, last 1" in make_run_page(run, None, None)


def test_losses_that_are_no_numbers_are_drawn_as_gaps(tmp_path):
    run = make_run(tmp_path, increment())
    run.folder.history.write_text("epoch,loss\n1,nan\n2,inf\n3,0.5\n4,\n")
    text = make_run_page(run, None, None)
    assert "Curve of loss by epoch. loss: first nan, last nan" in text


@pytest.fixture
def saved_run(tmp_path):
    """Return the folder of a run as `load_run` reads it."""
    run = make_run(tmp_path / "run", increment())
    digest = save_model(run.model, run.folder.model)
    report = dataclasses.replace(run.report, model_sha256=digest)
    run.folder.report.write_text(report.to_json())
    run.folder.config.write_text(run.config.to_yaml())
    return run.run_dir


def test_the_command_writes_the_page(saved_run, capsys):
    assert main(["report", str(saved_run)]) == 0
    out = capsys.readouterr().out
    assert out == f"Page: {saved_run / 'report.html'}\n"
    text = Reader((saved_run / "report.html").read_text("utf-8")).text
    assert "Nothing is wrong: 100 of 100" in text


def test_the_command_refuses_what_is_no_finished_run(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "`run_dir` must hold a finished run" in err
    assert err.count("\n") == 1


def test_a_report_about_another_model_is_refused(saved_run):
    run = load_run(saved_run)
    other = dataclasses.replace(run, model_sha256="00")
    with pytest.raises(InputError, match="that its report is about"):
        rewrite_run_page(other)


def test_a_report_that_tells_other_answers_is_not_illustrated(capsys):
    config = get_preset("digits").replace(ImageRows, units=4, num_layers=1)
    model = build_model(config.task, config.model)
    test = config.task.splits(0).test
    result = evaluate(model, test)
    for told, expected in ((result.num_wrong, True), (0, False)):
        report = types.SimpleNamespace(
            num_wrong=told, num_examples=result.num_examples
        )
        run = types.SimpleNamespace(config=config, model=model, report=report)
        assert (run_page._test_again(run) is not None) == expected
    assert "report.json tells 0 of 360 wrong, but here" in (
        capsys.readouterr().err
    )


def test_a_text_that_is_a_color_stays_what_it_is():
    figure = Figure()
    figure.subplots().set_title("#ffffff and #000000")
    drawing = draw(figure, "colors", "a drawing").__html__()
    assert "#ffffff and #000000" in drawing
    assert "var(--paper)" in drawing
    assert "fill: #ffffff" not in drawing
