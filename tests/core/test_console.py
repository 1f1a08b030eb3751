import pytest

from keras_lstm.core import console


def test_long_work_gets_a_line_now_and_then(capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.ProgressBar("checking") as bar:
        for done in range(1, 31):
            now[0] += 1.0
            bar.update(done, 30)
    assert capfd.readouterr().err.splitlines() == [
        "checking: 10 of 30, about 20 s left",
        "checking: 20 of 30, about 10 s left",
        "checking: 30 of 30, about 0 s left",
    ]


def test_quiet_is_quiet(capfd, monkeypatch):
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_LINES", -1.0)
    with console.ProgressBar("checking", quiet=True) as bar:
        bar.update(1, 2)
        bar.line("text")
    assert capfd.readouterr().err == ""


def test_a_fraction_that_is_none_is_shown():
    assert console.percent(float("nan")) == "nan"
    assert console.percent(float("inf")) == "inf%"
    assert console.percent(-0.5) == "-50%"
    assert console.percent(1e308) == "inf%"


@pytest.mark.parametrize("whole", [3, 2**30, 2**60, 2**62])
def test_a_share_is_one_only_if_nothing_is_missing(whole):
    assert console.share_of(whole, whole) == 1.0
    share = console.share_of(whole - 1, whole)
    assert share < 1.0
    assert share == pytest.approx(1 - 1 / whole)
    assert console.percent(share) != "100%"


def test_a_count_has_its_noun():
    assert console.quantity(1, "bit") == "1 bit"
    assert console.quantity(0, "bit") == "0 bits"
    assert console.quantity(2000, "bit") == "2,000 bits"
