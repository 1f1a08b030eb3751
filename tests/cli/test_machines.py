import pytest
import yaml

from keras_lstm.cli import main

LOCK = """states:
  locked: {coin: unlocked / opens, push: locked / stays}
  unlocked: {coin: unlocked / stays, push: locked / closes}
"""


def printed(capsys, *argv):
    assert main(["train", *argv, "--print-config"]) == 0
    output = capsys.readouterr()
    return yaml.safe_load(output.out), output.err


def test_a_machine_takes_the_place_of_a_task(tmp_path, capsys):
    path = tmp_path / "lock.yaml"
    path.write_text(LOCK)
    config, said = printed(capsys, str(path))
    assert config["preset"] == config["task"]["name"] == "machine"
    assert "coin: unlocked / opens" in config["task"]["machine"]
    assert said == ""
    config, said = printed(capsys, "regex:(ab)*c?")
    assert "start: '0'" in config["task"]["machine"]
    assert said == ""
    path.write_text(LOCK + "  open: {coin: open / stays, push: open / stays}\n")
    _, said = printed(capsys, str(path))
    assert said == ("lock: dropped what the start does not reach: `open`\n")


def test_the_sizes_follow_from_the_machine_unless_they_are_given(capsys):
    config, _ = printed(capsys, "modular-arithmetic")
    assert config["model"]["units"] == 155
    assert config["model"]["embedding_dim"] == 15
    assert config["training"]["fallback"] == "construction"
    config, _ = printed(
        capsys, "modular-arithmetic", "--units", "8", "--fallback", "none"
    )
    assert config["model"]["units"] == 8


def test_missing_arrows_are_asked_about(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text("states: {a: {x: a / 0, y: b / 1}, b: {x: a / 0}}")
    assert main(["train", str(path), "--print-config"]) == 2
    assert "none for `y` in state `b`" in capsys.readouterr().err
    config, said = printed(capsys, str(path), "--undefined", "sink")
    assert "x: sink / undefined" in config["task"]["machine"]
    assert "1 missing arrow leads to `sink`" in said


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no.dot"], "`machine` must be a readable file"),
        (["tomita-1", "--undefined", "x"], "must be refuse or sink"),
        (["parity", "--undefined", "sink"], "is for machines that are read"),
        (["tomita-5", "--undefined", "sink"], "`undefined` is for files"),
        (["tomita-5", "--units", "3"], "needs `units` of at least 8"),
    ],
)
def test_bad_usage_is_one_line(argv, message, capsys):
    assert main(["train", *argv, "--print-config"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_list_has_the_library(capsys):
    assert main(["list"]) == 0
    output = capsys.readouterr().out
    assert "tomita-5              4 states, 2 symbols" in output
