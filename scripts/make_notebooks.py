#!/usr/bin/env python3
"""Write the tutorials of docs/tutorials.md as notebooks.

`scripts/make_notebooks.py FOLDER` writes a notebook per tutorial; its cells
are the blocks of Python in the Markdown. `build/notebooks` is the default.
"""

import ast
import pathlib
import re
import sys

import jupytext
import nbformat

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = ROOT / "docs" / "tutorials.md"
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def make_notebooks(text: str) -> dict[str, nbformat.NotebookNode]:
    """Make a notebook of each tutorial.

    Args:
        text: the Markdown, with a heading `## 1. Name` per tutorial.

    Returns:
        Notebooks by the name of their file. Each can be run alone: it begins
        with the imports of the tutorials before it.
    """
    _, *parts = re.split(r"^(?=## \d+\. )", text, flags=re.M)
    notebooks: dict[str, nbformat.NotebookNode] = {}
    imports: list[str] = []
    for part in parts:
        title, _, body = part.partition("\n")
        title = title.removeprefix("## ")
        before = "\n".join(imports)
        cell = f"```python\n{before}\n```\n\n" if before else ""
        notebook = jupytext.reads(f"# {title}\n\n{cell}{body}", fmt="md")
        notebook.metadata["kernelspec"] = {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        }
        name = re.sub(r"\W+", "-", title.lower()).strip("-")
        notebooks[f"{name}.ipynb"] = notebook
        for block in _PYTHON.findall(part):
            imports += [
                ast.unparse(line)
                for line in ast.parse(block).body
                if isinstance(line, ast.Import | ast.ImportFrom)
            ]
    return notebooks


def main() -> None:
    """Write the notebooks and print their paths."""
    folder = pathlib.Path(*sys.argv[1:2] or [ROOT / "build" / "notebooks"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, notebook in make_notebooks(SOURCE.read_text()).items():
        nbformat.write(notebook, folder / name)
        print(folder / name)


if __name__ == "__main__":
    main()
