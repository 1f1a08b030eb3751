"""Training in a notebook."""

import pytest

CELL = """
import keras
import numpy as np
from keras_lstm.callbacks import ProgressLogger

model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
data = np.ones((8, 2)), np.ones((8, 1))
model.fit(*data, epochs=3, verbose=0, callbacks=[ProgressLogger()])
None
"""


@pytest.mark.slow
def test_a_cell_has_one_output_that_is_updated():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(notebook, timeout=300).execute()
    outputs = notebook.cells[0].outputs
    shown = [x for x in outputs if x.output_type == "display_data"]
    assert len(shown) == 1
    assert shown[0].data["text/html"].startswith("<pre ")
    for kind in ("text/html", "text/plain"):
        assert "epoch 3/3" in shown[0].data[kind]
        assert "ended after" in shown[0].data[kind]
    # TensorFlow itself may say something; no epoch is a line.
    lines = "".join(x.text for x in outputs if x.output_type == "stream")
    assert "epoch" not in lines
