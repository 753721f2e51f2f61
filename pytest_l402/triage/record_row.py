"""Decides quickly whether a parsed object is a record of the contract, and holds one in little memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, get_args

from pytest_l402.boundary import redact_text
from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.contract import ENUM_VALUES, REQUIRED_KEYS, ObservabilityRecord

_CELLS: Final = itemgetter(*REQUIRED_KEYS)
_PLACES: Final = {key: place for place, key in enumerate(REQUIRED_KEYS)}
_FIELDS: Final = {str(field.alias): field for field in ObservabilityRecord.model_fields.values()}
_TEXTS: Final = tuple(
    place
    for key, place in _PLACES.items()
    if key not in ENUM_VALUES and not key.endswith(("Msats", "Hit", "Ms"))
)
_ENUMS: Final = tuple(
    (
        _PLACES[key],
        frozenset((*values, None) if type(None) in get_args(_FIELDS[key].annotation) else values),
    )
    for key, values in ENUM_VALUES.items()
)
_AMOUNTS: Final = tuple(_PLACES[key] for key in REQUIRED_KEYS if key.endswith("Msats"))
_TIME: Final = _PLACES["observedAtMs"]
_HIT: Final = _PLACES["cacheHit"]
_DENIAL: Final = _PLACES["denyReason"]
_OF_MANY: Final = tuple(
    _PLACES[key] for key in ("userId", "paywallId", "endpoint", "denyReason", "desktopSessionId")
)
_OF_ONE: Final = tuple(_PLACES[key] for key in ("requestId", "taskId", "paymentProofRef"))
_MANY: Final = 50_000
TEXT_KEYS: Final = tuple(REQUIRED_KEYS[place] for place in (*_OF_ONE, *_OF_MANY))
"""The keys with texts that somebody else writes."""
# No secret is that short, and none is made of such short words.
USUAL: Final = "[A-Za-z0-9]{0,19}(?:[-_:./@][A-Za-z0-9]{0,19}){0,12}|(?:lightning_)?preimage:[0-9a-f]{16,24}"
"""The pattern of ids and of references to proofs as they are usually written, none of which is a secret."""
_USUAL: Final = re.compile(USUAL)


class RecordRow(Mapping[str, Any]):
    """A valid record: its 19 values in the order of the contract, and nothing else that it had."""

    __slots__ = ("cells",)

    def __init__(self, cells: tuple[Any, ...]) -> None:
        self.cells = cells

    def __getitem__(self, key: str) -> Any:
        return self.cells[_PLACES[key]]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key of the contract, without the detour that a mapping takes."""
        place = _PLACES.get(key)
        return default if place is None else self.cells[place]

    def __iter__(self) -> Iterator[str]:
        return iter(REQUIRED_KEYS)

    def __len__(self) -> int:
        return len(self.cells)


def record_cells(row: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The values of a record in the order of the contract; None unless it surely is one.

    None is no verdict: `record_departures` says what is wrong, if anything is.
    """
    try:
        cells: tuple[Any, ...] = _CELLS(row)
    except KeyError:
        return None
    for place in _TEXTS:
        cell = cells[place]
        if cell is not None and (type(cell) is not str or not (cell or place == _DENIAL)):
            return None
        if cell and not cell.isascii():
            # Lone surrogates are looked for elsewhere.
            return None
    try:
        for place, values in _ENUMS:
            if cells[place] not in values:
                return None
    except TypeError:  # a list has no hash
        return None
    for place in _AMOUNTS:
        cell = cells[place]
        if cell is not None and (type(cell) is not int or not 0 <= cell <= MAX_SAFE_INTEGER):
            return None
    at = cells[_TIME]
    if type(at) is not int or not 0 <= at <= MAX_SAFE_INTEGER:
        return None
    hit = cells[_HIT]
    return cells if hit is None or hit is True or hit is False else None


def surely_harmless(cells: tuple[Any, ...], known: dict[str, str]) -> bool:
    """Whether no value of a record can be a secret; what is in doubt is not surely harmless.

    `known` are the texts that many records share and that were looked at before; new ones are added.
    """
    for place in _OF_ONE:
        cell = cells[place]
        if not (cell is None or _USUAL.fullmatch(cell) or redact_text(cell) == cell):
            return False
    for place in _OF_MANY:
        cell = cells[place]
        if cell is not None and cell not in known:
            if redact_text(cell) != cell:
                return False
            if len(known) < _MANY:
                known[cell] = cell
    return True


def in_doubt(columns: Sequence[Sequence[str | None]], known: dict[str, str]) -> list[int]:
    """Which of many records, told column by column, are not surely harmless."""
    doubtful = {
        cell
        for place in _OF_ONE
        for cell in {*columns[place]}
        if not (cell is None or _USUAL.fullmatch(cell) or redact_text(cell) == cell)
    }
    for place in _OF_MANY:
        for cell in {*columns[place]}.difference(known):
            if cell is None:
                continue
            if redact_text(cell) != cell:
                doubtful.add(cell)
            elif len(known) < _MANY:
                known[cell] = cell
    if not doubtful:
        return []
    places = (*_OF_ONE, *_OF_MANY)
    return sorted({at for place in places for at, cell in enumerate(columns[place]) if cell in doubtful})
