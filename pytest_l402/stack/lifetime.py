"""How long a credential is good that was just bought, and how that time is let pass, moved or waited for."""

from __future__ import annotations

from typing import Final

from pytest_l402.harness.clock import Clock
from pytest_l402.harness.deadline import Deadline
from pytest_l402.stack.roles import NotRunError

_LAST_MS: Final = 1_000
_LONGEST_WAIT_MS: Final = 60_000


class TooSlowError(NotRunError):
    """A credential may have expired before anybody could see whether it is still good."""


class Lifetime:
    """The life of what is bought from now on, `life_ms` long: first to its last second, then to its end.

    The stack's clock is moved. A gateway that `goes_by_itself` has the machine's, and rounds its seconds
    down: what it sold is asked for at once, and its end waited for.

    Raises:
        TooSlowError: nobody waits for that long.
    """

    def __init__(self, clock: Clock, life_ms: int, *, goes_by_itself: bool) -> None:
        if goes_by_itself and life_ms > _LONGEST_WAIT_MS:
            raise TooSlowError(
                f"not run: a program has its own clock, and what is sold ends after {life_ms // 1_000} s; "
                f"sell something for {_LONGEST_WAIT_MS // 1_000} s, or rehearse without --l402-gateway"
            )
        self._clock = clock
        self._life_ms = life_ms
        self._goes_by_itself = goes_by_itself
        self._sure_until = Deadline((life_ms - _LAST_MS) / 1_000)
        self._over_at = self._sure_until

    def to_its_last_second(self) -> None:
        """Let pass what can be, so that what was bought meanwhile is still good."""
        self._over_at = Deadline(self._life_ms / 1_000)
        if not self._goes_by_itself:
            self._clock.advance(self._life_ms - _LAST_MS)

    def to_its_end(self) -> None:
        """Let the rest pass: what was bought before the last second is good no more.

        Raises:
            TooSlowError: what was asked since the last second may have been asked after the end.
        """
        if not self._goes_by_itself:
            self._clock.advance(_LAST_MS)
            return
        if self._sure_until.over:
            late_ms = self._life_ms - _LAST_MS
            raise TooSlowError(
                f"not run: what is good for {late_ms} ms for sure was not asked for in that time; "
                "run it on a machine that has less to do"
            )
        self._clock.advance(self._life_ms)
        while not self._over_at.over:
            self._over_at.pause(self._over_at.remaining_s)
