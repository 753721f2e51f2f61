"""Decides whether a deployed system may be changed, says so beforehand, and remembers what must be undone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from pytest_l402.contract import InputError, read_json

from .live_error import ChangeRefused, LiveError

Announce: TypeAlias = Callable[[str], None]
LEFTOVERS: Final = "live-changes.json"


class Changes:
    """The permission to change a deployed system, and the note on disk of what is changed at this moment.

    Every change is announced before it is made and undone when its block ends, also when it is interrupted.
    Before it is made it is written to `live-changes.json` in `folder`, so that a run that was killed leaves
    word of it; `leftovers()` are those of an earlier run, to be undone before anything else.
    """

    def __init__(self, *, allowed: bool, announce: Announce, folder: Path) -> None:
        self.allowed = allowed
        self._announce = announce
        self._path = folder / LEFTOVERS
        self._underway: list[dict[str, Any]] = []

    def require(self, where: str, what: str) -> None:
        """Refuse what nobody allowed. Raises `ChangeRefused`."""
        if not self.allowed:
            raise ChangeRefused(where, what)

    @contextmanager
    def change(
        self,
        where: str,
        what: str,
        undo: Callable[[], object],
        note: Mapping[str, Any],
    ) -> Iterator[None]:
        """Announce a change, keep word of it while the block runs, and undo it at its end.

        `note` is what `leftovers` gives a later run to undo it by; it holds no secret.

        Raises:
            ChangeRefused: changes are not allowed; nothing was announced or written.
            LiveError: the undo failed twice; the note stays on disk.
        """
        self.require(where, what)
        self._announce(f"live change at {where}: {what}; it is undone at the end of this step")
        entry = {"where": where, "what": what, **note}
        self._underway.append(entry)
        self._write()
        try:
            yield
        finally:
            self._undo(where, what, undo)
            self._underway.remove(entry)
            self._write()

    def leftovers(self) -> tuple[Mapping[str, Any], ...]:
        """Return what an earlier run changed and did not undo.

        Raises:
            InputError: the note on disk cannot be read; it must be looked at, not overwritten.
        """
        if not self._path.exists():
            return ()
        document = read_json(self._path)
        if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
            raise InputError.at(
                self._path,
                expected="a list of changes",
                seen=type(document).__name__,
                remedy="look at what it says, undo that by hand and delete the file",
            )
        return tuple(document)

    def take_over(self) -> None:
        """Forget the leftovers, once they are undone."""
        self._path.unlink(missing_ok=True)

    def _undo(self, where: str, what: str, undo: Callable[[], object]) -> None:
        for is_last in (False, True):
            try:
                undo()
            except Exception as error:
                if is_last:
                    raise LiveError(
                        where,
                        code="not_undone",
                        expected=f"that {what} can be undone",
                        seen=f"{type(error).__name__}: {error}",
                        remedy=f"undo it by hand now; {self._path.name} keeps word of it",
                    ) from error
            else:
                return

    def _write(self) -> None:
        if not self._underway:
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.part")
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(self._underway, stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._path)
