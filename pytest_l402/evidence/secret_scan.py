"""Decides where in rows and artifacts secrets stand, and takes them out before anybody reads them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from operator import is_
from pathlib import Path
from typing import Any, Final

from pytest_l402.boundary.known_secrets import ISSUED, KnownSecrets
from pytest_l402.boundary.named_secrets import REDACTED, is_reference, names_secret
from pytest_l402.boundary.redaction import is_harmless, redact_text
from pytest_l402.boundary.whole_files import write_whole
from pytest_l402.contract.rows import Row

SECRET_SCAN: Final = "secret_scan"  # noqa: S105 - the name of a table
"""The table that says what was searched for secrets, and where some stood."""

CONTROL: Final = "control"
"""The place of the row about values that were planted: a search that misses one proves nothing."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_PLACES: Final = 20
_WITHOUT_TEXT: Final = frozenset({int, float, bool, type(None)})
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
        self._searched: dict[str, int] = {}
        self._found: dict[str, dict[str, None]] = {}
        self._known = KnownSecrets()
        # Rows come again each time that evidence is collected, and with them their texts.
        self._harmless: set[str] = set()
        self._texts: set[str] = set()

    def clean(self, tables: Mapping[str, Iterable[Row]], issued: Iterable[bytes]) -> dict[str, list[Row]]:
        """Return the tables without secrets; `issued` are SHA-256 digests (32 bytes) of what systems issued.

        A payment hash is the digest of a preimage: what has it is a secret, also where nothing names it.
        """
        rows = {name: list(of_table) for name, of_table in tables.items()}
        self._know((*issued, *_payment_hashes(rows)))
        for name, of_table in rows.items():
            self._searched[name] = max(self._searched.get(name, 0), len(of_table))
        return {name: [self._row(name, at, row) for at, row in enumerate(of_table, start=1)]
                for name, of_table in rows.items()}  # fmt: skip

    def withhold(self, folder: Path, issued: Iterable[bytes]) -> None:
        """Put a note in the place of each artifact that holds a secret. Raises `OSError`."""
        self._know(issued)
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            name = f"artifacts/{path.relative_to(folder).as_posix()}"
            self._searched[name] = 1
            text = path.read_bytes().decode("utf-8", "replace")
            if self._text(text) is not text:
                self._note(name, "the file")
                write_whole(path, b"withheld by pytest-l402: a secret was in this file\n")

    def _know(self, digests: Iterable[bytes]) -> None:
        known = ISSUED.union(self._known, KnownSecrets(digests))
        if known != self._known:
            self._known = known
            self._texts.clear()

    def rows(self) -> list[Row]:
        """Return what was searched and found: one row a table or artifact, and one about what was planted."""
        planted = SecretScan()
        planted._know([hashlib.sha256(_PREIMAGE).digest()])
        cleaned = [planted._row(CONTROL, at, row) for at, row in enumerate(_PLANTED, start=1)]
        noticed = sum(before != after for before, after in zip(_PLANTED, cleaned, strict=True))
        return [
            {"place": CONTROL, "searched": len(_PLANTED), "secrets": noticed, "found": []},
            *(
                {"place": place, "searched": searched, "secrets": len(self._found.get(place, ())),
                 "found": list(self._found.get(place, ()))[:_PLACES]}
                for place, searched in self._searched.items()
            ),
        ]  # fmt: skip

    def _row(self, table: str, number: int, row: Any) -> Any:
        if not isinstance(row, dict) and not isinstance(row, Mapping):
            return row
        changes = self._changes(row)
        for name, _ in changes.values():
            self._note(table, f"row {number}, {name}")
        return _changed(row, changes) if changes else row

    def _changes(self, row: Mapping[Any, Any], *, named: bool = False) -> dict[object, tuple[object, Any]]:
        """Return what has to stand in the place of an item, by its key; all that is `named` is secret."""
        changes = {}
        for key, value in row.items():
            kind = type(value)
            if _is_harmless_name(key) and not named:
                # So it is with nearly all that rows hold.
                if kind in _WITHOUT_TEXT:
                    continue
                if kind is str and (value in self._harmless or value in self._texts):
                    continue
                name, secret = key, False
            else:
                name = self._text(key) if isinstance(key, str) else key
                secret = named or (isinstance(key, str) and names_secret(key))
            cleaned = self._value(value, secret)
            if name is not key or cleaned is not value:
                changes[key] = name, cleaned
        return changes

    def _value(self, value: Any, secret: bool) -> Any:
        if isinstance(value, str):
            return REDACTED if secret and not is_reference(value) else self._text(value)
        if isinstance(value, list | tuple):
            items = [self._value(item, secret) for item in value]
            return value if all(map(is_, items, value)) else items
        if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101 - the second is slow
            changes = self._changes(value, named=secret)
            return _changed(value, changes) if changes else value
        return value

    def _text(self, text: str) -> str:
        if text in self._harmless or text in self._texts:
            return text
        if is_harmless(text):
            self._harmless.add(text)
            return text
        cleaned = redact_text(text, self._known)
        if cleaned != text:
            return cleaned
        self._texts.add(text)
        return text

    def _note(self, place: str, where: str) -> None:
        self._found.setdefault(place, {})[where] = None


def _changed(row: Mapping[Any, Any], changes: Mapping[object, tuple[object, Any]]) -> Any:
    return dict(changes.get(key, (key, value)) for key, value in row.items())


@lru_cache(maxsize=5_000)
def _is_harmless_name(key: object) -> bool:
    return isinstance(key, str) and is_harmless(key) and not names_secret(key)


def _payment_hashes(tables: Mapping[str, Iterable[Row]]) -> Iterator[bytes]:
    for rows in tables.values():
        for row in rows:
            value = row.get("paymentHash") if isinstance(row, Mapping) else None
            if isinstance(value, str) and _HASH.fullmatch(value) is not None:
                yield bytes.fromhex(value)
