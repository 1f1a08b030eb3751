"""HTML from templates, with everything from outside escaped."""

import base64
import functools
import hashlib
import json
import os
import pathlib
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_lstm.core.errors import escaped
from keras_lstm.core.files import open_regular, replacing

if TYPE_CHECKING:
    import jinja2

# In the first bytes of each page, by base.html.jinja.
_GENERATOR, _HEAD = b'<meta name="generator" content="keras-lstm">', 1000
_ASSETS = pathlib.Path(__file__).with_name("assets")
# A text in parts, and whether each is wrong.
Parts = list[tuple[str, bool]]
# What would end a script, or a line of one.
_IN_SCRIPTS = {ord(x): f"\\u{ord(x):04x}" for x in "<>&\u2028\u2029"}


def render_page(
    template: str, style: str, scripts: tuple[str, ...], **content: Any
) -> str:
    """Return a template as one HTML page, with its style and scripts inside.

    The page's policy lets a browser run these scripts alone, and load nothing:
    text that was not escaped would still do no harm.

    Args:
        template: name of the template, a file beside this module.
        style: name of the style sheet.
        scripts: names of the scripts, in their order.
        **content: the values for the template; text is escaped.

    Returns:
        The page.
    """
    script = "\n".join(_asset(name) for name in scripts)
    digest = hashlib.sha256(script.encode()).digest()
    page: str = (
        _environment()
        .get_template(template)
        .render(
            **content,
            style=_markup(_asset(style)),
            script=_markup(script),
            script_hash=base64.b64encode(digest).decode(),
        )
    )
    return page


def write_page(path: pathlib.Path, page: str) -> None:
    """Write a page into a file, all of it or nothing.

    Args:
        path: the file.
        page: the page.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path) as temporary:
        # The name of a folder may hold what is no UTF-8.
        temporary.write_bytes(page.encode("utf-8", "backslashreplace"))


def is_page(path: pathlib.Path) -> bool:
    """Return whether a file is a page that was made here.

    Args:
        path: the file.
    """
    try:
        with open_regular(path) as file:
            return _GENERATOR in file.read(_HEAD)
    except OSError:
        return False


def link_to(target: pathlib.Path, page: pathlib.Path) -> str | None:
    """Return a relative address, for a page that links another.

    Args:
        target: the page to link.
        page: the page that links it.

    Returns:
        The address; None if there is no such page.
    """
    if not target.is_file():
        return None
    path = os.path.relpath(target, page.parent)
    return urllib.parse.quote(os.fsencode(path))


def render_text(
    template: str, filters: dict[str, Callable[[Any], str]], **content: Any
) -> str:
    """Return a template as text that is not HTML.

    Args:
        template: name of the template, whose values are to be escaped by one
            of the filters.
        filters: filters for the template, by name.
        **content: the values for the template.

    Returns:
        The text.
    """
    environment = _environment().overlay(autoescape=False)
    environment.filters = environment.filters | filters
    text: str = environment.get_template(template).render(**content)
    return text


def json_in_html(content: Any) -> Any:
    """Return JSON that is safe inside of a `script` element, as markup."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return _markup(text.translate(_IN_SCRIPTS))


def shortened(text: str, limit: int) -> str:
    """Return the start of a text, and its length if that is not all."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text):,} characters)"


def marked_parts(text: str, marks: str) -> Parts:
    """Return a prediction in parts, and which of them are wrong.

    Args:
        text: the symbols, with spaces between them if names are longer.
        marks: `^` for each wrong symbol, another character for a right one.

    Returns:
        The parts; none if there are not as many marks as symbols.
    """
    separator = "" if len(text) == len(marks) else " "
    names = text.split(separator) if separator else list(text)
    if len(names) != len(marks):
        return []
    parts: Parts = []
    for name, mark in zip(names, marks, strict=True):
        is_wrong = mark == "^"
        if parts and parts[-1][1] == is_wrong:
            name = f"{parts.pop()[0]}{separator}{name}"
        elif parts and separator:
            parts[-1] = (f"{parts[-1][0]}{separator}", parts[-1][1])
        parts.append((name, is_wrong))
    return parts


def printable(value: Any) -> Any:
    """Return a value with what does not print escaped, but line breaks."""
    if type(value) is not str or value.isprintable():
        return value
    return "\n".join(map(escaped, value.split("\n")))


def _markup(text: str) -> Any:
    """Return text that is HTML already."""
    import markupsafe

    return markupsafe.Markup(text)  # noqa: S704 - this package's own files


@functools.cache
def _environment() -> "jinja2.Environment":
    # Most commands write no page.
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["count"] = "{:,}".format
    return found


@functools.cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
