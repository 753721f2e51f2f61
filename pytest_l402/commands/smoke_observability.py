"""`smoke:observability`: let every plane record what it does, and check the records."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.options import Options, add_shared_arguments, read_options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out

if TYPE_CHECKING:
    from pytest_l402.stack.stack import Stack

DENIED_OWNER = "owner_security_smoke"
PAUSE_REASON = "observability smoke: global pause"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Let every plane record: a deployment, a paid request, its replay and a denied one, and check that\n"
        "the records are complete and tell of all of them.\n"
        "Live: records what a read-only look at gateway and control plane shows.",
    )


def run(given: argparse.Namespace) -> int:
    """Print the outcome and return the exit code."""
    return carry_out(given.command, lambda: _work(read_options(given)), as_json=given.json)


def _work(options: Options) -> Outcome:
    if options.mode.is_live:
        from pytest_l402.commands.live_observability import observability_live

        return observability_live(options)
    from pytest_l402.commands.mock_stack import injected, mock_stack, read_faults

    faults = read_faults(options.faults)
    with mock_stack() as stack:
        request_id = f"smoke:observability:{stack.clock.tick()}"
        folder = ArtifactFolder(options.artifact_dir, "observability", request_id)
        with injected(stack, faults):
            failures = _let_record(stack, request_id)
        records = _hosted(stack)
        failures += [*record_faults_in(records), *_shortfalls(records, f"{request_id}:security")]
    return judged(options, folder, request_id, records, failures)


def _let_record(stack: Stack, request_id: str) -> list[tuple[str, str]]:
    """Make the planes speak, and return what did not go as it should: code and reason."""
    failures = []
    summary = stack.reconciler().reconcile(request_id)
    if not summary.ok:
        failures.append((str(summary.failure_code), str(summary.failure_reason)))
    path = stack.paywalls[0].path
    for wanted in ("paid", "cached"):
        bought = stack.executor.buy(path)
        if bought.status != wanted:
            failures.append(
                (f"purchase_not_{wanted}", f"saw {bought.status.value} {bought.error_code or ''}".strip())
            )
    control = stack.control_plane
    control.set_global_pause(True, PAUSE_REASON)
    try:
        control.gate(f"{request_id}:security", DENIED_OWNER, None)
    finally:
        control.set_global_pause(False)
    return failures


def judged(
    options: Options,
    folder: ArtifactFolder,
    request_id: str,
    records: Sequence[dict[str, Any]],
    found: Sequence[tuple[str, str]],
    more: Mapping[str, Any] | None = None,
) -> Outcome:
    """Write the artifacts, and return the outcome: ok only if nothing was `found` (code and reason each)."""
    from pytest_l402.ops.full_flow.verification import observability_section

    document: dict[str, Any] = {
        "ok": not found,
        "mode": options.mode.value,
        "requestId": request_id,
        "executionPath": "hosted-node",
        **observability_section(records).to_row(),
        **(more or {}),
    }
    if found:
        document["failureCode"] = found[0][0]
        document["failures"] = [{"code": code, "reason": reason} for code, reason in found]
    document["records"] = list(records)
    folder.lines("recordsPath", "records.jsonl", records)
    return Outcome(folder.summary(document), "; ".join(f"{code}: {reason}" for code, reason in found) or None)


def record_faults_in(records: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield code and reason of what makes the records incomplete: a key, a value, a plane that is silent."""
    from pytest_l402.ops.full_flow.verification import observability_failures

    for reason in observability_failures(records):
        yield "records_incomplete", reason


def _shortfalls(records: Sequence[dict[str, Any]], denied_id: str) -> Iterator[tuple[str, str]]:
    """Yield code and reason of what the records do not tell of: a replay, and just the denial asked for."""
    if not any(row.get("cacheHit") is True for row in records):
        yield "no_cache_hit", "expected a record with cacheHit=true, as a settlement was replayed; saw none"
    denials = [row for row in records if row.get("denyReason")]
    if not any(row["requestId"] == denied_id and row["plane"] == "control" for row in denials):
        yield "no_denial", f"expected a denial of {denied_id} in plane=control, saw none"
    for row in denials:
        if row["requestId"] != denied_id:
            yield "denied", f"{row['plane']} of {row['requestId']}: {row['denyReason']}"


def _hosted(stack: Stack) -> list[dict[str, Any]]:
    """Return the records of the hosted path; the local executor's own are another path's."""
    return [dict(row) for row in stack.journal.rows("records") if row["executionPath"] == "hosted-node"]
