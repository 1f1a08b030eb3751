"""Text recognition: a layer adds the CTC loss of each example."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)


@keras.saving.register_keras_serializable("programs")
class CTCLayer(layers.Layer):
    """Pass the predictions on, and add their loss."""

    def call(self, labels, predictions):
        lengths = ops.ones_like(labels[:, 0], dtype="int32")
        loss = ops.nn.ctc_loss(
            ops.cast(labels, "int32"),
            predictions,
            lengths * labels.shape[1],
            lengths * predictions.shape[1],
        )
        self.add_loss(loss)
        return predictions


def build():
    image = keras.Input((12, 5), name="image")
    label = keras.Input((3,), name="label")
    x = layers.Conv1D(8, 3, padding="same", activation="relu")(image)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
    x = layers.Dense(6, activation="softmax")(x)
    model = keras.Model({"image": image, "label": label}, CTCLayer()(label, x))
    model.compile(keras.optimizers.SGD(0.002), jit_compile=False)
    return model


def arguments():
    data = {
        "image": np.float32(rng.normal(size=(24, 12, 5))),
        "label": np.float32(rng.integers(1, 6, size=(24, 3))),
    }
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(8)
    return {"x": dataset, "epochs": 3, "shuffle": False}
