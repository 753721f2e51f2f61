"""Decides what the backend of a billing service answers, and keeps the book of what it did, each id once."""

from __future__ import annotations

import threading
import time
from typing import Any, Final, Literal, Self

from pytest_l402.harness.deadline import Deadline, now_s
from pytest_l402.harness.json_app import Call, JsonApp, Refused, Route
from pytest_l402.harness.loopback import LoopbackServer

__all__ = ["BackendStub", "Mood"]

Row = dict[str, Any]
Mood = Literal["works", "fails", "rejects", "times out", "loses the answer"]
_HOLDS_S: Final = 5.0


class BackendStub:
    """A backend on a port of this machine: it finalizes entries and settles payments; a context manager.

    In the mood `fails` it answers 500, `rejects` 422, `times out` nothing for longer than anybody waits; none
    of these has an effect. `loses the answer` does what was asked and then answers 500. An id that was done
    before is 409. `book` has one row a call.
    """

    def __init__(self) -> None:
        self._mood: Mood = "works"
        self._book: list[Row] = []
        self._done: dict[str, int] = {}
        self._changed = threading.Condition()
        self._held, self._held_after = False, 0
        self._over = threading.Event()
        routes = (
            Route("POST", "/finalize", lambda call: self._do(call, "entry")),
            Route("POST", "/settle", lambda call: self._do(call, "payment")),
            Route("GET", "/entries/{entry}", self._has),
            Route("GET", "/health", self._health),
        )
        self._server = LoopbackServer(JsonApp(routes))

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._server.url

    @property
    def book(self) -> list[Row]:
        """One row a call that asked for an effect: id, what for, when, what was answered, whether done."""
        with self._changed:
            return [dict(row) for row in self._book]

    def set_mood(self, mood: Mood) -> None:
        """Behave so from now on."""
        self._mood = mood

    def hold(self, after: int = 0) -> None:
        """Do what is asked, and answer only after `let_go`: the moment between effect and ack.

        So many calls of the book are answered before it.
        """
        self._held, self._held_after = True, after

    def let_go(self) -> None:
        """Answer whoever waits, and all others at once."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def until_effects(self, count: int, wait_s: float = 10.0) -> None:
        """Wait until so many ids were done. Raises `TimeoutError`."""
        deadline = Deadline(wait_s)
        with self._changed:
            while len(self._done) < count:
                if deadline.over:
                    raise TimeoutError(
                        f"backend: expected {count} effects within {wait_s:g} s, saw {len(self._done)}"
                    )
                self._changed.wait(deadline.remaining_s)

    def do_unheard(self, name: str) -> None:
        """Have done an id although nobody was told."""
        with self._changed:
            self._done[name] = 1
            row = {"id": name, "kind": "unheard", "status": 0, "effect": True, "atMs": now_s() * 1000}
            self._book.append({**row, "wallMs": time.time_ns() // 1_000_000})
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._changed:
            self._held = False
            self._changed.notify_all()
        self._server.stop()

    def _do(self, call: Call, key: str) -> Row:
        name, mood = call.fields.text(key), self._mood
        row: Row = {"id": name, "kind": key, "atMs": now_s() * 1000, "wallMs": time.time_ns() // 1_000_000}
        with self._changed:
            status = {"works": 200, "fails": 500, "rejects": 422, "times out": 0, "loses the answer": 500}[
                mood
            ]
            done = mood in ("works", "loses the answer") and name not in self._done
            if mood == "works" and name in self._done:
                status = 409
            if done:
                self._done[name] = 1
            self._book.append({**row, "status": status, "effect": done})
            self._changed.notify_all()
            deadline = Deadline(_HOLDS_S)
            number = len(self._book)
            while self._held and number > self._held_after and not deadline.over:
                self._changed.wait(deadline.remaining_s)
        if mood == "times out":
            self._over.wait(1.0)
        if status != 200:
            raise Refused(status or 504, "backend")
        return {"id": name}

    def _has(self, call: Call, entry: str) -> Row:
        if self._mood != "works":
            raise Refused(503, "backend")
        if entry not in self._done:
            raise Refused(404, "unknown")
        return {"id": entry}

    def _health(self, call: Call) -> Row:
        if self._mood in ("fails", "times out"):
            raise Refused(503, "backend")
        return {"ok": True}
