"""Text of any origin in Markdown."""

import re
from typing import Any

from keras_lstm.core.errors import escaped

# Also what hubs read as mathematics, people and addresses.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&!$@]|:(?=//)|(?<=\bwww)\.")


def markdown_text(text: Any) -> str:
    r"""Return text of any origin as one line of Markdown.

    Args:
        text: the text, or what is made a text of.

    Example:

    >>> print(markdown_text("a_b, **c** and www.example.org"))
    a\_b, \*\*c\*\* and www\.example.org
    """
    line = " ".join(escaped(str(text)).split())
    return _SPECIAL.sub(r"\\\g<0>", line)
