import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lstm.models.metrics import SequenceAccuracy, TokenAccuracy

METRICS = [SequenceAccuracy, TokenAccuracy]


def logits_of(predictions, num_classes=2):
    return np.eye(num_classes, dtype=np.float32)[predictions]


def expected(metric, y_true, y_pred, counts):
    """Return the expected metric, computed in NumPy."""
    right = y_true == y_pred
    if metric is SequenceAccuracy:
        axes = tuple(range(1, right.ndim))
        right = (right | ~counts).all(axes)
        counts = counts.any(axes)
    if not counts.any():
        return 0.0
    return (right & counts).sum() / counts.sum()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), weighted=st.sampled_from(["", "b", "bt"]))
@pytest.mark.parametrize("metric", METRICS)
def test_it_is_what_numpy_says(metric, seed, weighted):
    rng = np.random.default_rng(seed)
    batch, steps = rng.integers(1, 6, size=2)
    y_true = rng.integers(2, size=(batch, steps))
    y_pred = np.where(rng.random((batch, steps)) < 0.8, y_true, 1 - y_true)
    weight, counts = None, np.ones((batch, steps), bool)
    if weighted:
        shape = (batch, 1) if weighted == "b" else (batch, steps)
        weight = rng.integers(3, size=shape).astype(np.float32)
        counts = np.broadcast_to(weight != 0, counts.shape)
        weight = weight[:, 0] if weighted == "b" else weight
    result = metric()(y_true, logits_of(y_pred), sample_weight=weight)
    fraction = expected(metric, y_true, y_pred, counts)
    assert float(result) == pytest.approx(fraction, rel=1e-6)
    assert (float(result) == 1.0) == (fraction == 1.0)


@pytest.mark.parametrize("metric", METRICS)
def test_a_smaller_last_batch_counts_by_its_size(metric):
    measured = metric()
    measured.update_state(np.zeros((9, 1)), logits_of(np.zeros((9, 1), int)))
    measured.update_state(np.zeros((1, 1)), logits_of(np.ones((1, 1), int)))
    assert float(measured.result()) == pytest.approx(0.9)
    measured.reset_state()
    assert float(measured.result()) == 0.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [10, 2**24, 2**25, 2**40, 2**62])
def test_one_wrong_is_never_one(metric, count):
    measured = metric()
    measured._counted.assign(count)
    measured._right.assign(count - 1)
    assert float(measured.result()) < 1.0
    assert float(measured.result()) > 0.89
    measured._right.assign(count)
    assert float(measured.result()) == 1.0


def test_one_label_per_example_is_accuracy():
    y_pred = logits_of([3, 1, 2, 2], num_classes=4)
    assert float(SequenceAccuracy()([3, 1, 2, 0], y_pred)) == 0.75


def test_labels_may_have_a_last_axis_of_one():
    y_pred = logits_of([3, 1, 2, 2], num_classes=4)
    column = [[3], [1], [2], [0]]
    assert float(SequenceAccuracy()(column, y_pred)) == 0.75


def test_labels_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"y_true.shape=\(2, 2\)"):
        SequenceAccuracy()(np.zeros((2, 2)), np.zeros((2, 3)))


@pytest.mark.parametrize("metric", METRICS)
def test_labels_and_weights_are_not_repeated(metric):
    y_pred = np.zeros((4, 6, 3), np.float32)
    for shape in ((4, 1), (1, 6), (4, 5)):
        with pytest.raises(ValueError, match="`y_true` must have the shape"):
            metric()(np.zeros(shape, int), y_pred)
    for shape in ((3,), (4, 5), (1, 6), (4, 6, 2)):
        with pytest.raises(ValueError, match="`sample_weight` must have the"):
            metric()(np.zeros((4, 6), int), y_pred, np.ones(shape))
    for shape in ((4,), (4, 1), (4, 6), (4, 6, 1)):
        found = metric()(np.zeros((4, 6), int), y_pred, np.ones(shape))
        assert float(found) == 1.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_a_target_between_two_classes_is_not_met(metric, threshold):
    y_pred = [[0.9], [0.9]] if threshold else [[0.0, 1.0], [0.0, 1.0]]
    for soft, fraction in ((1.9, 0.5), (0.9, 0.5), (np.nan, 0.5), (1.0, 1.0)):
        found = metric(threshold=threshold)([1.0, soft], y_pred)
        assert float(found) == fraction


@pytest.mark.parametrize("threshold", [0.5, 0.0])
def test_one_unit_is_compared_with_a_threshold(threshold):
    y_true = np.array([[0, 1, 1], [1, 0, 0]])
    sign = np.array([[-1, 1, 1], [1, 1, -1]])
    y_pred = (threshold + 0.1 * sign)[..., np.newaxis]
    for targets in (y_true, y_true[..., np.newaxis]):
        tokens = TokenAccuracy(threshold=threshold)(targets, y_pred)
        assert float(tokens) == pytest.approx(5 / 6)
        whole = SequenceAccuracy(threshold=threshold)(targets, y_pred)
        assert float(whole) == 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("threshold", "units"), [(None, 1), (0.5, 2)])
def test_one_unit_without_a_threshold_is_refused(metric, threshold, units):
    with pytest.raises(ValueError, match=f"`threshold` must .*={threshold}"):
        metric(threshold=threshold)(np.zeros(4), np.zeros((4, units)))


@pytest.mark.parametrize("metric", METRICS)
def test_a_keras_mask_is_honoured_in_fit(metric):
    inputs = np.array([[1, 2, 0], [1, 1, 1], [0, 0, 0]])
    model = keras.Sequential(
        [
            keras.layers.Embedding(3, 2, mask_zero=True),
            keras.layers.LSTM(2, return_sequences=True),
            keras.layers.Dense(
                2, kernel_initializer="zeros", bias_initializer=first_class
            ),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=[metric()])
    # The model always predicts class 0. Outside the mask, that is wrong once.
    y_true = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 1]])
    _, value = model.evaluate(inputs, y_true, verbose=0)
    fraction = 1 / 2 if metric is SequenceAccuracy else 4 / 5
    assert value == pytest.approx(fraction)


def first_class(shape, dtype=None):
    return keras.ops.convert_to_tensor([1.0, 0.0], dtype)


@pytest.mark.parametrize("metric", METRICS)
def test_it_survives_serialisation(metric):
    made = metric(name="mine", threshold=0.25)
    config = keras.saving.serialize_keras_object(made)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is metric
    assert (again.name, again.threshold) == ("mine", 0.25)


@pytest.mark.parametrize("metric", METRICS)
def test_replicas_are_added_up(mirrored, metric):
    with mirrored.scope():
        measured = metric()
        model = keras.Sequential([keras.layers.Identity()])
        model.compile(loss="mse", metrics=[measured])
    rng = np.random.default_rng(0)
    y_true = rng.integers(2, size=(103, 5))
    y_pred = np.where(rng.random(y_true.shape) < 0.9, y_true, 1 - y_true)
    # The last batch has 3 of 20 examples, which two replicas cannot halve.
    step = mirrored.experimental_distribute_dataset(
        as_dataset(y_true, logits_of(y_pred)).batch(20)
    )
    for batch in step:
        mirrored.run(lambda y, p: measured.update_state(y, p), args=batch)
    counts = np.ones(y_true.shape, bool)
    fraction = expected(metric, y_true, y_pred, counts)
    assert float(measured.result()) == pytest.approx(fraction, rel=1e-6)


def as_dataset(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays)


@pytest.mark.parametrize("metric", METRICS)
def test_nan_is_never_right(metric):
    logits = np.full((3, 2, 2), np.nan, np.float32)
    assert float(metric()(np.zeros((3, 2)), logits)) == 0.0
    logits[:] = [1.0, 0.0]
    logits[1, 1, 1] = np.nan
    assert 0.0 < float(metric()(np.zeros((3, 2)), logits)) < 1.0
    unit = np.array([[0.2], [np.nan]], np.float32)
    assert float(metric(threshold=0.5)(np.zeros(2), unit)) == 0.5


@pytest.mark.parametrize("metric", METRICS)
def test_weights_may_have_a_last_axis_of_one(metric):
    rng = np.random.default_rng(0)
    for shape in ((6,), (6, 6), (5, 3)):
        logits = rng.normal(size=(*shape, 2)).astype(np.float32)
        labels = rng.integers(2, size=shape)
        weights = rng.integers(2, size=shape)
        flat, tall = metric(), metric()
        flat.update_state(labels, logits, weights)
        tall.update_state(labels[..., None], logits, weights[..., None])
        assert float(tall.result()) == float(flat.result())
        variables = [each.numpy() for each in tall.variables]
        assert variables == [each.numpy() for each in flat.variables]
    with pytest.raises(ValueError, match="`sample_weight` must have the shape"):
        metric()(labels, logits, np.ones((5, 3, 2)))
