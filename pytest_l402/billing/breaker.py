"""Decides when a dependency that keeps failing is left alone, and when it is tried again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Breaker"]


@dataclass
class Breaker:
    """Opens at so many failures within a window, and lets one probe through when it was open long enough.

    All times in milliseconds of whichever clock the caller reads.
    """

    failures: int
    window_ms: float
    open_ms: float
    _failed: deque[float] = field(default_factory=deque)
    _opened_ms: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing but a probe may be tried."""
        return self._opened_ms is not None

    def may_probe(self, now_ms: float) -> bool:
        """Whether it was open so long that one attempt may be made."""
        return self._opened_ms is not None and now_ms - self._opened_ms >= self.open_ms

    def failed(self, now_ms: float) -> bool:
        """Count a failure; return whether it opened the breaker, or kept it open."""
        self._failed.append(now_ms)
        while self._failed and now_ms - self._failed[0] >= self.window_ms:
            self._failed.popleft()
        if self._opened_ms is not None or len(self._failed) >= self.failures:
            self._opened_ms = now_ms
            return True
        return False

    def succeeded(self) -> bool:
        """Close it; return whether it was open."""
        was_open, self._opened_ms = self._opened_ms is not None, None
        self._failed.clear()
        return was_open

    def retry_after_ms(self, now_ms: float) -> float:
        """How long until a probe may be made; 0 when it is closed."""
        return 0.0 if self._opened_ms is None else max(self._opened_ms + self.open_ms - now_ms, 0.0)
