"""Decides who speaks on the line between two processes: whoever waits for an answer answers meanwhile."""

from __future__ import annotations

import threading
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, Final, TypeGuard

from pytest_l402.boundary.known_secrets import ISSUED
from pytest_l402.harness.handles import Handle, RaisedThere, packed, raisable, unpacked

__all__ = ["Line", "LineLost"]

_PATIENCE_S: Final = 300.0
_NEWS_WAIT_S: Final = 1.0


class LineLost(RuntimeError):  # noqa: N818 - the name of the condition
    """The other process is gone, says nothing, or cannot be asked now."""


class Line:
    """One end of the line, with the objects of this process that the other one has handles of.

    Secrets that are issued here are known there, by their digest, before anything that is said here is read.
    `lost` says what to tell when the other process is gone.
    """

    def __init__(self, connection: Connection, lost: Callable[[], str], *, is_first: bool) -> None:
        self._connection = connection
        self._lost = lost
        self._is_first = is_first
        self._turn = threading.RLock()
        self._answering: int | None = None
        self._objects: dict[int, object] = {}
        self._numbers: dict[int, int] = {}
        self._counter = count()
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        self._told = 0
        self.is_open = True

    def number_of(self, kept: object) -> int:
        """Keep an object of this process, and return the number by which the other one asks for it."""
        number = self._numbers.get(id(kept))
        if number is None:
            number = self._numbers[id(kept)] = next(self._counter)
            self._objects[number] = kept
        return number

    def object_of(self, number: int) -> object:
        """Return the object that is kept under a number."""
        return self._objects[number]

    def handle_of(self, number: int, kind: type) -> Handle:
        """Return the handle of an object that the other process keeps: always the same."""
        known = self._handles.get(number)
        if known is None:
            known = self._handles[number] = Handle(self, number, kind)
        return known

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Ask the other process, and return its answer, or raise what it raised.

        Raises:
            LineLost: it is gone, or it is asked by a thread that it does not wait for.
        """
        if not self._is_first and threading.get_ident() != self._answering:
            raise LineLost(
                "expected all that answers a request to live in the process of the stack, saw something of "
                "the test's process; its interpreter may be held: put nothing of the test in there"
            )
        with self._turn:
            self._say("asked", verb, arguments)
            while True:
                word, *said = self._hear()
                if word == "asked":
                    self._answer(*said)
                    continue
                (content,) = said
                if word == "answered":
                    return content
                # What was raised here first has come back.
                raise content.error if _is_of_here(content) else content

    def answer_all(self) -> None:
        """Answer whatever is asked, until the other process says no more."""
        self._answering = threading.get_ident()
        with suppress(EOFError, OSError):
            while True:
                _, *said = unpacked(self, self._connection.recv_bytes())[1]
                self._answer(*said)

    def hear_of_secrets(self) -> None:
        """Note the secrets that were issued there since it last said something; never raises."""
        if self.is_open and self._turn.acquire(timeout=_NEWS_WAIT_S):
            try:
                with suppress(LineLost):
                    self.ask("run", int, (), {})
            finally:
                self._turn.release()

    def forget(self) -> None:
        """Let go of every object that was handed over; handles of them are of no use from then on."""
        self._objects.clear()
        self._numbers.clear()

    def _say(self, *message: Any) -> None:
        news = () if self._is_first else ISSUED.digests_after(self._told)
        self._told += len(news)
        try:
            self._connection.send_bytes(packed(self, (news, message)))
        except OSError:
            raise self._gone() from None

    def _hear(self) -> Any:
        try:
            if not self._connection.poll(_PATIENCE_S):
                raise self._gone()
            news, message = unpacked(self, self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._gone() from None
        for digest in news:
            ISSUED.note_digest(digest)
        return message

    def _gone(self) -> LineLost:
        self.is_open = False
        return LineLost(self._lost())

    def _answer(self, verb: str, arguments: tuple[Any, ...]) -> None:
        try:
            said = ("answered", _VERBS[verb](*arguments))
        except BaseException as error:
            said = ("raised", _told(error))
        self._say(*said)


def _told(error: BaseException) -> BaseException:
    if type(error).__module__ == "builtins":
        where = traceback.extract_tb(error.__traceback__)[-1]
        error.add_note(f"raised in another process, in {where.name}, line {where.lineno}")
    return raisable(error)


def _is_of_here(raised: BaseException) -> TypeGuard[RaisedThere]:
    return isinstance(raised, RaisedThere) and not _is_handle(raised.error)


def _is_handle(given: object) -> bool:
    return type(given) is Handle


def _call(given: Any, name: str | None, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return (given if name is None else getattr(given, name))(*arguments, **named)


def _leave(given: Any, raised: BaseException | None) -> Any:
    """End a block there; what was raised in it is raised again here, unless the block takes it."""
    if raised is None:
        return given.__exit__(None, None, None)
    if _is_handle(raised):
        raised = RaisedThere("raised in the block", raised)
    try:
        return given.__exit__(type(raised), raised, None)
    except BaseException as error:
        if error is raised:
            return False
        raise


def _run(function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return function(*arguments, **named)


_VERBS: Final[dict[str, Callable[..., Any]]] = {
    "get": getattr,
    "set": setattr,
    "call": _call,
    "leave": _leave,
    "run": _run,
}
