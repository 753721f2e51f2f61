"""Decides, from records and the local artifact alone, which domain failed and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.contract.rows import Row, Tables
from pytest_l402.triage.conclusion import Diagnosis as Diagnosis
from pytest_l402.triage.conclusion import not_told_of
from pytest_l402.triage.correlation import correlated, flow_request_ids, flow_rows, flows_of
from pytest_l402.triage.findings import Findings


def triage(evidence: Tables, request_id: str | None = None) -> tuple[Diagnosis, ...]:
    """Diagnose every request that the evidence names, or the one asked for; ordered by request id.

    Reads the tables `records` and `local_artifact`, nothing else. A request id that no record names is
    incomplete, never healthy; an id that only a flow of the local artifact names (each of its calls has one)
    is answered with the requests of that flow. Bad rows raise nothing; they make a request incomplete.
    """
    records = triage_records(evidence)
    artifacts = evidence.table("local_artifact")
    flows = [row for artifact in artifacts for row in flow_rows(artifact)]
    with correlated(records, flows) as engine:
        findings = Findings(engine)
        if request_id is None:
            return tuple(findings.diagnoses())
        found = tuple(findings.diagnoses([request_id]))
        found = found or tuple(findings.diagnoses(of_the_same_flow(request_id, artifacts)))
        return found or (not_told_of(request_id, len(records), findings.n_unattributable),)


def of_the_same_flow(request_id: str, artifacts: Sequence[Row]) -> tuple[str, ...]:
    """Every id of the flow of a local artifact that knows a request by this one; none if none does."""
    for artifact in artifacts:
        for flow in flows_of(artifact):
            ids = flow_request_ids(flow)
            if request_id in ids:
                return ids
    return ()


def triage_records(evidence: Tables) -> list[Row]:
    """The records that triage reads: the table, then what only the local artifact has of them."""
    records = list(evidence.table("records"))
    # An unreadable one is kept as an empty row: it counts as a record that names no request.
    told = [
        record if isinstance(record, dict) else {}
        for artifact in evidence.table("local_artifact")
        for flow in flows_of(artifact)
        for record in _listed(flow.get("observabilityRecords"))
    ]
    # What names another request is another record.
    requests = {str(row.get("requestId")) for row in told}
    known = {_content(record) for record in records if str(record.get("requestId")) in requests}
    return [*records, *(row for row in told if _content(row) not in known)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _content(record: Mapping[str, Any]) -> str:
    return json.dumps([record.get(key, ()) for key in REQUIRED_KEYS])
