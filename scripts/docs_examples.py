"""Show the doctests in docstrings as code: mkdocstrings loads this class."""

import re

import griffe

# From the first `>>>` of a paragraph to the blank line that ends it.
_DOCTEST = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.M)


class FencedDoctests(griffe.Extension):
    """Fence each doctest, which Markdown takes for a quotation."""

    def on_object(self, *, obj, **others):
        """Change the docstring of an object that was read."""
        if obj.docstring is not None and "```pycon" not in obj.docstring.value:
            obj.docstring.value = _DOCTEST.sub(
                lambda match: f"```pycon\n{match[0]}\n```", obj.docstring.value
            )
