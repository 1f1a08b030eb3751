"""YAML: parsing what anyone may have written, and writing it."""

from typing import Any

import yaml

from keras_lstm.core.errors import InputError

# A configuration has 2 kB of text and 60 nodes, and may have a vocabulary.
MAX_TEXT = 500_000
_MAX_NODES = 10_000


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
