import pytest

from keras_lstm.core.errors import InputError, RunError, one_line, shown


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [InputError, RunError])
def test_a_message_is_one_printable_line(error):
    message = str(error("a\nb\r\x1b[31m\x00\u2028\u202e\udcff → é"))
    assert message == ("a\\nb\\r\\x1b[31m\\x00\\u2028\\u202e\\udcff → é")


def test_a_long_message_keeps_its_start_and_its_end():
    message = one_line("first" + "x" * 10**6 + "last")
    assert message.startswith("firstxxx")
    assert message.endswith("xxxlast (1,000,009 characters)")
    assert len(message) < 2100


def test_values_are_shown_short():
    nested = value = []
    for _ in range(50):
        nested.append([value] * 9)
        nested = nested[-1]
    assert shown("ab") == "ab"
    assert shown(0.1) == "0.1"
    assert shown([1, "a", None]) == "[1, 'a', None]"
    assert shown(10**5000) == "an integer of 16610 bits"
    assert len(shown("x" * 10**6)) < 110
    assert len(shown(["x" * 10**6] * 10**4)) < 600
    assert len(shown({str(i) * 99: value for i in range(99)})) < 1100
    assert shown(Unprintable()).startswith("<Unprintable instance at")
