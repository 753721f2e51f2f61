"""Decides whether one purchase can be followed through every plane (Correlation Workflow)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pytest_l402.evidence.check import Check, Finding
from pytest_l402.evidence.checks.selecting import (
    PLATFORM,
    Bought,
    Found,
    altered,
    at,
    derived,
    either,
    is_told,
    listed,
    logs_request,
    matching,
    missing,
    other_value,
    places,
    proof_key,
    request_id_of,
    rows,
    shown,
    told,
)
from pytest_l402.evidence.mutants import Mutant, change_proof, insert_row, remove_rows, set_value
from pytest_l402.evidence.tables import Evidence, Row


def response_header_joins(purchase: Bought) -> Check:
    """The `x-oa-request-id` of every answer finds a gateway log line by `oa_req=<id>` (join 1)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        handled = rows(evidence, "exchanges", requestId=request_id)
        echoed = rows(evidence, "answers", requestId=request_id)
        if len(echoed) < max(1, len(handled)):
            yield Finding(
                expected=f"{max(1, len(handled))} answer(s) with x-oa-request-id {request_id}",
                seen=f"{len(echoed)}",
                where=places("answers", echoed),
                remedy="the gateway lost the id, minted one of its own, or never answered: compare the "
                "header with what was sent",
            )
        if len(handled) < len(echoed):
            yield Finding(
                expected=f"{len(echoed)} exchange(s) of request {request_id}, one an answer",
                seen=f"{len(handled)}",
                where=places("exchanges", handled),
                remedy="somebody else's answer carries this id: find out who answers in the gateway's place",
            )
        lines = [index for index, row in _logged(evidence, request_id) if row.get("plane") == "gateway"]
        if len(lines) < len(handled):
            yield Finding(
                expected=f"{len(handled)} gateway log line(s) with oa_req={request_id}, one an answer",
                seen=f"{len(lines)}",
                where=at("logs", *lines),
                remedy="the gateway does not log the id it echoes: mend its log format",
            )

    gateway = _log_of(request_id, "gateway")
    mutants = (
        remove_rows("answers", {"requestId": request_id}),
        set_value("answers", "requestId", None, {"requestId": request_id}),
        set_value("answers", "requestId", "request-other", {"requestId": request_id}),
        remove_rows("exchanges", {"requestId": request_id}),
        set_value("logs", "line", f"oa_req={request_id}-other", gateway, every=True),
        _first_gone("logs", "logs: one gateway line is gone", gateway),
    )
    tables = ("answers", "exchanges", "logs")
    return Check(f"response_header_joins({request_id})", judge, mutants, tables)


def found_in_logs(purchase: Bought, plane: str | None = None) -> Check:
    """The request id finds a log line by `oa_req=<id>`, of this plane if one is given (section 5)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        if not any(plane in (None, row.get("plane")) for _, row in _logged(evidence, request_id)):
            yield Finding(
                expected=f"a log line with oa_req={request_id}" + (f" of plane {plane}" if plane else ""),
                seen=f"none in {len(evidence.table('logs'))} lines",
                where=at("logs"),
                remedy="take the id from x-oa-request-id of the answer; if it is right, that plane never "
                "saw it",
            )

    mutants = (
        set_value("logs", "line", f"oa_req={request_id}-other", _log_of(request_id, plane), every=True),
        remove_rows("logs", _log_of(request_id, plane)),
    )
    name = f"found_in_logs({request_id}{f', {plane}' if plane else ''})"
    return Check(name, judge, mutants, ("logs",))


def task_settlement_join(purchase: Bought) -> Check:
    """`requestId`, `taskId` and `paywallId` join task, settlement row and settlement record (join 2)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        task_ids = [row.get("taskId") for _, row in rows(evidence, "tasks", requestId=request_id)]
        settled = rows(evidence, "settlements", requestId=request_id)
        if not task_ids:
            yield missing(
                "tasks", f"a task of request {request_id}", "the control plane never registered this request"
            )
        yield from _unsettled(settled, request_id)
        for index, row in settled:
            yield from _differing("settlements", [(index, row)], "taskId", task_ids)
            spoken = told(evidence, request_id, "settlement")
            if not spoken:
                yield missing(
                    "records", f"a settlement record of request {request_id}", "mend the store's emitter"
                )
            for place, record in spoken:
                for key in ("taskId", "paywallId"):
                    if record.get(key) != row.get(key) or record.get(key) is None:
                        yield _differs("records", place, record, key, [row.get(key)])

    mine, spoken_here = {"requestId": request_id}, is_told(request_id, "settlement")
    mutants = (
        set_value("tasks", "requestId", "request-other", mine, every=True),
        set_value("tasks", "taskId", "task-other", mine, every=True),
        set_value("settlements", "requestId", "request-other", mine, every=True),
        set_value("settlements", "taskId", "task-other", mine),
        set_value("settlements", "paywallId", "pw-other", mine),
        set_value("records", "taskId", None, spoken_here, every=True),
        set_value("records", "paywallId", "pw-other", spoken_here),
        remove_rows("records", spoken_here),
    )
    return Check(f"task_settlement_join({request_id})", judge, mutants, ("tasks", "settlements", "records"))


def proof_join(purchase: Bought) -> Check:
    """The settlement's `paymentProofRef` is that of the wallet, of gateway and settlement records (join 3).

    The buyer's own records, where it keeps some, join by the 16 digits which both forms of a reference share.
    """
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        settled = rows(evidence, "settlements", requestId=request_id)
        yield from _unsettled(settled, request_id)
        for _, row in settled:
            proof = row.get("paymentProofRef")
            paid = rows(evidence, "payments", paymentHash=row.get("paymentHash"), status="succeeded")
            for plane in ("gateway", "settlement"):
                spoken = [(i, r) for i, r in told(evidence, request_id, plane) if r.get("paymentProofRef")]
                if not spoken:
                    what = f"a {plane} record of request {request_id} with a paymentProofRef"
                    yield missing("records", what, f"read the log of plane {plane} by oa_req=<id>")
                yield from _differing("records", spoken, "paymentProofRef", [proof])
            if not paid:
                yield missing(
                    "payments", "the payment of this settlement", "settled without a payment: stop payouts"
                )
            yield from _differing("payments", paid, "proofReference", [proof])
            for index, record in rows(evidence, "records", requestId=request_id, executor="desktop"):
                if record.get("paymentProofRef") and proof_key(record["paymentProofRef"]) != proof_key(proof):
                    yield _differs("records", index, record, "paymentProofRef", [proof])

    in_store = change_proof("settlements", {"requestId": request_id})
    mutants = (
        in_store,
        change_proof("records", is_told(request_id, "gateway")).named("records: gateway names another proof"),
        change_proof("records", is_told(request_id, "settlement")).named(
            "records: settlement names another proof"
        ),
        either(
            change_proof("records", {"requestId": request_id, "executor": "desktop"}).named(
                "records: the buyer names another proof"
            ),
            in_store,
        ),
        _other_payment_proof(request_id),
        remove_rows("settlements", {"requestId": request_id}),
    )
    return Check(f"proof_join({request_id})", judge, mutants, ("settlements", "records", "payments"))


def ui_join(purchase: Bought) -> Check:
    """The ui's record and the projection carry the settlement's request, task and proof (join 5)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        settled = [row for _, row in told(evidence, request_id, "settlement") if row.get("paymentProofRef")]
        if not settled:
            yield missing(
                "records", f"a settlement record of request {request_id}", "triage this request first"
            )
        for table, spoken in (
            ("records", told(evidence, request_id, "ui")),
            ("projection", rows(evidence, "projection", requestId=request_id)),
        ):
            if not spoken:
                remedy = "the read model is behind: rebuild it from the settlement rows"
                yield missing(table, f"what the ui shows of request {request_id}", remedy)
            for index, row in spoken:
                for key in ("taskId", "paymentProofRef"):
                    wanted = {record.get(key) for record in settled}
                    if settled and row.get(key) not in wanted:
                        yield _differs(table, index, row, key, wanted)

    mine, spoken_here = {"requestId": request_id}, is_told(request_id, "ui")
    mutants = (
        remove_rows("records", spoken_here),
        change_proof("records", spoken_here),
        set_value("records", "taskId", "task-other", spoken_here),
        remove_rows("projection", mine),
        change_proof("projection", mine),
        set_value("projection", "taskId", "task-other", mine),
    )
    return Check(f"ui_join({request_id})", judge, mutants, ("records", "projection"))


def proof_absent(purchase: Bought, plane: str = "settlement") -> Check:
    """The request was paid, and no platform record of this plane names that proof (section 5)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        spoken = {index for index, _ in told(evidence, request_id, plane)}
        found = rows(evidence, "records", requestId=request_id)
        proofs = {
            proof_key(row["paymentProofRef"])
            for i, row in found
            if row.get("paymentProofRef") and i not in spoken
        }
        if not proofs:
            yield missing(
                "records", f"a paymentProofRef of request {request_id} outside plane {plane}", "see payments"
            )
        for index, row in enumerate(evidence.table("records")):
            here = row.get("plane") == plane and row.get("executor") in PLATFORM
            if here and proof_key(row.get("paymentProofRef")) in proofs:
                yield Finding(
                    expected=f"no {plane} record with the proof of request {request_id}",
                    seen=shown(row["paymentProofRef"]),
                    where=at("records", index),
                    remedy="the proof is not absent: triage again, another domain failed",
                )

    def arrived(evidence: Evidence) -> Row | None:
        for _, row in rows(evidence, "records", requestId=request_id):
            if row.get("paymentProofRef") and not (row["plane"] == plane and row["executor"] in PLATFORM):
                return {**row, "plane": plane, "executor": "system", "denyReason": None}
        return None

    mutants = (
        insert_row("records", arrived, f"plane {plane} names the proof after all"),
        set_value("records", "paymentProofRef", None, {"requestId": request_id}, every=True),
    )
    return Check(f"proof_absent({request_id}, {plane})", judge, mutants, ("records",))


def proof_differs(purchase: Bought, left: str = "gateway", right: str = "settlement") -> Check:
    """Two planes of the platform name different proofs for the request (section 5)."""
    request_id = request_id_of(purchase)

    def proofs(evidence: Evidence, plane: str) -> set[str]:
        found = [row.get("paymentProofRef") for _, row in told(evidence, request_id, plane)]
        return {proof for proof in found if isinstance(proof, str)}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for plane in (left, right):
            if not proofs(evidence, plane):
                yield missing(
                    "records", f"a {plane} record of request {request_id} with a proof", "see proof_absent"
                )
        common = proofs(evidence, left) & proofs(evidence, right)
        if common:
            yield Finding(
                expected=f"{left} and {right} to name different proofs for request {request_id}",
                seen=f"both name {listed(common)}",
                where=at("records", *(i for i, r in told(evidence, request_id, right))),
                remedy="the proofs agree: triage again, another domain failed",
            )

    def agree(evidence: Evidence) -> Mutant | None:
        known = sorted(proofs(evidence, left))
        here = is_told(request_id, right)
        return set_value("records", "paymentProofRef", known[0], here, every=True) if known else None

    mutants = (
        derived(f"records: {right} names the proof of {left}", agree),
        set_value("records", "paymentProofRef", None, is_told(request_id, right), every=True),
    )
    return Check(f"proof_differs({request_id}, {left}, {right})", judge, mutants, ("records",))


def _logged(evidence: Evidence, request_id: str) -> Found:
    return matching(evidence, "logs", lambda row: logs_request(row, request_id))


def _log_of(request_id: str, plane: str | None) -> Callable[[Row], bool]:
    return lambda row: plane in (None, row.get("plane")) and logs_request(row, request_id)


def _first_gone(table: str, name: str, where: Callable[[Row], bool]) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        first = next((index for index, _ in matching(evidence, table, where)), None)
        left = [row for index, row in enumerate(evidence.table(table)) if index != first]
        return evidence.with_table(table, left)

    return altered(name, apply)


def _other_payment_proof(request_id: str) -> Mutant:
    def find(evidence: Evidence) -> Mutant:
        hashes = {row.get("paymentHash") for _, row in rows(evidence, "settlements", requestId=request_id)}
        return set_value(
            "payments",
            "proofReference",
            lambda row: other_value(row["proofReference"]),
            lambda row: row.get("paymentHash") in hashes and row.get("status") == "succeeded",
        )

    return derived("payments: proofReference names another preimage", find)


def _unsettled(settled: Found, request_id: str) -> Iterator[Finding]:
    if not settled:
        yield missing("settlements", f"a settlement of request {request_id}", "replay its settlement event")


def _differing(table: str, found: Found, key: str, wanted: list[Any]) -> Iterator[Finding]:
    for index, row in found:
        if row.get(key) not in wanted:
            yield _differs(table, index, row, key, wanted)


def _differs(table: str, index: int, row: Row, key: str, wanted: Iterable[Any]) -> Finding:
    return Finding(
        expected=f"{key} {listed(wanted)}",
        seen=shown(row.get(key)),
        where=at(table, index),
        remedy="find out which plane took the value from another request: read both logs by "
        "oa_req=<request id>",
    )
