"""Decides in which order changes are taken back, and that an interrupt cannot keep them from it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self


class NotUndone(RuntimeError):  # noqa: N818 - the outcome's name
    """Changes that could not be taken back; `left` names them, the last change first."""

    def __init__(self, left: tuple[str, ...]) -> None:
        super().__init__(
            f"expected every change to be taken back, saw {', '.join(left)} left; undo it by hand"
        )
        self.left = left


class Undo:
    """Takes changes back at the end of its block, the last one first, whatever was raised in it.

    Each is tried twice, and an interrupt meanwhile is raised only after all of them. Raises `NotUndone` when
    any fails both times, with what was raised in the block as its cause.
    """

    def __init__(self) -> None:
        self._changes: list[tuple[str, Callable[[], object]]] = []

    def __enter__(self) -> Self:
        return self

    def add(self, name: str, take_back: Callable[[], object]) -> None:
        """Note, before a change is made, how to take it back; `take_back` must bear that it was not made."""
        self._changes.append((name, take_back))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        left: list[str] = []
        interrupt: BaseException | None = None
        cause = error
        for name, take_back in reversed(self._changes):
            for is_last in (False, True):
                try:
                    take_back()
                except BaseException as failure:
                    cause = cause or failure
                    if not isinstance(failure, Exception):
                        interrupt = failure
                    if is_last:
                        left.append(name)
                else:
                    break
        if left:
            raise NotUndone(tuple(left)) from cause
        if error is None and interrupt is not None:
            raise interrupt
