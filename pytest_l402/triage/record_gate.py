"""Decides at a glance whether a line is a record as its emitter writes them: the contract as one pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, get_args

from pytest_l402.contract import ENUM_VALUES, REQUIRED_KEYS, ObservabilityRecord

_FIELDS: Final = {str(field.alias): field for field in ObservabilityRecord.model_fields.values()}
_PLACES: Final = {key: place for place, key in enumerate(REQUIRED_KEYS)}
_NUMBERS: Final = tuple(_PLACES[key] for key in REQUIRED_KEYS if key.endswith("Msats"))
_TIME: Final = _PLACES["observedAtMs"]
_HIT: Final = _PLACES["cacheHit"]
_HITS: Final = {"true": True, "false": False, None: None}
_TEXT: Final = r'"([ !#-\[\]-~]{})"'
_NUMBER: Final = "(0|[1-9][0-9]{0,14})"


def _value_pattern(key: str) -> str:
    if key in ENUM_VALUES:
        value = f'"({"|".join(map(re.escape, ENUM_VALUES[key]))})"'
    elif key.endswith(("Ms", "Msats")):
        value = _NUMBER
    elif key == "cacheHit":
        value = "(true|false)"
    else:
        value = _TEXT.format("*") if key == "denyReason" else _TEXT.format("+")
    return f"(?:{value}|null)" if type(None) in get_args(_FIELDS[key].annotation) else value


_VALUES: Final = {key: _value_pattern(key) for key in REQUIRED_KEYS}


class RecordGate:
    """The contract, as the emitter of a file writes it: learnt from its first record, never assumed.

    What the gate lets through is a record, each key once and nothing else in it, in ASCII without escapes.
    What it does not let through may be one all the same.
    """

    def __init__(self) -> None:
        self._match: Callable[[str], re.Match[str] | None] | None = None
        self._in_order: Callable[[tuple[Any, ...]], tuple[Any, ...]] = tuple

    def learn(self, text: str, row: dict[str, Any]) -> None:
        """Take the order of keys and the blanks between them from a line that is a record."""
        keys = tuple(row)
        if self._match is not None or len(keys) != len(REQUIRED_KEYS):
            return
        between, after = (
            (", " if '", "' in text or 'null, "' in text else ","),
            (": " if '": ' in text else ":"),
        )
        body = between.join(f'"{key}"{after}{_VALUES[key]}' for key in keys)
        pattern = re.compile(rf"\{{{body}\}}[ \t\r\n]*")
        if pattern.fullmatch(text):
            self._match = pattern.fullmatch
            self._in_order = itemgetter(*(keys.index(key) for key in REQUIRED_KEYS))

    def cells(self, text: str) -> tuple[Any, ...] | None:
        """The values of a record in the order of the contract; None if the gate does not let it through."""
        if self._match is None or (found := self._match(text)) is None:
            return None
        cells = list(self._in_order(found.groups()))
        for place in _NUMBERS:
            if cells[place] is not None:
                cells[place] = int(cells[place])
        cells[_TIME] = int(cells[_TIME])
        cells[_HIT] = _HITS[cells[_HIT]]
        return tuple(cells)
