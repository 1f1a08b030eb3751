"""A check that a checkpoint holds all that a training step changes."""

from collections.abc import Iterable
from typing import Any

import keras
from tensorflow.python.framework import auto_control_deps_utils

from keras_lstm.checkpoint.model_state import backend_variable
from keras_lstm.core.errors import InputError

# Variables whose name starts with this only show what a step does.
MONITOR = "monitor"
# Stateful operations that draw from a generator that no variable holds.
_DRAWS = frozenset(
    (
        *("RandomUniform", "RandomUniformInt", "RandomStandardNormal"),
        *("TruncatedNormal", "RandomShuffle", "Multinomial"),
        *("RandomGamma", "RandomPoissonV2", "ParameterizedTruncatedNormal"),
    )
)


def check_step(
    model: keras.Model, train_function: Any, variables: Iterable[Any]
) -> None:
    """Refuse a training step that changes what no checkpoint would hold.

    Reads the graph of the train function. A step that is run eagerly has none
    and is not checked.

    Args:
        model: a model that has been trained for a step.
        train_function: the train function that Keras has made for it.
        variables: all variables in a checkpoint.

    Raises:
        InputError: if the step assigns other variables, or draws from
            TensorFlow's own generator.
    """
    local = model.distribute_strategy.experimental_local_results
    known = {
        id(each.handle)
        for variable in variables
        for each in local(backend_variable(variable))
        if hasattr(each, "handle")
    }
    for graph in _graphs(train_function):
        for name in _assigned(graph, known):
            raise InputError(
                "`model` must have all variables that its training step "
                "changes among its attributes, so that checkpoints hold them "
                "(random layers and `keras.random` need their own "
                f"SeedGenerator). Received: {model.name}, whose step changes "
                f"{name}"
            )
        definition = graph.as_graph_def()
        operations = {node.op for node in definition.node} | {
            node.op
            for function in definition.library.function
            for node in function.node_def
        }
        for name in sorted(operations & _DRAWS):
            raise InputError(
                "`model` must draw random numbers with `keras.random` and a "
                "SeedGenerator of its own: no checkpoint can hold the state "
                f"of TensorFlow's generator. Received: {model.name}, whose "
                f"step has the operation {name}"
            )


def _graphs(train_function: Any) -> list[Any]:
    """Return the graphs that Keras has traced for its train function."""
    return [
        concrete.graph
        for cell in getattr(train_function, "__closure__", None) or ()
        if hasattr(cell.cell_contents, "_list_all_concrete_functions")
        for concrete in cell.cell_contents._list_all_concrete_functions()
    ]


def _assigned(graph: Any, known: set[int]) -> list[str]:
    """Return names of unknown variables that a graph does not only read."""
    outside = {id(inner): outer for outer, inner in graph.captures}
    read_only = {
        id(outside.get(id(graph.inputs[index])))
        for index in auto_control_deps_utils.get_read_only_resource_input_indices_graph(  # noqa: E501
            graph
        )
    }
    return sorted(
        variable.name
        for variable in graph.variables
        if id(variable.handle) not in known | read_only
        and not variable.name.startswith(MONITOR)
    )
