"""Matplotlib figures as SVG inside of a page.

The colors become those of the page's style sheet, so that a drawing suits light
and dark; text stays text.
"""

import functools
import html
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from keras_lstm.core.drawing import Drawing, Plot, show_dollars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Matplotlib's colors, and the style sheet's for them.
_COLORS = {
    "#000000": "var(--ink)",
    "#ffffff": "var(--paper)",
    "#b0b0b0": "var(--line)",
    "#cccccc": "var(--line)",
    "#1f77b4": "var(--first)",
    "#ff7f0e": "var(--second)",
    "#2ca02c": "var(--third)",
    "#d62728": "var(--fourth)",
    "#9467bd": "var(--fifth)",
    "#8c564b": "var(--sixth)",
}
_COLOR = re.compile("|".join(_COLORS))
_TAG = re.compile("<[^>]*>")
_FAMILY = re.compile(r"font-family: [^;\"]*;? ?")
# Names that nothing refers to, the same in each drawing.
_NAME = re.compile(r' id="[a-zA-Z0-9.]+_\d+"')
_POINTS_TO_PIXELS = 4 / 3


class Svg:
    """An `svg` element that a template waits for only where it stands.

    Args:
        make: a function that returns an SVG file and its width in inches.
        label: the text that stands for it where it is not seen.
    """

    def __init__(
        self, make: Callable[[], tuple[str, float]], label: str
    ) -> None:
        self._make = make
        self._label = label

    def __html__(self) -> str:
        """Return the markup, as Jinja asks for it."""
        drawing, inches = self._make()
        _, _, drawing = drawing.partition("<svg")
        attributes, _, content = drawing.partition(">")
        box = re.search(r'viewBox="[^"]*"', attributes)
        content = re.sub(r"<style.*?</style>", "", content, flags=re.S)
        # Of tags alone: a text may be a color's name.
        content = _TAG.sub(
            lambda tag: _COLOR.sub(lambda color: _COLORS[color[0]], tag[0]),
            content,
        )
        content = _NAME.sub("", _FAMILY.sub("", content))
        width = round(inches * 72 * _POINTS_TO_PIXELS * 1.25)
        return (
            f'<svg role="img" aria-label="{html.escape(self._label)}" '
            f'{box[0] if box else ""} style="max-width: {width}px" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'xmlns="http://www.w3.org/2000/svg">{content.strip()}'
        )


def draw(figure: "Figure | Plot", name: str, label: str) -> Svg:
    """Return a figure as an `svg` element.

    Args:
        figure: the figure, or a function that plots it.
        name: a name that no other drawing of the page has.
        label: the text that stands for it where it is not seen.

    Returns:
        The element; another process may still draw it.
    """
    render = functools.partial(_svg_of, name=name)
    if callable(figure):
        drawing = Drawing(figure, render)
        return Svg(lambda: drawing.result, label)
    return Svg(functools.partial(render, figure), label)


def _svg_of(figure: "Figure", name: str) -> tuple[str, float]:
    """Return a figure as an SVG file, and its width in inches."""
    import matplotlib

    text = io.StringIO()
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}),
        warnings.catch_warnings(),
    ):
        # A browser has the signs that Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        # What the metadata would hold is of no use in a page.
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        show_dollars(figure)
        figure.savefig(text, format="svg", metadata=metadata)
    return text.getvalue(), figure.get_figwidth()
