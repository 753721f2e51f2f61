"""Decides what an observability record is: 19 keys, always present, null where unknown."""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, TypeAlias, get_args

from pytest_l402.boundary.text_safety import seen
from pytest_l402.contract.camel_document import CamelDocument, DocumentError
from pytest_l402.contract.departures import Departure, DepartureKind
from pytest_l402.contract.scalars import AnyText, EpochMs, Flag, Msats, Text, Words, member_of

DENY_REASONS: Final = (
    "amount_over_cap",
    "access_denied",
    "host_blocked",
    "host_not_allowed",
    "host_not_allowlisted",
    "global_pause_active",
    "owner_kill_switch_active",
    "request_cap_exceeded",
    "quoted_amount_exceeds_cap",
    "window_cap_exceeded",
    "BudgetExceededError",
    "DomainNotAllowedError",
    "Quoted invoice amount exceeds configured spend cap",
    "The gateway denies access",
    "desktop_executor_offline",
    "desktop_executor_timeout",
    "compile_validation_failed",
    "active_lookup_failed",
    "deploy_apply_failed",
    "health_check_failed",
    "challenge_check_failed",
    "proxy_check_failed",
    "rollback_failed",
    "credential_refused",
    "gateway_access",
    "gateway_address_blocked",
    "gateway_challenge_failed",
    "gateway_credential_refused",
    "gateway_no_service",
    "gateway_probe_failed",
    "gateway_rate_limited",
    "gateway_unauthorized",
    "gateway_unreachable",
    "gateway_upstream_failed",
    "buyer_raised",
    "challenge_unreadable",
    "settlement_conflict",
    "invalid_preimage",
    "payment_already_made",
    "payment_error",
    "payment_failed",
    "payment_missing_preimage",
    "payment_pending",
    "wallet_locked",
)
"""Why a plane says that it denied or failed. Source: runbooks observability 4 and 5, staging-reconcile 4."""

Denial: TypeAlias = Annotated[
    AnyText,
    Words(DENY_REASONS, r"gateway_status_[0-9]{3}|Host [^ ]+ is (blocked|not on the allowlist)"),
]
"""Any text, as the original decoder takes it; the words are those that planes use."""


class Speaker(StrEnum):
    """Who acted."""

    DESKTOP = "desktop"
    GATEWAY = "gateway"
    SYSTEM = "system"


class Plane(StrEnum):
    """In which part of the system the observation was made."""

    CONTROL = "control"
    GATEWAY = "gateway"
    SETTLEMENT = "settlement"
    UI = "ui"


class ExecutionPath(StrEnum):
    """Whose node pays: the buyer's own or the hosted one."""

    LOCAL_NODE = "local-node"
    HOSTED_NODE = "hosted-node"


class DesktopRuntimeStatus(StrEnum):
    """State of the desktop's node runtime; the runbook lists none, the original decoder accepts these."""

    UNAVAILABLE = "unavailable"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"


class WalletState(StrEnum):
    """State of the local wallet."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"
    INITIALIZING = "initializing"
    RECOVERING = "recovering"


class NodeSyncStatus(StrEnum):
    """State of the local node against the chain."""

    SYNCING = "syncing"
    SYNCED = "synced"
    DEGRADED = "degraded"


class ObservabilityRecord(CamelDocument):
    """One observation of one plane about one L402 request.

    Attributes are snake_case, keys in documents camelCase; the order of the attributes is the canonical order
    of the keys. There are no defaults: unknown is written as None. Amounts are msats, times epoch ms.
    Source: runbook observability, Canonical Observability Contract; acceptance as the original decoder's.
    """

    request_id: Text | None
    user_id: Text | None
    paywall_id: Text | None
    task_id: Text | None
    endpoint: Text | None
    quoted_cost_msats: Msats | None
    cap_applied_msats: Msats | None
    paid_amount_msats: Msats | None
    payment_proof_ref: Text | None
    cache_hit: Flag | None
    deny_reason: Denial | None
    executor: Annotated[Speaker, member_of(Speaker)]
    plane: Annotated[Plane, member_of(Plane)]
    execution_path: Annotated[ExecutionPath, member_of(ExecutionPath)]
    desktop_session_id: Text | None
    desktop_runtime_status: Annotated[DesktopRuntimeStatus, member_of(DesktopRuntimeStatus)] | None
    wallet_state: Annotated[WalletState, member_of(WalletState)] | None
    node_sync_status: Annotated[NodeSyncStatus, member_of(NodeSyncStatus)] | None
    observed_at_ms: EpochMs


def record_departures(value: object) -> tuple[Departure, ...]:
    """Return every departure of `value` from the contract in canonical key order; none for a record."""
    if type(value) is not dict and not isinstance(value, Mapping):
        return (Departure("", DepartureKind.NOT_AN_OBJECT, "an object of 19 keys", seen(value)),)
    try:
        # Every mutant of a record leaves all the others as they are, and each check looks at all of them.
        return _written_departures(marshal.dumps(value, 2))  # type: ignore[arg-type]
    except ValueError:  # no plain JSON
        return _departures(dict(value))


@lru_cache(maxsize=4096)
def _written_departures(written: bytes) -> tuple[Departure, ...]:
    return _departures(marshal.loads(written))  # noqa: S302 - written by this module


def _departures(value: Mapping[str, Any]) -> tuple[Departure, ...]:
    try:
        ObservabilityRecord.decode(value)
    except DocumentError as error:
        return error.departures
    return ()


REQUIRED_KEYS: tuple[str, ...] = tuple(
    str(field.alias) for field in ObservabilityRecord.model_fields.values()
)
"""The 19 keys of a record in canonical order, as the model declares them."""


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


ENUM_VALUES: Mapping[str, tuple[str, ...]] = {
    str(field.alias): tuple(member.value for member in part)
    for field in ObservabilityRecord.model_fields.values()
    for part in _parts(field.annotation)
    if isinstance(part, type) and issubclass(part, StrEnum)
}
"""For each key that holds an enum, the values that it may hold."""
