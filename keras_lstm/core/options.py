"""Options: each declared once, and checked wherever its value comes from."""

import contextlib
import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from keras_lstm.core.errors import InputError, shown

# The value of an option that is chosen when its run starts.
AUTO = "auto"
# The largest values of the types int64 and float32.
MAX_INT = 2**63 - 1
MAX_FLOAT = 3.4028234663852886e38


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] | None = None,
    may_be_auto: bool = False,
) -> Any:
    """Declare an option: a dataclass field with a help text and a rule.

    Args:
        default: value if none is given.
        help: description of the option, for `--help`.
        minimum: smallest allowed value; None for no such bound, as for the
            other bounds.
        maximum: largest allowed value.
        above: bound that the value must exceed.
        below: bound that the value must stay below.
        choices: allowed values of a string; None to allow any.
        may_be_auto: whether the value may be `AUTO`.

    Returns:
        A `dataclasses.field`.
    """
    rule = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "below": below,
        "choices": choices,
        "may_be_auto": may_be_auto,
    }
    return dataclasses.field(default=default, metadata=rule)


@dataclasses.dataclass(frozen=True)
class Options:
    """Base class of frozen dataclasses whose fields are declared by `option`.

    Values are checked when an instance is made, so every instance is valid.

    Raises:
        InputError: if a value breaks the rule of its option.
    """

    def __post_init__(self) -> None:
        for field, kind, optional in declared_options(type(self)):
            value = getattr(self, field.name)
            if optional and value is None:
                continue
            checked = _check(field, kind, optional, value)
            object.__setattr__(self, field.name, checked)

    @classmethod
    def parse(cls, name: str, text: str) -> Any:
        """Parse the value of a command-line flag.

        Args:
            name: name of the option.
            text: text of the value.

        Returns:
            The value, of the option's type; None for "none" or "null" if the
            option allows it. Bounds and choices are not checked.

        Raises:
            InputError: if `text` is not a value of the option's type.
        """
        field, kind, optional = next(
            entry for entry in declared_options(cls) if entry[0].name == name
        )
        if optional and text.lower() in ("none", "null"):
            return None
        if field.metadata["may_be_auto"] and text.lower() == AUTO:
            return AUTO
        if kind is bool:
            if text.lower() not in ("true", "false"):
                raise InputError(_message(field, kind, optional, text))
            return text.lower() == "true"
        try:
            return kind(text)
        except ValueError:
            raise InputError(_message(field, kind, optional, text)) from None

    def to_mapping(self) -> dict[str, Any]:
        """Return the values by option name, for YAML."""
        return {
            field.name: getattr(self, field.name)
            for field, _, _ in declared_options(type(self))
        }


_Declared = tuple[tuple[dataclasses.Field[Any], type, bool], ...]


def declared_options(cls: type) -> _Declared:
    """Return the options that a dataclass declares.

    Args:
        cls: a dataclass.

    Returns:
        For each field made by `option`: the field, the type of its value
        (`int`, `float`, `bool` or `str`), and whether None is allowed.
    """
    return _declared_options(cls)


# Every instance asks, and resolving hints takes longer than all checks.
@functools.lru_cache(256)
def _declared_options(cls: Any) -> _Declared:
    hints = typing.get_type_hints(cls)
    entries = []
    for field in dataclasses.fields(cls):
        if "help" not in field.metadata:
            continue
        hint = hints[field.name]
        arms = typing.get_args(hint) or (hint,)
        kind = next(arm for arm in arms if arm is not types.NoneType)
        entries.append((field, kind, types.NoneType in arms))
    return tuple(entries)


@functools.lru_cache(256)
def option_kinds(cls: type) -> types.MappingProxyType[str, type]:
    """Return the type of each option's value, by the option's name.

    Args:
        cls: a dataclass with options.
    """
    return types.MappingProxyType(
        {field.name: kind for field, kind, _ in declared_options(cls)}
    )


def check_option(cls: type, name: str, value: Any) -> Any:
    """Check the value of one option.

    Args:
        cls: a dataclass with the option.
        name: name of the option.
        value: its value.

    Returns:
        The value, an integer for a float converted.

    Raises:
        InputError: if the value breaks the rule of the option.
    """
    field, kind, optional = next(
        entry for entry in declared_options(cls) if entry[0].name == name
    )
    if optional and value is None:
        return None
    return _check(field, kind, optional, value)


def check_keys(cls: type, mapping: Any, where: str) -> None:
    """Refuse anything but a mapping whose keys are options of `cls`.

    Args:
        cls: a dataclass with options.
        mapping: a part of parsed YAML.
        where: key of this part, for error messages.

    Raises:
        InputError: if `mapping` is not a mapping, or a key is not an option.
    """
    if not isinstance(mapping, Mapping):
        raise InputError(
            f"`{where}` must be a mapping. Received: {where}={shown(mapping)}"
        )
    names = [field.name for field, _, _ in declared_options(cls)]
    for key in mapping:
        check_known(key, names, f"option of `{where}`")


def check_known(name: Any, names: Iterable[str], what: str) -> None:
    """Refuse an unknown name, and suggest the nearest known one.

    Args:
        name: the name to check.
        names: the known names.
        what: noun for the known names, for the error message.

    Raises:
        InputError: if `name` is not among `names`.
    """
    names = list(names)
    if name in names:
        return
    text = shown(name)
    near = difflib.get_close_matches(text, names, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else f"Known: {_listed(names)}."
    raise InputError(f"`{text}` is no {what}. {hint}")


def _check(
    field: dataclasses.Field[Any], kind: type, optional: bool, value: Any
) -> Any:
    """Return a value that keeps its rule, an integer for a float converted."""
    if value == AUTO and field.metadata["may_be_auto"]:
        return value
    if kind is float and type(value) is int:
        # Integers above the largest float stay what they are: no number.
        with contextlib.suppress(OverflowError):
            value = float(value)
    if type(value) is not kind:
        raise InputError(_message(field, kind, optional, value))
    if isinstance(value, int) and abs(value) > MAX_INT:
        words = "an integer below 2^63"
    elif isinstance(value, float) and MAX_FLOAT < abs(value) < math.inf:
        words = "a number that float32 can hold"
    else:
        words = None
    if words is not None:
        raise InputError(
            f"`{field.name}` must be {words}. Received: "
            f"{field.name}={shown(value)}"
        )
    rule = field.metadata
    if isinstance(value, int | float) and not (
        math.isfinite(value)
        and (rule["minimum"] is None or value >= rule["minimum"])
        and (rule["maximum"] is None or value <= rule["maximum"])
        and (rule["above"] is None or value > rule["above"])
        and (rule["below"] is None or value < rule["below"])
    ):
        raise InputError(_message(field, kind, optional, value))
    if rule["choices"] is not None and value not in rule["choices"]:
        raise InputError(_message(field, kind, optional, value))
    return value


def _message(
    field: dataclasses.Field[Any], kind: type, optional: bool, value: Any
) -> str:
    """Return the message for a value that breaks the rule of its option."""
    rule = field.metadata
    if rule["choices"] is not None:
        words = f"one of {_listed(rule['choices'])}"
    else:
        words = {
            int: "an integer",
            float: "a finite number",
            bool: "true or false",
            str: "a string",
        }[kind]
        low, high = rule["minimum"], rule["maximum"]
        bounds = [
            f"from {low} to {high}" if None not in (low, high) else "",
            f"of at least {low}" if low is not None and high is None else "",
            f"of at most {high}" if high is not None and low is None else "",
            f"above {rule['above']}" if rule["above"] is not None else "",
            f"below {rule['below']}" if rule["below"] is not None else "",
        ]
        words += "".join(
            f"{' and' if i else ''} {bound}"
            for i, bound in enumerate(filter(None, bounds))
        )
    if optional:
        words += ", or none"
    if rule["may_be_auto"]:
        words += f", or {AUTO}"
    return (
        f"`{field.name}` must be {words}. Received: {field.name}={shown(value)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
