"""`smoke:observability`: let every plane record what it does, and check the records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.artifacts import ArtifactFolder, Rows
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.targets import opened


def observed(arguments: Arguments) -> Outcome:
    """Let every plane record: a deployment, a paid request, its replay and a denied one, and check that
    the records are complete and tell of all of them.
    Live: records what a read-only look at gateway and control plane shows.
    """
    from pytest_l402.ops.full_flow.verification import observability_failures, observability_section

    with opened(arguments) as target:
        request_id = f"smoke:observability:{target.now_ms()}"
        folder = ArtifactFolder(arguments.artifact_dir, "observability", request_id)
        look = target.observe(request_id)
    records, found = look.records, list(look.failures)
    # A key, a value or a plane that is silent.
    found += [("records_incomplete", reason) for reason in observability_failures(records)]
    if not look.not_observed:
        found += _shortfalls(records, f"{request_id}:security")
    document: dict[str, Any] = {
        "ok": not found,
        "mode": arguments.mode.value,
        "requestId": request_id,
        "executionPath": "hosted-node",
        **observability_section(records).to_row(),
    }
    if look.not_observed:
        document["notObserved"] = list(look.not_observed)
    if found:
        document["failureCode"] = found[0][0]
        document["failures"] = [{"code": code, "reason": reason} for code, reason in found]
    document["records"] = records
    return Outcome(folder.leave(document, records=("records.jsonl", records)), tuple(found))


def _shortfalls(records: Rows, denied_id: str) -> Iterator[tuple[str, str]]:
    """Yield code and reason of what the records do not tell of: a replay, and just the denial asked for."""
    if not any(row.get("cacheHit") is True for row in records):
        yield "no_cache_hit", "expected a record with cacheHit=true, as a settlement was replayed; saw none"
    denials = [row for row in records if row.get("denyReason")]
    if not any(row["requestId"] == denied_id and row["plane"] == "control" for row in denials):
        yield "no_denial", f"expected a denial of {denied_id} in plane=control, saw none"
    for row in denials:
        if row["requestId"] != denied_id:
            yield "denied", f"{row['plane']} of {row['requestId']}: {row['denyReason']}"
