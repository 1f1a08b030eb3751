"""The pages that list and compare runs."""

import os
import time

import pytest
from browsing import LOOKS, check_with_axe
from made_runs import make_run, write_failures
from page_reader import Reader

from keras_lstm.cli import main

ODD = "<script>alert('1')</script> #&?%"


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """Return a folder `logs` of runs, in the current one."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "logs"
    one = make_run(root / ODD, seed=2, report={"num_wrong": 2}, units=8)
    one.page.write_text("<title>its page</title>")
    write_failures(one.failures, [("<i>1</i>", "0110", "0101"), ("1", "2", "")])
    two = make_run(root / "two", report={"num_wrong": 3}, units=16)
    write_failures(two.failures, [("000", "1", "0")])
    make_run(root / "three", report=None, units=128)
    for run, start in ((one, 2.0), (two, 4.0)):
        rows = [f"{n},{start / n},{1 - 1 / n}" for n in range(1, 5)]
        run.history.write_text(
            "\n".join(["epoch,val_loss,val_sequence_accuracy", *rows])
        )
    make_run(root / "search" / "trials" / "0001", units=4)
    make_run(root / "search" / "trials" / "0002", units=32)
    (root / "search" / "search.yaml").write_text("")
    (root / "search" / "report.html").write_text("<title>search</title>")
    make_run(root / "bad").config.write_text(f"a: {ODD}")
    return root


def read(path):
    return Reader(path.read_text("utf-8"))


def test_the_index_lists_and_links(logs, capsys):
    assert main(["runs", "--html"]) == 0
    out, err = capsys.readouterr()
    assert out == "Page: logs/index.html\n"
    assert err.startswith("bad is damaged: config.yaml: ")
    reader = read(logs / "index.html")
    assert "6 runs in logs" in reader.text
    assert "4 finished, 1 stopped, 1 damaged" in reader.text
    assert f"{ODD} increment increment finished 100% of all" in reader.text
    assert "three increment increment stopped at step 100 - -" in reader.text
    assert "search : 2 trials" in reader.text
    # The style, the page's own script, and no other.
    assert len(reader.all("script")) == 1
    links = [each["href"] for each in reader.all("a")]
    quoted = "%3Cscript%3Ealert%28%271%27%29%3C/script%3E%20%23%26%3F%25"
    assert links == [
        "#main",
        "search/report.html",
        f"{quoted}/report.html",
    ]


def test_links_are_relative_to_the_page(logs, capsys):
    (logs / "a b").mkdir()
    page = logs / "a b" / "some.html"
    filters = ["--filter", "wrong>0", "--filter", "units<16"]
    assert main(["runs", "logs", "--html", str(page), *filters]) == 0
    capsys.readouterr()
    reader = read(page)
    (link,) = [each["href"] for each in reader.all("a")][1:]
    assert link.startswith("../%3Cscript%3E")
    assert "1 run in logs 1 finished Those that meet wrong>0 , units<16" in (
        reader.text
    )


def test_a_folder_without_runs_has_a_page(logs, capsys):
    (logs / "none").mkdir()
    assert main(["runs", "logs/none", "--html"]) == 0
    assert "0 runs in logs/none" in read(logs / "none" / "index.html").text


def test_names_that_are_no_utf_8_are_written(logs, capsys):
    name = os.fsdecode(b"\xff")
    make_run(logs / "x" / name).page.write_text("")
    assert main(["runs", "logs/x", "--html"]) == 0
    reader = read(logs / "x" / "index.html")
    assert reader.all("a")[-1]["href"] == "%FF/report.html"
    assert "\\udcff increment" in reader.text


def test_the_comparison_has_all_of_it(logs, capsys):
    runs = [f"logs/{ODD}", "logs/two", "logs/three"]
    assert main(["compare", *runs, "--html", "both.html"]) == 0
    assert capsys.readouterr().out == "Page: both.html\n"
    reader = read(logs.parent / "both.html")
    assert "option run 1 run 2 run 3 seed 2 0 0 units 8 16 128" in reader.text
    assert "state finished finished stopped" in reader.text
    alts = [each["aria-label"] for each in reader.all("svg")]
    assert alts == [
        "Curves of val loss by epoch. run 1: first 2, last 0.5; run 2: first "
        "4, last 1; run 3: -",
        "Curves of val sequence accuracy by epoch. run 1: first 0, last 0.75; "
        "run 2: first 0, last 0.75; run 3: -",
    ]
    assert "epoch run 1 run 2 run 3 1 2 4 -" in reader.text
    assert "Run 1 gets at least 1 right that run 2 gets wrong" in reader.text
    said = "not all of its 3 wrong ones are listed."
    assert "Which inputs run 2 gets right that run 1 gets wrong" in reader.text
    assert said in reader.text
    assert "The inputs of run 1 and run 3 are not compared: " in reader.text
    (link,) = [each["href"] for each in reader.all("a") if "/" in each["href"]]
    assert link.startswith("logs/%3Cscript%3E")
    assert not reader.all("i")


def test_wrong_symbols_are_marked(logs, capsys):
    right = make_run(logs / "right").path
    one = make_run(logs / "wrong", report={"num_wrong": 4})
    rows = [
        ("<i>1</i>", "0110", "0101", "..^^"),
        ("long", "1" * 300, "0" * 300, "^" * 300),
        ("coin", "stays opens stays", "stays shuts shuts", ".^^"),
        ("class", "cat", "dog", ""),
    ]
    write_failures(
        one.failures, rows, ("input", "target", "prediction", "wrong")
    )
    assert main(["compare", str(right), str(one.path), "--html", "x.htm"]) == 0
    page = (logs.parent / "x.htm").read_text()
    assert "<code>01<mark>01</mark></code>" in page
    assert "<code>stays <mark>shuts shuts</mark></code>" in page
    assert "<code>dog</code>" in page
    assert "&lt;i&gt;1&lt;/i&gt;" in page
    assert f"<code>{'0' * 200}... (300 characters)</code>" in page
    text = Reader(page).text
    assert "Run 1 gets 4 right that run 2 gets wrong." in text
    assert "Run 2 gets none right that run 1 gets wrong." in text


def test_a_page_has_the_first_of_many_metrics(logs, capsys):
    paths = []
    for name in ("one", "other"):
        run = make_run(logs / name)
        names = ",".join(f"metric{n}" for n in range(30))
        values = ",".join(map(str, range(30)))
        run.history.write_text(f"epoch,{names}\n1,{values}\n")
        paths.append(str(run.path))
    assert main(["compare", *paths, "--html", "x.html"]) == 0
    reader = read(logs.parent / "x.html")
    assert len(reader.all("svg")) == 24
    assert "The first 24 of 30 metrics; each history.csv has all" in reader.text


def test_a_page_has_the_first_of_many_inputs(logs, capsys):
    counts = {"num_examples": 4095}
    right = make_run(logs / "right", report=counts).path
    one = make_run(logs / "wrong", report=counts | {"num_wrong": 2500})
    rows = [(f"{n:012b}", "1", "0") for n in range(2500)]
    write_failures(one.failures, rows)
    command = ["compare", str(right), str(one.path), str(one.path)]
    assert main([*command, "--html", "x.html"]) == 0
    path = logs.parent / "x.html"
    text = read(path).text
    said = "gets 2,500 right that run 2 gets wrong; 2,000 of them are here."
    assert f"Run 1 {said}" in text
    assert path.stat().st_size < 600_000


@pytest.mark.parametrize(
    "folder", ["logs/search/trials", "logs/search/trials/0001"]
)
def test_the_trials_of_a_search_are_listed_from_within(logs, capsys, folder):
    assert main(["runs", folder, "--html", "x.html"]) == 0
    assert "logs/search" in read(logs.parent / "x.html").text


def test_the_page_of_a_run_is_not_replaced_by_a_list(logs, capsys):
    assert main(["runs", "--html", "x.html"]) == 0
    before = (logs.parent / "x.html").read_bytes()
    for folder in (logs / "two", logs / "search"):
        page = folder / "report.html"
        page.write_bytes(before)
        assert main(["runs", "--html", str(page)]) == 2
        err = capsys.readouterr().err
        assert "`html` must not be the page of a run or a search" in err
        assert page.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("runs --html logs", "--html: must be a file that ends in .html"),
        ("runs --html x.html --json", "`json` must not be given with `html`"),
        ("runs --html none/x.html", "must be in a folder that exists"),
        ("compare logs/two logs/two --html", "--html: expected one argument"),
        (
            "compare logs/two logs/two --html x.txt",
            "ends in .html. Received: x",
        ),
        (
            "compare logs/two logs/two --html x.html --json",
            "`json` must not be given with `html`",
        ),
    ],
)
def test_bad_usage_gets_one_line(logs, capsys, arguments, message):
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-lstm: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not [*logs.parent.glob("*.html")]


def names(page):
    return page.locator("tbody tr:not([hidden]) th").all_inner_texts()


@pytest.mark.slow
def test_the_index_is_sorted_and_searched(logs, capsys, open_file):
    sync_api = pytest.importorskip("playwright.sync_api")
    assert main(["runs", "--html", "--filter", "state!=damaged"]) == 0
    page = open_file(logs / "index.html")
    all_names = [ODD, *("search/trials/0001", "search/trials/0002")]
    assert names(page) == [*all_names, "three", "two"]
    head = page.get_by_role("button", name="wrong", exact=True)
    head.focus()
    page.keyboard.press("Enter")
    # By number, and a run without a result last, in either order.
    assert names(page)[-3:] == [ODD, "two", "three"]
    sorting = page.get_by_role("columnheader", name="wrong")
    assert sorting.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert names(page)[:2] == ["two", ODD]
    assert names(page)[-1] == "three"
    page.fill("#search-runs", "UNITS=16")
    assert names(page) == ["two"]
    output = page.locator("output[for=search-runs]")
    sync_api.expect(output).to_have_text("1 of 5")
    page.fill("#search-runs", "")
    page.get_by_role("button", name="seconds").click()
    page.get_by_role("link", name=ODD).click()
    sync_api.expect(page).to_have_title("its page")


@pytest.mark.slow
def test_the_comparison_is_searched(logs, capsys, open_file):
    sync_api = pytest.importorskip("playwright.sync_api")
    right = make_run(logs / "right").path
    run = ["compare", str(right), f"logs/{ODD}", "--html", "both.html"]
    write_failures(
        make_run(logs / "w", report={"num_wrong": 40}).failures,
        [(f"{n:06b}", "1", "0") for n in range(40)],
    )
    run[2] = "logs/w"
    assert main(run) == 0
    page = open_file(logs.parent / "both.html")
    page.get_by_label("Search these").fill("100000")
    rows = page.locator("[data-search] tbody tr:not([hidden])")
    sync_api.expect(rows).to_have_count(1)
    sync_api.expect(page.locator("output")).to_have_text("1 of 40")


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_serious(logs, capsys, open_file, look):
    assert main(["runs", "--html"]) == 0
    check_with_axe(open_file(logs / "index.html", **look))
    runs = [f"logs/{ODD}", "logs/two", "logs/three"]
    assert main(["compare", *runs, "--html", "both.html"]) == 0
    check_with_axe(open_file(logs.parent / "both.html", **look))


@pytest.mark.slow
def test_an_index_of_1_000_runs_opens_within_2_s(tmp_path, capsys, open_file):
    for seed in range(1000):
        run = make_run(tmp_path / f"seed{seed}", seed=seed, steps=())
        run.page.write_text("")
    assert main(["runs", str(tmp_path), "--html"]) == 0
    page = open_file(tmp_path / "index.html")
    start = time.perf_counter()
    page.reload()
    page.get_by_role("button", name="differs").wait_for()
    seconds = time.perf_counter() - start
    assert seconds < 2, seconds
    page.get_by_role("button", name="run", exact=True).click()
    # Numbers in names are sorted as numbers.
    assert names(page)[:3] == ["seed0", "seed1", "seed2"]
    page.fill("#search-runs", "seed=999")
    assert names(page) == ["seed999"]


def test_a_file_of_another_origin_is_kept(logs, capsys):
    index = logs / "index.html"
    assert main(["runs", "--html"]) == 0
    # A page that was made here is made again.
    assert main(["runs", "--html"]) == 0
    index.write_text("<title>my notes</title>")
    capsys.readouterr()
    assert main(["runs", "--html"]) == 2
    assert "`html` must not be a file that is no page of keras-lstm" in (
        capsys.readouterr().err
    )
    assert index.read_text() == "<title>my notes</title>"
