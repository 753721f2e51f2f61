"""Decides where in rows and artifacts secrets stand, and takes them out before anybody reads them."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import is_
from pathlib import Path
from typing import Any, Final

from pytest_l402.boundary.known_secrets import ISSUED, KnownSecrets
from pytest_l402.boundary.named_secrets import REDACTED, is_reference, is_secret_number, names_secret
from pytest_l402.boundary.redaction import is_harmless, redact_text
from pytest_l402.boundary.whole_files import write_whole
from pytest_l402.contract.rows import Row

SECRET_SCAN: Final = "secret_scan"  # noqa: S105 - the name of a table
"""The table that says what was searched for secrets, and where some stood."""

CONTROL: Final = "control"
"""The place of the row about values that were planted: a search that misses one proves nothing."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_PLACES: Final = 20
_PART: Final = 1 << 20
_OVERLAP: Final = 4_096
_BINARY_LIMIT: Final = 1 << 16
_FEWEST_BYTES: Final = 16
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
            called = path.relative_to(folder).as_posix()
            shown = redact_text(called, self._known)
            name = f"artifacts/{shown}"
            self._searched[name] = 1
            data = path.read_bytes()
            if self._is_in(data):
                self._note(name, "the file")
                write_whole(path, b"withheld by pytest-l402: a secret was in this file\n")
            if shown != called:
                self._note(name, "its name")
                _rename(path, folder, shown)

    def _is_in(self, data: bytes) -> bool:
        """Return whether a secret is in an artifact; a long one is searched in parts that overlap."""
        text = data.decode("utf-8", "replace")
        for at in range(0, len(text), _PART):
            part = text[max(at - _OVERLAP, 0) : at + _PART]
            if self._text(part) is not part:
                return True
        if b"\0" not in data and "\ufffd" not in text:
            return False
        wide = data.replace(b"\0", b"").decode("utf-8", "replace")
        return redact_text(wide[:_PART], self._known) != wide[:_PART] or (
            len(data) <= _BINARY_LIMIT and self._known.is_in(data)
        )

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
        # `{"name": "preimage", "value": "…"}`: what is called `value` has another field's name.
        other = row.get("name")
        of_other = isinstance(other, str) and names_secret(other)
        for key, value in row.items():
            kind = type(value)
            if _is_harmless_name(key) and not named and not (of_other and key == "value"):
                # So it is with nearly all that rows hold.
                if kind in _WITHOUT_TEXT:
                    continue
                if kind is str and (value in self._harmless or value in self._texts):
                    continue
                name, secret = key, False
            else:
                name = self._text(key) if isinstance(key, str) else key
                secret = (
                    named or (of_other and key == "value") or (isinstance(key, str) and names_secret(key))
                )
            if secret and kind is int and is_secret_number(str(key), value):
                cleaned: Any = REDACTED
            else:
                cleaned = self._value(value, secret)
            if name is not key or cleaned is not value:
                changes[key] = name, cleaned
        return changes

    def _value(self, value: Any, secret: bool) -> Any:
        if isinstance(value, str):
            return REDACTED if secret and not is_reference(value) else self._text(value)
        if isinstance(value, list | tuple):
            if self._is_value(value, secret):
                return REDACTED
            items = [self._value(item, secret) for item in value]
            return value if all(map(is_, items, value)) else items
        if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101 - the second is slow
            changes = self._changes(value, named=secret)
            return _changed(value, changes) if changes else value
        return value

    def _is_value(self, items: Sequence[Any], secret: bool) -> bool:
        """Return whether a list is one secret value: its bytes as numbers, or its two halves in hex."""
        if len(items) >= _FEWEST_BYTES and all(type(each) is int and 0 <= each < 256 for each in items):
            return secret or self._known.holds(bytes(items))
        if len(items) == 2 and all(isinstance(each, str) and len(each) == 32 for each in items):
            return bool(self._known.spans(items[0] + items[1]))
        return False

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


def _rename(path: Path, folder: Path, shown: str) -> None:
    """Give an artifact a name without the secret that its own name, or its folder's, was."""
    wanted = folder / shown.replace(REDACTED, "withheld")
    place, number = wanted, 1
    while place.exists():
        number += 1
        place = wanted.with_name(f"{wanted.name}-{number}")
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
    for parent in path.relative_to(folder).parents[:-1]:
        with contextlib.suppress(OSError):
            (folder / parent).rmdir()


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
