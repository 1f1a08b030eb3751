"""All variables of a model that training changes, and their values."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import InputError

# Containers on a model are searched to this depth.
_MAX_DEPTH = 4


class ModelState:
    """Variables of a model, its optimizers, metrics and random generators.

    Args:
        model: any compiled Keras model, also one with its own `train_step`
            whose attributes are further optimizers, seed generators and
            variables.
        is_chief: whether this process is the first of those that train
            together. What replicas count apart is restored in it only.
    """

    def __init__(self, model: keras.Model, is_chief: bool = True) -> None:
        self._model = model
        self._is_chief = is_chief

    @property
    def is_built(self) -> bool:
        """Whether all layers have their variables.

        This says more than `model.built`: `model.build((None, None))` may mark
        a model as built whose layers are not, and a model with its own
        `train_step` may never be marked.
        """
        layers = self._model._flatten_layers(include_self=False)
        return all([layer.built for layer in layers] or [self._model.built])

    def build(self, saved: dict[str, Any] | None) -> None:
        """Create as many variables as can be created before the first step.

        Args:
            saved: a result of `description` in an earlier process, so that
                the model is built for the same inputs; None if there is none.
        """
        model = self._model
        if saved and not self.is_built:
            # Saved for the model or, if it has no `call`, for its layers.
            for layer, config in zip(
                [model, *model.layers], saved["build"], strict=False
            ):
                if config and not layer.built:
                    _build_layer(layer, config)
        if not self.is_built:
            return
        with model.distribute_strategy.scope():
            # With its own `train_step`, a model decides what it trains.
            stock = type(model).train_step is keras.Model.train_step
            if model.optimizer is not None and stock:
                _build(model.optimizer, model.trainable_variables)
            variables = model.variables
            for name, indices in (saved or {}).get("trained", {}).items():
                optimizer = self.optimizers().get(name)
                if optimizer is not None and max(indices) < len(variables):
                    _build(optimizer, [variables[i] for i in indices])

    def description(self) -> dict[str, Any]:
        """Return what `build` and `find_changes` need in a later process."""
        places = {id(v): i for i, v in enumerate(self._model.variables)}
        trained = {
            name: [places[id(v)] for v in optimizer._trainable_variables]
            for name, optimizer in self.optimizers().items()
            if optimizer.built
            and all(id(v) in places for v in optimizer._trainable_variables)
        }
        return {
            "build": [
                json.dumps(
                    layer.get_build_config() if layer.built else None,
                    default=str,
                )
                for layer in [self._model, *self._model.layers]
            ],
            "trained": {name: each for name, each in trained.items() if each},
        }

    def variables(self, with_metrics: bool) -> dict[str, list[Any]]:
        """Return the variables by part.

        Args:
            with_metrics: whether to include the metrics, which matter within
                an epoch only.

        Returns:
            Lists of variables, by the name of the part.
        """
        model = self._model
        parts = {
            "model": model.variables,
            "optimizer": [] if not model.optimizer else _of(model.optimizer),
            # `model.variables` does not include them.
            "stateful layers": [
                state
                for layer in model._flatten_layers()
                if getattr(layer, "stateful", False)
                for state in keras.tree.flatten(layer.states)
            ],
        }
        others = list(self._others(parts).values())
        if others:
            parts["others"] = others
        if with_metrics:
            parts["metrics"] = model.metrics_variables
        return parts

    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """Return the optimizers that are attributes of the model, by name."""
        found: dict[int, tuple[str, Any]] = {}
        for name, value in self._attributes():
            if isinstance(value, keras.optimizers.Optimizer):
                found.setdefault(id(value), (name, value))
        return dict(found.values())

    def values(self, with_metrics: bool) -> dict[str, list[list[np.ndarray]]]:
        """Return each variable's values, as `read` does.

        Args:
            with_metrics: see `variables`.
        """
        return {
            part: self.read(variables)
            for part, variables in self.variables(with_metrics).items()
        }

    def read(self, variables: Sequence[Any]) -> list[list[np.ndarray]]:
        """Return each variable's values on the replicas of this process.

        Args:
            variables: some variables of the model.

        Returns:
            For each variable one array if all replicas agree, else one for
            each of them.
        """
        return [_agreed(v, self._local(v)) for v in variables]

    def restore(self, saved: dict[str, list[list[np.ndarray]]]) -> None:
        """Assign the result of `values`.

        The number of replicas may have changed: what they had counted apart,
        as in metrics, is then added up.

        Args:
            saved: the values.

        Raises:
            InputError: if the number of replicas has changed, and they
                disagreed on a variable that is not a sum.
        """
        for part, variables in self.variables("metrics" in saved).items():
            self.assign(variables, saved.get(part, []))

    def assign(
        self, variables: Sequence[Any], saved: Sequence[list[np.ndarray]]
    ) -> None:
        """Assign the result of `read`.

        Args:
            variables: the variables.
            saved: the values of each.

        Raises:
            InputError: see `restore`.
        """
        local = self._model.distribute_strategy.experimental_local_results
        for variable, values in zip(variables, saved, strict=True):
            copies = local(backend_variable(variable))
            if _is_sum(variable):
                values = self._shares(values, len(copies))
            else:
                values = _repeated(variable, values, len(copies))
            for each, value in zip(copies, values, strict=True):
                each.assign(value)

    def find_changes(self, saved: dict[str, list[list[np.ndarray]]]) -> str:
        """Return the first part whose variables differ in number or shape.

        Args:
            saved: the result of `values`.

        Returns:
            The name of the part; empty if there is none.
        """
        variables = self.variables("metrics" in saved)
        for part in sorted({*saved, *variables}):
            expected = [
                (values[0].shape, values[0].dtype)
                for values in saved.get(part, [])
            ]
            current = [
                (values[0].shape, values[0].dtype)
                for values in self.read(variables.get(part, []))
            ]
            if expected != current:
                return part
        return ""

    def _local(self, variable: Any) -> list[np.ndarray]:
        local = self._model.distribute_strategy.experimental_local_results
        return [np.array(value) for value in local(backend_variable(variable))]

    def _shares(self, values: list[np.ndarray], count: int) -> list[np.ndarray]:
        """Return what each of `count` replicas here has of a sum."""
        if len(values) != count or not self._is_chief:
            total = np.sum(values, axis=0, dtype=values[0].dtype)
            values = [total, *[np.zeros_like(total)] * (count - 1)]
        return values if self._is_chief else [np.zeros_like(v) for v in values]

    def _others(self, parts: dict[str, list[Any]]) -> dict[str, Any]:
        """Return the variables of the model's attributes not in `parts`."""
        known = {id(v) for variables in parts.values() for v in variables}
        known |= {id(v) for v in self._model.metrics_variables}
        # Keras wraps a variable of TensorFlow in one of its own.
        known |= {
            id(v.value)
            for variables in parts.values()
            for v in variables
            if isinstance(v, keras.Variable)
        }
        found: dict[int, tuple[str, Any]] = {}
        for name, value in self._attributes():
            for index, variable in enumerate(_of(value)):
                if id(variable) not in known:
                    at = f"{name}[{index}]"
                    found.setdefault(id(variable), (at, variable))
        return dict(found.values())

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for index, layer in enumerate(self._model._flatten_layers()):
            for name, value in vars(layer).items():
                # TensorFlow's own bookkeeping.
                if not name.startswith("_self_"):
                    yield from _search(value, f"layer {index}: {name}", 0)


def backend_variable(variable: Any) -> Any:
    """Return TensorFlow's variable in one of Keras, or itself.

    Args:
        variable: a variable of Keras or of TensorFlow.
    """
    return variable.value if isinstance(variable, keras.Variable) else variable


def _search(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the optimizers, seed generators and variables in a value."""
    if isinstance(value, keras.optimizers.Optimizer):
        yield name, value
        for inner, each in vars(value).items():
            if isinstance(each, keras.optimizers.Optimizer):
                yield from _search(each, f"{name}.{inner}", depth)
    elif isinstance(
        value, keras.random.SeedGenerator | keras.Variable | tf.Variable
    ):
        yield name, value
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        for key, each in value.items():
            yield from _search(each, f"{name}[{key!r}]", depth + 1)
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        for index, each in enumerate(value):
            yield from _search(each, f"{name}[{index}]", depth + 1)


def _of(value: Any) -> list[Any]:
    """Return the variables of an optimizer, seed generator or variable."""
    if isinstance(value, keras.optimizers.Optimizer):
        return list(value.variables)
    if isinstance(value, keras.random.SeedGenerator):
        return [value.state]
    return [value]


def _build_layer(layer: Any, config: str) -> None:
    """Build a layer from its build configuration as JSON.

    Raises:
        InputError: if the layer cannot be built from it.
    """
    try:
        layer.build_from_config(json.loads(config))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"`folder` must hold a checkpoint of this model. Received: one "
            f"from which layer `{layer.name}` cannot be built ({error})"
        ) from None


def _build(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]
) -> None:
    if not optimizer.built:
        optimizer.build(variables)


def _agreed(variable: Any, values: list[np.ndarray]) -> list[np.ndarray]:
    # Replicas that happen to have counted alike have still counted apart.
    first = values[0].tobytes()
    alike = all(value.tobytes() == first for value in values[1:])
    return values[:1] if alike and not _is_sum(variable) else values


def _repeated(
    variable: Any, values: list[np.ndarray], count: int
) -> list[np.ndarray]:
    """Return a value for each of `count` replicas."""
    if len(values) == count:
        return values
    if len(_agreed(variable, values)) > 1:
        raise InputError(
            "`folder` must contain a checkpoint whose replicas agree, or be "
            f"used with as many replicas as wrote it: {len(values)}. Received: "
            f"{count} replicas, and a {variable.name} that differs between "
            "them (BatchNormalization needs synchronized=True)"
        )
    return values[:1] * count


def _is_sum(variable: Any) -> bool:
    """Return whether the value is the sum over the replicas, as of a metric."""
    return getattr(variable, "aggregation", None) == "sum"
