"""Which drill shows each fault: of the payment platform, of durable workflows, of a billing service."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Final

from pytest_l402.commands.bad_input import BadInput, shown
from pytest_l402.commands.member_docs import member_docs

_FULL_FLOW: Final = "observability/test_1_hosted_success.py::test_full_flow"
_STACK: Final[Mapping[str, str]] = {
    "ActiveLookupFailure": _FULL_FLOW,
    "AnswerLost": _FULL_FLOW,
    "AnswerSlow": _FULL_FLOW,
    "ChallengeAltered": _FULL_FLOW,
    "ChallengeFailure": _FULL_FLOW,
    "ChallengeKept": _FULL_FLOW,
    "CredentialRefused": _FULL_FLOW,
    "DeployFailure": _FULL_FLOW,
    "DeployedChallengeWrong": _FULL_FLOW,
    "DeployedUnhealthy": _FULL_FLOW,
    "DeployedUpstreamUnreachable": _FULL_FLOW,
    "ExecutorStops": _FULL_FLOW,
    "GatewayDown": _FULL_FLOW,
    "HeartbeatStopped": "observability/test_6_executor_offline.py::test_heartbeat_stale",
    "NodeDegraded": _FULL_FLOW,
    "PaymentFailure": _FULL_FLOW,
    "PaymentLate": _FULL_FLOW,
    "PaymentPending": _FULL_FLOW,
    "PaymentSlow": "observability/test_3_cache_reuse.py::test_expired_credential_is_not_reused",
    "PaywallNotCompilable": _FULL_FLOW,
    "PreimageLate": _FULL_FLOW,
    "PreimageMissing": _FULL_FLOW,
    "ProjectionProofMismatch": _FULL_FLOW,
    "ProjectionStale": _FULL_FLOW,
    "RollbackFailure": "staging_reconcile/test_2_reconcile_failures.py::test_rolls_back[apply-refused]",
    "SettlementDelayed": _FULL_FLOW,
    "SettlementLost": _FULL_FLOW,
    "SettlementProofMismatch": _FULL_FLOW,
    "UpstreamDown": _FULL_FLOW,
    "UpstreamFailure": _FULL_FLOW,
    "WalletLocked": _FULL_FLOW,
}

ENDURED: Final = frozenset({"AnswerSlow", "NodeDegraded"})
"""Faults under which a purchase must succeed all the same: their drill stays green."""

_KILLED: Final = "durable_workflow/test_02_kill_restart.py::test_killed_in"
_FORKED: Final = "durable_workflow/test_06_fork_after_fix.py::test_forked_after_it_has_paid"
_RESUMED: Final = "durable_workflow/test_04_cancel_resume.py::test_resumed_when_idle"
_ENGINE: Final[Mapping[str, str]] = {
    "no-checkpoint": f"{_KILLED}[after-checkpoint]",
    "effect-repeated": f"{_KILLED}[after-effect]",
    "sleep-from-zero": "durable_workflow/test_07_durable_sleep.py::test_killed_while_it_sleeps"
    "[restarted-after-its-end]",
    "fork-pays": _FORKED,
    "key-on-workflow-id": _FORKED,
    "cancel-does-not-stop": _RESUMED,
    "resume-starts-over": _RESUMED,
    "resume-of-running": "durable_workflow/test_05_double_resume.py::test_a_running_run_is_not_resumed",
    "accepts-drift": "durable_workflow/test_01_golden_path.py::test_start_approve_verify",
    "audit-outside": "durable_workflow/test_04_cancel_resume.py::test_killed_before_the_commit",
    "rows-on-400": "durable_workflow/test_03_zero_write.py::test_refused_starts",
    "spans-without-attempt": "durable_workflow/test_08_otlp_audit.py::test_a_flaky_step_and_a_kill",
    "reply-twice": "durable_workflow/test_11_consume_once.py::test_eight_starts_and_eight_replies",
    "other-journal": "durable_workflow/test_14_final_sign_off.py::test_a_step_without_output",
    "kill-spares": f"{_KILLED}[after-effect]",
}
_FROZEN: Final = "billing/test_01_treasury.py::test_frozen"
_ROTATED: Final = "billing/test_01_treasury.py::test_rotated"
_OVERFLOW: Final = "billing/test_02_dead_letters.py::test_overflow"
_SYNTAX: Final = "billing/test_03_guard.py::test_syntax_error"
_CRASHES: Final = "billing/test_05_cache.py::test_crashes"
_BILLING: Final[Mapping[str, str]] = {
    "flags-not-mounted": _FROZEN,
    "flag-without-consumer": "billing/test_04_gates.py::test_rolled_back",
    "quote-outlives-ttl": _ROTATED,
    "treasury-from-other-name": _ROTATED,
    "mint-unbalanced": "billing/test_01_treasury.py::test_mints_audited",
    "dead-letters-not-read": _OVERFLOW,
    "alarm-at-fifty": _OVERFLOW,
    "guard-never-retries": _SYNTAX,
    "guard-gauge-gone": _SYNTAX,
    "bypass-disables-all": "billing/test_03_guard.py::test_bypass",
    "cache-loss-is-500": "billing/test_05_cache.py::test_each_fault",
    "rebuild-ignores-use": "billing/test_05_cache.py::test_rebuilt",
    "sequence-starts-over": _CRASHES,
    "no-lock": "billing/test_06_single_writer.py::test_second_instance",
    "token-from-cache": "billing/test_06_single_writer.py::test_token_after_failover",
    "id-burned-before-settlement": "billing/test_05_cache.py::test_claimed_and_not_settled",
    "clock-believed": _ROTATED,
    "metrics-lie": _OVERFLOW,
    "no-fdatasync": _CRASHES,
    "fsync-result-ignored": _CRASHES,
    "measures-before-it-creates": "billing/test_06_single_writer.py::test_live_holder",
    "does-not-look": "billing/test_06_single_writer.py::test_frozen_holder",
}


DRILLS: Final[Mapping[str, str]] = {**_STACK, **_ENGINE, **_BILLING}
"""By fault, the test of a rehearsal that shows it: its path below `rehearsals/`, and its name."""


def what_it_does() -> dict[str, str]:
    """Return by fault, in one sentence, what is wrong with the system."""
    from pytest_l402.billing.faults import BillingFault
    from pytest_l402.stack.faults import FAULTS
    from pytest_l402.workflow.faults import EngineFault

    of_the_stack = {name: (inspect.getdoc(kind) or "").partition("\n")[0] for name, kind in FAULTS.items()}
    return {**of_the_stack, **member_docs(EngineFault), **member_docs(BillingFault)}


def fault_of(given: str) -> str:
    """Return the name of the fault that `NAME[:VALUE]` means.

    Raises:
        BadInput: no fault is named so, or it does not take the value; the closest name is told.
    """
    name, colon, _ = given.partition(":")
    if name not in DRILLS:
        from pytest_l402.boundary.text_safety import closest_name

        like = {each.lower(): each for each in DRILLS}
        close = closest_name(name.lower(), list(like))
        hint = "pytest-l402 demo --list names them all" if close is None else f"did you mean {like[close]}?"
        raise BadInput(f"--fault: expected the name of a fault, saw {shown(name)}; {hint}", "bad_fault")
    if colon and name not in _STACK:
        raise BadInput(f"--fault: expected {name} alone, saw {shown(given)}; it takes no value", "bad_fault")
    if colon:
        from pytest_l402.harness.fault_names import FaultNameError
        from pytest_l402.stack import faults

        try:
            faults.fault_of(given)
        except FaultNameError as error:
            raise BadInput(f"--fault: {error}", "bad_fault") from None
    return name
