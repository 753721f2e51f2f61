"""Which part of a stand-in misbehaves right now, on purpose, and that it stops doing so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar


@dataclass(frozen=True)
class Fault:
    """Something injected into the stack on purpose; the subclasses name what goes wrong."""

    @property
    def name(self) -> str:
        """The fault's name as evidence and messages show it, e.g. `UpstreamFailure`."""
        return type(self).__name__

    @property
    def most(self) -> int | None:
        """How often it happens at most; None for as often as it is met."""
        return None


FaultT = TypeVar("FaultT", bound=Fault)


@dataclass(eq=False)
class InjectedFault:
    """A fault, the one request it is meant for (None: every request), and what became of it.

    `fired` counts how often it changed something, `fired_for` names the requests of which that is known.
    Times are epoch ms; `removed_at_ms` is None while it is active.
    """

    fault: Fault
    request_id: str | None = None
    injected_at_ms: int = 0
    removed_at_ms: int | None = None
    fired: int = 0
    fired_for: list[str] = field(default_factory=list)

    @property
    def is_spent(self) -> bool:
        """Whether it has happened as often as it is to."""
        return self.fault.most is not None and self.fired >= self.fault.most

    def to_row(self) -> dict[str, Any]:
        """Return the row of the table `injected_faults`."""
        return {
            "fault": self.fault.name,
            "values": asdict(self.fault),
            "requestId": self.request_id,
            "injectedAtMs": self.injected_at_ms,
            "fired": self.fired,
            "firedFor": list(self.fired_for),
            "removedAtMs": self.removed_at_ms,
        }


class Faults:
    """The faults that are active now; they get in only through `inject`, and none outlives its block.

    `now_ms` tells the time of what becomes of them. Who watches is called whenever a fault came or went.
    """

    def __init__(self, now_ms: Callable[[], int] = lambda: 0) -> None:
        self._now_ms = now_ms
        self._active: list[InjectedFault] = []
        self._history: list[InjectedFault] = []
        self._watchers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @contextmanager
    def inject(self, fault: Fault, request_id: str | None = None) -> Iterator[InjectedFault]:
        """Keep `fault` active inside the block, for one request or for all, and remove it in any case."""
        if not isinstance(fault, Fault) or type(fault) is Fault:
            raise TypeError(f"inject() takes a fault such as UpstreamFailure(status=503), got {fault!r}")
        injected = InjectedFault(fault, request_id, self._now_ms())
        with self._lock:
            self._active.append(injected)
            self._history.append(injected)
        try:
            self._tell_watchers()
            yield injected
        finally:
            with self._lock:
                # By identity: the same fault may be injected twice, and each block removes its own.
                self._active = [entry for entry in self._active if entry is not injected]
                injected.removed_at_ms = self._now_ms()
            self._tell_watchers()

    def active(
        self,
        kind: type[FaultT],
        request_id: str | None = None,
        *,
        when: Callable[[FaultT], bool] | None = None,
    ) -> FaultT | None:
        """Return the fault of this kind that applies to the request, the youngest first, or None.

        A fault for one request wins over a fault for all; without a `request_id` only faults for all apply.
        With `when` only those apply for which it holds. Whoever asks misbehaves then: what is returned has
        fired.
        """
        if not self._active:
            return None
        with self._lock:
            met = self._met(kind, request_id, when)
            if met is None:
                return None
            met.fired += 1
            if request_id is not None and request_id not in met.fired_for:
                met.fired_for.append(request_id)
        found = met.fault
        assert isinstance(found, kind)
        return found

    def in_force(self, kind: type[Fault]) -> bool:
        """Return whether a fault of this kind for all requests is active; it has fired, once, by being there.

        For what nobody sees anybody meet, such as a port that refuses connections.
        """
        if not self._active:
            return False
        with self._lock:
            found = [
                each for each in self._active if each.request_id is None and isinstance(each.fault, kind)
            ]
            for each in found:
                each.fired = each.fired or 1
        return bool(found)

    def _met(
        self, kind: type[FaultT], request_id: str | None, when: Callable[[FaultT], bool] | None
    ) -> InjectedFault | None:
        general: InjectedFault | None = None
        for entry in reversed(self._active):
            if entry.is_spent or not isinstance(entry.fault, kind) or (when and not when(entry.fault)):
                continue
            if entry.request_id is None:
                general = general or entry
            elif entry.request_id == request_id:
                return entry
        return general

    @contextmanager
    def watched(self, watcher: Callable[[], None]) -> Iterator[None]:
        """Call `watcher` whenever a fault came or went, inside the block."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def _tell_watchers(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    def residue(self) -> tuple[InjectedFault, ...]:
        """Return what is still injected; empty in the steady state."""
        return tuple(self._active)

    def history(self) -> tuple[InjectedFault, ...]:
        """Return everything that was ever injected, and what became of it, oldest first."""
        return tuple(self._history)
