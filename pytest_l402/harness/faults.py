"""Which part of a stand-in misbehaves right now, on purpose, and that it stops doing so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Fault:
    """Something injected into the stack on purpose; the subclasses name what goes wrong."""

    @property
    def name(self) -> str:
        """The fault's name as evidence and messages show it, e.g. `UpstreamFailure`."""
        return type(self).__name__


FaultT = TypeVar("FaultT", bound=Fault)


@dataclass(frozen=True)
class InjectedFault:
    """A fault and the one request it is meant for; `request_id` None means every request."""

    fault: Fault
    request_id: str | None = None


class Faults:
    """The faults that are active now; they get in only through `inject`, and none outlives its block."""

    def __init__(self) -> None:
        self._active: list[InjectedFault] = []
        self._history: list[InjectedFault] = []
        self._lock = threading.Lock()

    @contextmanager
    def inject(self, fault: Fault, request_id: str | None = None) -> Iterator[InjectedFault]:
        """Keep `fault` active inside the block, for one request or for all, and remove it in any case."""
        if not isinstance(fault, Fault) or type(fault) is Fault:
            raise TypeError(f"inject() takes a fault such as UpstreamFailure(status=503), got {fault!r}")
        injected = InjectedFault(fault, request_id)
        with self._lock:
            self._active.append(injected)
            self._history.append(injected)
        try:
            yield injected
        finally:
            with self._lock:
                # By identity: the same fault may be injected twice, and each block removes its own.
                self._active = [entry for entry in self._active if entry is not injected]

    def active(self, kind: type[FaultT], request_id: str | None = None) -> FaultT | None:
        """Return the fault of this kind that applies to the request, the youngest first, or None.

        A fault for one request wins over a fault for all; without a `request_id` only faults for all apply.
        """
        if not self._active:
            return None
        general: FaultT | None = None
        for entry in reversed(tuple(self._active)):
            if not isinstance(entry.fault, kind):
                continue
            if entry.request_id is None:
                general = general or entry.fault
            elif entry.request_id == request_id:
                return entry.fault
        return general

    def residue(self) -> tuple[InjectedFault, ...]:
        """Return what is still injected; empty in the steady state."""
        return tuple(self._active)

    def history(self) -> tuple[InjectedFault, ...]:
        """Return everything that was ever injected, oldest first; it is what a drill declared."""
        return tuple(self._history)
