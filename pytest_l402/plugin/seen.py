"""What the process that owns a run has seen of it so far, from which the run is judged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pytest_l402.plugin.narrowing import narrowed_by_options
from pytest_l402.plugin.run import RUN
from pytest_l402.plugin.selection import SELECTION, Selection

if TYPE_CHECKING:
    from pytest_l402.plugin.ledger import Ledger


class Seen:
    """Kept by the controller; what is told several times is kept once, by its key. Times are epoch ms."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._ledger: Ledger | None = None
        self.started_at_ms = time.time_ns() // 1_000_000
        self.collect_errors: dict[str, str] = {}
        self.worker_crashes: dict[str, str] = {}
        self.internal_errors: list[str] = []
        self.interrupted = False

    @property
    def ledger(self) -> Ledger:
        """The reports of the rehearsals."""
        if self._ledger is None:
            from pytest_l402.plugin.ledger import Ledger

            self._ledger = Ledger()
        return self._ledger

    @property
    def selection(self) -> Selection:
        """What was selected; what reported itself, if every worker died before it could say."""
        if SELECTION in self._config.stash:
            return self._config.stash[SELECTION]
        reported = {} if self._ledger is None else self._ledger.rehearsals
        return Selection(reported, {}, self.narrowed_by_options() if reported else ())

    def narrowed_by_options(self) -> tuple[str, ...]:
        """Return the parts of the command line that leave tests out."""
        return narrowed_by_options(self._config, self._config.stash[RUN].settings.catalogue)
