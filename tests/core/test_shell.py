import os
import pathlib
import subprocess

import pytest

from keras_lstm.core.shell import folder_word, shell_text, typed_words


@pytest.mark.parametrize(
    "word",
    [
        *("plain", "a b", "it's", "$(id)", "`id`", "a\nb", "tab\t'quoted'"),
        *("\x1b[1m1", "back\\slash\n", "\u2028", "\u202eabc", "é\r", "", "-x"),
        *("a\udcff", "\x001"[1:], "7\x7f7", "\x1b7"),
    ],
)
def test_bash_reads_the_same_words(word):
    text = shell_text(["printf", "%s", word])
    assert text.isprintable()
    done = subprocess.run(["bash", "-c", text], check=True, capture_output=True)
    assert done.stdout == os.fsencode(word)


def test_a_text_that_is_no_unicode_is_shown():
    assert shell_text(["\ud800"]) == r"$'\355\240\200'"


def test_what_predict_reads_otherwise_is_not_typed():
    assert typed_words(["@file", "-", "a\0b", "x", "y"]) == ["x"]
    assert typed_words(["@file"]) == ["INPUT"]


def test_what_begins_with_a_dash_is_taken_for_no_option():
    assert typed_words(["-1"]) == ["--", "-1"]
    assert typed_words(["1-"]) == ["1-"]
    assert folder_word(pathlib.Path("--x")) == "./--x"
    assert folder_word(pathlib.Path("/x")) == "/x"
