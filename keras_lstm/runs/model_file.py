"""`model.keras`, read as data: nothing that the file describes is run.

Keras's `load_model` makes whatever objects a file names. Here the model is
built from the run's configuration, the file's description of its layers is
only compared with that of the model, and the weights alone are loaded.
"""

import inspect
import io
import json
import math
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import keras

from keras_lstm.config import Config
from keras_lstm.core.errors import InputError, RunError, shown
from keras_lstm.core.files import sha256_of
from keras_lstm.models.build import build_model, count_parameters
from keras_lstm.models.text_input import TEXT_LAYERS, with_text_input
from keras_lstm.tasks.task import Task

_DESCRIPTION, _WEIGHTS = "config.json", "model.weights.h5"
# A model of 64 layers has a description of 200 KB.
_MAX_DESCRIPTION = 2**20
# The names and folders of one layer in the file of weights take 4 KB.
_MAX_OVERHEAD = 2**16
_BYTES_PER_PARAMETER = 4
# They do not affect what a trained model computes.
_IGNORED = ("build_config", "registered_name", "seed", "shared_object_id")
_UNSET = (None, False)
# The operations that compare an Embedding's input with 0, with `mask_zero`,
# or that of Masking with its value.
_MASK_CLASSES = ("NotEqual", "Any")


class _OtherModelError(Exception):
    """Error for a file that holds another model; the message says which."""


def read_model(
    path: pathlib.Path, config: Config, argument: str = "run_dir"
) -> keras.Model:
    """Build a run's model from its configuration, and load the weights.

    Args:
        path: the path of `model.keras`.
        config: the run's configuration.
        argument: the name of the run folder in error messages.

    Returns:
        The model, uncompiled.

    Raises:
        InputError: if the file is damaged, or holds another model than the
            configuration describes.
    """
    try:
        return _read_model(path, config)
    except _OtherModelError as error:
        raise InputError(
            f"`{argument}` must hold the model that its config.yaml "
            f"describes. Received: {error}, {argument}={path.parent}"
        ) from None
    # A damaged file causes whatever error its damaged part leads to.
    except Exception as error:
        raise InputError(
            f"`{path}` cannot be loaded, it is damaged: {error}"
        ) from None


def save_model(
    model: keras.Model, path: pathlib.Path, task: Task | None = None
) -> str:
    """Save a model, and check that the file holds its weights.

    What is said of a model, that it is proved for instance, is then true of
    the file.

    Args:
        model: a functional model, uncompiled.
        path: the path to write to, ending in `.keras`.
        task: the task, of which the file's model reads texts if it has any;
            None to save the model as it is. Defaults to None.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        OSError: if the file cannot be written.
        RunError: if the file holds other weights.
    """
    if task is not None:
        model = with_text_input(model, task)
    model.save(path)
    saved = keras.models.clone_model(model)
    saved.load_weights(path)
    pairs = zip(saved.get_weights(), model.get_weights(), strict=True)
    if any(found.tobytes() != weights.tobytes() for found, weights in pairs):
        raise RunError(f"{path} holds other weights than were saved")
    return sha256_of(path)


def _read_model(path: pathlib.Path, config: Config) -> keras.Model:
    count = count_parameters(config.task, config.model)
    max_layers = 2 * config.model.num_layers + 8
    known = config.task.known_tokens.tokens
    description, weights = _read_members(
        path,
        count * _BYTES_PER_PARAMETER + max_layers * _MAX_OVERHEAD,
        # As JSON, a character takes at most twelve bytes.
        _MAX_DESCRIPTION + 12 * sum(len(token) + 1 for token in known),
    )
    shapes = _read_shapes(weights, max_objects=8 * max_layers)
    # Before a model is built: its size is then that of the file.
    if sum(map(math.prod, shapes)) != count:
        raise _OtherModelError(
            f"a model of {sum(map(math.prod, shapes)):,} parameters instead "
            f"of {count:,}"
        )
    model = build_model(config.task, config.model)
    whole = with_text_input(model, config.task)
    if not _reads_text(description):
        # Models of machines were saved without the names of symbols before.
        whole = model
    for difference in _differences(description, json.loads(whole.to_json())):
        raise _OtherModelError(difference)
    if sorted(shapes) != sorted(tuple(w.shape) for w in model.weights):
        raise _OtherModelError("weights of other shapes")
    whole.load_weights(path)
    model.set_weights(whole.get_weights())
    return model


def _reads_text(description: Any) -> bool:
    """Return whether a model's first layer makes numbers of text."""
    layers = description["config"]["layers"]
    return any(layer["class_name"] in TEXT_LAYERS for layer in layers)


def _read_members(
    path: pathlib.Path, max_weights: int, max_description: int
) -> tuple[Any, bytes]:
    """Return the parsed description and the file of weights.

    Raises:
        ValueError: if the file is empty.
        _OtherModelError: if a size, checked before anything is read, exceeds
            that of the configuration's model.
    """
    size = path.stat().st_size
    if not size:
        raise ValueError("it is empty")
    # The vocabulary is in the description and in a file of its own.
    if size > max_weights + 2 * max_description:
        raise _OtherModelError(f"a file of {size:,} bytes")
    with zipfile.ZipFile(path) as archive:
        members = []
        for name, limit in (
            (_DESCRIPTION, max_description),
            (_WEIGHTS, max_weights),
        ):
            info = archive.getinfo(name)
            if info.file_size > limit:
                raise _OtherModelError(f"{name} of {info.file_size:,} bytes")
            members.append(archive.read(info))
    return json.loads(members[0]), members[1]


def _read_shapes(weights: bytes, max_objects: int) -> list[tuple[int, ...]]:
    """Return the shapes of all arrays, of which only headers are read.

    An HDF5 file can refer to other files, claim arrays that it does not hold,
    and hold them compressed. Keras writes none of these.

    Raises:
        ValueError: if an object is not a group or a plain array.
    """
    shapes = []
    with h5py.File(io.BytesIO(weights), "r") as file:
        groups: list[h5py.Group] = [file]
        seen = 0
        while groups:
            group = groups.pop()
            for name in group:
                seen += 1
                # A group may contain itself.
                if seen > max_objects:
                    raise ValueError(f"more than {max_objects} objects")
                if type(group.get(name, getlink=True)) is not h5py.HardLink:
                    raise ValueError(f"{name} is a link to something else")
                held = group[name]
                if isinstance(held, h5py.Group):
                    groups.append(held)
                else:
                    shapes.append(_plain_shape(held))
    return shapes


def _plain_shape(array: h5py.Dataset) -> tuple[int, ...]:
    """Return the shape of an array that is stored as plain float32."""
    if not (
        array.dtype == "<f4"
        and array.chunks is None
        and array.external is None
        and not array.is_virtual
        and not len(array.attrs)
        and array.id.get_storage_size() == array.size * _BYTES_PER_PARAMETER
    ):
        raise ValueError(f"{array.name} is no plain array of float32")
    return tuple(map(int, array.shape))


def _differences(saved: Any, built: Any) -> Iterator[str]:
    """Yield how the description of a file's layers differs from the model's."""
    if saved.get("compile_config"):
        yield "a compiled model"
    saved, built = (_with_mask_names(x["config"]) for x in (saved, built))
    layers = {layer["name"]: layer for layer in saved["layers"]}
    if len(layers) < len(saved["layers"]):
        yield "two layers of one name"
    for layer in built["layers"]:
        name = layer["name"]
        if name not in layers:
            yield f"a model without the layer `{name}`"
            continue
        found = layers.pop(name)
        for key, value in _changes(found, layer, "layer"):
            yield f"layer `{name}` with {key}={shown(value)}"
        for key in _missing(found["config"], layer):
            yield f"layer `{name}` without {key}"
    for name, layer in layers.items():
        yield f"a model with the layer `{name}`, a {layer['class_name']} layer"
    for ends in ("input_layers", "output_layers"):
        if saved[ends] != built[ends]:
            yield f"a model with {ends}={shown(saved[ends])}"


def _missing(saved: dict[str, Any], built: dict[str, Any]) -> Iterator[str]:
    """Yield the entries without which Keras would make another layer.

    Each version of Keras adds entries, which older files lack: then what counts
    is the default.
    """
    layers = saved.get("layers", ()), built["config"].get("layers", ())
    # Of a model within the model.
    for one, other in zip(*layers, strict=False):
        yield from _missing(one["config"], other)
    kind = getattr(keras.layers, built["class_name"], keras.Model)
    signature = inspect.signature(kind)
    for name, value in built["config"].items():
        if name in saved or name in _IGNORED or name.endswith("_initializer"):
            continue
        if name in signature.parameters:
            is_default = value == signature.parameters[name].default
        else:
            is_default = value in _UNSET
        if not is_default:
            yield name


def _with_mask_names(description: Any) -> Any:
    """Return a description in which the operations that make masks have names.

    Keras numbers them by how many a process has made.
    """
    names: dict[str, str] = {}
    _find_masks(description, names)

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [renamed(each) for each in value]
        return names.get(value, value) if isinstance(value, str) else value

    return renamed(description) if names else description


def _find_masks(description: Any, names: dict[str, str]) -> None:
    """Add new names for the operations that make masks, also in submodels."""
    for layer in description["layers"]:
        if layer["class_name"] in _MASK_CLASSES:
            names[layer["name"]] = f"mask_{len(names)}"
        elif "layers" in layer["config"]:
            _find_masks(layer["config"], names)


def _changes(saved: Any, built: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a description that differ, with the saved value.

    Each version of Keras adds entries: one that only the built model has is
    left to `_missing`, and one that only the file has must be None or False.
    """
    if isinstance(saved, dict) and isinstance(built, dict):
        for name, value in saved.items():
            if name not in _IGNORED and not name.endswith("_initializer"):
                yield from _changes(value, built.get(name), name)
    elif isinstance(saved, list) and isinstance(built, list):
        if len(saved) != len(built):
            yield key, saved
        for one, other in zip(saved, built, strict=False):
            yield from _changes(one, other, key)
    elif saved != built and not (saved in _UNSET and built in _UNSET):
        yield key, saved
