import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.callbacks import counterexamples
from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment
from keras_lstm.verification.verify import verify

TASK = Increment(num_bits=8, validation_examples=0)


def batches(dataset, count):
    return [
        tuple(each.numpy() for each in batch) for batch in dataset.take(count)
    ]


def plain(batch_size=16, seed=0):
    return make_dataset(TASK.splits(seed).train, batch_size, training=True)


def compiled(seed=0):
    model = build_model(TASK, ModelConfig("last_state", 8), seed)
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def test_nothing_is_mixed_in_before_anything_is_known():
    mixed = batches(Counterexamples(TASK).mix(plain()), 5)
    for one, other in zip(mixed, batches(plain(), 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_wrong_inputs_and_their_neighbours_are_mixed_in():
    feedback = Counterexamples(TASK, fraction=0.5, capacity=3)
    model = compiled()
    feedback.set_model(model)
    iterator = iter(feedback.mix(plain()))
    feedback.on_train_begin()
    feedback.on_epoch_end(0)
    worst = verify(model, TASK).failures[:3]
    unmixed = batches(plain(), 60)
    exact, replaced = 0, 0
    for step in range(60):
        symbols, targets = (each.numpy() for each in next(iterator))
        np.testing.assert_array_equal(targets, TASK.targets(symbols))
        # Batches that may have been made before the check stay unchanged.
        changed = symbols != unmixed[step][0]
        assert not changed[:8].any()
        if step < counterexamples._STEPS_AHEAD:
            assert not changed.any()
            continue
        for row in symbols[8:]:
            near = [
                f
                for f in worst
                if (row == f.symbols)[: f.hold_length + 1].all()
            ]
            assert near
            replaced += 1
            exact += any((row == f.symbols).all() for f in worst)
    assert 0.35 < exact / replaced < 0.75


def test_it_checks_in_the_chosen_epochs_only():
    checked = []
    feedback = Counterexamples(
        TASK,
        start_from_epoch=2,
        every_epochs=3,
        on_check=lambda epoch, result: checked.append(epoch),
    )
    feedback.set_model(compiled())
    for epoch in range(9):
        feedback.on_epoch_end(epoch)
    assert checked == [2, 5, 8]


def test_a_pool_that_is_not_in_use_yet_is_not_replaced():
    feedback = Counterexamples(TASK)
    feedback.set_model(compiled())
    feedback.on_epoch_end(0)
    first = int(feedback._newest.numpy())
    feedback.on_epoch_end(1)
    assert int(feedback._newest.numpy()) == first
    for step in range(counterexamples._STEPS_AHEAD):
        feedback.on_train_batch_end(step)
    feedback.on_epoch_end(2)
    assert int(feedback._newest.numpy()) == 1 - first


@pytest.mark.slow
def test_a_plain_fit_ends_when_nothing_is_wrong():
    model = compiled()
    found = []
    feedback = Counterexamples(
        TASK,
        start_from_epoch=3,
        on_check=lambda epoch, result: found.append(result.num_wrong),
    )
    seen = set()
    history = model.fit(
        feedback.mix(plain(batch_size=64)),
        epochs=60,
        steps_per_epoch=20,
        shuffle=False,
        verbose=0,
        callbacks=[feedback],
    )
    assert feedback.stopped_epoch == len(history.epoch) - 1
    assert found[-1] == 0
    assert all(found[:-1])
    assert verify(model, TASK).num_wrong == 0
    # The plain dataset gives the same batches again without training.
    for symbols, _ in batches(plain(64), 20):
        seen |= set(map(tuple, symbols.tolist()))
    assert len(seen) <= feedback.num_distinct() <= 255


def test_distinct_inputs_are_counted_exactly():
    feedback = Counterexamples(TASK)
    feedback.set_model(types.SimpleNamespace(steps_per_execution=1))
    mixed = batches(feedback.mix(plain()), 30)
    for step in range(20):
        feedback.on_train_batch_end(step)
    # Of the thirty batches made, only twenty were trained on.
    rows = np.concatenate([symbols for symbols, _ in mixed[:20]])
    assert feedback.num_distinct() == len(np.unique(rows, axis=0))


@pytest.mark.slow
def test_two_runs_do_the_same():
    def run():
        model = compiled()
        feedback = Counterexamples(TASK, start_from_epoch=1)
        model.fit(
            feedback.mix(plain()).prefetch(3),
            epochs=5,
            steps_per_epoch=10,
            shuffle=False,
            verbose=0,
            callbacks=[feedback],
        )
        return model.get_weights(), feedback.num_distinct()

    tf.config.experimental.enable_op_determinism()
    (first, count), (second, again) = run(), run()
    assert count == again
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_replicas_train_on_what_is_wrong_too(mirrored):
    with mirrored.scope():
        model = compiled()
    found = []
    feedback = Counterexamples(
        TASK, on_check=lambda epoch, result: found.append(result.num_wrong)
    )
    model.fit(
        feedback.mix(plain(batch_size=64)),
        epochs=3,
        steps_per_epoch=20,
        shuffle=False,
        verbose=0,
        callbacks=[feedback],
    )
    assert len(found) == 3
    assert found[-1] == verify(model, TASK).num_wrong
    assert int(feedback._counts.numpy().max()) > 0


@pytest.mark.slow
def test_a_second_fit_starts_with_what_was_wrong():
    model = compiled()
    feedback = Counterexamples(TASK, every_epochs=1)
    options = {
        "epochs": 1,
        "steps_per_epoch": 10,
        "shuffle": False,
        "verbose": 0,
        "callbacks": [feedback],
    }
    dataset = feedback.mix(plain())
    model.fit(dataset, **options)
    first = feedback.num_distinct()
    symbols = next(iter(dataset))[0].numpy()
    unmixed = batches(plain(), 1)[0][0]
    assert (symbols[8:] != unmixed[8:]).any()
    model.fit(dataset, **options)
    assert feedback.num_distinct() > first


class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            raise RuntimeError("as a user's callback may")


def test_a_fit_after_one_that_raised_counts_from_the_beginning():
    model = compiled()
    feedback = Counterexamples(TASK, start_from_epoch=9)
    options = {"steps_per_epoch": 5, "shuffle": False, "verbose": 0}
    dataset = feedback.mix(plain())
    with pytest.raises(RuntimeError, match="callback may"):
        model.fit(dataset, callbacks=[feedback, Fails()], **options)
    known = feedback.num_distinct()
    assert (feedback._steps, known > 0) == (4, True)
    steps = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(feedback._steps)
    )
    model.fit(dataset, callbacks=[feedback, note], **options)
    assert steps == [1, 2, 3, 4, 5]
    # The same batches: only the last is new.
    seen = {tuple(row) for symbols, _ in batches(plain(), 5) for row in symbols}
    assert known < feedback.num_distinct() == len(seen)


def test_a_dataset_that_ends_is_refused():
    with pytest.raises(InputError, match=r"must be without end.*5 batches"):
        Counterexamples(TASK).mix(plain().take(5))


@pytest.mark.parametrize(
    "values",
    [{"every_epochs": 0}, {"capacity": 0}, {"start_from_epoch": -1}],
)
def test_numbers_too_small_are_refused(values):
    (name,) = values
    with pytest.raises(InputError, match=f"`{name}` must be an integer of"):
        Counterexamples(TASK, **values)


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="at most 16777216 inputs to check"):
        Counterexamples(Increment(num_bits=25))
    with pytest.raises(InputError, match="`fraction` must be above 0"):
        Counterexamples(TASK, fraction=0.0)
