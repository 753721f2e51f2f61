"""Which incidents can be drilled: what somebody complains of, and the records that the stack left of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pytest_l402.contract.rows import Tables
    from pytest_l402.stack import Stack


class Incident(NamedTuple):
    """What is known of an incident before anybody looks: the complaint, the request, the records."""

    name: str
    complaint: str
    request_id: str
    tables: Tables


class _Plot(NamedTuple):
    complaint: str
    fault: str = ""
    breaks: Callable[[Stack], None] | None = None


def _kill_switch(stack: Stack) -> None:
    stack.control_plane.set_owner_kill_switch("owner_premium_expiring", active=True)


_PLOTS: Final[Mapping[str, _Plot]] = {
    "an-error": _Plot("I have paid, and all I got is an error.", "UpstreamFailure"),
    "no-price": _Plot("I want to pay, and nobody tells me how much.", "ChallengeFailure"),
    "no-answer": _Plot("The API does not answer at all.", "GatewayDown"),
    "missing-revenue": _Plot("A customer was served, and the books do not have the sale.", "SettlementLost"),
    "wrong-receipt": _Plot(
        "The books have another receipt than the customer shows.", "SettlementProofMismatch"
    ),
    "empty-page": _Plot("I have paid, and my page still says that I have not.", "ProjectionStale"),
    "odd-page": _Plot("My page shows a receipt that is not mine.", "ProjectionProofMismatch"),
    "nothing-bought": _Plot("My agent buys nothing any more.", "WalletLocked"),
    "money-gone": _Plot("My agent says that it may have paid, or not.", "PaymentPending"),
    "half-done": _Plot("My agent began to buy, and never came back.", "ExecutorStops"),
    "turned-away": _Plot("I am not even asked to pay: I am turned away.", breaks=_kill_switch),
    "a-warning": _Plot("Monitoring says that a buyer's node is degraded.", "NodeDegraded"),
}

INCIDENTS: Final[Mapping[str, str]] = {name: plot.complaint for name, plot in _PLOTS.items()}
"""By name, what somebody complains of; neither says what is broken."""


def recorded(name: str) -> Incident:
    """Play one of `INCIDENTS` on the stand-in stack, and return what it left; each time the same bytes.

    A purchase that went well comes before it, as in any log.
    """
    from pytest_l402.evidence.tables import Evidence
    from pytest_l402.stack import Stack
    from pytest_l402.stack.faults import fault_of
    from pytest_l402.stack.system import StackSystem

    plot = _PLOTS[name]
    with Stack(f"incident {name}") as stack, stack.online():
        stack.executor.buy("/premium")
        if plot.breaks is not None:
            plot.breaks(stack)
        faults: AbstractContextManager[Any] = nullcontext()
        if plot.fault:
            faults = stack.faults.inject(fault_of(plot.fault))
        with faults:
            bought = stack.executor.buy("/premium-expiring")
        tables = dict(StackSystem(stack).tables())
    evidence = Evidence(tables).only("records", "local_artifact")
    return Incident(name, plot.complaint, bought.request_id, evidence)
