"""YAML: parsing what anyone may have written, and writing it."""

import functools
import re
from typing import Any

import yaml

from keras_lstm.core.errors import InputError

# A configuration has 2 kB of text and 60 nodes, and may have a vocabulary.
MAX_TEXT = 500_000
_MAX_NODES = 10_000
# A key of a mapping of mappings, and its value, on lines of their own: the name
# of an inner mapping, or a value and the lines that are indented further. The
# groups are all of that, the name, and the indentation of a key of a mapping.
_KEY = r"[A-Za-z_][A-Za-z0-9_]*:"
_ENTRY = re.compile(rf"(({_KEY}\n)|(  )?{_KEY} [^\n]*\n(?:   [^\n]*\n|\n)*)")
# Numbers that YAML and Python read alike; most entries that are new have one.
_NUMBER = re.compile(
    r" *(?P<key>[a-z_]+): (?P<whole>-?(?:0|[1-9][0-9]{0,17}))"
    r"(?P<rest>\.[0-9]{1,18}(?:e[-+][0-9]{1,3})?)?\n"
)
_SCALARS = (str, int, float, bool, type(None))
_MAX_ENTRIES = 1000
_LONG = 1000


def parse_yaml(text: str, what: str, as_text: bool = False) -> Any:
    """Parse YAML into plain Python values.

    Args:
        text: the YAML.
        what: name of the text, for error messages.
        as_text: whether to return every scalar as it is written.

    Returns:
        Dicts, lists, strings, numbers, dates, booleans and None.

    Raises:
        InputError: if the text is not YAML, has duplicate keys, or is too
            large, with its aliases expanded.
    """
    if len(text) > MAX_TEXT:
        raise InputError(
            f"`{what}` must have at most {MAX_TEXT:,} characters. Received: "
            f"{len(text):,}"
        )
    try:
        loader = (yaml.BaseLoader if as_text else yaml.SafeLoader)(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_nodes(node, {})
        return loader.construct_document(node)
    # PyYAML lets out what int(), float() and others raise for bad values.
    except Exception as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"`{what}` must be YAML. Received: {problem}"
        ) from None


def parse_repeated_yaml(text: str, what: str) -> Any:
    """Parse YAML quickly if most of its lines were in texts parsed before.

    Args:
        text: the YAML, such as one of many configurations.
        what: name of the text, for error messages.

    Returns:
        The result of `parse_yaml`.

    Raises:
        InputError: as `parse_yaml`.
    """
    found = None
    if len(text) <= MAX_TEXT:
        try:
            found = _parse_by_entry(text)
        except InputError:
            # An entry that is YAML only with those around it, or damaged.
            found = None
    return parse_yaml(text, what) if found is None else found


def _parse_by_entry(text: str) -> dict[Any, Any] | None:
    """Parse each entry of a mapping of mappings by itself.

    An entry ends where the next line is indented as far: whatever YAML would
    continue there, a quoted text or a list, is no YAML without its end.

    Args:
        text: the YAML.

    Returns:
        The mapping; None if `text` is not one of `_ENTRY`s with plain values,
        or has a key twice.

    Raises:
        InputError: if an entry is not YAML by itself.
    """
    found: dict[Any, Any] = {}
    inner: dict[Any, Any] | None = None
    entries = _ENTRY.findall(text)
    # Whatever is between entries is none.
    is_whole = sum(len(entry) for entry, _, _ in entries) == len(text)
    if not is_whole or not 0 < len(entries) <= _MAX_ENTRIES:
        return None
    num_keys = 0
    for entry, name, indent in entries:
        parse = _parse_long_entry if len(entry) > _LONG else _parse_entry
        values = parse(entry)
        if values is None:
            return None
        num_keys += len(values)
        if indent:
            if inner is None:
                return None
            inner.update(values)
        elif name:
            inner = found[next(iter(values))] = {}
        else:
            found.update(values)
            inner = None
    mappings = [found, *(x for x in found.values() if type(x) is dict)]
    # Fewer if a key comes twice. A mapping without entries is None in YAML.
    is_right = sum(map(len, mappings)) == num_keys and all(mappings)
    return found if is_right else None


def _parse_plain(entry: str) -> dict[Any, Any] | None:
    if number := _NUMBER.fullmatch(entry):
        whole, rest = number["whole"], number["rest"]
        value = float(whole + rest) if rest else int(whole)
        return {_parse_key(number["key"]): value}
    found = parse_yaml(entry, "entry")
    if not isinstance(found, dict):
        return None
    # Others could be changed by whoever gets them.
    is_plain = all(type(value) in _SCALARS for value in found.values())
    return found if is_plain else None


@functools.lru_cache(1024)
def _parse_key(key: str) -> Any:
    """Return a key as YAML reads it, which takes `no` for false."""
    return parse_yaml(key, "entry")


_parse_entry = functools.lru_cache(8192)(_parse_plain)
# A vocabulary may be most of a text.
_parse_long_entry = functools.lru_cache(32)(_parse_plain)


class _Dumper(yaml.SafeDumper):
    """Dumper that writes texts of several lines as they are."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # What does not print is escaped: a reader would take U+0085 for a space.
    style = "|" if "\n" in text else None
    if not text.replace("\n", "").isprintable():
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(content: Any) -> str:
    """Return plain Python values as YAML.

    Args:
        content: dicts, lists, strings, numbers, booleans and None.

    Returns:
        The YAML, with keys in their order, and texts of several lines as
        blocks.
    """
    # A width at which nothing is wrapped.
    return yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=2**16,
    )


def _count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of nodes below a node, with aliases expanded.

    Args:
        node: the node.
        known: the numbers of nodes seen before, by id; 0 for those that hold
            the node.

    Raises:
        YAMLError: if there are too many, a node holds itself, or a key comes
            twice.
    """
    if id(node) in known:
        count = known[id(node)]
    elif isinstance(node, yaml.CollectionNode):
        known[id(node)] = 0
        parts = list(node.value)
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            parts = [each for pair in node.value for each in pair]
        count = 1 + sum(_count_nodes(each, known) for each in parts)
    else:
        count = 1
    if not 0 < count <= _MAX_NODES:
        raise yaml.YAMLError(
            f"more than {_MAX_NODES:,} values, with aliases expanded"
            if count
            else "an alias of what holds it"
        )
    known[id(node)] = count
    return count


def _check_keys(node: yaml.MappingNode) -> None:
    """Refuse duplicate keys with a `YAMLError`."""
    seen = set()
    for key, _ in node.value:
        name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
        if name in seen:
            place = f"line {key.start_mark.line + 1}"
            raise yaml.YAMLError(f"a duplicate key {key.value}, {place}")
        seen.add(name)
