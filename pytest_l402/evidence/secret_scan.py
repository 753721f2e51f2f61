"""Decides where in rows and artifacts secrets stand, and takes them out before anybody reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pytest_l402.boundary.known_secrets import ISSUED, KnownSecrets
from pytest_l402.boundary.named_secrets import REDACTED, is_reference, names_secret
from pytest_l402.boundary.redaction import redact_text
from pytest_l402.boundary.whole_files import write_whole
from pytest_l402.contract.rows import Row

SECRET_SCAN: Final = "secret_scan"  # noqa: S105 - the name of a table
"""The table that says what was searched for secrets, and where some stood."""

CONTROL: Final = "control"
"""The place of the row about values that were planted: a search that misses one proves nothing."""

_NONE: Final = KnownSecrets()
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SHORTEST_KNOWN: Final = 22
_LONGEST_REMEMBERED: Final = 2000
_PLACES: Final = 20
_PREIMAGE: Final = bytes(range(7, 39))
_PLANTED: Final[tuple[Row, ...]] = (
    {"authorization": "L402 " + "AgEEbHNhdAJC" + "AAECAwQFBgcICQ" * 6 + ":" + _PREIMAGE.hex()},
    {"line": "paid with preimage=" + _PREIMAGE.hex()},
    {"held": {"apiKey": "short"}},
    {"held": [_PREIMAGE.hex().upper()]},
)


class SecretScan:
    """What was searched in one test, and the secrets that were found: their places, and never they."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}
        self._found: dict[str, dict[str, None]] = {}

    def clean(self, tables: Mapping[str, Iterable[Row]], issued: Iterable[bytes]) -> dict[str, list[Row]]:
        """Return the tables without secrets; `issued` are SHA-256 digests (32 bytes) of what systems issued.

        A payment hash is the digest of a preimage: what has it is a secret, also where nothing names it.
        """
        rows = {name: list(of_table) for name, of_table in tables.items()}
        known = KnownSecrets((*issued, *_payment_hashes(rows)), beyond=ISSUED)
        return {name: [self._row(name, at, row, known) for at, row in enumerate(of_table)]
                for name, of_table in rows.items()}  # fmt: skip

    def withhold(self, folder: Path, issued: Iterable[bytes]) -> None:
        """Put a note in the place of each artifact that holds a secret. Raises `OSError`."""
        known = KnownSecrets(issued, beyond=ISSUED)
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            name = f"artifacts/{path.relative_to(folder).as_posix()}"
            self._texts[name] = 1
            text = path.read_bytes().decode("utf-8", "replace")
            if redact_text(text, known) != text:
                self._note(name, "the file")
                write_whole(path, b"withheld by pytest-l402: a secret was in this file\n")

    def rows(self) -> list[Row]:
        """Return what was searched and found: one row a table or artifact, and one about what was planted."""
        planted = SecretScan()
        known = KnownSecrets()
        known.note(_PREIMAGE)
        cleaned = [planted._row(CONTROL, at, row, known) for at, row in enumerate(_PLANTED)]
        noticed = sum(before != after for before, after in zip(_PLANTED, cleaned, strict=True))
        return [
            {"place": CONTROL, "searched": len(_PLANTED), "secrets": noticed, "found": []},
            *(
                {"place": place, "searched": searched, "secrets": len(self._found.get(place, ())),
                 "found": list(self._found.get(place, ()))[:_PLACES]}
                for place, searched in self._texts.items()
            ),
        ]  # fmt: skip

    def _row(self, table: str, at: int, row: Any, known: KnownSecrets) -> Any:
        self._texts[table] = max(self._texts.get(table, 0), at + 1)
        if not isinstance(row, Mapping):
            return row
        changed = False
        cleaned = {}
        for key, value in row.items():
            name = redact_text(key, _NONE) if isinstance(key, str) and _is_shaped(key) else key
            cleaned[name] = self._value(value, key, known)
            if cleaned[name] is not value or name is not key:
                changed = True
                self._note(table, f"row {at + 1}, {name}")
        return cleaned if changed else row

    def _value(self, value: Any, key: object, known: KnownSecrets) -> Any:
        kind = type(value)
        if kind is str:
            return _clean_text(value, known) if not _names_secret(key) or is_reference(value) else REDACTED
        if kind is dict or isinstance(value, Mapping):
            cleaned = {
                _clean_text(name, _NONE): self._value(item, _either(key, name), known)
                for name, item in value.items()
            }
            same = all(new is old for old, new in zip(value.values(), cleaned.values(), strict=False))
            return value if same and cleaned.keys() == value.keys() else cleaned
        if isinstance(value, list | tuple):
            items = [self._value(item, key, known) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        return value

    def _note(self, place: str, where: str) -> None:
        self._found.setdefault(place, {})[where] = None


def _either(key: object, name: object) -> object:
    # What is below the name of a secret is part of it.
    return key if _names_secret(key) else name


def _clean_text(text: str, known: KnownSecrets) -> str:
    if len(text) > _LONGEST_REMEMBERED or _is_shaped(text):
        return redact_text(text, known)
    if len(text) >= _SHORTEST_KNOWN and next(known.spans(text), None) is not None:
        return redact_text(text, known)
    return text


@lru_cache(maxsize=20_000)
def _is_shaped(text: str) -> bool:
    """Whether a text holds a secret by its form; most texts of rows come many times."""
    return redact_text(text, _NONE) != text


@lru_cache(maxsize=5_000)
def _names_secret(key: object) -> bool:
    return isinstance(key, str) and names_secret(key)


def _payment_hashes(tables: Mapping[str, Iterable[Row]]) -> Iterator[bytes]:
    for rows in tables.values():
        for row in rows:
            value = row.get("paymentHash") if isinstance(row, Mapping) else None
            if isinstance(value, str) and _HASH.fullmatch(value) is not None:
                yield bytes.fromhex(value)
