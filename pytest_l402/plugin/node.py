"""Decides what happens around a rehearsal: standing checks after the call, evidence kept at teardown."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.plugin.aftermath import HEARD, Aftermath
from pytest_l402.plugin.marker import MARK
from pytest_l402.plugin.parts import OwnParts
from pytest_l402.plugin.preparation import WATCHERS
from pytest_l402.plugin.run import AFTERMATH, INNERMOST, NODES, RUN, Run, missing_parts
from pytest_l402.plugin.settings import LIVE
from pytest_l402.plugin.witness import InnermostHooks, four_parts, swallowed, watched

if TYPE_CHECKING:
    from pytest_l402.plugin.evidence_fixture import EvidenceCollector
    from pytest_l402.plugin.marker import RehearsalMark

RESULT_PROPERTY: Final = "l402_result"
"""The report property that names the node's result file, below the run folder, and its SHA-256."""

RAISED_PROPERTY: Final = "l402_raised"
"""The report property that names a setup or a teardown that raised: anybody can rewrite an outcome."""


@dataclass
class Attempts:
    """What was seen of an item while it ran: other plugins may repeat it, or rewrite its reports."""

    setups: int = 0
    calls: int = 0
    repeats: int = 0
    passed: bool = False
    failure: str | None = None


ATTEMPTS: Final[pytest.StashKey[Attempts]] = pytest.StashKey()
"""On an item: how often it was run, and how the last attempt ended, whatever is reported of it."""

COLLECTOR: Final[pytest.StashKey[EvidenceCollector]] = pytest.StashKey()
"""On an item: the evidence of the attempt that is running."""


class RehearsalNodes:
    """The hooks around each item that carries a rehearsal mark or gathers evidence; others pass through."""

    @classmethod
    def watch(cls, config: pytest.Config) -> None:
        """Take part in the run from now on: a run that has neither is not to pay for these hooks."""
        if not config.pluginmanager.hasplugin(NODES):
            config.pluginmanager.register(cls(), NODES)
            config.pluginmanager.register(InnermostHooks(), INNERMOST)
            Aftermath.watch(config)
            OwnParts.watch(config)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Forget an earlier attempt of the same item, and let no unhandled exception pass as a warning."""
        if MARK in item.stash:
            if COLLECTOR in item.stash:
                del item.stash[COLLECTOR]
            _attempts(item).setups += 1
            of_an_attempt = (RESULT_PROPERTY, RAISED_PROPERTY)
            item.user_properties[:] = [
                entry for entry in item.user_properties if entry[0] not in of_an_attempt
            ]
            _unhandled_exceptions_are_errors()
            _fail_if(missing_parts(item.config, INNERMOST, AFTERMATH, *WATCHERS))
        with _kept_in_mind(item, "setup"):
            result = yield
            if MARK in item.stash:
                _fail_if(swallowed(item, "setup"))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Run the test, then judge everything that it recorded."""
        mark = item.stash.get(MARK, None)
        if mark is None:
            return (yield)
        attempts = _attempts(item)
        attempts.calls += 1
        attempts.passed, attempts.failure = False, None
        failure: BaseException | None = None
        result = None
        with watched(item) as witness:
            try:
                result = yield
            except (Exception, pytest.fail.Exception) as error:
                failure = error
        if witness is not None:
            attempts.repeats = max(attempts.repeats, witness.calls - 1)
            failure = failure or witness.objection(item)
        failure = failure or item.config.stash[HEARD].objection(item)
        if failure is not None:
            attempts.failure = str(failure) or type(failure).__name__
        # The test itself may have asked for it.
        collector = item.stash.get(COLLECTOR, None)
        if collector is None or not collector.checks:
            _raise(failure)
            pytest.fail(_nothing_verified(item, mark), pytrace=False)
        # Caught by the test, a refusal is one still: it is what the checks said.
        failure = failure or collector.refusal
        anew = failure is None or collector.told
        standing = _judge_standing(collector, failure)
        if failure is collector.refusal and (standing or collector.told):
            # What the checks of the test said is told with what the standing ones say: it may be one cause.
            told = standing or collector.tell_again()
            pytest.fail(told if anew else f"{failure}\n\n{told}", pytrace=False)
        _raise(failure)
        if item.config.stash[RUN].settings.mode == LIVE and not collector.has_systems:
            pytest.skip("touches nothing that is deployed: what it shows is no news of that system")
        attempts.passed = True
        return result

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say what raised, innermost of all hooks; let a waived rehearsal fail as expected."""
        report = yield
        if MARK in item.stash or COLLECTOR in item.stash:
            _say_first_what_failed(report)
        if report.failed and MARK in item.stash:
            _expect_waived_failure(report, item)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Write the evidence while the system still stands, whatever became of the test."""
        mark = item.stash.get(MARK, None)
        if mark is None:
            return (yield)
        problem = ""
        try:
            item.user_properties.append((RESULT_PROPERTY, keep_evidence(item, mark)))
        except (
            Exception
        ) as error:  # a fixture's teardown must run even when its system can no longer be asked
            problem = f"{item.nodeid}: the evidence could not be kept: {type(error).__name__}: {error}"
        try:
            with _kept_in_mind(item, "teardown"):
                result = yield
                _fail_if(problem or swallowed(item, "teardown"))
        finally:
            # Whatever pytest goes through at the end of a run, it is not to be the rows of every test.
            if COLLECTOR in item.stash:
                del item.stash[COLLECTOR]
        return result


def node_folder(item: pytest.Item, mark: RehearsalMark) -> Path:
    """Return where one rehearsal test keeps its evidence, below the run folder."""
    from pytest_l402.boundary import folder_name, plain_folder_name

    case = case_of(item)
    name = plain_folder_name(case)
    if folder_name(case) != case:
        # Two cases may differ only in what a folder name cannot hold, or a file system does not tell apart.
        name = f"{name}-{hashlib.sha256(case.encode()).hexdigest()[:8]}"
    return Path("evidence") / folder_name(mark.rehearsal) / name


def case_of(item: pytest.Item) -> str:
    """Return what tells this test apart from the others of its module, e.g. `test_reuse[expired]`."""
    return item.nodeid.partition("::")[2] or item.name


def keep_evidence(item: pytest.Item, mark: RehearsalMark) -> str:
    """Write the item's evidence and what was said of it; return what the result property is to hold."""
    from pytest_l402.boundary import write_whole
    from pytest_l402.evidence.kept import keep
    from pytest_l402.evidence.tables import Evidence
    from pytest_l402.evidence.told_forms import told_forms
    from pytest_l402.signoff.manifest import contents, file_digest, is_text
    from pytest_l402.signoff.results import RESULT_FILE, NodeResult, NotedShortfall, RecordedFile

    run: Run = item.config.stash[RUN]
    relative = node_folder(item, mark)
    folder = run.folder / relative
    collector = item.stash.get(COLLECTOR, None)
    if collector is not None:
        collector.withhold_artifacts()
    evidence = Evidence() if collector is None else collector.final()
    kept, moments = keep(evidence, {} if collector is None else collector.moments, folder)
    digests = {file.path: (file.sha256, file.bytes, file.rows) for file in kept}
    # A name that is no text cannot stand in a document: the run is refused for it (`find_evidence_faults`).
    files = [folder / name for name in contents(folder).files if name != RESULT_FILE and is_text(name)]
    attempts = _attempts(item)
    result = NodeResult(
        nodeid=item.nodeid,
        rehearsal=mark.rehearsal,
        case=case_of(item),
        phases={"call": "passed"} if attempts.passed else {},
        reran=max(attempts.setups - 1, attempts.calls - 1, attempts.repeats, 0),
        # What it names of this run alone would make the bytes of each run others.
        failure=attempts.failure and attempts.failure.replace(run.folder.name, "<run>"),
        checks=() if collector is None else collector.checks,
        standing=() if collector is None else collector.standing,
        systems=() if collector is None else collector.described_systems(),
        request_ids=() if collector is None else collector.request_ids(evidence),
        shortfalls=tuple(NotedShortfall.from_row(row) for row in evidence.table("shortfalls")),
        evidence_files=tuple(
            RecordedFile(path.relative_to(run.folder).as_posix(), *(digests.get(path) or file_digest(path)))
            for path in files
        ),
        folder=relative.as_posix(),
        moments=moments,
        own_rows={} if collector is None else collector.own_rows,
        causes=() if collector is None else collector.causes,
        expected_faults={} if collector is None else collector.expected_faults,
        terms=_terms(item, mark),
        declared=None if collector is None else told_forms(evidence.declared),
    )
    content = result.to_json().encode() + b"\n"
    write_whole(folder / RESULT_FILE, content)
    return f"{(relative / RESULT_FILE).as_posix()} sha256:{hashlib.sha256(content).hexdigest()}"


def _terms(item: pytest.Item, mark: RehearsalMark) -> dict[str, str]:
    from pytest_l402.plugin.preparation import prepare
    from pytest_l402.signoff.results import terms_of

    run, catalogue = item.config.stash[RUN], prepare(item.config).catalogue
    entry = catalogue.rehearsal(mark.rehearsal)
    told = () if entry is None else (catalogue.line(entry.runbook, line) for line in entry.proves)
    return terms_of(
        mode=run.settings.mode,
        seed=str(run.settings.seed),
        catalogue=catalogue.sha256,
        title="" if entry is None else entry.title,
        lines=(line for line in told if line is not None),
    )


def _attempts(item: pytest.Item) -> Attempts:
    return item.stash.setdefault(ATTEMPTS, Attempts())


def _judge_standing(collector: EvidenceCollector, failure: BaseException | None) -> str:
    """Return what the standing checks find wrong; if they cannot run, a failure of the test comes first."""
    from pytest_l402.evidence import EvidenceError
    from pytest_l402.evidence.system import UnusableSystemError

    try:
        return collector.describe(collector.judge_standing())
    except (UnusableSystemError, EvidenceError) as error:
        return str(error)
    except Exception as error:
        if failure is None:
            raise
        failure.add_note(f"l402: the standing checks could not be run: {type(error).__name__}: {error}")
        return ""


def _say_first_what_failed(report: pytest.TestReport) -> None:
    # pytest's short summary has few columns for the message, and says before it that the test FAILED.
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = crash.message.removeprefix("Failed: ")


def _expect_waived_failure(report: pytest.TestReport, item: pytest.Item) -> None:
    """Make the failure an expected one if a waiver covers the whole rehearsal; the sign-off tells of both."""
    from pytest_l402.plugin.preparation import prepare

    waiver = prepare(item.config).waiver_of(item.stash[MARK])
    if waiver is not None:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = report.longreprtext if crash is None else crash.message
        first = next((line.strip() for line in message.splitlines() if line.strip()), "no message")
        report.outcome = "skipped"
        report.wasxfail = f"waived by {waiver.owner} until {waiver.until}; in {report.when}: {first}"


@contextmanager
def _kept_in_mind(item: pytest.Item, phase: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if MARK in item.stash:
            item.user_properties.append((RAISED_PROPERTY, phase))
        raise


def _fail_if(problem: str | None) -> None:
    if problem:
        pytest.fail(problem, pytrace=False)


def _raise(failure: BaseException | None) -> None:
    if failure is not None:
        raise failure


def _nothing_verified(item: pytest.Item, mark: RehearsalMark) -> str:
    return four_parts(
        f"rehearsal {mark.rehearsal} proves nothing",
        f"at least one check ({mark.runbook} section {mark.section})",
        "the test passed without l402_evidence.verify(...)",
        item.nodeid,
        'ask for l402_evidence and verify one check for each "Verify" line',
    )


def _unhandled_exceptions_are_errors() -> None:
    # Inside the context that pytest's warnings plugin holds open for this item, so they end with it; in front
    # of every filter of the project, because an exception in a thread is never only a warning here.
    warnings.filterwarnings("error", category=pytest.PytestUnhandledThreadExceptionWarning)
    warnings.filterwarnings("error", category=pytest.PytestUnraisableExceptionWarning)
