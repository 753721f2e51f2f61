"""What the process that owns a run has seen of it so far, from which the run is judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_l402.plugin import clock
from pytest_l402.plugin.narrowing import narrowed_by_options
from pytest_l402.plugin.run import AFTERMATH, RUN
from pytest_l402.plugin.selection import SELECTION, Selection

if TYPE_CHECKING:
    from pytest_l402.plugin.ledger import Ledger


class Seen:
    """Kept by the controller; what is told several times is kept once, by its key. Times are epoch ms."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._ledger: Ledger | None = None
        self.started_at_ms = clock.now_ms()
        self._steady_at_start_ms = clock.steady_ms()
        self.collect_errors: dict[str, str] = {}
        self.worker_crashes: dict[str, str] = {}
        self.internal_errors: list[str] = []
        self.interrupted = False
        self.late: dict[str, str] = {}
        self.distrust: list[str] = []

    @property
    def ledger(self) -> Ledger:
        """The reports of the rehearsals."""
        if self._ledger is None:
            from pytest_l402.plugin.ledger import Ledger

            self._ledger = Ledger()
        return self._ledger

    @property
    def ran_here(self) -> bool:
        """Whether this process ran rehearsals itself, and no worker did."""
        from pytest_l402.plugin import aftermath

        return aftermath.HEARD in self._config.stash

    def listen_to_the_end(self) -> None:
        """Take in what the rehearsals of this process have left behind them."""
        self.take_late(told_in_the_end(self._config))

    @property
    def is_signed_off(self) -> bool:
        """Whether the run has left a sign-off on the disk."""
        return (self._config.stash[RUN].folder / "signoff.json").is_file()

    def speaks_against_it(self) -> bool:
        """Whether anything came up beside which no sign-off can stand, now that nothing is left to run."""
        from pytest_l402.signoff.manifest import ManifestError, check_manifest

        self.listen_to_the_end()
        try:
            self.distrust += check_manifest(self._config.stash[RUN].folder)
        except ManifestError as error:
            self.doubt(str(error))
        return bool(self.late or self.distrust or self.internal_errors)

    def take_late(self, told: Mapping[str, str]) -> None:
        """Take in what came to light of rehearsals after their reports, by node id; the first of each."""
        for nodeid, text in told.items():
            self.late.setdefault(nodeid, text)

    def doubt(self, reason: str | None) -> None:
        """Note a reason not to believe the run at all, once."""
        if reason is not None and reason not in self.distrust:
            self.distrust.append(reason)

    def end(self) -> int:
        """Return the time, epoch ms, having held the machine's clock against one that nobody can set."""
        now = clock.now_ms()
        passed = clock.steady_ms() - self._steady_at_start_ms
        self.doubt(clock.contradiction(now - self.started_at_ms, passed))
        return now

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


def told_in_the_end(config: pytest.Config) -> dict[str, str]:
    """Return, by node id, what came to light of rehearsals after they had ended; empty where none ran."""
    if not config.pluginmanager.hasplugin(AFTERMATH):
        return {}
    from pytest_l402.plugin import aftermath

    listener = config.stash[aftermath.HEARD]
    listener.finish()
    return dict(listener.told)
