"""The notebooks of the tutorials: their cells are run."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tutorials.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "printed"),
    [
        (
            "1-increment.ipynb",
            r"^Epoch \d+: val_sequence_accuracy is exactly 1; stopping$",
        ),
        (
            "2-image-rows.ipynb",
            r"^\d+ of 360 are wrong,\n\d+ of the first 128$",
        ),
    ],
)
def test_a_notebook_runs_alone_and_shows_pictures_and_progress(
    tmp_path, monkeypatch, name, printed
):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("jupytext")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import make_notebooks

    notebooks = make_notebooks.make_notebooks(TEXT)
    assert list(notebooks) == ["1-increment.ipynb", "2-image-rows.ipynb"]
    cells = [
        cell.source
        for notebook in notebooks.values()
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    # One more: the second notebook begins with imports.
    assert len(cells) == TEXT.count("```python\n") + 1
    notebook = notebooks[name]
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=300, resources=resources
    ).execute()
    outputs = [x for cell in notebook.cells for x in cell.get("outputs", [])]
    pictures = [x for x in outputs if "image/png" in x.get("data", {})]
    assert len(pictures) == 1
    # One output that was updated until the end of training, and no lines.
    (progress,) = [x for x in outputs if "text/html" in x.get("data", {})]
    assert "100%" in progress["data"]["text/html"]
    assert "ended after" in progress["data"]["text/plain"]
    assert not [x for x in outputs if "val_loss" in x.get("text", "")]
    lines = "".join(x.get("text", "") for x in outputs)
    assert re.search(printed, lines, re.M)
