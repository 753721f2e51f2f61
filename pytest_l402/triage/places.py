"""Decides how a record is found again: by its number among all that were read, in its file, on its line."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from pytest_l402.boundary import printable, tagless


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: file as given, line from 1, dotted path inside the document on that line."""

    file: str
    line: int
    path: str = ""

    @property
    def where(self) -> str:
        """`file:line`, safe to print."""
        return f"{tagless(printable(self.file, 400))}:{self.line}"


class Places:
    """The place of each record by its number; lines one behind the other take no more room than one."""

    def __init__(self) -> None:
        self.end = 0
        self._numbers: list[int] = []
        self._begins: list[Place] = []
        self._paths: dict[int, str] = {}

    def add(self, file: str, line: int, path: str = "", count: int = 1) -> int:
        """Note where the next `count` records stand, each on a line; return the number of the first."""
        number = self.end
        if self._numbers:
            last = self._begins[-1]
            follows = last.file == file and line - last.line == number - self._numbers[-1]
        if not self._numbers or not follows:
            self._numbers.append(number)
            self._begins.append(Place(file, line))
        if path:
            self._paths[number] = path
        self.end += count
        return number

    def skip_to(self, number: int) -> None:
        """Leave out numbers: the next record has this one."""
        self.end = number

    def forget_from(self, number: int) -> None:
        """Take the records from this number on away."""
        while self._numbers and self._numbers[-1] >= number:
            self._numbers.pop()
            self._begins.pop()
        for known in [each for each in self._paths if each >= number]:
            del self._paths[known]
        self.end = number

    def __getitem__(self, number: int) -> Place:
        at = bisect_right(self._numbers, number) - 1
        begin = self._begins[at]
        return Place(begin.file, begin.line + number - self._numbers[at], self._paths.get(number, ""))

    def runs(self) -> list[tuple[int, str, int]]:
        """Every first number of a run of lines, its file and its line there."""
        return [
            (number, begin.file, begin.line)
            for number, begin in zip(self._numbers, self._begins, strict=True)
        ]

    def files(self) -> set[str]:
        """The files that hold a record."""
        return {begin.file for begin in self._begins}
