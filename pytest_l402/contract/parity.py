"""Decides whether hosted and local evidence tell of the same payments, by key and by value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pytest_l402.contract.proof_reference import proof_join_key
from pytest_l402.contract.record import ExecutionPath
from pytest_l402.contract.rows import Row

PARITY_KEYS: tuple[str, ...] = ("executionPath", "requestId", "taskId", "paymentProofRef")
"""The keys that both paths must hold. Source: runbook observability section 1, "artifact parity keys"."""


class ParityState(StrEnum):
    """What became of one parity key."""

    AGREES = "agrees"
    MISSING_HOSTED = "missing-hosted"
    MISSING_LOCAL = "missing-local"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class KeyParity:
    """The state of one key, and in `reason` what was expected and seen (references only, never a secret)."""

    key: str
    state: ParityState
    reason: str


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The state of every required key, in the order asked for."""

    keys: tuple[KeyParity, ...]

    @property
    def agrees(self) -> bool:
        """Whether there is at least one key and every key agrees by value."""
        return bool(self.keys) and all(key.state is ParityState.AGREES for key in self.keys)

    def in_state(self, state: ParityState) -> tuple[str, ...]:
        """Return the keys of which this has become, in the order asked for."""
        return tuple(key.key for key in self.keys if key.state is state)


@dataclass(frozen=True, slots=True)
class _Story:
    """What one side tells of one purchase; `recorded` are the keys that its records have a value for."""

    proofs: frozenset[str]
    values: Mapping[str, frozenset[str]]
    recorded: frozenset[str]


def parity(
    hosted_records: Sequence[Row], local: Sequence[Row], required: Sequence[str] = PARITY_KEYS
) -> ParityReport:
    """Compare hosted records with local evidence: rows of records, or flows of the local-node artifact.

    `executionPath` must be `hosted-node` in every hosted and `local-node` in every local record. Every
    payment that the local side tells of must be told by the hosted side, joined by the digits that both forms
    of a proof reference share; `taskId`, `requestId` and any other key must then meet within that payment.
    What stands in a flow beside its records helps to join them, and takes the place of none: a key that is
    null in every record of a payment does not agree. Neither does evidence without a payment.
    """
    hosted = [_story([row], {}) for row in hosted_records]
    stories = [_local_story(item) for item in local]
    local_records = [record for item in local for record in _records_of(item)]
    return ParityReport(
        tuple(_key_parity(key, hosted_records, hosted, local_records, stories) for key in required)
    )


def _key_parity(
    key: str,
    hosted_records: Sequence[Row],
    hosted: Sequence[_Story],
    local_records: Sequence[Row],
    stories: Sequence[_Story],
) -> KeyParity:
    if not any(story.values.get(key) for story in hosted):
        return KeyParity(key, ParityState.MISSING_HOSTED, f"expected a hosted record with a {key}, saw none")
    if not any(key in story.recorded for story in stories):
        return KeyParity(key, ParityState.MISSING_LOCAL, f"expected a local record with a {key}, saw none")
    if key == "executionPath":
        reason = _wrong_path(hosted_records, ExecutionPath.HOSTED_NODE, "hosted")
        reason = reason or _wrong_path(local_records, ExecutionPath.LOCAL_NODE, "local")
    else:
        reason = _apart(key, hosted, stories)
    if reason is not None:
        return KeyParity(key, ParityState.DIFFERS, reason)
    return KeyParity(key, ParityState.AGREES, "")


def _wrong_path(records: Iterable[Row], expected: ExecutionPath, side: str) -> str | None:
    for record in records:
        if record.get("executionPath") != expected:
            return f"expected executionPath {expected.value} in every {side} record, saw another"
    return None


def _apart(key: str, hosted: Sequence[_Story], stories: Sequence[_Story]) -> str | None:
    """Return where the two sides part, or None when every local payment meets its hosted one on `key`."""
    paid = [story for story in stories if story.proofs]
    if not paid:
        return f"expected a local payment to join {key} on, saw none with a paymentProofRef"
    for story in paid:
        meeting = [other for other in hosted if other.proofs & story.proofs]
        if not meeting:
            return f"expected hosted records of payment {_named(story.proofs)}, saw none"
        if key not in story.recorded:
            return f"expected a local record of payment {_named(story.proofs)} with a {key}, saw null in each"
        if key == "paymentProofRef":
            continue
        theirs = frozenset().union(*(other.values.get(key, frozenset()) for other in meeting))
        if not theirs & story.values.get(key, frozenset()):
            return f"expected a common {key} for payment {_named(story.proofs)}, saw none"
    return None


def _named(proofs: frozenset[str]) -> str:
    return ", ".join(sorted(proofs))


def _local_story(item: Row) -> _Story:
    if not _is_flow(item):
        return _story([item], {})
    own = {
        "requestId": [item.get("createRequestId"), *(item.get("transitionRequestIds") or ())],
        "taskId": [item.get("taskId")],
        "paymentProofRef": [item.get("proofReference")],
    }
    return _story(_records_of(item), own)


def _story(records: Sequence[Row], own: Mapping[str, Sequence[Any]]) -> _Story:
    values: dict[str, set[str]] = {}
    for record in records:
        for key, value in record.items():
            if _told(value):
                values.setdefault(key, set()).add(str(value))
    recorded = frozenset(values)
    for key, items in own.items():
        values.setdefault(key, set()).update(filter(_told, items))
    proofs = (proof_join_key(reference) for reference in values.get("paymentProofRef", ()))
    return _Story(
        frozenset(proof for proof in proofs if proof is not None),
        {key: frozenset(items) for key, items in values.items()},
        recorded,
    )


def _told(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_flow(item: Row) -> bool:
    return "observabilityRecords" in item


def _records_of(item: Row) -> Sequence[Row]:
    return list(item.get("observabilityRecords") or ()) if _is_flow(item) else [item]
