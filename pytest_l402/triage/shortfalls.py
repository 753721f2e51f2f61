"""Decides where the original tools' files fall short of the runbook, and names its lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_l402.contract import PARITY_KEYS, REQUIRED_KEYS, proof_join_key
from pytest_l402.contract.camel_document import camel_row
from pytest_l402.triage.incident_rows import Incident, SourcedRow

_SUCCESS = ("success", "cached")


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One claim of the runbook that a file does not bear out: its line, where, what was seen, what to do.

    A shortfall is about what the file can prove, not about what failed: it changes no diagnosis.
    """

    line: str
    file: str
    at_line: int
    seen: str
    remedy: str

    def to_row(self) -> dict[str, Any]:
        """Return the row of the table `shortfalls`."""
        return camel_row(self)


def shortfalls(incident: Incident) -> tuple[Shortfall, ...]:
    """Return what the summaries and local artifacts of an incident leave unproven, in file order.

    Bare records, lists and snapshots are no rehearsal's output: of them only secrets in the clear are noted.
    """
    return (
        *(item for summary in incident.summaries for item in _of_summary(summary)),
        *(item for artifact in incident.artifacts for item in _of_artifact(artifact, incident.flows)),
        *(
            Shortfall(
                "Programmatic Verification",
                place.file,
                place.line,
                "a secret in the clear (preimage, macaroon, token or authorization value)",
                "redact the file before it is stored or shared: evidence holds references and digests only",
            )
            for place in incident.secrets
        ),
    )


def _of_summary(summary: SourcedRow) -> Iterator[Shortfall]:
    value = summary.row
    records = [record for record in value["records"] if isinstance(record, dict)]

    def shortfall(line: str, seen: str, remedy: str) -> Shortfall:
        return Shortfall(line, summary.file, summary.line, seen, remedy)

    if not any(record.get("cacheHit") is True for record in records):
        yield shortfall(
            "3.cache-hit",
            f"no record with cacheHit=true among {len(records)}",
            "buy the same resource twice against one settlement store: a single run never shows reuse",
        )
    if not any(_is_denial(record) for record in records):
        yield shortfall(
            "4.control-plane",
            "no record with a denyReason in plane=control with executor=system",
            "rehearse a policy block: pause, kill switch or an amount over the cap",
        )
    missing = [key for key in REQUIRED_KEYS if any(key not in record for record in records)]
    if missing or not records:
        yield shortfall(
            "1.keys",
            f"records without {', '.join(missing)}" if missing else "no record at all",
            "take the records of a run whose every record has all 19 keys",
        )
    claimed = value.get("missingFieldKeys")
    if missing and claimed == []:
        yield shortfall(
            "1.keys",
            "missingFieldKeys is empty although records miss keys",
            "do not rely on the summary's own verdict: judge the records",
        )
    if "recordCount" in value and value["recordCount"] != len(value["records"]):
        yield shortfall(
            "1.one-story",
            f"recordCount and the number of records differ: {len(value['records'])} are here",
            "take the summary and the records of one run",
        )
    empty = [key for key in PARITY_KEYS if all(not record.get(key) for record in records)]
    if empty and records:
        yield shortfall(
            "1.parity",
            f"{', '.join(empty)} present as a key but null in every record",
            "a key without a value joins nothing: rehearse a paid request that has a task",
        )


def _of_artifact(artifact: SourcedRow, sourced: tuple[SourcedRow, ...]) -> Iterator[Shortfall]:
    flows: list[Mapping[str, Any]] = artifact.row["flows"]
    lines = {id(flow.row): flow.line for flow in sourced}

    def shortfall(line: str, seen: str, remedy: str, flow: Mapping[str, Any] | None = None) -> Shortfall:
        at_line = artifact.line if flow is None else lines.get(id(flow), artifact.line)
        return Shortfall(line, artifact.file, at_line, seen, remedy)

    if not any(_has_proof(flow) for flow in flows):
        yield shortfall(
            "2.local-run",
            "no flow with a payment proof",
            "an artifact of blocked flows only proves no local payment: rehearse a purchase that succeeds",
        )
    for index, flow in enumerate(flows):
        if flow["flow"] not in _SUCCESS:
            continue
        states = _troubled_states(flow)
        if states:
            yield shortfall(
                "6.degraded-success",
                f"flows[{index}] succeeded with {states}",
                "triage by the proof: here the runbook's fourth rule would blame a local node that paid",
                flow,
            )
        if not _has_proof(flow):
            yield shortfall(
                "2.local-run",
                f"flows[{index}] is called {flow['flow']} and holds no payment proof",
                "do not count it as a purchase",
                flow,
            )
    repeated = [name for name, count in Counter(flow["taskId"] for flow in flows).items() if count > 1]
    if repeated:
        yield shortfall(
            "correlate.local-artifact",
            f"{len(repeated)} taskId(s) shared by several flows",
            "join by requestId and desktopSessionId; this taskId does not tell the flows apart",
        )


def _is_denial(record: Mapping[str, Any]) -> bool:
    reason = record.get("denyReason")
    denied = isinstance(reason, str) and bool(reason.strip())
    return denied and record.get("plane") == "control" and record.get("executor") == "system"


def _has_proof(flow: Mapping[str, Any]) -> bool:
    proofs = [flow.get("proofReference")]
    proofs += [record.get("paymentProofRef") for record in _records(flow)]
    return any(proof_join_key(proof) for proof in proofs if isinstance(proof, str))


def _troubled_states(flow: Mapping[str, Any]) -> str:
    troubled = {
        "nodeSyncStatus": ("degraded",),
        "walletState": ("locked", "initializing", "recovering"),
        "desktopRuntimeStatus": ("unavailable", "stopped", "stopping", "backoff", "failed"),
    }
    found = {
        f"{key}={record[key]}"
        for record in _records(flow)
        for key, values in troubled.items()
        if record.get(key) in values
    }
    return ", ".join(sorted(found))


def _records(flow: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [record for record in flow["observabilityRecords"] if isinstance(record, dict)]
