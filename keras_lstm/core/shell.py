"""Commands as text, to be pasted into a shell."""

import pathlib
import shlex
from collections.abc import Iterable

_ESCAPED = {"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def shell_text(words: Iterable[str]) -> str:
    r"""Return a command as one line of printable text.

    Args:
        words: the words of the command. What does not print is escaped inside
            of `$'...'`, as bash, zsh and ksh read it.

    Example:

    >>> print(shell_text(["predict", "runs/a b", "x\ty"]))
    predict 'runs/a b' $'x\ty'
    """
    return " ".join(map(_word, words))


def folder_word(folder: pathlib.Path) -> str:
    """Return the word for a folder, which no command takes for an option."""
    text = str(folder)
    return f"./{text}" if text.startswith("-") else text


def typed_words(texts: Iterable[str]) -> list[str]:
    """Return the last words of a `predict` command.

    Args:
        texts: inputs, the best first.

    Returns:
        The first input that `predict` reads as it is, not as the name of a
        file or as standard input; INPUT without one.
    """
    usable = (
        text
        for text in texts
        if text != "-" and not text.startswith("@") and "\0" not in text
    )
    text = next(usable, "INPUT")
    return ["--", text] if text.startswith("-") else [text]


def _word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_character, word))}'"


def _character(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if character.isprintable():
        return character
    # A byte that is no UTF-8 is a surrogate in Python.
    is_byte = "\udc80" <= character <= "\udcff"
    errors = "surrogateescape" if is_byte else "surrogatepass"
    data = character.encode("utf-8", errors)
    return "".join(f"\\{byte:03o}" for byte in data)
