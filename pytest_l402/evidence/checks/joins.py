"""Decides whether one purchase can be followed through every plane (Correlation Workflow)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pytest_l402.evidence.check import Check, Finding
from pytest_l402.evidence.checks.presented import refusal_of, what_to_do
from pytest_l402.evidence.checks.selecting import (
    Bought,
    Found,
    at,
    counted,
    derived,
    either,
    is_of_platform,
    is_told,
    listed,
    logs_request,
    matching,
    other_value,
    proof_key,
    request_id_of,
    rows,
    shown,
    told,
)
from pytest_l402.evidence.mutants import Mutant, change_proof, insert_row, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.spelling import Named
from pytest_l402.evidence.tables import Evidence, Row

_MIXED_UP = "one of the two took it from another request, or did not know it: read both logs by oa_req=<id>"

_WAS_IT_PAID = "see whether it was paid at all"


@described
def response_header_joins(purchase: Bought) -> Check:
    """The `x-oa-request-id` of every answer finds a gateway log line by `oa_req=<id>` (join 1)."""
    request_id = request_id_of(purchase)
    gateway = _log_of(request_id, "gateway")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        handled = rows(evidence, "exchanges", requestId=request_id)
        echoed = rows(evidence, "answers", requestId=request_id)
        if len(echoed) < max(1, len(handled)):
            expected = (
                f"{max(1, len(handled))} answer(s) whose x-oa-request-id is that of request {request_id}"
            )
            remedy = (
                "the gateway lost the id, minted one of its own, or never answered: compare the header with "
                "what was sent"
            )
            yield Finding(expected, f"{len(echoed) or 'none'}", echoed.where, remedy)
        if len(handled) < len(echoed):
            expected = f"{len(echoed)} exchange(s) of request {request_id}, one an answer"
            remedy = (
                "the gateway has not noted a request that was answered: find out who answers in its place"
            )
            yield Finding(expected, f"{len(handled) or 'none'}", handled.where, remedy)
        lines = matching(evidence, "logs", gateway)
        if len(lines) < len(handled):
            expected = f"{len(handled)} gateway log line(s) with oa_req={request_id}, one an answer"
            remedy = "the gateway does not log the id it echoes: mend its log format"
            yield Finding(expected, f"{len(lines) or 'none'}", lines.where, remedy)

    mutants = (
        remove_rows("answers", {"requestId": request_id}),
        set_value("answers", "requestId", None, {"requestId": request_id}),
        set_value("answers", "requestId", "request-other", {"requestId": request_id}),
        remove_rows("exchanges", {"requestId": request_id}),
        set_value("logs", "line", f"oa_req={request_id}-other", gateway, every=True),
        _first_line_gone(gateway),
    )
    tables = ("answers", "exchanges", "logs")
    return Check(f"response_header_joins({request_id})", judge, mutants, tables)


@described
def found_in_logs(purchase: Bought, plane: str | None = None) -> Check:
    """The request id finds a log line by `oa_req=<id>`, of this plane if one is given (section 5)."""
    request_id = request_id_of(purchase)
    here = _log_of(request_id, plane)

    def judge(evidence: Evidence) -> list[Finding]:
        return matching(evidence, "logs", here).expect_some(
            f"a log line with oa_req={request_id}" + (f" of plane {plane}" if plane else ""),
            "take the id from x-oa-request-id of the answer; is it right, that plane did not see or log it",
            f"none in {counted(evidence, 'logs', 'line')}",
        )

    mutants = (
        set_value("logs", "line", f"oa_req={request_id}-other", here, every=True),
        remove_rows("logs", here),
    )
    name = f"found_in_logs({request_id}{f', {plane}' if plane else ''})"
    named = () if plane is None else (Named("logs", {"plane": plane}),)
    return Check(name, judge, mutants, ("logs",), named=named)


@described
def task_settlement_join(purchase: Bought) -> Check:
    """`requestId`, `taskId` and `paywallId` join task, settlement row and settlement record (join 2)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        tasks = rows(evidence, "tasks", requestId=request_id)
        yield from tasks.expect_some(
            f"a task of request {request_id}", "the control plane never registered this request"
        )
        settled = rows(evidence, "settlements", requestId=request_id)
        yield from settled.expect_some(*_settlement_of(evidence, request_id))
        yield from settled.expect("taskId", [row.get("taskId") for _, row in tasks], _MIXED_UP)
        spoken = told(evidence, request_id, "settlement")
        for _, row in settled:
            yield from spoken.expect_some(
                f"a settlement record of request {request_id}", "mend the store's emitter"
            )
            for key in ("taskId", "paywallId"):
                # A null joins nothing.
                yield from spoken.expect(key, {row.get(key)} - {None}, _MIXED_UP)

    mine, spoken_here = {"requestId": request_id}, is_told(request_id, "settlement")
    mutants = (
        set_value("tasks", "requestId", "request-other", mine, every=True),
        set_value("tasks", "taskId", "task-other", mine, every=True).concerning("settlements.taskId"),
        set_value("settlements", "requestId", "request-other", mine, every=True),
        set_value("settlements", "taskId", "task-other", mine).concerning("records.taskId"),
        set_value("settlements", "paywallId", "pw-other", mine).concerning("records.paywallId"),
        set_value("records", "taskId", None, spoken_here, every=True),
        set_value("records", "paywallId", "pw-other", spoken_here),
        remove_rows("records", spoken_here),
    )
    return Check(f"task_settlement_join({request_id})", judge, mutants, ("tasks", "settlements", "records"))


@described
def proof_join(purchase: Bought) -> Check:
    """The settlement's `paymentProofRef` is that of the wallet, of gateway and settlement records (join 3).

    The buyer's own records, where it keeps some, join by the 16 digits which both forms of a reference share.
    """
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        settled = rows(evidence, "settlements", requestId=request_id)
        yield from settled.expect_some(*_settlement_of(evidence, request_id))
        for _, row in settled:
            proof, payment_hash = row.get("paymentProofRef"), row.get("paymentHash")
            for plane in ("gateway", "settlement"):
                spoken = _with_proof(evidence, request_id, plane)
                what = f"a {plane} record of request {request_id} with a paymentProofRef"
                yield from spoken.expect_some(what, f"read the log of plane {plane} by oa_req=<id>")
                yield from spoken.expect("paymentProofRef", [proof], _MIXED_UP)
            paid = rows(evidence, "payments", paymentHash=payment_hash, status="succeeded")
            remedy = "settled without a payment: stop payouts"
            yield from paid.expect_some("the payment of this settlement", remedy)
            yield from paid.expect("proofReference", [proof], _MIXED_UP)
            own = rows(evidence, "records", requestId=request_id, executor="desktop").only(
                _has_proof, "paymentProofRef"
            )
            apart = [item for item in own if proof_key(item[1]["paymentProofRef"]) != proof_key(proof)]
            yield from Found("records", apart).expect("paymentProofRef", [proof], _MIXED_UP)

    own = change_proof("records", {"requestId": request_id, "executor": "desktop"})
    in_store = change_proof("settlements", {"requestId": request_id}).concerning(
        "records.paymentProofRef", "payments.proofReference"
    )
    mutants = (
        in_store,
        *(
            change_proof("records", is_told(request_id, plane)).named(f"records: {plane} names another proof")
            for plane in ("gateway", "settlement")
        ),
        either(own.named("records: the buyer names another proof"), in_store),
        _other_payment_proof(request_id),
        remove_rows("settlements", {"requestId": request_id}),
    )
    return Check(f"proof_join({request_id})", judge, mutants, ("settlements", "records", "payments"))


@described
def ui_join(purchase: Bought) -> Check:
    """The ui's record and the projection carry the settlement's request, task and proof (join 5)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        settled = _with_proof(evidence, request_id, "settlement")
        what = f"a settlement record of request {request_id}"
        yield from settled.expect_some(
            what, "triage this request first", f"none{refusal_of(evidence, request_id)}"
        )
        for spoken in (told(evidence, request_id, "ui"), rows(evidence, "projection", requestId=request_id)):
            yield from spoken.expect_some(
                f"what the ui shows of request {request_id}",
                "the read model is behind: rebuild it from the settlement rows",
            )
            for key in ("taskId", "paymentProofRef") if settled else ():
                yield from spoken.expect(key, {record.get(key) for _, record in settled} - {None}, _MIXED_UP)

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


@described
def proof_absent(purchase: Bought, plane: str = "settlement") -> Check:
    """The request was paid, and no platform record of this plane names that proof (section 5)."""
    request_id = request_id_of(purchase)

    def here(row: Row) -> bool:
        return row.get("plane") == plane and is_of_platform(row)

    def named_outside(evidence: Evidence) -> Found:
        mine = rows(evidence, "records", requestId=request_id)
        return mine.only(lambda row: row.get("paymentProofRef") and not here(row), "paymentProofRef")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        outside = named_outside(evidence)
        yield from outside.expect_some(
            f"a paymentProofRef of request {request_id} outside plane {plane}",
            _WAS_IT_PAID,
        )
        proofs = {proof_key(row["paymentProofRef"]) for _, row in outside}
        for index, row in matching(evidence, "records", here):
            if proof_key(row.get("paymentProofRef")) in proofs:
                yield Finding(
                    expected=f"no {plane} record with the proof of request {request_id}",
                    seen=shown(row["paymentProofRef"]),
                    where=at("records", index),
                    remedy="the proof is not absent: triage again, another domain failed",
                )

    def arrived(evidence: Evidence) -> Row | None:
        for _, row in named_outside(evidence):
            return {**row, "plane": plane, "executor": "system", "denyReason": None}
        return None

    mutants = (
        insert_row("records", arrived, f"plane {plane} names the proof after all"),
        set_value("records", "paymentProofRef", None, {"requestId": request_id}, every=True),
    )
    named = (Named("records", {"plane": plane}),)
    return Check(f"proof_absent({request_id}, {plane})", judge, mutants, ("records",), named=named)


@described
def proof_differs(purchase: Bought, left: str = "gateway", right: str = "settlement") -> Check:
    """Two planes of the platform name different proofs for the request (section 5)."""
    request_id = request_id_of(purchase)

    def proofs(found: Found) -> set[str]:
        return {row["paymentProofRef"] for _, row in found}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        sides = [_with_proof(evidence, request_id, plane) for plane in (left, right)]
        for plane, side in zip((left, right), sides, strict=True):
            yield from side.expect_some(
                f"a {plane} record of request {request_id} with a proof", _WAS_IT_PAID
            )
        common = proofs(sides[0]) & proofs(sides[1])
        if common:
            expected = f"{left} and {right} to name different proofs for request {request_id}"
            where = told(evidence, request_id, right).where
            remedy = "the proofs agree: triage again, another domain failed"
            yield Finding(expected, f"both name {listed(common)}", where, remedy)

    def agree(evidence: Evidence) -> Mutant | None:
        known = sorted(proofs(_with_proof(evidence, request_id, left)))
        here = is_told(request_id, right)
        return set_value("records", "paymentProofRef", known[0], here, every=True) if known else None

    mutants = (
        derived(f"records: {right} names the proof of {left}", agree),
        set_value("records", "paymentProofRef", None, is_told(request_id, right), every=True),
    )
    named = (Named("records", {"plane": left}), Named("records", {"plane": right}))
    name = f"proof_differs({request_id}, {left}, {right})"
    return Check(name, judge, mutants, ("records",), named=named)


def _has_proof(row: Row) -> object:
    return row.get("paymentProofRef")


def _with_proof(evidence: Evidence, request_id: str, plane: str) -> Found:
    """The records of a request in which the platform names a proof for a plane."""
    return told(evidence, request_id, plane).only(_has_proof, "paymentProofRef")


def _settlement_of(evidence: Evidence, request_id: str) -> tuple[str, str, str]:
    """What is expected where a settlement is, what to do if there is none, and what was seen instead."""
    asked = rows(evidence, "exchanges", requestId=request_id)
    standings = {row.get("credential") for _, row in asked}
    barred = "refused" in standings and "accepted" not in standings
    remedy = what_to_do(asked) if barred else "see whether it was paid; then replay its settlement event"
    return f"a settlement of request {request_id}", remedy, f"none{refusal_of(evidence, request_id)}"


def _log_of(request_id: str, plane: str | None) -> Callable[[Row], bool]:
    return lambda row: plane in (None, row.get("plane")) and logs_request(row, request_id)


def _first_line_gone(where: Callable[[Row], bool]) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        first = next((index for index, _ in matching(evidence, "logs", where)), None)
        left = [row for index, row in enumerate(evidence.table("logs")) if index != first]
        return evidence.with_table("logs", left)

    return Mutant("logs: one gateway line is gone", apply)


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
