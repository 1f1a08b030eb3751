"""Conditions on runs, such as `units>=32`."""

import dataclasses
import operator
import re
from collections.abc import Callable, Container, Mapping
from typing import Any

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.options import check_known

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FILTER = re.compile(r"\s*([\w-]+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False}


@dataclasses.dataclass(frozen=True)
class Filter:
    """A condition on a run.

    Args:
        name: name of a column or an option.
        operator: one of =, !=, <, <=, > and >=.
        value: the value to compare with; None for none.
        is_option: whether none is a value like any other. Of a column it
            means that the value is not known.
    """

    name: str
    operator: str
    value: Any
    is_option: bool

    def keeps(self, values: Mapping[str, Any]) -> bool:
        """Return whether a run meets the condition.

        Args:
            values: the run's values, by name. A run without the value, such
                as an option that its task lacks, does not.
        """
        if self.name not in values:
            return False
        found = values[self.name]
        if self.value is None:
            return (found is None) == (self.operator == "=")
        if found is None:
            return self.is_option and self.operator == "!="
        try:
            return _OPERATORS[self.operator](found, self.value)
        # An option that two custom tasks have may be a number and a text.
        except TypeError:
            return False


def parse_filter(
    text: str, kinds: Mapping[str, type], columns: Container[str] = ()
) -> Filter:
    """Parse a condition.

    Args:
        text: a name, an operator and a value.
        kinds: the type of each known name's values: `int`, `float`, `bool` or
            `str`.
        columns: the names of columns; the others are options.

    Returns:
        The condition.

    Raises:
        InputError: if `text` is not such a condition, the name is unknown, or
            the value is none of that type.
    """
    match = _FILTER.fullmatch(text)
    if match is None or not match[3] or match[3][0] in "=<>":
        raise InputError(
            "`filter` must be NAME OPERATOR VALUE, with one of the operators "
            f"{' '.join(_OPERATORS)}. Received: filter={shown(text)}"
        )
    # As in flags.
    name = match[1].replace("-", "_")
    check_known(name, kinds, "column or option")
    value = _parse_value(text, name, match[3], kinds[name])
    if match[2] not in ("=", "!=") and type(value) not in (int, float):
        rule = f"compare `{name}` by = or !="
        if _is_number(kinds[name]):
            rule = f"compare `{name}` with a number"
        raise InputError(
            f"`filter` must {rule}. Received: filter={shown(text)}"
        )
    return Filter(name, match[2], value, name not in columns)


def _parse_value(text: str, name: str, value: str, kind: type) -> Any:
    if value.lower() in ("none", "null"):
        return None
    if kind is str:
        return value
    parsed: Any = None
    if kind is bool:
        parsed = _BOOLEANS.get(value.lower())
    else:
        for parse in (int, float):
            try:
                parsed = parse(value)
                break
            except ValueError:
                continue
    if parsed is None or parsed != parsed:
        raise InputError(
            f"`filter` must compare `{name}` with {_word(kind)}. Received: "
            f"filter={shown(text)}"
        )
    return parsed


def _is_number(kind: type) -> bool:
    return kind in (int, float)


def _word(kind: type) -> str:
    if _is_number(kind):
        return "a number"
    return "true or false" if kind is bool else "a text"
