"""Decides what a test can ask for: the stack, each of its parts, the clock, and the evidence they leave.

Every fixture can be overridden in a conftest.py, to put one's own part into the drills: it is then what the
rest of the stack talks to. `pytest_l402.stack.roles` says what each part must do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from pytest_l402.plugin.keys import COLLECTOR, MARK, RUN
from pytest_l402.plugin.run import Run
from pytest_l402.plugin.settings import MOCK

if TYPE_CHECKING:
    from pytest_l402.contract.payment import Wallet
    from pytest_l402.evidence import CheckResult
    from pytest_l402.ops.reconcile.summary import ReconcileSummary
    from pytest_l402.plugin.evidence_fixture import EvidenceCollector
    from pytest_l402.plugin.marker import RehearsalMark
    from pytest_l402.plugin.preparation import Preparation
    from pytest_l402.stack import FullFlowRun, Stack
    from pytest_l402.stack.roles import Clock, ControlPlane, Gateway, PlaysExecutor, SettlementStore

ROLES: Final = ("gateway", "control_plane", "settlement_store", "wallet", "executor")
"""The parts that a user may put into the stack; the fixture of each is called `l402_<role>`."""

Reconcile: TypeAlias = "Callable[[str], ReconcileSummary]"
"""Takes a request id, reconciles once, and returns how that ended."""


@pytest.fixture
def l402_evidence(request: pytest.FixtureRequest) -> EvidenceCollector:
    """Evidence of this test: `verify(*checks)`, `triage(request)`, `record(table, row)` and more.

    In a rehearsal it is written below `output/signoff/<run>/evidence/`, also when the test fails.
    """
    from pytest_l402.plugin.evidence_fixture import EvidenceCollector
    from pytest_l402.plugin.node import ARTIFACTS, case_of, node_folder
    from pytest_l402.plugin.preparation import prepare

    item: pytest.Item = request.node
    run: Run = item.config.stash[RUN]
    mark = item.stash.get(MARK, None)
    if mark is None:
        collector = EvidenceCollector(
            title=item.nodeid,
            seed=seed_of(run.settings.seed, "", item.nodeid),
            artifact_dir=request.getfixturevalue("tmp_path") / ARTIFACTS,
            teeth=run.settings.teeth,
        )
    else:
        preparation = prepare(item.config)
        collector = EvidenceCollector(
            title=f"rehearsal {mark.rehearsal} ({mark.runbook} section {mark.section})",
            seed=seed_of(run.settings.seed, mark.rehearsal, case_of(item)),
            artifact_dir=run.folder / node_folder(item, mark) / ARTIFACTS,
            teeth=run.settings.teeth,
            lines=preparation.lines(mark.runbook),
            waived=lambda result: _is_waived(result, mark, preparation),
        )
    item.stash[COLLECTOR] = collector
    return collector


@pytest.fixture
def l402_clock() -> Clock:
    """The clock of the stack; it moves only when told to. `l402_clock.frozen()` freezes the process."""
    from pytest_l402.stack import StackClock

    return StackClock()


@pytest.fixture
def l402_stack(
    request: pytest.FixtureRequest, l402_evidence: EvidenceCollector, l402_clock: Clock
) -> Iterator[Stack]:
    """The whole system under rehearsal, reachable from every httpx client of this process.

    Deterministic: the same `--l402-seed`, rehearsal and case give the same ids, keys and evidence.
    """
    from pytest_l402.plugin.node import RehearsalNodes
    from pytest_l402.stack import Stack

    if request.config.stash[RUN].settings.mode != MOCK:
        pytest.skip("rehearsed on the stand-in stack only (--l402-mode=mock): it needs faults, time or money")
    RehearsalNodes.watch(request.config)
    stack = Stack(l402_evidence.seed, clock=l402_clock, artifact_dir=l402_evidence.artifact_dir)
    with stack, stack.online():
        l402_evidence.attach(stack.tables, stack.steady_state)
        yield stack


@pytest.fixture
def l402_gateway(l402_stack: Stack) -> Gateway:
    """The gateway: answers 402 with a challenge, delivers when the credential proves the payment."""
    return l402_stack.gateway


@pytest.fixture
def l402_control_plane(l402_stack: Stack) -> ControlPlane:
    """The control plane: paywalls, security gate, tasks, presence."""
    return l402_stack.control_plane


@pytest.fixture
def l402_settlement_store(l402_stack: Stack) -> SettlementStore:
    """The settlement store: what was paid, each payment once; the oracle of the drills."""
    return l402_stack.settlement_store


@pytest.fixture
def l402_wallet(l402_stack: Stack) -> Wallet:
    """The buyer's wallet: pays the invoices of the stack, once for each payment hash."""
    return l402_stack.wallet


@pytest.fixture
def l402_executor(
    l402_stack: Stack,
    l402_gateway: Gateway,
    l402_control_plane: ControlPlane,
    l402_settlement_store: SettlementStore,
    l402_wallet: Wallet,
) -> PlaysExecutor:
    """The buyer: `buy("/premium")` asks, pays what the challenge quotes, asks again with the proof."""
    put_parts_in(
        l402_stack,
        {
            "l402_gateway": l402_gateway,
            "l402_control_plane": l402_control_plane,
            "l402_settlement_store": l402_settlement_store,
            "l402_wallet": l402_wallet,
        },
    )
    return l402_stack.executor


@pytest.fixture
def l402_full_flow(
    request: pytest.FixtureRequest,
    l402_stack: Stack,
    l402_executor: PlaysExecutor,
    l402_evidence: EvidenceCollector,
) -> Callable[[], FullFlowRun]:
    """Run the hosted full flow (runbook observability, section 1); its files become evidence.

    The summary is also left where the runbook redirects it to, `output/l402-hosted-full-flow-summary.json`.
    """
    settings = request.config.stash[RUN].settings

    def run() -> FullFlowRun:
        from pytest_l402.stack import run_full_flow

        put_parts_in(l402_stack, {"l402_executor": l402_executor})
        flow = run_full_flow(
            l402_stack,
            l402_evidence.artifact_dir,
            allow_missing_local_artifact=settings.allow_missing_local_artifact,
        )
        summary = flow.folder / "summary.json"
        if summary.is_file():
            copy = l402_evidence.artifact_dir / "l402-hosted-full-flow-summary.json"
            copy.write_bytes(summary.read_bytes())
        return flow

    return run


@pytest.fixture
def l402_reference_artifact(request: pytest.FixtureRequest, l402_evidence: EvidenceCollector) -> None:
    """Make the artifact of `--l402-local-artifact` evidence of this test (runbook observability, section 2).

    Without that option it is the artifact of one paid and one blocked purchase of this run. A file that is
    missing under `--l402-allow-missing-local-artifact` leaves the check without evidence: it shows as waived.
    """
    path = request.config.stash[RUN].settings.local_artifact
    if path is None:
        executor: PlaysExecutor = request.getfixturevalue("l402_executor")
        executor.buy("/premium")
        executor.buy("/premium-expensive")
    elif path.is_file():
        _add_local_artifact(l402_evidence, path)
    else:
        l402_evidence.record("reference_artifact", {"file": path.name, "state": "missing"})


def put_parts_in(stack: Stack, fixtures: Mapping[str, Any]) -> None:
    """Replace those parts of the stack for which a fixture gives something else."""
    own = {
        role: part
        for role in ROLES
        if (part := fixtures.get(f"l402_{role}")) is not None and part is not getattr(stack, role)
    }
    if own:
        stack.replace(**own)


def seed_of(seed: int, rehearsal: str, case: str) -> str:
    """Return the seed of one test, 64 hex digits: cases differ, and none depends on what else is run."""
    import hashlib

    return hashlib.sha256(f"{seed}/{rehearsal}/{case}".encode()).hexdigest()


def _add_local_artifact(evidence: EvidenceCollector, path: Path) -> None:
    from pytest_l402.boundary import InputError
    from pytest_l402.contract import DocumentError

    try:
        evidence.add_local_artifact(path)
        return
    except DocumentError as error:
        problem = f"{path}: {error}"
    except InputError as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)


def _is_waived(result: CheckResult, mark: RehearsalMark, preparation: Preparation) -> bool:
    from pytest_l402.signoff.waivers import covering_waiver

    waiver = covering_waiver(
        preparation.waivers,
        preparation.today,
        rehearsal=mark.rehearsal,
        runbook=mark.runbook,
        check=result.name,
        line=result.line,
    )
    return waiver is not None
