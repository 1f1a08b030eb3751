"""LSTM and Conv1D layers that are trained by few large products, on a CPU.

Keras multiplies the inputs of an LSTM step by step, and adds up the gradients
of its weights step by step. Here, each is one product for all steps, and XLA
compiles what remains of a step. A causal Conv1D is one product as well: XLA has
no deterministic convolutions.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.weights import TrainingCall, why_not_stock_lstm

_compiled = tf.function(jit_compile=True, autograph=False)


def enable_large_products(model: keras.Model) -> keras.Model:
    """Make `fit` compute LSTMs and causal convolutions faster on a CPU.

    Outputs and gradients are those of the layers up to rounding. LSTMs compute
    as before outside of training. It pays with `enable_microbatches`, one
    microbatch per core, and `jit_compile=True`.

    Args:
        model: a model, changed in place. Other layers than `keras.layers.LSTM`
            with its usual activations, in float32 and without dropout, and
            `keras.layers.Conv1D` with `padding="causal"`, stay as they are. So
            does an LSTM that is called with a mask or a state. A GPU should
            rather use cuDNN. A gradient of a gradient, as of a gradient
            penalty, is refused.

    Returns:
        The same model. Its configuration, weights and files are as before.

    Example:

    ```python
    model.compile("adam", loss, jit_compile=False)
    enable_large_products(model)
    enable_microbatches(model, 2, jit_compile=True).fit(dataset)
    ```
    """
    for layer in model._flatten_layers():
        call = _faster_call(layer)
        if call is not None:
            kind = TrainingCall if call is _read else functools.partial
            layer.call = kind(call, layer)
    # An earlier `fit` may have traced what is replaced.
    model.train_function = None
    return model


def has_large_products(layer: keras.layers.Layer) -> bool:
    """Return whether `enable_large_products` has changed a layer.

    Args:
        layer: any layer.
    """
    call = vars(layer).get("call")
    return isinstance(call, functools.partial) and call.func in (
        _read,
        _convolve,
    )


def _faster_call(layer: keras.layers.Layer) -> Callable[..., Any] | None:
    if layer.compute_dtype != "float32" or layer.quantization_mode:
        return None
    if why_not_stock_lstm(layer) is None:
        others = (layer.dropout, layer.recurrent_dropout, layer.unroll)
        return None if any(others) or layer.return_state else _read
    if type(layer) is keras.layers.Conv1D:
        usual = (1,), (1,), 1, "causal", "channels_last"
        settings = layer.strides, layer.dilation_rate, layer.groups
        if (*settings, layer.padding, layer.data_format) == usual:
            return _convolve
    return None


def _convolve(layer: keras.layers.Conv1D, inputs: Any) -> Any:
    """Compute what the `call` of a causal Conv1D computes."""
    if isinstance(inputs, keras.KerasTensor):
        return type(layer).call(layer, inputs)
    kernel = tf.convert_to_tensor(layer.kernel)
    width, features, units = kernel.shape
    steps = tf.shape(inputs)[1]
    padded = tf.pad(inputs, ((0, 0), (width - 1, 0), (0, 0)))
    windows = tf.concat([padded[:, i : i + steps] for i in range(width)], 2)
    outputs = tf.matmul(
        tf.reshape(windows, (-1, width * features)),
        tf.reshape(kernel, (-1, units)),
    )
    outputs = tf.reshape(outputs, tf.stack([tf.shape(inputs)[0], steps, units]))
    outputs.set_shape((*inputs.shape[:2], units))
    if layer.use_bias:
        outputs += tf.convert_to_tensor(layer.bias)
    return layer.activation(outputs)


def _read(
    layer: keras.layers.LSTM,
    sequences: Any,
    initial_state: Any = None,
    mask: Any = None,
    training: bool = False,
) -> Any:
    """Compute what the `call` of an LSTM computes."""
    is_plain = initial_state is None and mask is None
    if not (training and is_plain) or isinstance(sequences, keras.KerasTensor):
        return type(layer).call(
            layer, sequences, initial_state, mask=mask, training=training
        )
    cell = layer.cell
    weights = (cell.kernel, cell.recurrent_kernel, cell.bias)
    lstm = _lstm if layer.return_sequences else _last_of_lstm
    return lstm(sequences, *map(tf.convert_to_tensor, weights))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _lstm(*given: Any) -> Any:
    """Return the outputs of all steps, (batch_size, steps, units)."""
    last, before, gradient = _with_gradient(given)
    outputs = tf.concat([before[1:], last[None]], 0)
    by_example = tf.transpose(outputs, (1, 0, 2))
    by_example.set_shape((*given[0].shape[:2], last.shape[-1]))
    return by_example, gradient


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _last_of_lstm(*given: Any) -> Any:
    """Return the output of the last step, (batch_size, units)."""
    last, _, gradient = _with_gradient(given)
    last.set_shape((given[0].shape[0], given[2].shape[0]))
    return last, gradient


def _with_gradient(given: Any) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Return the last output, those before each step, and the gradient."""
    # The tape need not record what happens inside.
    weights = [tf.stop_gradient(x) for x in given]
    last, *kept = _forward(*weights)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def first_gradient(upstream: Any, *_: Any) -> Any:
        stopped = tf.stop_gradient(upstream)
        found = _backward(*weights[:3], *kept, stopped)
        return found, _refuse_second_gradient

    def gradient(upstream: Any) -> Any:
        return first_gradient(upstream, *given)

    return last, kept[0], gradient


def _refuse_second_gradient(*_: Any) -> None:
    raise InputError(
        "`enable_large_products` is for training steps that take gradients "
        "once. Received: a gradient of a gradient of an LSTM"
    )


def _scale(units: int) -> Any:
    """Return 1/2 for the gates that are sigmoids, and 1 for the candidate.

    sigmoid(x) is (tanh(x / 2) + 1) / 2: one tanh computes all four.
    """
    return np.repeat(np.array([0.5, 0.5, 1.0, 0.5], "float32"), units)


def _num_steps(inputs: Any) -> Any:
    return inputs.shape[1] or tf.shape(inputs)[1]


def _array(steps: Any, like: Any, width: int) -> tf.TensorArray:
    shape = (like.shape[0], width)
    return tf.TensorArray(tf.float32, steps, element_shape=shape)


@_compiled  # type: ignore[untyped-decorator]
def _forward(
    inputs: Any, kernel: Any, recurrent_kernel: Any, bias: Any
) -> tuple[Any, ...]:
    """Return the last output, and what `_backward` needs of all steps.

    Derivatives are taken where the values are at hand: what remains for the
    way back are products.

    Args:
        inputs: (batch_size, steps, size).
        kernel: the weights of the inputs, (size, 4 * units).
        recurrent_kernel: the weights of the states, (units, 4 * units).
        bias: (4 * units,).

    Returns:
        The last output, (batch_size, units), and arrays of (steps, batch_size,
        units), but for the second: outputs of the step before; derivatives of
        the cell, for the output gate of the output, by what enters the gates,
        (steps, batch_size, 4 * units); of the output by the cell; of the cell
        by the one before.
    """
    units = recurrent_kernel.shape[0]
    scale = _scale(units)
    batch_size, steps = tf.shape(inputs)[0], _num_steps(inputs)
    by_step = tf.transpose(inputs, (1, 0, 2))
    flat = tf.reshape(by_step, (-1, inputs.shape[2]))
    products = tf.matmul(flat, kernel)
    products = tf.reshape(products, tf.stack([steps, batch_size, 4 * units]))

    # Derivatives by what enters the gates take the place of the products.
    def step(t: Any, h: Any, c: Any, *arrays: tf.TensorArray) -> Any:
        entered = arrays[0].read(t) + tf.matmul(h, recurrent_kernel) + bias
        gates = tf.tanh(scale * entered)
        i, f, candidate, o = tf.split(gates, 4, 1)
        i, f, o = (0.5 * x + 0.5 for x in (i, f, o))
        cell = f * c + i * candidate
        squashed = tf.tanh(cell)
        # A sigmoid is half a tanh of half its input: two factors of 1/2.
        by_gates = tf.concat([candidate, c, i, squashed], 1) * (
            scale * scale * (1 - gates * gates)
        )
        by_cell = o * (1 - squashed * squashed)
        found = zip(arrays, (by_gates, h, by_cell, f), strict=True)
        written = (array.write(t, x) for array, x in found)
        return t + 1, o * squashed, cell, *written

    zeros = tf.zeros_like(products[0, :, :units])
    arrays = [_array(steps, inputs, n * units) for n in (4, 1, 1, 1)]
    _, last, _, *arrays = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (0, zeros, zeros, arrays[0].unstack(products), *arrays[1:]),
    )
    by_gates, before, by_cell, by_cell_before = (x.stack() for x in arrays)
    return last, before, by_gates, by_cell, by_cell_before


@_compiled  # type: ignore[untyped-decorator]
def _backward(
    inputs: Any,
    kernel: Any,
    recurrent_kernel: Any,
    before: Any,
    by_gates: Any,
    by_cell: Any,
    by_cell_before: Any,
    upstream: Any,
) -> tuple[Any, Any, Any, Any]:
    """Return the gradients of the arguments of `_lstm`.

    Args:
        inputs: as for `_lstm`.
        kernel: as for `_lstm`.
        recurrent_kernel: as for `_lstm`.
        before: what `_forward` returned after the last output, as the next
            three.
        by_gates: derivatives by what enters the gates.
        by_cell: derivatives of the output by the cell.
        by_cell_before: derivatives of the cell by the one before.
        upstream: gradient of the outputs, (batch_size, steps, units), or of
            the last one, (batch_size, units).
    """
    units = recurrent_kernel.shape[0]
    steps = _num_steps(inputs)
    zeros = tf.zeros_like(before[0])
    dh, given = upstream, None
    if len(upstream.shape) == 3:
        dh, given = zeros, _array(steps, inputs, units)
        given = given.unstack(tf.transpose(upstream, (1, 0, 2)))
    by_cell, by_cell_before = (
        _array(steps, inputs, units).unstack(x)
        for x in (by_cell, by_cell_before)
    )
    recurrent = tf.transpose(recurrent_kernel)

    # Gradients take the place of the derivatives.
    def step(t: Any, dh: Any, dc: Any, array: Any) -> Any:
        if given is not None:
            dh = dh + given.read(t)
        dc = dc + dh * by_cell.read(t)
        d_gates = tf.concat([dc, dc, dc, dh], 1) * array.read(t)
        dh = tf.matmul(d_gates, recurrent)
        return t - 1, dh, dc * by_cell_before.read(t), array.write(t, d_gates)

    array = _array(steps, inputs, 4 * units).unstack(by_gates)
    *_, array = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (steps - 1, dh, zeros, array),
    )
    d_gates = tf.reshape(array.stack(), (-1, 4 * units))
    by_step = tf.transpose(inputs, (1, 0, 2))
    d_inputs = tf.matmul(d_gates, kernel, transpose_b=True)
    d_inputs = tf.reshape(d_inputs, tf.shape(by_step))
    d_kernel, d_recurrent_kernel = (
        tf.matmul(tf.reshape(x, (-1, x.shape[2])), d_gates, transpose_a=True)
        for x in (by_step, before)
    )
    return (
        tf.transpose(d_inputs, (1, 0, 2)),
        d_kernel,
        d_recurrent_kernel,
        tf.reduce_sum(d_gates, 0),
    )
