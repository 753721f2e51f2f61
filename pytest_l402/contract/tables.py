"""What a row of each table is that checks read: its fields, and the values that each can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pytest_l402.contract.full_flow import FlowEvent, FullFlowSummary
from pytest_l402.contract.local_artifact import LocalNodeArtifact
from pytest_l402.contract.record import ObservabilityRecord, Plane
from pytest_l402.contract.task_graph import TaskStatus


class TableRow:
    """A row: its keys are the annotated names in camelCase. Never built, so that it costs nothing."""


class Answer(TableRow):
    """An answer that left the gateway's host."""

    request_id: str | None
    status: int
    at_ms: int


class Exchange(TableRow):
    """A request as it came to the gateway, and its answer; digests are SHA-256 in hex, of the bytes."""

    request_id: str | None
    method: str
    host: str | None
    path: str
    task_id: str | None
    status: int
    challenge: Literal["issued"] | None
    quoted_msats: int | None
    payment_hash: str | None
    credential: Literal["absent", "accepted", "refused"]
    refusal: str | None
    credential_digest: str | None
    presented_payment_hash: str | None
    upstream_status: int | None
    query_sha256: str | None
    body_sha256: str
    body_bytes: int
    answer_sha256: str
    answer_bytes: int
    cache_control: str | None
    invoices_offered: int
    token_offered: Literal["base64", "url-safe base64", "base64 without its padding", "opaque"] | None
    seller_calls: list[int]
    at_ms: int


class ShownPreimage(TableRow):
    """An answer of the gateway in which a preimage of the seller's node stood; the row does not show it."""

    request_id: str | None
    status: int
    payment_hash: str
    at_ms: int


class SellerCall(TableRow):
    """A request as the seller's API got it, and its answer, in the seller's own book.

    `call` numbers them from 1; `during` is the request that the gateway was being asked at that moment.
    """

    call: int
    during: str | None
    request_id: str | None
    method: str
    host: str
    path: str
    query_sha256: str | None
    body_sha256: str
    body_bytes: int
    credential_digest: str | None
    payment_hash: str | None
    status: int
    answer_sha256: str
    answer_bytes: int
    at_ms: int


class NodeInvoice(TableRow):
    """An invoice in the book of the seller's node, for whichever request it was made, and what arrived."""

    payment_hash: str
    request_id: str | None
    amount_msats: int
    received_msats: int | None
    created_at_ms: int
    settled_at_ms: int | None


class Payment(TableRow):
    """A call of the wallet; the fee is on top of the amount."""

    payment_hash: str
    amount_msats: int
    fee_msats: int
    wallet: str | None
    host: str | None
    status: Literal["succeeded", "failed", "pending", "duplicate"]
    preimage_released: bool
    proof_reference: str | None
    at_ms: int


class Balance(TableRow):
    """What was in a purse at first, and what is in it now, as it was asked from outside."""

    account: str
    before_msats: int
    now_msats: int


class PaymentLookup(TableRow):
    """A question to the wallet about a payment made earlier; `status` null for one that it did not make."""

    payment_hash: str
    status: Literal["succeeded", "pending"] | None
    preimage_released: bool
    at_ms: int


class Invoice(TableRow):
    """An invoice in the settlement store."""

    invoice_id: str
    payment_hash: str | None
    paywall_id: str
    owner_id: str
    amount_msats: int
    status: Literal["open", "settled", "canceled", "expired"]
    request_id: str | None
    created_at_ms: int
    settled_at_ms: int | None


class Settlement(TableRow):
    """A settlement in the store."""

    settlement_id: str
    invoice_id: str | None
    payment_hash: str
    paywall_id: str
    owner_id: str
    amount_msats: int
    payment_proof_ref: str
    request_id: str | None
    task_id: str | None
    route_id: str | None
    occurred_at_ms: int


class Conflict(TableRow):
    """A settlement that the store refused, because it contradicts one it has."""

    settlement_id: str
    field: str
    kept: str | None
    refused: str | None
    at_ms: int


class IngestBatch(TableRow):
    """A batch of settlement events, and what became of it."""

    request_id: str | None
    events: int
    outcome: str
    refusals: list[Any]
    at_ms: int


class Task(TableRow):
    """A task, as it stands."""

    task_id: str
    status: TaskStatus
    owner_id: str
    request_id: str
    endpoint: str
    max_spend_msats: int
    last_error_code: str | None
    updated_at_ms: int


class Transition(TableRow):
    """A step of a task."""

    task_id: str
    from_status: TaskStatus | None
    to_status: TaskStatus
    actor: str
    request_id: str
    reason_code: str | None
    reason: str | None
    at_ms: int


class Presence(TableRow):
    """A heartbeat of a buyer's session."""

    desktop_session_id: str
    status: str
    at_ms: int


class Control(TableRow):
    """A pause or kill switch that was set or lifted."""

    kind: str
    owner_id: str | None
    active: bool
    at_ms: int


class LogLine(TableRow):
    """A log line of a plane."""

    line: str
    plane: Plane
    at_ms: int


class Shown(TableRow):
    """What the UI would show."""

    request_id: str | None
    task_id: str | None
    payment_proof_ref: str
    amount_msats: int
    status: Literal["paid", "cached"]
    at_ms: int


class Probe(TableRow):
    """A probe before or after the procedure."""

    when: Literal["before", "after"]
    probe: str
    ok: bool
    detail: str


class ExpectedFault(TableRow):
    """A request that the test broke on purpose: as what that showed, and what was injected, if known."""

    request_id: str
    shown_as: str | None
    injected: list[str] | None


class InjectedFault(TableRow):
    """A fault that was injected: how often it fired, for which requests, and when it was removed."""

    fault: str
    values: dict[str, Any]
    request_id: str | None
    injected_at_ms: int
    fired: int
    fired_for: list[str]
    removed_at_ms: int | None


class Searched(TableRow):
    """A table or artifact that was searched for secrets: how many rows, how many held one, and where."""

    place: str
    searched: int
    secrets: int
    found: list[str]


class NotBorneOut(TableRow):
    """A claim of the runbook that a historical artifact does not bear out."""

    line: str
    file: str
    at_line: int
    seen: str
    remedy: str


ROW_FORMS: Final[Mapping[str, type[Any]]] = {
    "records": ObservabilityRecord,
    "exchanges": Exchange,
    "answers": Answer,
    "shown_preimages": ShownPreimage,
    "seller_calls": SellerCall,
    "payments": Payment,
    "balances": Balance,
    "node_invoices": NodeInvoice,
    "payment_lookups": PaymentLookup,
    "invoices": Invoice,
    "settlements": Settlement,
    "conflicts": Conflict,
    "ingest_batches": IngestBatch,
    "tasks": Task,
    "transitions": Transition,
    "presence": Presence,
    "controls": Control,
    "logs": LogLine,
    "projection": Shown,
    "flow_events": FlowEvent,
    "flow_summary": FullFlowSummary,
    "local_artifact": LocalNodeArtifact,
    "steady_state": Probe,
    "shortfalls": NotBorneOut,
    "expected_faults": ExpectedFault,
    "injected_faults": InjectedFault,
    "secret_scan": Searched,
}
"""What the rows of a table are; a system may say it of its own tables (`System.fields`)."""
