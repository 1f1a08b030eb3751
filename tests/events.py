"""Readers of TensorBoard's event files."""

import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)


def _load(folder):
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    return found.Reload()


def _of_plugin(found, name):
    for tag in found.Tags()["tensors"]:
        if found.SummaryMetadata(tag).plugin_data.plugin_name == name:
            yield (
                tag,
                [
                    (event.step, tf.make_ndarray(event.tensor_proto))
                    for event in found.Tensors(tag)
                ],
            )


def scalars(folder):
    """Return pairs of step and value by tag."""
    return {
        tag: [(step, float(value)) for step, value in values]
        for tag, values in _of_plugin(_load(folder), "scalars")
    }


def images(folder):
    """Return pairs of step and image by tag."""
    return {
        tag: [
            # The width and the height precede the image itself.
            (step, tf.io.decode_png(value[2]).numpy())
            for step, value in values
        ]
        for tag, values in _of_plugin(_load(folder), "images")
    }


def texts(folder):
    """Return the last text by tag."""
    return {
        tag: values[-1][1].item().decode()
        for tag, values in _of_plugin(_load(folder), "text")
    }


def hparams(folder):
    """Return the bytes that the plugin wrote, by tag."""
    found = _load(folder)
    return {
        tag: found.SummaryMetadata(tag).plugin_data.content
        for tag, _ in _of_plugin(found, "hparams")
    }


def graph(folder):
    """Return the graph; None if there is none."""
    found = _load(folder)
    if not found.Tags()["graph"]:
        return None
    return tf.compat.v1.GraphDef.FromString(found.Graph().SerializeToString())
