"""Learn image rows in a plain Keras script, without `keras_lstm.train`.

Command: python scripts/examples/fit_image_rows.py [DATASET]
"""

import sys

import keras

from keras_lstm import (
    ImageRows,
    ModelConfig,
    SequenceAccuracy,
    build_model,
    evaluate,
    get_strategy,
    make_dataset,
)
from keras_lstm.callbacks import StopAtFullAccuracy

task = ImageRows(dataset=sys.argv[1] if len(sys.argv) > 1 else "digits")
splits = task.splits(seed=0)

with get_strategy("auto").scope():
    model = build_model(task, ModelConfig("last_state", 64, num_layers=1))
    model.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[SequenceAccuracy()],
    )
model.fit(
    make_dataset(splits.train, batch_size=64, training=True),
    validation_data=make_dataset(splits.validation, batch_size=64),
    epochs=20,
    steps_per_epoch=20,
    shuffle=False,
    callbacks=[StopAtFullAccuracy()],
)
result = evaluate(model, splits.test)
print(f"{result.num_wrong} of {result.num_examples} test images are wrong")
