"""Decides when a sign-off may be written, and what the run's exit code is if it may not."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_l402.plugin.keys import RUN, SELECTION
from pytest_l402.plugin.ledger import Ledger, last_lines
from pytest_l402.plugin.narrowing import asks_for_rehearsals, narrowed_by_options
from pytest_l402.plugin.origin import commit_of
from pytest_l402.plugin.outlets import attach_to_json_report, say, say_unwritten
from pytest_l402.plugin.preparation import prepare
from pytest_l402.plugin.publishing import publish_artifacts
from pytest_l402.plugin.selection import Selection

if TYPE_CHECKING:
    from pytest_l402.signoff.document import SignOffDocument


@dataclass
class _Mishaps:
    """What went wrong with the run itself. What is told several times is kept once, by its key."""

    collect_errors: dict[str, str] = field(default_factory=dict)
    worker_crashes: dict[str, str] = field(default_factory=dict)
    internal_errors: list[str] = field(default_factory=list)
    interrupted: bool = False


class Controller:
    """Watches the whole run from the process that owns it; exists on no xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run = config.stash[RUN]
        self._ledger = Ledger()
        self._mishaps = _Mishaps()
        self._started_at_ms = _now_ms()
        self._document: SignOffDocument | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Move the previous sign-off out of the way once it is certain that this run replaces it."""
        if self._wants_everything():
            prepare(self._config)
            self._move_previous_aside()

    def pytest_collection_finish(self) -> None:
        """Do the same for a run whose rehearsals only collection has shown."""
        selection = self._config.stash.get(SELECTION, None)
        if selection is not None and not selection.narrowed_by:
            self._move_previous_aside()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be collected."""
        if report.failed:
            self._mishaps.collect_errors[report.nodeid] = report.longreprtext

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep every report of a rehearsal."""
        self._ledger.add(report)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Keep what broke in pytest, in a plugin, or in a worker."""
        self._mishaps.internal_errors.append(str(excrepr))

    def pytest_keyboard_interrupt(self) -> None:
        """Note Ctrl-C and `pytest.exit`."""
        self._mishaps.interrupted = True

    def worker_down(self, worker: str, error: object | None, wire: dict[str, Any] | None) -> None:
        """Take in what an xdist worker left; told twice about one crash, count it once.

        Raises `pytest.UsageError` if that is what ended the worker's collection.
        """
        if error is not None:
            self._mishaps.worker_crashes.setdefault(worker, f"{worker}: {last_lines([error])[0]}")
        if wire is None:
            return
        if "usage_error" in wire:
            raise pytest.UsageError(wire["usage_error"])
        if "selection" in wire:
            self._config.stash[SELECTION] = Selection.from_wire(wire["selection"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_json_modifyreport(self, json_report: dict[str, Any]) -> None:
        """Attach the verdict to the file of pytest-json-report."""
        if self._document is not None:
            attach_to_json_report(json_report, self._document, self._run)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Judge before every other end of session, and again after it, when the exit status is final."""
        own = int(session.exitstatus)
        if not self._concerns_rehearsals(own):
            return (yield)
        self._document = self._judge(own)
        vetoed = _veto(session, self._document)
        try:
            return (yield)
        except pytest.exit.Exception as stop:
            self._mishaps.interrupted = True
            # Left at 0 it would overwrite the exit status of a refused run.
            stop.returncode = stop.returncode or None
            raise
        except BaseException as error:
            self._mishaps.internal_errors.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            final = int(session.exitstatus)
            self._conclude(session, own if vetoed and final == pytest.ExitCode.TESTS_FAILED else final)

    def _wants_everything(self) -> bool:
        catalogue = self._run.settings.catalogue
        asked = asks_for_rehearsals(self._config) and catalogue.is_file()
        return asked and not narrowed_by_options(self._config, catalogue)

    def _move_previous_aside(self) -> None:
        from pytest_l402.signoff import move_aside

        try:
            move_aside(self._run.settings.signoff_dir, keep=self._run.run_id)
        except OSError as error:
            raise pytest.UsageError(
                f"{self._run.settings.signoff_dir}: cannot be written to: {error}"
            ) from error

    def _concerns_rehearsals(self, exit_status: int) -> bool:
        """Whether there is anything to say about rehearsals; if not, nothing is said or written."""
        if exit_status == pytest.ExitCode.USAGE_ERROR:
            return False
        if self._selection().selected or self._wants_everything():
            return True
        # Without items: a module beside the catalogue that cannot be imported would hide its rehearsals.
        catalogue = self._run.settings.catalogue
        if not catalogue.is_file() or self._config.getoption("markexpr", "") or self._narrowed_by_options():
            return False
        places = (
            self._config.rootpath / nodeid.partition("::")[0] for nodeid in self._mishaps.collect_errors
        )
        return any(catalogue.parent in place.parents for place in places)

    def _narrowed_by_options(self) -> tuple[str, ...]:
        return narrowed_by_options(self._config, self._run.settings.catalogue)

    def _selection(self) -> Selection:
        """What was selected; what reported itself, if every worker died before it could say."""
        if SELECTION in self._config.stash:
            return self._config.stash[SELECTION]
        reported = self._ledger.rehearsals
        return Selection(reported, {}, self._narrowed_by_options() if reported else ())

    def _judge(self, exit_status: int) -> SignOffDocument:
        from pytest_l402 import __version__
        from pytest_l402.signoff import (
            RunFacts,
            SystemUnderRehearsal,
            build_document,
            find_evidence_faults,
            judge_run,
        )

        preparation = prepare(self._config)
        settings = self._run.settings
        selection = self._selection()
        nodes, faults = self._ledger.results(self._run.folder, selection.selected)
        facts = RunFacts(
            run_id=self._run.run_id,
            seed=str(settings.seed),
            mode=settings.mode,
            started_at_ms=self._started_at_ms,
            finished_at_ms=_now_ms(),
            exit_status=exit_status,
            teeth=settings.teeth,
            interrupted=self._mishaps.interrupted,
            narrowed_by=selection.narrowed_by,
            collected=selection.selected,
            deselected=selection.deselected,
            collect_errors=_named(self._mishaps.collect_errors),
            worker_crashes=tuple(self._mishaps.worker_crashes.values()),
            internal_errors=last_lines(self._mishaps.internal_errors),
            evidence_faults=(*faults, *find_evidence_faults(self._run.folder, nodes)),
        )
        sign_off = judge_run(
            catalogue=preparation.catalogue,
            families=preparation.families,
            nodes=nodes,
            facts=facts,
            waivers=preparation.waivers,
            today=preparation.today,
        )
        system = SystemUnderRehearsal(
            "pytest-l402 stand-in stack", __version__, commit_of(self._config.rootpath)
        )
        return build_document(sign_off, system=system)

    def _conclude(self, session: pytest.Session, exit_status: int) -> None:
        """Write the final word, say it, and see that the exit code agrees with it."""
        from pytest_l402.signoff import write_run
        from pytest_l402.signoff.manifest import ManifestError

        document = self._document = self._judge(exit_status)
        _veto(session, document)
        try:
            if document.kind != "drill":
                self._move_previous_aside()
            files = write_run(self._run.folder, document)
            publish_artifacts(self._run.folder, document, self._run.settings.artifact_dir)
        except (OSError, ManifestError, pytest.UsageError) as error:
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            say_unwritten(self._config, self._run, error)
            return
        say(self._config, document, files)


def _veto(session: pytest.Session, document: SignOffDocument) -> bool:
    """Fail a run that was to sign off and did not; leave a drill, and any failure of pytest's own, alone."""
    refused = document.kind == "refusal"
    if refused and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return True
    return False


def _named(errors: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{nodeid}: {last_lines([text])[0]}" for nodeid, text in errors.items())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
