"""Points for TensorBoard's Projector.

Under Keras 3, the Projector cannot read what Keras's own `embeddings_freq`
writes (https://github.com/keras-team/keras/issues/20210). It can read the TSV
files written here.
"""

import io
import pathlib

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins import projector

from keras_lstm.core.files import write_text
from keras_lstm.monitoring.diagnostics import Points

_FOLDER = "projector"


def write_projector(folder: pathlib.Path, found: dict[str, Points]) -> None:
    """Write points, and the configuration file that lists them.

    Args:
        folder: folder of a run's event files.
        found: points by name.
    """
    config = projector.ProjectorConfig()
    points_folder = folder / _FOLDER
    points_folder.mkdir(parents=True, exist_ok=True)
    for name, points in found.items():
        vectors = io.StringIO()
        np.savetxt(vectors, points.vectors, "%.6g", "\t")
        write_text(points_folder / f"{name}.tsv", vectors.getvalue())
        columns = points.columns
        rows = [
            "\t".join(map(str, row))
            for row in zip(*columns.values(), strict=True)
        ]
        # The Projector expects no heading over a single column.
        heading = ["\t".join(columns)] if len(columns) > 1 else []
        text = "\n".join([*heading, *rows])
        path = points_folder / f"{name}-metadata.tsv"
        write_text(path, f"{text}\n")
        config.embeddings.add(
            tensor_name=name,
            tensor_path=f"{_FOLDER}/{name}.tsv",
            metadata_path=f"{_FOLDER}/{name}-metadata.tsv",
        )
    write_text(
        folder / "projector_config.pbtxt", text_format.MessageToString(config)
    )
