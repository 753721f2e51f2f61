"""What a command may ask of its target, and what it is told; it never asks which one it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from pytest_l402.contract import FlowEvent, FullFlowSummary
    from pytest_l402.ops.compile.paywall import PaywallDefinition
    from pytest_l402.ops.reconcile.deployments import Deployment
    from pytest_l402.ops.reconcile.ledger import DeploymentHistory
    from pytest_l402.ops.reconcile.summary import ReconcileSummary
    from pytest_l402.ops.security.summary import SecurityDrill
    from pytest_l402.ops.settlement.drill import Books

Rows: TypeAlias = Sequence[Mapping[str, Any]]


class Rollout(NamedTuple):
    """A deploy, or a look at one, that `work` carries out; `history` knows how it ended if it is cut off.

    `tables` gives the rows that it left, `more` are further keys of the document.
    """

    request_id: str
    work: Callable[[], ReconcileSummary]
    tables: Callable[[], Mapping[str, Rows]]
    history: DeploymentHistory | None
    more: Mapping[str, Any]


class Observed(NamedTuple):
    """What the planes recorded, what did not go as it should (code, reason), and what no look can show."""

    records: list[dict[str, Any]]
    failures: list[tuple[str, str]]
    not_observed: tuple[str, ...] = ()


class FlowRun(NamedTuple):
    """A full flow that `work` carries out, given the folder that it leaves its files in."""

    request_id: str
    work: Callable[[Path], tuple[FullFlowSummary, Sequence[FlowEvent]]]


class Target(Protocol):
    """The payment platform as an operator meets it.

    What returns a callable has checked that the target can be used and may be changed, and has changed
    nothing yet: files of an earlier run are removed between the two. Each raises `BadInput` if it cannot.
    """

    def now_ms(self) -> int:
        """Return the target's time in epoch milliseconds; no two calls return the same."""
        ...

    def paywalls(self, request_id: str) -> Sequence[PaywallDefinition]:
        """Return the paywalls that the control plane holds."""
        ...

    def record_intent(self, intent: Deployment) -> Mapping[str, Any]:
        """Record the intent to deploy, if that is allowed; return what the document tells of that."""
        ...

    def security_drill(self, request_id: str) -> Callable[[], SecurityDrill]:
        """Return the drill of the security controls."""
        ...

    def books(self) -> Books | None:
        """Return books that events may be entered into; None where they could not be taken out again."""
        ...

    def settlements(self) -> Rows:
        """Return every settlement that is on record."""
        ...

    def tables(self) -> Mapping[str, Rows]:
        """Return what the parts themselves wrote down; of a deployed system that is nothing."""
        ...

    def staging(self) -> Rollout:
        """Return a deploy over an earlier one, or a look at what is deployed."""
        ...

    def reconcile(self) -> Rollout:
        """Return a deploy of what the control plane says."""
        ...

    def observe(self, request_id: str) -> Observed:
        """Let every plane record what it does, and return the records."""
        ...

    def full_flow(self, local_artifact: Path | None) -> FlowRun:
        """Return the hosted path from end to end, compared with a local artifact; None is the usual one."""
        ...
