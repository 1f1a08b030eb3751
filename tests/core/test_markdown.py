import pytest

from keras_lstm.core.markdown import markdown_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, text (1)", "plain, text (1)"),
        ("a|b", r"a\|b"),
        ("**", r"\*\*"),
        ("_b_ <i>", r"\_b\_ \<i\>"),
        ("$x$ @octocat", r"\$x\$ \@octocat"),
        ("https://evil.example", r"https\://evil.example"),
        ("www.evil.example", r"www\.evil.example"),
        ("two\nlines: one", r"two\\nlines: one"),
        ("\x1b[1m", r"\\x1b\[1m"),
        (7, "7"),
    ],
)
def test_text_stays_text(text, expected):
    assert markdown_text(text) == expected
