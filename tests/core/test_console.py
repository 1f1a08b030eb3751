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
