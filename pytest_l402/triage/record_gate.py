"""Decides at a glance whether a line is a record as its emitter writes them: the contract as one pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, get_args

from pytest_l402.contract import ENUM_VALUES, REQUIRED_KEYS, ObservabilityRecord

_FIELDS: Final = {str(field.alias): field for field in ObservabilityRecord.model_fields.values()}
_PLACES: Final = {key: place for place, key in enumerate(REQUIRED_KEYS)}
_NUMBERS: Final = tuple(_PLACES[key] for key in REQUIRED_KEYS if key.endswith(("Ms", "Msats")))
_HIT: Final = _PLACES["cacheHit"]
_HITS: Final = {"true": True, "false": False, None: None}
# No text of a record is longer; whatever is, has its line looked at by itself.
_LONGEST: Final = 2_000
_NUMBER: Final = "(?:0|[1-9][0-9]{0,14}+)"


def _value_pattern(key: str) -> str:
    if key in ENUM_VALUES:
        value = f'"({"|".join(map(re.escape, ENUM_VALUES[key]))})"'
    elif key.endswith(("Ms", "Msats")):
        value = f"({_NUMBER})"
    elif key == "cacheHit":
        value = "(true|false)"
    else:
        value = rf'"([ !#-\[\]-~]{{{0 if key == "denyReason" else 1},{_LONGEST}}}+)"'
    return f"(?:null|{value})" if type(None) in get_args(_FIELDS[key].annotation) else value


_VALUES: Final = {key: _value_pattern(key) for key in REQUIRED_KEYS}
_CAPTURE: Final = re.compile(r"(?<!\\)\((?!\?)")


@dataclass(frozen=True, slots=True)
class Run:
    """Lines one behind the other that are all records: for each key of the contract the values, in its order.

    Values are as they are written, without quotes: a number and `true` are texts, null is None. `n_bytes` is
    how long the lines are, where they were taken from a file as they are.
    """

    columns: tuple[list[str | None], ...]
    n_bytes: int

    def __len__(self) -> int:
        return len(self.columns[0])

    def between(self, begin: int, end: int) -> Run:
        """Some of the lines, counted from 0; all of them where these are all."""
        if begin == 0 and end == len(self):
            return self
        return Run(tuple(column[begin:end] for column in self.columns), 0)


class RecordGate:
    """The contract, as the emitter of a file writes it: learnt from its first record, never assumed.

    What the gate lets through is a record, each key once and nothing else in it, in ASCII without escapes.
    What it does not let through may be one all the same.
    """

    def __init__(self) -> None:
        self.has_learnt = False

    def learn(self, text: str, row: dict[str, Any]) -> bool:
        """Take the order of keys and the blanks between them from a record's line; say if it works."""
        keys = tuple(row)
        if self.has_learnt or len(keys) != len(REQUIRED_KEYS):
            return False
        between, after = (
            (", " if '", "' in text or 'null, "' in text else ","),
            (": " if '": ' in text else ":"),
        )
        body = between.join(f'"{key}"{after}{_VALUES[key]}' for key in keys)
        pattern = rf"\{{{body}\}}[ \t\r]{{0,9}}+\n"
        if re.fullmatch(pattern, text.rstrip(" \t\r\n") + "\n") is None:
            return False
        self._lines = re.compile(f"^{pattern}", re.MULTILINE)
        # Possessive, so that no line is looked at twice.
        self.run_pattern = rf"(?:{_CAPTURE.sub('(?:', pattern)})*+".encode()
        self._order = tuple(keys.index(key) for key in REQUIRED_KEYS)
        self._in_order = itemgetter(*self._order)
        self.has_learnt = True
        return True

    def cells(self, text: str) -> tuple[Any, ...] | None:
        """The values of a record in the order of the contract; None if the gate does not let it through."""
        if not self.has_learnt or (found := self._lines.fullmatch(text.rstrip("\r\n") + "\n")) is None:
            return None
        return cells_of(self._in_order(found.groups()))

    def parts(self, text: str) -> Iterator[Run | str]:
        """Yield whole lines in the order of `text`: runs of records, and between them what is in doubt."""
        width = len(REQUIRED_KEYS) + 1
        found = self._lines.split(text)
        between = found[::width]
        columns = [found[place + 1 :: width] for place in self._order]
        begin, at = 0, 0
        for place, doubtful in enumerate(between):
            if not doubtful and place < len(between) - 1:
                continue
            if place > begin:
                # No line of a run is one of those in doubt.
                end = text.index(f"\n{doubtful}", max(at - 1, 0)) + 1 if doubtful else len(text)
                yield Run(tuple(column[begin:place] for column in columns), end - at)
                begin, at = place, end
            if doubtful:
                yield doubtful
                at += len(doubtful)


def cells_of(written: Sequence[str | None]) -> tuple[Any, ...]:
    """The values of a record from how a line has them: numbers, true and false."""
    cells: list[Any] = list(written)
    for place in _NUMBERS:
        if cells[place] is not None:
            cells[place] = int(cells[place])
    cells[_HIT] = _HITS[cells[_HIT]]
    return tuple(cells)
