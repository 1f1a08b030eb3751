"""The page of a search: what it says, and how it is used."""

import re

import pytest
from browsing import LOOKS, check_with_axe
from made_searches import make_search
from page_reader import Reader

from keras_lstm.cli import main
from keras_lstm.tuning.results import read_trials
from keras_lstm.tuning.search_charts import cost_of, find_front
from keras_lstm.tuning.search_page import make_search_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a search with a page."""
    path = tmp_path_factory.mktemp("a b") / "search"
    make_search(path, 25, num_running=1)
    (path / "trials" / "07" / "report.html").write_text("<title>07</title>")
    assert main(["report", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def reader(folder):
    return Reader((folder / "report.html").read_text())


def test_the_best_and_what_did_not_count(reader):
    best = "units 128, learning_rate 0.01: 3,621 examples to exact"
    assert f"Best of 25 trials: {best}" in reader.text
    assert "Ranked by the number of training examples until no" in reader.text
    assert "In 3 of 24, something is wrong." in reader.text
    assert "Not done: 1." in reader.text
    assert "Trial" in reader.text


def test_every_finished_trial_is_a_line(reader):
    lines = reader.all("polyline")
    assert len(lines) == 24
    # The best is drawn last, over the others.
    assert lines[-1]["data-trial"] == "07"
    assert lines[-1]["data-units"] == "128"
    assert lines[-1]["class"] == "top"
    assert sum("off" in each["class"] for each in lines) == 3
    points = [
        [tuple(map(float, pair.split(","))) for pair in x["points"].split()]
        for x in lines
    ]
    # Units, learning rate, parameters, seconds, place.
    assert {len(each) for each in points} == {5}
    # The best place is on top, and the worst at the bottom.
    heights = [each[-1][1] for each in points]
    assert heights == sorted(heights, reverse=True)
    units = {x["data-units"]: p[0][1] for x, p in zip(lines, points)}  # noqa: B905
    in_order = sorted(units, key=int)
    assert in_order == sorted(units, key=lambda x: -units[x])
    assert len(set(units.values())) == 8


def test_importance_says_what_it_is_worth(reader, tmp_path):
    assert "fitted to 24 trials, predicts the places of held-out" in reader.text
    assert "Of so few trials this is an estimate" in reader.text
    rows = re.findall(r"(units|learning_rate) (-?\d+\.\d) ", reader.text)
    assert rows[0][0] == "units"
    few = make_search(tmp_path, 19)
    page = make_search_page(tmp_path, few, read_trials(tmp_path, few))
    text = Reader(page).text
    assert "Not shown for fewer than 20 finished trials" in text
    assert "There are 19." in text


def test_the_front_is_of_the_trials_that_no_other_beats(folder, reader):
    search = make_search(folder.parent / "other", 16)
    trials = read_trials(folder.parent / "other", search)
    front = find_front(trials, lambda x: cost_of(x, "cost"))
    # More units cost less; of equal ones, the first. Three are wrong.
    assert [x.values["units"] for x in front] == [
        *(8, 16, 24, 32, 48, 64, 96, 128),
    ]
    assert [x.name for x in front][:4] == ["08", "09", "10", "03"]
    drawn = [x["aria-label"] for x in reader.all("svg")]
    assert drawn[1].startswith("Parameters and examples to exact of 21 trials.")
    assert "trial 03: 1,024 parameters, 8,409" in drawn[1]


def test_the_table_is_that_of_the_file(folder, reader):
    rows = reader.text.partition("Search these")[2]
    assert rows.index("3,621 examples to exact") < rows.index("7 wrong")
    links = [x["href"] for x in reader.all("a") if "/" in x["href"]]
    assert links == ["trials/07/report.html"]
    values = [x for x in reader.all("tr") if "data-trial" in x]
    assert len(values) == 25
    assert values[0]["data-trial"] == "07"
    assert values[-1]["data-trial"] == "24"


def test_commands_are_quoted(folder, reader):
    quoted = f"'{folder}/best.yaml'"
    assert f"keras-lstm train increment --config {quoted}" in reader.text
    assert f"keras-lstm verify '{folder}/trials/07'" in reader.text
    assert f"keras-lstm report '{folder}'" in reader.text


def test_headings_labels_and_policy(folder, reader):
    page = (folder / "report.html").read_text()
    levels = [int(x[1]) for x, _ in reader.elements if re.match("h[1-6]$", x)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(x.get("aria-label") for x in reader.all("svg"))
    assert len(reader.ids) == len({*reader.ids})
    links = [x["href"][1:] for x in reader.all("a") if x["href"][0] == "#"]
    assert {*links} <= {*reader.ids}
    assert "default-src 'none'" in page
    assert page.count("<script") == 1
    assert len(page) < 300_000


@pytest.mark.parametrize("num_trials", [0, 1])
def test_a_search_that_has_just_begun_has_a_page(tmp_path, num_trials):
    search = make_search(tmp_path, num_trials, num_running=num_trials)
    page = make_search_page(tmp_path, search, read_trials(tmp_path, search))
    reader = Reader(page)
    assert "No trial has finished yet" in reader.text
    assert not reader.all("polyline")


@pytest.mark.parametrize(
    "text", ["", "a: <b>", "search: [units]", "{", "search: 1"]
)
def test_damaged_settings_are_one_line(tmp_path, capsys, text):
    (tmp_path / "search.yaml").write_text(text)
    assert main(["report", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "search.yaml" in err


@pytest.mark.parametrize(
    "text", ["", "{", '{"trial_id": 5}', '{"trial_id": "00"}', "[]"]
)
def test_a_damaged_trial_is_one_line(tmp_path, capsys, text):
    make_search(tmp_path / "s", 2)
    path = tmp_path / "s" / "keras_tuner" / "trial_00" / "trial.json"
    path.write_text(text)
    assert main(["report", str(tmp_path / "s")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "`run_dir` must hold whole files of trials. Received: " in line


def test_names_from_outside_are_text(tmp_path):
    odd = "<script>alert(1)<"
    search = make_search(tmp_path / odd, 2)
    page = make_search_page(
        tmp_path / odd, search, read_trials(tmp_path / odd, search)
    )
    assert "<script>alert" not in page
    assert f"search {odd}" in Reader(page).text


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious(folder, open_file, look):
    check_with_axe(open_file(folder / "report.html", **look))


@pytest.mark.slow
def test_lines_are_chosen_and_rows_are_sorted(folder, open_file):
    sync_api = pytest.importorskip("playwright.sync_api")
    page = open_file(folder / "report.html")
    page.get_by_label("units", exact=True).select_option("8")
    said = page.locator("#parallel-said")
    sync_api.expect(said).to_have_text("3 of 24, best: trial 08")
    faded = page.locator("#parallel-lines .faded")
    sync_api.expect(faded).to_have_count(21)
    page.get_by_label("units", exact=True).select_option("all")
    sync_api.expect(faded).to_have_count(0)
    # A row marks its line.
    page.locator("#trials-table tr[data-trial='07'] a").focus()
    marked = page.locator("#parallel-lines .marked")
    sync_api.expect(marked).to_have_attribute("data-trial", "07")
    page.get_by_role("button", name="parameters").click()
    first = page.locator("#trials-table tbody th").first
    sync_api.expect(first).to_have_text("08")
    page.fill("#search-trials", "wrong")
    shown = page.locator("#trials-table tbody tr:not([hidden])")
    sync_api.expect(shown).to_have_count(3)
    page.fill("#search-trials", "")
    page.get_by_role("link", name="07").click()
    sync_api.expect(page).to_have_title("07")
