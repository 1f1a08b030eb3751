"""The page of a run in a real browser."""

import json
import time

import numpy as np
import pytest
from browsing import LOOKS, check_with_axe, scroll_width
from finished import make_run, write_failures

from keras_lstm.config import ModelConfig
from keras_lstm.core.console import percent
from keras_lstm.inference.prediction import Line, predict
from keras_lstm.models.build import build_model
from keras_lstm.pages.run_page import write_run_page
from keras_lstm.pages.split_result import SplitResult
from keras_lstm.presets import get_preset
from keras_lstm.runs.checks import measure_by_step
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.feature_sequences import FeatureSequences
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Add, Increment
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.token_sequences import TokenSequences
from keras_lstm.training.train import train
from keras_lstm.verification.evaluation import evaluate

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api")
NUM_INPUTS = 1000
# Each state keeps three symbols apart.
MACHINE = json.dumps(
    {
        "name": "odd",
        "states": {
            "one": {"<b>": "one / yes", "&amp;": "two / no", "-x": "one / no"},
            "two": {"<b>": "one / no", "&amp;": "two / yes", "-x": "two / <i>"},
        },
    }
)


@pytest.fixture
def open_page(open_file):
    """Return a function that opens a run's page, which must run cleanly."""

    def open_page(run, tested=None, **options):
        write_run_page(run, tested, None)
        assert run.folder.page.stat().st_size < 2_000_000
        return open_file(run.folder.page, **options)

    return open_page


def increment(**options):
    values = {"num_bits": 10, "units": 8}
    return get_preset("increment").replace(Increment, **values | options)


def sequences(**options):
    values = {
        "vocabulary": json.dumps(["a", "b", "ä", "<", "Ω", "🙂", "the", "7"]),
        "classes": json.dumps(["<x>", "y", "z w"]),
        "target_kind": "label",
        "head": "last_state",
        "units": 6,
    }
    return get_preset("sequences").replace(TokenSequences, **values | options)


def numbers(rng, num_bits, any_length):
    """Yield numbers as people write them."""
    for kind in rng.integers(4, size=NUM_INPUTS):
        longest = 3 * num_bits if any_length else num_bits
        bits = int(rng.integers(1, longest))
        value = int(rng.integers(2**bits)) & ~1
        if kind == 3:
            value %= 2**num_bits
        digits = f"{value:0{num_bits}b}"
        yield (str(value), f"0b{value:b}", f"0x{value:X}", digits)[kind]


def texts(rng, words, between):
    for count in rng.integers(1, 20, size=NUM_INPUTS):
        yield between.join(rng.choice(words, count))


def answers(run, inputs):
    """Return what `predict` answers, as text."""
    found = []
    lines = [[Line(text) for text in inputs]]

    def refuse(line, error):
        raise AssertionError(f"{line.text}: {error}")

    for batch in predict(
        run.model,
        run.config.task,
        lines,
        any_length=run.any_length,
        on_bad_line=refuse,
    ):
        for each in batch:
            fields = each.fields
            classes = fields.get("classes", [fields.get("class")])
            found.append(
                fields.get("prediction") or " ".join(map(str, classes))
            )
    return found


WORDS = ["a", "b", "ä", "The", "the!", "<", "7", "unknown", "Ω"]
CASES = {
    "numbers": (increment(), lambda rng: numbers(rng, 10, True)),
    "last state": (
        increment(head="last_state", prove_from_epoch=None),
        lambda rng: numbers(rng, 10, False),
    ),
    "base 4": (
        get_preset("increment").replace(Add, num_bits=8, units=6),
        lambda rng: map(str, rng.integers(4**12, size=NUM_INPUTS)),
    ),
    "names": (
        get_preset("machine").replace(
            FiniteStateMachine, machine=MACHINE, num_bits=9, units=9
        ),
        lambda rng: texts(rng, ["<b>", "&amp;", "-x"], " "),
    ),
    "characters": (
        sequences(tokens="characters"),
        lambda rng: texts(rng, ["a", "b", "ä", "<", "Ω", "🙂", "Z"], ""),
    ),
    "words": (
        sequences(tokens="words", max_length=12),
        # A text of punctuation alone has no words.
        lambda rng: (f"{text} The" for text in texts(rng, WORDS, "  ")),
    ),
    "list": (
        sequences(tokens="list", target_kind="per_token", head="per_step"),
        lambda rng: (
            json.dumps(text.split()) for text in texts(rng, WORDS, " ")
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_page_answers_as_predict_does(tmp_path, open_page, name):
    config, make_inputs = CASES[name]
    run = make_run(tmp_path, config)
    inputs = list(make_inputs(np.random.default_rng(0)))
    page = open_page(run)
    found = page.evaluate("(texts) => texts.map(answerOf)", inputs)
    assert found == answers(run, inputs)
    assert len({*found}) > 2


IMAGES = {
    # A convolution and two layers, and noise that does nothing here.
    "image-rows": {},
    "image-rows-tutorial": {},
    "digits": {},
}


@pytest.mark.parametrize("preset", IMAGES)
def test_images_are_answered_as_predict_does(tmp_path, open_page, preset):
    config = get_preset(preset).replace(ImageRows, **IMAGES[preset])
    run = make_run(tmp_path, config)
    rng = np.random.default_rng(0)
    shape = (NUM_INPUTS, *config.task.input_shape)
    images = rng.integers(int(config.task.white) + 1, size=shape)
    # Not all as full as noise.
    images[::2] *= rng.random(images[::2].shape) < 0.1
    np.save(tmp_path / "images.npy", images.astype(np.uint8))
    page = open_page(run)
    found = page.evaluate(
        "([images, white]) => images.map((image) => answerOf(image.map("
        "(row) => row.map((x) => Math.fround(x / white)))))",
        [images.tolist(), config.task.white],
    )
    assert found == answers(run, [str(tmp_path / "images.npy")])
    assert len({*found}) > 2


def test_standardized_images_are_answered_as_predict_does(tmp_path, open_page):
    config = get_preset("rows").replace(
        FeatureSequences,
        **{"source": "images", "num_steps": 6, "num_features": 5},
        **{"classes": '["<b>", "y", "z"]', "standardize": "each"},
        mean="[0.1, 0.2, 0.3, 0.4, 0.5]",
        variance="[0.01, 0.2, 0.3, 0.04, 0.5]",
        units=9,
    )
    run = make_run(tmp_path, config)
    images = np.random.default_rng(0).random((NUM_INPUTS, 6, 5), np.float32)
    np.save(tmp_path / "images.npy", images)
    page = open_page(run)
    found = page.evaluate("(x) => x.map(answerOf)", images.tolist())
    assert found == answers(run, [str(tmp_path / "images.npy")])
    assert {*found} == {"<b>", "y", "z"}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Return a run that has learned some, and its test images."""
    config = get_preset("digits").replace(ImageRows, epochs=12, units=64)
    result = train(config, tmp_path_factory.mktemp("digits") / "a", quiet=True)
    run = load_run(result.run_dir)
    test = config.task.splits(0).test
    by_step = measure_by_step(run, test)
    return run, SplitResult(evaluate(run.model, test), test, by_step)


# A seven and a one, as fractions of the pad's sides.
SEVEN = [(0.25, 0.2), (0.75, 0.2), (0.45, 0.8)]
ONE = [(0.5, 0.2), (0.5, 0.8)]


def draw(page, points):
    """Draw a line with the mouse."""
    page.locator("#live-pad").scroll_into_view_if_needed()
    box = page.locator("#live-pad").bounding_box()
    places = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"])
        for x, y in points
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def test_a_drawn_digit_is_read_row_by_row(digits, open_page):
    page = open_page(*digits)
    answer, said = page.locator("#live-answer"), page.locator("#live-said")
    for points, name in ((SEVEN, "7"), (ONE, "1")):
        page.click("#live-clear")
        draw(page, points)
        sync_api.expect(answer).to_contain_text(f"Answer: {name} (")
        sync_api.expect(said).to_contain_text("After row 8 of 8, the network")
    page.fill("#live-step", "2")
    sync_api.expect(said).to_contain_text("After row 2 of 8, the network")
    sync_api.expect(page.locator("#live-tape .now").first).to_have_text("2")
    page.locator("#live-read").click(position={"x": 20, "y": 5})
    sync_api.expect(said).to_contain_text("After row 1 of 8, the network")
    # What is drawn is not at the place of the data's digits.
    page.uncheck("#live-fit")
    sync_api.expect(said).to_contain_text("After row 8 of 8, the network")


def test_a_digit_is_drawn_with_keys(digits, open_page):
    page = open_page(*digits)
    page.click("#live-clear")
    page.focus("#live-pad")
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    page.keyboard.press(" ")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    page.keyboard.press("ArrowLeft")
    answer = page.locator("#live-answer")
    sync_api.expect(answer).to_contain_text("Answer: 1 (")
    assert page.locator("#live-read").get_attribute("aria-label") == (
        "The image of 8 rows; the network has read row 8"
    )


def test_a_test_image_is_right_or_wrong(digits, open_page):
    run, tested = digits
    page = open_page(run, tested)
    index = int(tested.result.confident_mistakes()[0])
    target, said = (
        int(each[index])
        for each in (tested.result.targets, tested.result.predictions)
    )
    name = f"test image {index:,}, a {target}"
    answer = page.locator("#live-answer")
    chosen = page.get_by_role("button", name=name, exact=True)
    sync_api.expect(chosen).to_have_attribute("aria-pressed", "true")
    sync_api.expect(answer).to_contain_text(f"Answer: {said} (")
    sync_api.expect(answer).to_contain_text(f"wrong: {target} is right")
    others = page.locator("#live-examples button")
    assert 20 <= others.count() <= 24
    others.last.click()
    sync_api.expect(others.last).to_have_attribute("aria-pressed", "true")
    sync_api.expect(answer).to_contain_text("Answer: 9 (")
    # It is another image once something is drawn over it.
    draw(page, ONE)
    sync_api.expect(answer).not_to_contain_text("right")
    drawn = page.locator("#accuracy ~ .drawings svg").first
    alt = drawn.get_attribute("aria-label")
    right = 1 - tested.result.num_wrong / 360
    assert alt.startswith("Curve of the accuracy by rows read. After 1: ")
    assert alt.endswith(f", 8: {percent(right)}")


def test_what_is_no_input_is_refused_in_words(tmp_path, open_page):
    page = open_page(make_run(tmp_path, increment(head="last_state")))
    error = page.locator("#live-error")
    for text, said in (
        ("x", "Write a decimal number, 0b… or 0x…."),
        ("0b12", "After 0b, write 0 and 1 only."),
        ("1024", "The network reads 10 symbols; this number has 11."),
        ("1023", "This number is outside of the domain of the task."),
        ("", "Write a decimal number, 0b… or 0x…."),
    ):
        page.fill("#live-input", text)
        page.press("#live-input", "Enter")
        sync_api.expect(error).to_have_text(said)
    page.fill("#live-input", "5")
    page.press("#live-input", "Enter")
    sync_api.expect(error).to_be_empty()


def test_a_text_with_line_breaks_is_read_until_it_is_edited(
    tmp_path, open_page
):
    text = "a\nb\r\n\nä"
    vocabulary = json.dumps(["a", "b", "ä", "\n", "\r"])
    config = sequences(tokens="characters", vocabulary=vocabulary)
    run = make_run(tmp_path, config, num_wrong=1)
    run.folder.failures.write_bytes(
        b"line,input,target,prediction,confidence\n"
        + f'2,"{text}",<x>,y,0.9\n'.encode()
    )
    page = open_page(run)
    step, field = page.locator("#live-step"), page.locator("#live-input")
    sync_api.expect(step).to_have_attribute("max", str(len(text)))
    field.fill("ab")
    field.press("Enter")
    sync_api.expect(step).to_have_attribute("max", "2")
    page.locator("#live-examples button").first.click()
    sync_api.expect(step).to_have_attribute("max", str(len(text)))


def test_the_slider_shows_each_step_by_keyboard_alone(tmp_path, open_page):
    page = open_page(make_run(tmp_path, increment()))
    page.fill("#live-input", "0b0000000111")
    page.press("#live-input", "Enter")
    said = page.locator("#live-said")
    sync_api.expect(said).to_contain_text("Step 1 of 10 reads “1” in state ca")
    page.focus("#live-step")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    sync_api.expect(said).to_contain_text("Step 5 of 10 reads “0” in state do")
    sync_api.expect(page.locator("#live-tape .now").first).to_have_text("5")
    page.select_option("#live-part", label="forget gate")
    name = page.locator("#live-map").get_attribute("aria-label")
    assert name.startswith("Heat map of the forget gate of 8 units of layer 2")
    page.locator("summary", has_text="States and gates").click()
    sync_api.expect(page.locator("#live-values tr")).to_have_count(8)


def test_the_states_are_those_of_the_network(tmp_path, open_page):
    run = make_run(tmp_path, increment(num_layers=1))
    page = open_page(run)
    symbols = [1, 0, 1, 1, 0, 1, 0, 0, 1, 0]
    found = page.evaluate(
        "(symbols) => { const data = JSON.parse(document.getElementById("
        "'live-data').textContent); return stepper.run(stepper.load(data),"
        " symbols).map((x) => [...x.logits]); }",
        symbols,
    )
    expected = run.model(np.array([symbols])).numpy()[0]
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)


def open_in_time(open_page, run):
    """Open a page twice, and return it after the second, timed, time."""
    page = open_page(run)
    start = time.perf_counter()
    page.reload()
    page.locator("#search-wrong").wait_for()
    seconds = time.perf_counter() - start
    assert seconds < 2, seconds
    return page


def test_a_page_of_100_000_failures_opens_within_2_s(tmp_path, open_page):
    run = make_run(
        tmp_path,
        increment(num_bits=20),
        num_wrong=100_000,
        num_examples=200_000,
    )
    write_failures(
        run,
        (
            (f"{n:020b}", f"{n + 1:020b}", f"{n:020b}", "." * 19 + "^", 0, -n)
            for n in range(100_000)
        ),
    )
    page = open_in_time(open_page, run)
    rows = page.locator("[data-search] tbody tr")
    assert rows.count() == 1000
    page.fill("#search-wrong", "1111111 (127)")
    sync_api.expect(page.locator("output[for=search-wrong]")).to_have_text(
        "2 of 1,000"
    )
    visible = page.locator("[data-search] tbody tr:not([hidden])")
    assert visible.count() == 2
    page.fill("#search-wrong", "nothing like it")
    sync_api.expect(page.locator("output[for=search-wrong]")).to_have_text(
        "0 of 1,000"
    )


def test_a_page_of_4_096_bits_opens_within_2_s(tmp_path, open_page):
    counts = {"num_wrong": 1, "num_examples": 2}
    run = make_run(
        *(tmp_path, increment(num_bits=4096, units=16)),
        num_wrong=4096,
        num_examples=8192,
        by_hold_length=[{"hold_length": n, **counts} for n in range(4096)],
    )
    rng = np.random.default_rng(0)

    def bits():
        return "".join(map(str, rng.integers(2, size=4096)))

    write_failures(
        run,
        [(bits(), bits(), bits(), ".^" * 2048, 0, -1) for _ in range(400)],
    )
    page = open_in_time(open_page, run)
    page.locator("td details summary").first.click()
    text = page.locator("td details[open] .whole").first.inner_text()
    assert len(text) == 4096
    # The network has read all of it.
    sync_api.expect(page.locator("#live-said")).to_contain_text("of 4096 reads")
    assert scroll_width(page) == page.viewport_size["width"]


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious_with_images(digits, open_page, look):
    check_with_axe(open_page(*digits, **look))


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious(tmp_path, open_page, look):
    run = make_run(
        *(tmp_path, increment()),
        num_wrong=2,
        by_hold_length=[
            {"hold_length": n, "num_wrong": 1, "num_examples": 2}
            for n in range(10)
        ],
    )
    row = ("0000000111", "0000001000", "0000000100", "......^^..", 3, -2.5)
    write_failures(run, [row] * 30)
    check_with_axe(open_page(run, **look))


def test_a_page_without_scripts_still_says_everything(tmp_path, browser):
    run = make_run(tmp_path, increment())
    write_run_page(run, None, None)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(run.folder.page.as_uri())
    assert page.locator("h1").inner_text().startswith("Nothing is wrong")
    said = page.locator("noscript").inner_text()
    assert said == "The network runs in this page where scripts are allowed."
    assert not page.locator("#live-app").is_visible()
    context.close()


def test_large_networks_fit(tmp_path, open_page):
    config = increment(units=120)
    model = build_model(config.task, ModelConfig(units=120))
    run = make_run(tmp_path, config, model)
    assert 170_000 < model.count_params() < 280_000
    page = open_page(run)
    sync_api.expect(page.locator("#live-answer")).to_contain_text("Answer:")
