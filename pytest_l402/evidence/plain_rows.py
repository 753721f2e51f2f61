"""Decides what a row of evidence can hold: the values that JSON has, and texts that UTF-8 can write."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pytest_l402.contract.rows import Row

MAX_DEPTH: Final = 64
"""So many levels of objects and lists a row may have; nobody reads more, and Python ends at some."""

_PLAIN: Final = frozenset({int, bool, type(None)})
_FLAT: Final = _PLAIN | {str}
_TEXT: Final = frozenset({str})
_NONE: Final[dict[int, dict[str, Any]]] = {}


class EvidenceError(ValueError):
    """A row or a file that cannot be evidence; one line that names the table, the row and the value."""


def plain_rows(
    table: str, rows: Iterable[Row], known: Mapping[int, dict[str, Any]] = _NONE
) -> tuple[dict[str, Any], ...]:
    """The rows of a table as plain JSON values, copied; those that are `known`, by their `id`, are shared.

    Raises `EvidenceError` for a value that JSON lacks.
    """
    held = tuple(rows)
    return tuple(
        [
            known[key] if key in known else _plain_object(row, table, index)
            for index, (row, key) in enumerate(zip(held, map(id, held), strict=True))
        ]
    )


def _plain_object(value: Mapping[Any, Any], table: str, index: int, depth: int = 1) -> dict[str, Any]:
    # Nearly every row is plain as it stands; its values one by one would take most of the time of a run.
    if type(value) is dict:
        if _is_flat(value):
            return value.copy()
    elif not isinstance(value, Mapping):
        raise EvidenceError(f"{table}[{index}]: expected a row, saw {type(value).__name__}; record a mapping")
    named = _TEXT.issuperset(map(type, value)) and "".join(value).isascii()
    return {
        key if named else _text(key, table, index): (
            item if type(item) in _PLAIN else _plain(item, table, index, depth)
        )
        for key, item in value.items()
    }


def _is_flat(value: dict[Any, Any]) -> bool:
    if not (_TEXT.issuperset(map(type, value)) and _FLAT.issuperset(map(type, value.values()))):
        return False
    return "".join([*value, *[item for item in value.values() if type(item) is str]]).isascii()


def _plain(value: Any, table: str, index: int, depth: int) -> Any:
    # By exact type first: nearly every value is plain already, and `isinstance` of a Mapping is slow.
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value, table, index)
    if kind in _PLAIN:
        return value
    if isinstance(value, str):
        return _text(value, table, index)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if depth >= MAX_DEPTH:
        raise EvidenceError(
            f"{table}[{index}]: expected at most {MAX_DEPTH} levels, saw more; record it in flat rows"
        )
    if kind is dict or isinstance(value, Mapping):
        return _plain_object(value, table, index, depth + 1)
    if isinstance(value, list | tuple):
        return [_plain(item, table, index, depth + 1) for item in value]
    # The value itself stays out of the message: it was never checked for secrets.
    raise EvidenceError(
        f"{table}[{index}]: expected a JSON value, saw {type(value).__name__}; record plain values"
    )


def _text(value: Any, table: str, index: int) -> str:
    if type(value) is str and value.isascii():
        return value
    if not isinstance(value, str):
        raise EvidenceError(
            f"{table}[{index}]: expected a text key, saw {type(value).__name__}; record plain values"
        )
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EvidenceError(
            f"{table}[{index}]: expected Unicode text, saw a lone surrogate; re-read it"
        ) from None
    return text
