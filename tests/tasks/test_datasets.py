import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.callbacks.tensorboard import TensorBoard
from keras_lstm.core.errors import InputError
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.task import Split


def counting(num_examples):
    """Return a split whose inputs and targets are the indices."""
    return Split(num_examples, lambda indices: (indices, indices))


def batches(dataset, count=None):
    return [
        inputs.tolist()
        for inputs, _ in itertools.islice(dataset.as_numpy_iterator(), count)
    ]


def test_evaluation_sees_every_example_once_and_in_order():
    seen = batches(make_dataset(counting(10), 4))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(("size", "batch"), [(10, 4), (10, 10), (7, 3), (8, 4)])
def test_training_passes_over_everything_in_full_batches(size, batch):
    dataset = make_dataset(counting(size), batch, training=True, seed=1)
    seen = batches(dataset, 5 * size // batch)
    assert {len(one) for one in seen} == {batch}
    stream = list(itertools.chain(*seen))
    passes = [stream[i : i + size] for i in range(0, 4 * size, size)]
    assert all(sorted(one) == list(range(size)) for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_the_order_depends_on_the_seed_alone():
    def order(seed):
        return batches(
            make_dataset(counting(50), 8, training=True, seed=seed), 20
        )

    assert order(0) == order(0)
    assert order(0) != order(1)


def test_a_drawn_stream_never_ends_and_does_not_repeat():
    train = Increment(num_bits=64).splits(seed=0).train
    dataset = make_dataset(train, 16, training=True).take(100)
    rows = np.concatenate([x for x, _ in dataset.as_numpy_iterator()])
    assert len(np.unique(rows, axis=0)) == 1600


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="at most the 3 training examples"):
        make_dataset(counting(3), 4, training=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 2.0),
        ("batch_size", True),
        ("start_step", -3),
        ("seed", "a"),
    ],
)
def test_numbers_that_are_none_are_refused(name, value):
    numbers = {"batch_size": 2} | {name: value}
    with pytest.raises(InputError, match=f"`{name}` must be an integer of at"):
        make_dataset(counting(3), training=True, **numbers)


def test_a_stream_cannot_be_evaluated_on():
    with pytest.raises(InputError, match="has no end"):
        make_dataset(Increment().splits(seed=0).train, 4)


@pytest.mark.parametrize("sampling", ["uniform", "permutation"])
def test_the_pipeline_states_its_shapes(sampling):
    task = Increment(
        num_bits=5, sampling=sampling, train_examples=20, validation_examples=2
    )
    train = task.splits(seed=0).train
    inputs, targets = make_dataset(train, 4, training=True).element_spec
    assert inputs.shape.as_list() == targets.shape.as_list() == [4, 5]
    assert inputs.dtype == targets.dtype == tf.int32


@pytest.mark.parametrize("sampling", ["uniform", "carry"])
def test_a_batch_may_hold_one_example(sampling):
    # Of one bit, 1 is outside the domain, so that inputs are drawn again.
    task = Increment(num_bits=1, sampling=sampling)
    train = task.splits(seed=0).train
    batches = make_dataset(train, 1, training=True).take(8)
    assert [
        (x.tolist(), y.tolist()) for x, y in batches.as_numpy_iterator()
    ] == [([[0]], [[1]])] * 8


def test_iterators_do_not_wait_for_the_tuner_at_their_end():
    task = Increment(num_bits=6, sampling="carry")
    train = task.splits(seed=0).train
    dataset = make_dataset(train, 8, training=True)
    feedback = Counterexamples(task)
    board = TensorBoard()
    for each in (dataset, board.watch(feedback.mix(dataset))):
        assert each.options().autotune.enabled is False
