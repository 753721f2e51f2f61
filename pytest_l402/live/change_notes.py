"""Decides how a run that was killed leaves word of what it changed: notes on the disk."""

from __future__ import annotations

import fcntl
import math
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pytest_l402.boundary import InputError, printable, read_json
from pytest_l402.boundary.whole_files import write_document
from pytest_l402.contract import CamelDocument, DocumentError
from pytest_l402.contract.scalars import Text, member_of
from pytest_l402.live.live_error import LiveError

NOTES_NAME: Final = "live-changes.json"
LOCK_NAME: Final = "live-changes.lock"
_POLL_S: Final = 0.05


class ChangeKind(StrEnum):
    """What can be changed for the length of a drill."""

    GLOBAL_PAUSE = "global_pause"
    OWNER_KILL_SWITCH = "owner_kill_switch"
    CREDENTIAL_ROLE = "credential_role"
    DEPLOYMENT = "deployment"


class Change(CamelDocument):
    """One change of a deployed system that has to be undone: what it is, and what the undo needs to know.

    `subject` is an owner, a role, or the request of a deployment; `reason` the text by which a switch shows
    who switched it; `found` the role or the deployment as it was, None where there was none. None of it is a
    secret.
    """

    kind: Annotated[ChangeKind, member_of(ChangeKind)]
    where: Text
    what: Text
    subject: Text | None = None
    reason: Text | None = None
    found: dict[str, Any] | None = None

    @property
    def key(self) -> tuple[ChangeKind, str | None]:
        """What tells it from other changes of the same system."""
        return self.kind, self.subject


class ChangeNotes:
    """The notes of one deployed system in `folder`: `live-changes.json`, there only while it is not empty.

    Who may change the system holds the notes alone, who reads it holds them together with other readers, so
    that nobody takes the changes of a run under way for those of a run that was killed. `path` is where the
    notes lie, `underway` what is changed and not undone, oldest first.
    """

    def __init__(self, folder: Path, where: str) -> None:
        self.path = folder / NOTES_NAME
        self._lock_path = folder / LOCK_NAME
        self._where = where
        self._descriptor: int | None = None
        self.underway: tuple[Change, ...] = ()

    def hold(self, *, alone: bool, wait_s: float = 0.0) -> None:
        """Hold the notes until `release`, and read what an earlier run left.

        Raises:
            LiveError: another run holds them still after `wait_s` seconds.
            InputError: the folder cannot be written to; or the notes cannot be read: they must be looked at,
                not overwritten.
        """
        if not alone and not self._lock_path.exists():
            # Nobody ever changed anything from here, and who only reads leaves no trace.
            return
        try:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InputError.at(
                self._lock_path,
                expected="a folder in which changes can be noted before they are made",
                seen=error.strerror or type(error).__name__,
                remedy="name another artifact or state folder",
            ) from None
        try:
            self._lock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, wait_s)
            self.underway = self._read()
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others hold them; may be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def begin(self, change: Change) -> None:
        """Write a change down, before it is made."""
        # Known before it is on the disk: who is interrupted in between strikes it out again.
        self.underway = (*(item for item in self.underway if item.key != change.key), change)
        self._write(self.underway)

    def end(self, kind: ChangeKind, subject: str | None = None) -> None:
        """Strike a change out, once it is undone; of no effect when there is no such note."""
        left = tuple(item for item in self.underway if item.key != (kind, subject))
        if left != self.underway:
            self._write(left)
            self.underway = left

    def _lock(self, descriptor: int, kind: int, wait_s: float) -> None:
        # Counted, not timed: a frozen clock never reaches a deadline.
        for attempt in range(1 + math.ceil(max(wait_s, 0.0) / _POLL_S)):
            if attempt:
                time.sleep(_POLL_S)
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return
        raise LiveError(
            self._where,
            code="busy",
            expected="no other run that changes it",
            seen=f"one at work, by {self._lock_path}",
            remedy="wait for it to end and run again",
        )

    def _read(self) -> tuple[Change, ...]:
        if not self.path.exists():
            return ()
        document = read_json(self.path)
        try:
            changes = document["changes"]
            return tuple(Change.decode(entry) for entry in changes)
        except (DocumentError, KeyError, TypeError) as error:
            raise InputError.at(
                self.path,
                expected="the notes of changes that an earlier run made",
                seen=f"something else ({printable(str(error), 120)})",
                remedy=f"look at what it says, undo that at {self._where} by hand and delete the file",
            ) from None

    def _write(self, changes: tuple[Change, ...]) -> None:
        assert self._descriptor is not None
        if changes:
            write_document(self.path, {"changes": [change.to_row() for change in changes]})
        else:
            self.path.unlink(missing_ok=True)
