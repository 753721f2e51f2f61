"""What a part must be able to do before it can take a part of the stack's place in a rehearsal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from pytest_l402.harness.network import Request, Response

if TYPE_CHECKING:
    from pytest_l402.contract import TaskStatus
    from pytest_l402.contract.settlement_event import Ingested, SettlementEvent
    from pytest_l402.evidence import Part
    from pytest_l402.ops.security.controls import GateDecision
    from pytest_l402.stack.control.paywalls import Paywall
    from pytest_l402.stack.control.task_board import Actor, Task

ASKED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": ("handle",),
    "control_plane": ("gate", "create_task", "transition"),
    "settlement_store": ("invoice_opened", "ingest"),
    "wallet": ("pay_invoice",),
    "executor": ("buy",),
}
"""Each role, and the methods by which a part that plays it is asked for what it is there for."""


class PlayedByProgram(ABC):
    """A part of ours behind which a program plays: it says which one that is, and what it left."""

    @abstractmethod
    def parts(self, role: str) -> tuple[Part, ...]:
        """Return what plays: the program first."""

    @abstractmethod
    def tables(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the tables that are about the program."""


class NotRunError(RuntimeError):
    """A rehearsal cannot be run here; the message says why, in one line."""


class NotAbleError(NotRunError):
    """A rehearsal asks a part for something that its role does not ask for, and that it cannot do."""

    def __init__(self, role: str, part: object, ability: str) -> None:
        super().__init__(
            f"not run: {role} {type(part).__name__} has no method {ability}, which this rehearsal asks for"
        )


class Gateway(Protocol):
    """Answers 402 with a challenge, and delivers when the credential proves the payment.

    One method will do: what crosses the wire is written down by the harness. A gateway that does not ask the
    control plane, tell the settlement store and emit records has that done for it (`gateway.front`). Some
    rehearsals ask for more, and are not run without: `revoke(payment_hash)`, `following(profile)`,
    `load(services, health_status=…)` and `services`.
    """

    def handle(self, request: Request) -> Response:
        """Answer one HTTP request; refusals are answers, not exceptions."""


class ControlPlane(Protocol):
    """Says who may buy what, and can stop everything."""

    def gate(
        self, request_id: str | None, owner_id: str | None, paywall_id: str | None, task_id: str | None = None
    ) -> GateDecision:
        """Decide whether the request may go on, and emit a record of plane `control` that says so."""

    def create_paywall(self, paywall: Paywall) -> bool:
        """Keep a paywall and say whether it is new; `ValueError` for one that contradicts a known one."""

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        """Pause every paywall, or resume."""

    def global_pause(self) -> bool:
        """Return whether the global pause is on."""

    def create_task(
        self, request_id: str, owner_id: str, endpoint: str, max_spend_msats: int, host: str
    ) -> Task:
        """Register a purchase; it comes back `approved`, or `blocked` with the reason code."""

    def transition(
        self,
        task_id: str,
        to: TaskStatus,
        request_id: str,
        actor: Actor,
        reason_code: str | None = None,
        reason: str | None = None,
        *,
        desktop_session_id: str | None = None,
    ) -> Task:
        """Move the task along its graph; a step that the graph does not have raises `InvalidTransition`."""

    def heartbeat(self, desktop_session_id: str, status: str, owner_id: str | None = None) -> None:
        """Note that a buyer's session is alive."""


class SettlementStore(Protocol):
    """Keeps what was paid, each payment once. The oracle of the drills."""

    def invoice_opened(
        self,
        payment_hash: str,
        invoice_id: str,
        amount_msats: int,
        paywall_id: str,
        owner_id: str,
        request_id: str | None,
    ) -> None:
        """Keep an invoice as open; a repeat of the same invoice changes nothing."""

    def ingest(self, event: SettlementEvent) -> Ingested:
        """Store a settlement once: observe a repeat, refuse a contradiction with `SettlementRefused`."""

    def rows(self, table: str) -> tuple[Mapping[str, Any], ...]:
        """Return `invoices`, `settlements` or `conflicts` as they are stored, in order of arrival."""


class BuyResult(Protocol):
    """What a rehearsal needs to know of a purchase; everything else it reads from the evidence."""

    @property
    def request_id(self) -> str:
        """The `x-oa-request-id` of the answer: of the paid request when there were several."""


class PlaysExecutor(Protocol):
    """The buyer: asks, pays what the challenge quotes, asks again with the proof.

    To rehearse a client of your own, wrap it in an object with this one method and hand that to
    `Stack.attributed`, which follows it through every plane.
    """

    def buy(self, path_or_url: str) -> BuyResult:
        """Buy one resource of the gateway; a path is meant to be one of the gateway's."""


@runtime_checkable
class KeepsLocalArtifact(Protocol):
    """An executor that also leaves the artifact of the local-node path."""

    def write_local_artifact(self, path: Path) -> Path:
        """Write the artifact as it stands to `path`, redacted, and return the path."""
