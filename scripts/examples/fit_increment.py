"""Learn increment in a plain Keras script, without `keras_lstm.train`.

Command: python scripts/examples/fit_increment.py [NUM_BITS]
"""

import sys

import keras

from keras_lstm import (
    Increment,
    ModelConfig,
    SequenceAccuracy,
    build_model,
    get_strategy,
    make_dataset,
    verify,
)
from keras_lstm.callbacks import StopAtFullAccuracy

task = Increment(num_bits=int(sys.argv[1]) if len(sys.argv) > 1 else 20)
splits = task.splits(seed=0)

with get_strategy("auto").scope():
    model = build_model(task, ModelConfig(input_noise=1.0, layer_noise=0.3))
    model.compile(
        optimizer=keras.optimizers.Adam(0.03, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[SequenceAccuracy()],
    )
model.fit(
    make_dataset(splits.train, batch_size=128, training=True),
    validation_data=make_dataset(splits.validation, batch_size=128),
    epochs=15,
    steps_per_epoch=10,
    shuffle=False,
    callbacks=[StopAtFullAccuracy()],
)
result = verify(model, task)
print(f"{result.num_wrong} of {result.num_examples} numbers are wrong")
