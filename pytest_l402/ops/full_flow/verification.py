"""Decides whether the records of a full flow are complete, and whether both paths tell the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_l402.boundary import InputError, read_json
from pytest_l402.contract import (
    PARITY_KEYS,
    REQUIRED_KEYS,
    Correlation,
    DocumentError,
    LocalNodeArtifact,
    ObservabilitySection,
    ParityReport,
    ParitySection,
    Plane,
    Speaker,
    parity,
    record_departures,
)
from pytest_l402.contract.rows import Row

_SHOWN_DEPARTURES = 3


def observability_section(records: Sequence[Row]) -> ObservabilitySection:
    """Return what the summary says of these records."""
    return ObservabilitySection(
        record_count=len(records),
        required_field_keys=REQUIRED_KEYS,
        missing_field_keys=tuple(key for key in REQUIRED_KEYS if any(key not in row for row in records)),
        correlation=Correlation(
            request_ids=_values(records, "requestId"),
            paywall_ids=_values(records, "paywallId"),
            task_ids=_values(records, "taskId"),
            payment_proof_refs=_values(records, "paymentProofRef"),
        ),
    )


def observability_failures(records: Sequence[Row]) -> Iterator[str]:
    """Yield why the records are not enough: departures from the contract, or a plane that is silent."""
    departures = [item for row in records for item in record_departures(row)]
    if departures:
        yield "; ".join(str(item) for item in departures[:_SHOWN_DEPARTURES])
    spoken = {row.get("plane") for row in records if row.get("executor") != Speaker.DESKTOP.value}
    silent = ", ".join(plane.value for plane in Plane if plane.value not in spoken)
    if silent:
        yield f"expected a record of every plane, saw none of {silent}"


@dataclass(frozen=True, slots=True)
class PathsCompared:
    """Hosted records beside the local artifact: the summary's section, and what does not hold."""

    section: ParitySection
    report: ParityReport
    problem: str | None

    def local_failures(self, *, by_value: bool) -> Iterator[str]:
        """Yield why the local side does not bear out the hosted one: by key, and `by_value` also by value."""
        if self.problem is not None:
            yield self.problem
        elif not self.section.local_artifact_present:
            yield f"expected a local artifact at {self.section.local_artifact_path}, saw none"
        elif self.section.local_missing_keys:
            yield f"the local artifact has no value for {', '.join(self.section.local_missing_keys)}"
        elif by_value:
            yield from (key.reason for key in self.report.keys if key.reason)


def compare_paths(records: Sequence[Row], artifact: Path, shown_as: str) -> PathsCompared:
    """Compare what the platform recorded of payments with the local artifact, if there is one."""
    hosted = [row for row in records if _is_hosted_payment(row)]
    flows, problem = _flows(artifact)
    report = parity(hosted, flows)
    hosted_keys = _keys(hosted)
    local = [row for flow in flows for row in flow["observabilityRecords"]]
    local_keys = _keys(local)
    section = ParitySection(
        required_keys=PARITY_KEYS,
        hosted_keys=hosted_keys,
        hosted_missing_keys=tuple(key for key in PARITY_KEYS if key not in hosted_keys),
        local_artifact_path=shown_as,
        local_artifact_present=artifact.is_file(),
        local_keys=local_keys,
        local_missing_keys=tuple(key for key in PARITY_KEYS if key not in local_keys),
        shared_keys=tuple(key for key in hosted_keys if key in local_keys),
    )
    return PathsCompared(section, report, problem)


def _flows(artifact: Path) -> tuple[list[dict[str, Any]], str | None]:
    if not artifact.exists():
        return [], None
    try:
        row = LocalNodeArtifact.decode(read_json(artifact)).to_row()
    except (InputError, DocumentError) as error:
        return [], str(error)
    return row["flows"], None


def _is_hosted_payment(row: Row) -> bool:
    planes = (Plane.GATEWAY.value, Plane.SETTLEMENT.value, Plane.UI.value)
    return row.get("executor") != Speaker.DESKTOP.value and row.get("plane") in planes


def _keys(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the keys for which some row has a value, sorted: one that is null in every row joins nothing."""
    return tuple(sorted({key for row in rows for key, value in row.items() if value not in (None, "")}))


def _values(records: Sequence[Row], key: str) -> tuple[str, ...]:
    """Return the values of a key, each once, sorted."""
    return tuple(sorted({row[key] for row in records if row.get(key)}))
