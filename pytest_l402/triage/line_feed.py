"""Decides how the lines of a file are taken: many records at once where they surely are, else one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Protocol

from pytest_l402.boundary import InputError
from pytest_l402.boundary.input_files import MAX_BYTES
from pytest_l402.triage.record_gate import RecordGate, Run

_BLOCK: Final = 1 << 18
# So much is looked at again where a document over several lines begins within it.
_REGION: Final = 1 << 17
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class ReadsBytes(Protocol):
    """What comes out of a file, block by block."""

    def read1(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, as soon as there are some; nothing at the end."""


class LineFeed:
    """The lines of a stream, counted from `first`; holds a block of them, or a line that is longer."""

    def __init__(self, stream: ReadsBytes, source: str, limit: int = MAX_BYTES, first: int = 1) -> None:
        self._stream = stream
        self.source = source
        self._limit = limit
        self._data = b""
        self._at = 0
        self._is_at_end = False
        self._parts: deque[Run | str] = deque()
        self.number = first - 1

    def next_line(self) -> tuple[int, bytes] | None:
        """Return number and bytes of the next line that is not blank; None at the end.

        Raises:
            InputError: it is longer than the limit, or the stream cannot be read.
        """
        while True:
            end = self._data.find(b"\n", self._at) + 1
            if not end and not self._has_grown():
                return None
            if not end and not self._is_at_end:
                continue
            data = self._data[self._at : end or len(self._data)]
            self._at += len(data)
            self.number += 1
            if self.number == 1:
                data = data.removeprefix(_BYTE_ORDER_MARK)
            self._move_on(data)
            if data.strip():
                return self.number, data

    def runs(self, gate: RecordGate) -> Iterator[tuple[int, Run]]:
        """Take what lies ahead as long as it is records; yield them, and the number of the first line."""
        while gate.has_learnt:
            if not self._parts and not self._look_ahead(gate):
                return
            ahead = self._parts[0]
            if not isinstance(ahead, Run):
                return
            self._parts.popleft()
            first = self.number + 1
            self.number += len(ahead)
            self._at += ahead.n_bytes
            yield first, ahead

    def _look_ahead(self, gate: RecordGate) -> bool:
        if self._data.find(b"\n", self._at) < 0 and not self._has_grown():
            return False
        end = self._data.rfind(b"\n", self._at, self._at + _REGION) + 1
        if not end:
            # A line longer than that is looked at by itself.
            return False
        self._parts.extend(gate.parts(self._data[self._at : end].decode("latin-1")))
        return True

    def _move_on(self, data: bytes) -> None:
        """Let what lies ahead begin behind this line, or be looked at anew."""
        if not self._parts:
            return
        ahead = self._parts.popleft()
        if isinstance(ahead, Run):
            self._parts.clear()
        elif len(ahead) > len(data):
            self._parts.appendleft(ahead[len(data) :])

    def _has_grown(self) -> bool:
        """Read one more block behind what is left; False if there is nothing left at all."""
        left = self._data[self._at :]
        if len(left) > self._limit:
            raise InputError.at(
                self.source,
                line=self.number + 1,
                expected=f"lines of at most {self._limit} bytes",
                seen="a longer one",
                remedy="write the records as JSON Lines, one a line (jq -c '.[]')",
            )
        try:
            # A long line is not copied for each block of it.
            more = b"" if self._is_at_end else self._stream.read1(max(_BLOCK, len(left)))
        except OSError as error:
            if error.errno is None:
                raise
            raise InputError.at(
                self.source, expected="a readable file", seen=error.strerror or type(error).__name__
            ) from None
        self._is_at_end = not more
        self._data = left + more if left else more
        self._at = 0
        return bool(self._data)
