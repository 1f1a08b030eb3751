"""Proofs as JSON: a checksum, and types that are checked, not converted.

This module is part of the trusted base, see `certificate.py`.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any


class ProofError(ValueError):
    """Error for a proof that is malformed or does not hold."""


def parse(text: str, check_types: Callable[[Any], None]) -> Any:
    """Return the contents of a proof in JSON, without the checksum.

    Args:
        text: the JSON text.
        check_types: function that refuses contents of other types.

    Returns:
        The contents.

    Raises:
        ProofError: if `text` is not JSON, `check_types` refuses it, or its
            checksum does not match.
    """
    try:
        content = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ProofError(
            f"this is not a proof ({type(error).__name__}: {error})"
        ) from None
    check_types(content)
    if content.pop("checksum") != checksum_of(content):
        raise ProofError("this proof was changed: its checksum is wrong")
    return content


def check_strings_and_tables(content: Any) -> None:
    """Raise ProofError if digests or the machine's tables are malformed."""
    for name in ("checksum", "weights_sha256"):
        if type(content[name]) is not str:
            raise ProofError(f"this is not a proof: `{name}` is no string")
    for name in ("next_state", "output"):
        rows = content[name]
        if type(rows) is not list or not rows:
            raise ProofError(f"this is not a proof: `{name}` is no table")
        for row in rows:
            check_list(row, int, name)


def check_keys(value: Any, names: tuple[str, ...], what: str) -> None:
    """Refuse what is not a mapping with these keys and no others."""
    if type(value) is not dict or sorted(value) != sorted(names):
        raise ProofError(
            f"this is not a proof: {what} must hold {', '.join(names)}"
        )


def check_list(value: Any, kind: type, name: str) -> None:
    """Refuse what is not a list of floats, or of 64-bit integers."""
    good = type(value) is list and all(type(each) is kind for each in value)
    if not good or (kind is int and any(abs(each) >= 2**63 for each in value)):
        raise ProofError(
            f"this is not a proof: `{name}` is no list of "
            f"{'integers' if kind is int else 'floats'}"
        )


def checksum_of(content: Any) -> str:
    """Return the SHA-256 hex digest of a proof's contents as JSON."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
