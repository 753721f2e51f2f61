"""Decides when a sign-off may be written, and what the run's exit code is if it may not."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_l402.plugin.hold import hold_folder
from pytest_l402.plugin.narrowing import asks_for_rehearsals
from pytest_l402.plugin.run import AFTERMATH, INNERMOST, NODES, RUN, WIRE_KEY, missing_parts
from pytest_l402.plugin.seen import Seen, told_in_the_end
from pytest_l402.plugin.selection import REHEARSAL_PROPERTY, SELECTION, USAGE_ERROR, Selection

if TYPE_CHECKING:
    from pytest_l402.signoff.judged import SignOff

_PHASES = ("setup", "call", "teardown")
_FIRST_WORKER: Final = "gw0"


class Controller:
    """Watches the whole run from the process that owns it; exists on no xdist worker.

    Everything that takes an import is put off until there is a rehearsal.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run = config.stash[RUN]
        # A child that a test forks and does not end comes to the end of the session too.
        self._pid = os.getpid()
        self._judged: SignOff | None = None
        self._seen = Seen(config)
        self._handled = sys.exception()
        self._concluded_with: int | None = None
        self._has_signed_off = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Move the previous sign-off out of the way once it is certain that this run replaces it."""
        if self._wants_everything():
            from pytest_l402.plugin.preparation import make_way, prepare

            prepare(self._config)
            make_way(self._config)
        if self._run.dist != "no" and self._run.settings.catalogue.is_file():
            # Its workers know what there is to rehearse; here nothing is collected.
            self._follow()

    def _follow(self) -> None:
        from pytest_l402.plugin.progress import follow

        follow(self._config)

    def pytest_collection_finish(self) -> None:
        """Do the same for a run whose rehearsals only collection has shown.

        Raises `pytest.UsageError` if a part of the plugin was taken out of the run.
        """
        missing = missing_parts(self._config)
        if missing is not None:
            raise pytest.UsageError(missing)
        _make_way(self._config)
        if SELECTION in self._config.stash:
            self._follow()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected."""
        if report.failed:
            self._seen.collect_errors[report.nodeid] = report.longreprtext

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep every report of a rehearsal, and of a test whose worker died before it could say more."""
        named = any(name == REHEARSAL_PROPERTY for name, _ in report.user_properties)
        if named or report.when not in _PHASES:
            self._seen.ledger.add(report)
        if named and self._run.folder.is_dir():
            # Its workers are gone before the verdict is reached.
            hold_folder(self._config)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Keep what broke in pytest, in a plugin, or in a worker."""
        self._seen.internal_errors.append(str(excrepr))

    def pytest_keyboard_interrupt(self) -> None:
        """Note Ctrl-C and `pytest.exit`."""
        self._seen.interrupted = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a new xdist worker the run's id and settings."""
        node.workerinput[WIRE_KEY] = self._run.to_wire()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        """Take what an xdist worker left behind; of a crash, which is told twice, take one.

        Raises `pytest.UsageError` if that is what ended the worker's collection.
        """
        if error is not None:
            self._seen.worker_crashes.setdefault(node.gateway.id, str(error))
        wire = (getattr(node, "workeroutput", None) or {}).get(WIRE_KEY, {})
        if "usage_error" in wire:
            raise pytest.UsageError(wire["usage_error"])
        self._seen.take_late(wire.get("late", {}))
        if "selection" in wire:
            selected, deselected, narrowed_by = wire["selection"]
            self._config.stash[SELECTION] = Selection(selected, deselected, tuple(narrowed_by))

    @pytest.hookimpl(optionalhook=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """Attach the verdict to the file of pytest-json-report."""
        if self._judged is not None:
            from pytest_l402.plugin.outlets import attach_to_json_report

            attach_to_json_report(json_report, self._judged, self._run)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Judge before every other end of session, and again after it, when the exit status is final."""
        own = int(session.exitstatus)
        if os.getpid() != self._pid or not self._concerns_rehearsals(own):
            return (yield)
        from pytest_l402.plugin.conclusion import judge, veto
        from pytest_l402.plugin.outlets import attach_to_junit

        self._judged = judge(self._config, self._seen, own)
        attach_to_junit(self._config, self._judged, self._run)
        vetoed = veto(session, self._judged.verdict)
        try:
            return (yield)
        except pytest.exit.Exception as stop:
            self._seen.interrupted = True
            # Left at 0 it would overwrite the exit status of a refused run.
            stop.returncode = stop.returncode or None
            raise
        except BaseException as error:
            self._seen.internal_errors.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            final = int(session.exitstatus)
            # Another plugin may set it back to 0: what failed before has failed all the same.
            ours = vetoed and final == pytest.ExitCode.TESTS_FAILED
            self._conclude(session, own if ours or final == pytest.ExitCode.OK else final)

    def look_last(self) -> None:
        """See that exit code, terminal and disk still say the same when nothing else is left to run.

        Whatever a hook or a cleanup has done since the conclusion, a sign-off that no longer stands is taken
        back, and a run that was refused does not exit with 0.
        """
        session: pytest.Session | None = self._config.pluginmanager.get_plugin("session")
        if session is None or os.getpid() != self._pid:
            return
        status = int(session.exitstatus)
        if self._concluded_with is None:
            self._fail_without_a_verdict(session, status)
        elif self._has_signed_off:
            error = sys.exception()
            if error is not None and error is not self._handled:
                self._seen.internal_errors.append(f"{type(error).__name__}: {error}")
            if self._seen.speaks_against_it() or status != pytest.ExitCode.OK:
                self._conclude(session, status)
        elif status == pytest.ExitCode.OK:
            session.exitstatus = self._concluded_with

    def status_of_a_refusal(self) -> int:
        """Return what a run that was not signed off exits with; 0 for every other one."""
        return 0 if self._has_signed_off or os.getpid() != self._pid else self._concluded_with or 0

    def _conclude(self, session: pytest.Session, exit_status: int) -> None:
        from pytest_l402.plugin.conclusion import conclude
        from pytest_l402.plugin.preparation import WATCHERS

        self._seen.listen_to_the_end()
        # Where workers ran the tests, the hooks around tests are theirs.
        around = (NODES, INNERMOST, AFTERMATH) if self._seen.ran_here else ()
        self._seen.doubt(missing_parts(self._config, *around, *WATCHERS))
        if self._config.stash[RUN] is not self._run:
            self._seen.doubt("expected the settings that the run began with, saw others in their place")
        conclude(session, self._seen, exit_status)
        self._concluded_with, self._has_signed_off = int(session.exitstatus), self._seen.is_signed_off

    def _fail_without_a_verdict(self, session: pytest.Session, status: int) -> None:
        if status == pytest.ExitCode.OK and self._concerns_rehearsals(status):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            missing = missing_parts(self._config) or "no verdict was reached"
            sys.stderr.write(f"l402 sign-off: nothing was written: {missing}\n")

    def _wants_everything(self) -> bool:
        asked = asks_for_rehearsals(self._config) and self._run.settings.catalogue.is_file()
        return asked and not self._seen.narrowed_by_options()

    def _concerns_rehearsals(self, exit_status: int) -> bool:
        """Whether there is anything to say about rehearsals; if not, nothing is said or written."""
        if exit_status == pytest.ExitCode.USAGE_ERROR:
            return False
        if self._seen.selection.selected or self._wants_everything():
            return True
        return bool(self._seen.collect_errors) and self._rehearsals_may_be_hidden()

    def _rehearsals_may_be_hidden(self) -> bool:
        """Whether a module beside the catalogue could not be imported, in a run that leaves nothing out."""
        catalogue = self._run.settings.catalogue
        if (
            not catalogue.is_file()
            or self._config.getoption("markexpr", "")
            or self._seen.narrowed_by_options()
        ):
            return False
        files = {nodeid.partition("::")[0] for nodeid in self._seen.collect_errors}
        return any(catalogue.parent in (self._config.rootpath / file).parents for file in files)


class Worker:
    """Takes part in a run whose verdict another process reaches."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_collection_finish(self) -> None:
        """Move the previous sign-off aside, on one worker: xdist runs no test before all have collected."""
        if self._config.stash[RUN].worker == _FIRST_WORKER:
            _make_way(self._config)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Put the selection, or the usage error that stopped it, where xdist sends it on."""
        wire: dict[str, Any] = {"late": told_in_the_end(self._config)}
        if USAGE_ERROR in self._config.stash:
            wire["usage_error"] = self._config.stash[USAGE_ERROR]
        elif SELECTION in self._config.stash:
            wire["selection"] = (*self._config.stash[SELECTION],)
        output: dict[str, Any] = getattr(self._config, "workeroutput", {})
        output[WIRE_KEY] = wire


def _make_way(config: pytest.Config) -> None:
    selection = config.stash.get(SELECTION, None)
    if selection is not None and not selection.narrowed_by:
        from pytest_l402.plugin.preparation import make_way

        make_way(config)
