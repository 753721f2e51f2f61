"""Decides whether the settlements that a deployed platform tells of can all be true; nothing is entered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.live_commands import live_system
from pytest_l402.commands.options import Options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.smoke_settlement import REQUEST_ID
from pytest_l402.contract import proof_join_key

_REFERENCES = ("settlementId", "paymentProofRef", "requestId", "taskId", "routeId")


def settlements_live(options: Options) -> Outcome:
    """Read the settlements and judge them; each is one that happened, so there are no transitions to tell.

    Raises:
        BadInput: the environment or the system cannot be used, or does not let settlements be read.
    """
    with live_system(options) as system:
        rows = system.settlements.all()
    folder = ArtifactFolder(options.artifact_dir, "settlement", REQUEST_ID)
    folder.lines("settlementsPath", "settlements.jsonl", rows)
    failures = tuple(contradictions(rows))
    document: dict[str, Any] = {
        "ok": not failures,
        "mode": options.mode.value,
        "processed": len(rows),
        "invoiceTransitions": [],
        "settlements": [_without_none(row) for row in rows],
        "settlementIds": [row["settlementId"] for row in rows],
        "paymentProofRefs": [row["paymentProofRef"] for row in rows],
        "correlationRefs": [_without_none({key: row[key] for key in _REFERENCES}) for row in rows],
        "entered": 0,
    }
    if failures:
        document["failureCode"] = failures[0][0]
        document["failures"] = [{"code": code, "reason": reason} for code, reason in failures]
    reasons = "; ".join(f"{code}: {reason}" for code, reason in failures)
    return Outcome(folder.summary(document), reasons or None)


def contradictions(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield code and reason of what cannot be true of settlements, or cannot be joined with other planes."""
    if not rows:
        yield "no_settlements", "expected a settlement, saw none: nothing was judged"
    for key, code in (("settlementId", "settlement_told_twice"), ("paymentProofRef", "proof_used_twice")):
        for value, times in Counter(row[key] for row in rows).items():
            if times > 1:
                yield code, f"expected {value} once, saw it {times} times"
    for row in rows:
        name, msats = row["settlementId"], row["amountMsats"]
        if proof_join_key(row["paymentProofRef"]) is None:
            yield "proof_without_form", f"{name}: expected lightning_preimage: and 24 hex digits"
        if msats <= 0:
            yield "amount_not_positive", f"{name}: expected msats above 0, saw {msats}"


def _without_none(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}
