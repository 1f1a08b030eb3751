"""JAX: an LSTM as `lax.scan`, compiled, with optax."""

import functools
from typing import Any

import answering
import jax
import jax.numpy as jnp
import numpy as np
import optax

EXAMPLES = {"increment": 2**17, "image-rows": 2**15}


def layer(key: Any, features: int, units: int) -> dict[str, Any]:
    """Make the weights of an LSTM layer."""
    return {
        "kernel": jax.random.normal(key, (features + units, 4 * units)) * 0.1,
        "bias": jnp.zeros(4 * units),
    }


def build(model: str) -> dict[str, Any]:
    """Make the weights of a tutorial's network."""
    keys = jax.random.split(jax.random.key(0), 4)
    if model == "increment":
        return {
            "embedding": jax.random.normal(keys[0], (2, 10)) * 0.1,
            "layers": [layer(keys[1], 10, 32), layer(keys[2], 32, 32)],
            "dense": jax.random.normal(keys[3], (32, 40)) * 0.1,
        }
    return {
        "layers": [layer(keys[1], 28, 128)],
        "dense": jax.random.normal(keys[3], (128, 10)) * 0.1,
    }


def lstm(weights: dict[str, Any], sequences: Any) -> Any:
    """Return the outputs `(timesteps, batch_size, units)` of a layer."""
    units = weights["bias"].shape[0] // 4
    features = sequences.shape[-1]
    from_input = sequences @ weights["kernel"][:features] + weights["bias"]

    def step(state: Any, row: Any) -> tuple[Any, Any]:
        h, c = state
        gates = row + h @ weights["kernel"][features:]
        i, f, g, o = jnp.split(gates, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((sequences.shape[1], units))
    return jax.lax.scan(step, (start, start), from_input)[1]


def logits_of(weights: dict[str, Any], inputs: Any) -> Any:
    """Return the network's logits."""
    x = jnp.swapaxes(inputs, 0, 1)
    if "embedding" in weights:
        x = weights["embedding"][x]
    for each in weights["layers"]:
        x = lstm(each, x)
    logits = x[-1] @ weights["dense"]
    return logits.reshape(-1, 20, 2) if "embedding" in weights else logits


def train(name: str, batch_size: int) -> answering.Run:
    """Return a run of training steps with Adam, counting right outputs."""
    inputs, targets = map(jnp.asarray, answering.examples(name, EXAMPLES[name]))
    weights = build(name)
    optimizer = optax.adam(1e-3)

    def loss_of(weights: Any, batch: Any) -> tuple[Any, Any]:
        logits = logits_of(weights, inputs[batch])
        loss = optax.softmax_cross_entropy_with_integer_labels(
            logits, targets[batch]
        )
        return loss.mean(), (logits.argmax(-1) == targets[batch]).sum()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(weights: Any, state: Any, batch: Any) -> tuple[Any, ...]:
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (_, right), gradients = gradient(weights, batch)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(weights, updates), state, right

    state = optimizer.init(weights)
    key = jax.random.key(0)

    def run(steps: int) -> None:
        nonlocal weights, state
        order = jax.random.permutation(key, steps * batch_size)
        for batch in order.reshape(steps, batch_size):
            weights, state, right = step(weights, state, batch)
        jax.block_until_ready((weights, right))

    return run


def infer(name: str, batch_size: int) -> answering.Run:
    """Return a run of compiled predictions."""
    inputs, _ = map(jnp.asarray, answering.examples(name, EXAMPLES[name]))
    weights = build(name)
    ask = jax.jit(logits_of)

    def run(steps: int) -> None:
        for step in range(steps):
            first = step * batch_size
            found = ask(weights, inputs[first : first + batch_size])
        jax.block_until_ready(found)

    return run


def check(name: str, batch_size: int) -> answering.Run:
    """Return a brute-force check of all inputs."""
    weights = build(name)
    ask_batch = jax.jit(logits_of)

    def ask(inputs: np.ndarray) -> np.ndarray:
        parts = np.split(inputs, len(inputs) // batch_size)
        return np.concatenate([ask_batch(weights, x) for x in parts])

    return answering.checking(name, batch_size, ask)


def _stepwise() -> tuple[Any, Any]:
    """Return a compiled function of a state and bits, and the first state."""
    weights = build("increment")
    units = weights["dense"].shape[0]

    def cell(of_layer: Any, state: Any, row: Any) -> tuple[Any, Any]:
        h, c = state
        gates = jnp.concatenate([row, h]) @ of_layer["kernel"]
        i, f, g, o = jnp.split(gates + of_layer["bias"], 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return h, (h, c)

    def step(states: Any, bit: Any) -> tuple[Any, Any]:
        x, following = weights["embedding"][bit], []
        for of_layer, state in zip(weights["layers"], states, strict=True):
            x, state = cell(of_layer, state, x)
            following.append(state)
        return following, (x @ weights["dense"])[:2].argmax()

    start = [(jnp.zeros(units), jnp.zeros(units)) for _ in weights["layers"]]
    return step, start


def feed(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for one bit after the other."""
    step, start = _stepwise()
    step = jax.jit(step)

    def run(steps: int) -> None:
        states = start
        for bit in answering.symbols(steps):
            states, answer = step(states, bit)
            int(answer)

    return run


def call(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for all bits in one call."""
    step, start = _stepwise()
    scan = jax.jit(functools.partial(jax.lax.scan, step))

    def run(steps: int) -> None:
        np.asarray(scan(start, answering.symbols(steps))[1])

    return run


if __name__ == "__main__":
    answering.answer(
        {
            "train": train,
            "infer": infer,
            "check": check,
            "feed": feed,
            "call": call,
        }
    )
