"""Decides whether a fault that was injected fired, and whether one that was declared showed, and as what."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.planes import EXPECTED_FAULTS, disagrees
from pytest_l402.evidence.checks.selecting import at, rows, shown
from pytest_l402.evidence.mutants import insert_row, null_value, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence
from pytest_l402.triage.diagnosis import triage

DISAGREEMENT = "planes that disagree"
INJECTED: Final = "injected_faults"
"""The table of what was injected: which fault, for whom, how often it fired, and when it was removed."""


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


@described
def every_fault_fired() -> Check:
    """Each fault that was injected fired, and was removed: what never happened was not rehearsed."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table(INJECTED)):
            name, where = shown(row.get("fault")), at(INJECTED, index)
            if not row.get("fired"):
                meant = row.get("requestId")
                yield Finding(
                    f"{name} to fire" + ("" if meant is None else f" for request {shown(meant)}"),
                    f"fired {shown(row.get('fired'))} times: nothing that it breaks was asked for",
                    where,
                    "put the call that meets it into its block, and through a part that knows the fault",
                    (Subject(INJECTED, "fired", rows=(index,)),),
                )
            if row.get("removedAtMs") is None:
                yield Finding(
                    f"{name} to be removed",
                    "still active at the end",
                    where,
                    "inject it in a with block that ends before the test does",
                    (Subject(INJECTED, "removedAtMs", rows=(index,)),),
                )

    # Of every test alike, also where nothing was injected: the records show that it ran.
    one: dict[str, Any] = {
        "fault": "UpstreamDown",
        "values": {},
        "requestId": None,
        "injectedAtMs": 1,
        "firedFor": [],
    }
    mutants = (
        insert_row(INJECTED, {**one, "fired": 0, "removedAtMs": 1}, "a fault that never fired"),
        insert_row(INJECTED, {**one, "fired": 1, "removedAtMs": None}, "a fault that was never removed"),
    )
    return Check("every_fault_fired()", judge, mutants, ("records",))
