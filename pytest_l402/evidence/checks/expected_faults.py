"""Decides whether a fault that a drill declared did show in the records, and as what."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.planes import EXPECTED_FAULTS, disagrees
from pytest_l402.evidence.checks.selecting import at, rows, shown
from pytest_l402.evidence.mutants import null_value, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence
from pytest_l402.triage.diagnosis import triage

DISAGREEMENT = "planes that disagree"


def fault_shown(evidence: Evidence, request_id: str, expected: Collection[str] = ()) -> str | None:
    """As what the fault of a request shows by now: the domain of its triage, or planes that disagree.

    None for a request that is healthy, and for one that no record names. `expected` are all the requests
    that were declared to meet a fault.
    """
    diagnosis = triage(evidence.only("records", "local_artifact"), request_id)[0]
    if diagnosis.rule == "no_record":
        return None
    if not diagnosis.healthy:
        return str(diagnosis.domain)
    return DISAGREEMENT if disagrees(evidence, request_id, expected) else None


@described
def faults_shown() -> Check:
    """Each request that was declared to meet a fault (`expect_fault`) is on record, and a fault showed."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table(EXPECTED_FAULTS)):
            request_id, where = row.get("requestId"), at(EXPECTED_FAULTS, index)
            if not rows(evidence, "records", requestId=request_id):
                yield Finding(
                    f"records of request {shown(request_id)}, which was to meet a fault",
                    "none",
                    where,
                    "declare the request that met it: expect_fault takes the purchase, or its request id",
                    (Subject("records", "requestId"), Subject(EXPECTED_FAULTS, "requestId")),
                )
            if not isinstance(row.get("shownAs"), str):
                yield Finding(
                    f"a fault that shows in request {shown(request_id)}, as was declared",
                    "none at any verify: it is healthy, and all planes tell it alike",
                    where,
                    "inject the fault around the purchase; if it did not fire, see for which request it was "
                    "meant; if none was, take expect_fault away",
                    (Subject(EXPECTED_FAULTS, "shownAs"),),
                )

    mutants = (
        null_value(EXPECTED_FAULTS, "shownAs"),
        set_value(EXPECTED_FAULTS, "requestId", "request-forged"),
    )
    return Check("faults_shown()", judge, mutants, (EXPECTED_FAULTS,))
