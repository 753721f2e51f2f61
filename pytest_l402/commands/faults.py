"""Which faults of the stack change what a command says, and which fault its command line names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pytest_l402.commands.bad_input import BadInput, Failed

if TYPE_CHECKING:
    from pytest_l402.harness.faults import Fault

_COMPILE: Final = ("PaywallNotCompilable",)
_ROLLED_BACK: Final = (
    *("DeployFailure", "DeployedUnhealthy", "DeployedChallengeWrong", "DeployedUpstreamUnreachable"),
    *("GatewayDown", "ChallengeFailure", "UpstreamFailure", "UpstreamDown"),
    *("AnswerLost", "ChallengeKept", "ChallengeAltered", "CredentialRefused"),
    *("PaymentFailure", "PaymentPending", "PaymentLate", "PreimageMissing", "PreimageLate", "WalletLocked"),
)
_DEPLOY: Final = (
    *_COMPILE,
    "ActiveLookupFailure",
    *_ROLLED_BACK,
    "RollbackFailure",
    "PaymentSlow",
    "AnswerSlow",
)
_SALE: Final = (
    *_DEPLOY,
    *("ExecutorStops", "SettlementLost", "SettlementDelayed"),
    *("SettlementProofMismatch", "ProjectionStale", "ProjectionProofMismatch"),
)
AFFECTING: Final[dict[str, tuple[str, ...]]] = {
    "smoke:compile": _COMPILE,
    "smoke:security": (),
    "smoke:settlement": (),
    "smoke:staging": _DEPLOY,
    "reconcile": _DEPLOY,
    "reconcile:convex": (),
    "smoke:observability": _SALE,
    "smoke:full-flow": (*_SALE, "NodeDegraded"),
}
"""The faults that change more than times in a command's document, or the local artifact that it leaves."""


def read_faults(command: str, given: Sequence[str]) -> tuple[Fault, ...]:
    """Return the faults that `--fault NAME[:VALUE]` names for a command; `serve` takes each of them.

    Raises:
        BadInput: no fault is named so, it does not take the value, or it does not affect the command, alone
            or with the others.
    """
    if not given:
        return ()
    from pytest_l402.harness.fault_names import FaultNameError
    from pytest_l402.stack.faults import fault_of

    try:
        faults = tuple(map(fault_of, given))
    except FaultNameError as error:
        raise BadInput(f"--fault: {error}", "bad_fault") from None
    for fault in faults:
        if fault.name not in AFFECTING.get(command, (fault.name,)):
            affected = ", ".join(name for name, names in AFFECTING.items() if fault.name in names)
            affected = affected or "what serve offers"
            wanted = "one that its --help lists" if AFFECTING[command] else "none, as none can affect it"
            raise BadInput(
                f"--fault: expected {wanted} with {command}, saw {fault.name}; it affects {affected}",
                "bad_fault",
            )
    names = {fault.name for fault in faults}
    if command in AFFECTING and "RollbackFailure" in names and names.isdisjoint(_ROLLED_BACK):
        raise BadInput(
            f"--fault: expected RollbackFailure with one that makes a rollback, saw none; add one of "
            f"{', '.join(_ROLLED_BACK)}",
            "bad_fault",
        )
    return faults


def expect_fired(command: str, injected: Sequence[Mapping[str, Any]]) -> None:
    """Refuse an outcome that a fault had no part in, though it was asked for.

    Raises:
        Failed: one did not fire.
    """
    missed = [row["fault"] for row in injected if not row["fired"]]
    if missed:
        others = [row["fault"] for row in injected if row["fired"]]
        why = f"{', '.join(others)} may have come before it" if others else "nothing met it"
        raise Failed(
            f"--fault: expected {', '.join(missed)} to fire in {command}, saw that it did not; {why}: "
            "give it alone, or another value",
            "fault_not_fired",
            {"faults": list(injected)},
        )


def faults_help(command: str) -> str:
    """Return for the help of a command what each fault that it takes does, in a line each."""
    import inspect
    import textwrap

    from pytest_l402.stack.faults import FAULTS

    names = AFFECTING.get(command, tuple(FAULTS))
    lines = [f"faults that affect {command}:" if names else f"no fault of the stack affects {command}"]
    for name in names:
        does = (inspect.getdoc(FAULTS[name]) or "").partition("\n")[0]
        lines += textwrap.wrap(does, 100, initial_indent=f"  {name:28}", subsequent_indent=" " * 30)
    if "RollbackFailure" in names:
        lines.append("Without another fault there is no rollback that fails: RollbackFailure needs one.")
    return "\n".join(lines)
