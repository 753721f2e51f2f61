"""Decides how a rehearsal reaches a deployed system, and what runs on it and on the stack alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import pytest

from pytest_l402.plugin.fixtures import Reconcile
from pytest_l402.plugin.keys import RUN
from pytest_l402.plugin.run import Run
from pytest_l402.plugin.settings import LIVE

if TYPE_CHECKING:
    from pytest_l402.live import LiveSystem
    from pytest_l402.ops.reconcile.summary import ReconcileSummary
    from pytest_l402.plugin.evidence_fixture import EvidenceCollector
    from pytest_l402.stack import Stack

P = ParamSpec("P")
T = TypeVar("T")

WAIT_S: Final = 120.0
"""How long a rehearsal waits for another one, in another process, that changes the same system."""


@pytest.fixture
def l402_live(request: pytest.FixtureRequest, l402_evidence: EvidenceCollector) -> Iterator[LiveSystem]:
    """The deployed system that the `OA_LIGHTNING_OPS_*` variables name (`--l402-mode=live`), else a skip.

    Read-only without `--l402-allow-live-changes`. What a rehearsal changes is undone after it, also when it
    is interrupted; what one that was killed left behind is undone first.
    """
    run: Run = request.config.stash[RUN]
    if run.settings.mode != LIVE:
        pytest.skip("rehearsed on a deployed system only (--l402-mode=live)")
    from pytest_l402.live import STATE_FOLDER, open_live_system
    from pytest_l402.plugin.node import RehearsalNodes

    RehearsalNodes.watch(request.config)
    system = open_live_system(
        os.environ,
        folder=run.settings.artifact_dir / STATE_FOLDER,
        allow_changes=run.settings.allow_live_changes,
        announce=lambda text: _announce(request.config, text),
        wait_s=WAIT_S,
    )
    try:
        with system:
            l402_evidence.attach(system.tables)
            yield system
    except _troubles() as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def l402_reconcile(request: pytest.FixtureRequest, l402_evidence: EvidenceCollector) -> Reconcile:
    """Reconcile the gateway with the control plane (runbook staging-reconcile); the summary becomes evidence.

    On a deployed system this needs `--l402-allow-live-changes`, and what ran before runs again after the
    test. There the request id gets the run's own id behind it, since histories outlive runs: the summary
    tells it.
    """
    run: Run = request.config.stash[RUN]
    if run.settings.mode == LIVE and not run.settings.allow_live_changes:
        pytest.skip("changes the deployed system: not rehearsed without --l402-allow-live-changes")
    reconcile: Callable[[str], ReconcileSummary]
    if run.settings.mode == LIVE:
        live: LiveSystem = request.getfixturevalue("l402_live")

        def reconcile(request_id: str) -> ReconcileSummary:
            return live.reconcile(f"{request_id}:{run.run_id}", keep=False)

    else:
        stack: Stack = request.getfixturevalue("l402_stack")

        def reconcile(request_id: str) -> ReconcileSummary:
            return stack.reconciler().reconcile(request_id)

    def run_and_record(request_id: str) -> ReconcileSummary:
        summary = _without_traceback(reconcile, request_id)
        l402_evidence.record("reconcile_summary", summary.to_row())
        return summary

    return run_and_record


@pytest.fixture
def l402_inspect(request: pytest.FixtureRequest, l402_evidence: EvidenceCollector) -> Reconcile:
    """Compare what runs with what the control plane says, and probe it, without changing anything.

    The result becomes evidence, table `inspection`. The stack is reconciled first, so that something runs.
    """
    run: Run = request.config.stash[RUN]
    look: Callable[[str], ReconcileSummary]
    if run.settings.mode == LIVE:
        look = request.getfixturevalue("l402_live").inspect
    else:
        stack: Stack = request.getfixturevalue("l402_stack")

        def look(request_id: str) -> ReconcileSummary:
            stack.reconciler().reconcile(f"{request_id}:deployed")
            return stack.ops.inspect(request_id)

    def look_and_record(request_id: str) -> ReconcileSummary:
        summary = _without_traceback(look, request_id)
        l402_evidence.record("inspection", {**summary.to_row(), "ok": summary.ok})
        return summary

    return look_and_record


@pytest.fixture
def l402_probed_price_msats(request: pytest.FixtureRequest) -> int:
    """What the control plane wants for the resource that is probed, in msats."""
    run: Run = request.config.stash[RUN]
    if run.settings.mode != LIVE:
        stack: Stack = request.getfixturevalue("l402_stack")
        return stack.paywalls[0].price_msats
    live: LiveSystem = request.getfixturevalue("l402_live")
    price_msats = _without_traceback(live.probed_price_msats)
    if price_msats is None:
        pytest.fail("the control plane sells nothing: there is no price to be asked", pytrace=False)
    return price_msats


def _without_traceback(procedure: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Let trouble with a deployed system fail the test with its one line."""
    if "pytest_l402.live" not in sys.modules:
        return procedure(*arguments, **named)
    try:
        return procedure(*arguments, **named)
    except _troubles() as error:
        pytest.fail(str(error), pytrace=False)


def _troubles() -> tuple[type[Exception], ...]:
    """What a deployed system, its environment, or the notes and history of it can raise; each is one line."""
    from pytest_l402.boundary import InputError
    from pytest_l402.live import EnvironmentVariableError, LiveError
    from pytest_l402.ops.reconcile.ledger import LedgerError

    return LiveError, EnvironmentVariableError, InputError, LedgerError


def _announce(config: pytest.Config, text: str) -> None:
    """Say it on the terminal now: a change is announced before it is made, not in a report about it."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with nullcontext() if capture is None else capture.global_and_fixture_disabled():
        print(f"\npytest-l402: {text}", file=sys.stderr, flush=True)
