"""Decides whether records alone name the failing domain, and whether the stack recovered."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.presented import refusal_of, remedy_of
from pytest_l402.evidence.checks.selecting import (
    Bought,
    another_record,
    at,
    complete_record,
    expect_keys,
    flows_changed,
    is_of_platform,
    listed,
    records_of,
    request_id_of,
    rows,
    shown,
    with_records,
)
from pytest_l402.evidence.mutants import Mutant, insert_row, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.spelling import Named
from pytest_l402.evidence.tables import Evidence, Row
from pytest_l402.triage.diagnosis import Diagnosis, triage
from pytest_l402.triage.rules import Domain

_READ = ("records", "local_artifact")
_READ_SIDE = ("settlement", "ui")


@described
def triaged_as(
    purchase: Bought,
    domain: str,
    *,
    field: str | None = None,
    rule: str | None = None,
    step_contains: str | None = None,
) -> Check:
    """From records and local artifact alone, the request is diagnosed as this domain (Incident Triage).

    `field` is the deciding field, `rule` a rule of the table, `step_contains` a part of the next step. Raises
    `ValueError` for an unknown domain.
    """
    request_id, wanted = request_id_of(purchase), _domain(domain)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        diagnosis = _diagnose(evidence, request_id)
        if diagnosis.domain is not wanted:
            seen = f"{diagnosis.domain}{refusal_of(evidence, request_id)}"
            told = remedy_of(evidence, request_id)
            yield _misread(diagnosis, f"request {request_id} in domain {wanted}", seen, told)
        if field is not None and diagnosis.deciding_field != field:
            yield _misread(diagnosis, f"{field} to decide", diagnosis.deciding_field)
        if rule is not None and diagnosis.rule != rule:
            yield _misread(diagnosis, f"rule {rule} to decide", diagnosis.rule)
        if step_contains is not None and step_contains not in diagnosis.next_step:
            yield _misread(diagnosis, f"a next step that says {step_contains!r}", diagnosis.next_step)

    mutants = [_without_request(request_id)]
    if wanted is Domain.INCOMPLETE:
        mutants = [_completed(request_id)]
    elif wanted in (Domain.HEALTHY, Domain.NOT_ENOUGH):
        mutants += [_broken(request_id), _invalid(request_id)]
    else:
        mutants += [_healed(request_id), _invalid(request_id)]
    return Check(f"triaged_as({request_id}, {wanted})", judge, tuple(mutants), ("records",))


@described
def recovered(purchase: Bought) -> Check:
    """A request made after the fault is healthy, and was paid now or earlier (sections 5, 6)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _unless_paid(evidence, request_id)

    mutants = (_without_request(request_id), _broken(request_id), _unpaid(request_id))
    return Check(f"recovered({request_id})", judge, mutants, ("records",))


@described
def success_despite(purchase: Bought, **fields: Any) -> Check:
    """A record of the request has these values, and it is a paid success nevertheless (section 6)."""
    request_id = request_id_of(purchase)
    if not fields:
        raise ValueError("success_despite: expected a field such as nodeSyncStatus='degraded', saw none")
    expect_keys(fields)
    wanted = ", ".join(f"{key}={shown(value)}" for key, value in fields.items())

    def judge(evidence: Evidence) -> Iterator[Finding]:
        if not rows(evidence, "records", requestId=request_id, **fields):
            yield Finding(
                expected=f"a record of request {request_id} with {wanted}",
                seen=listed(
                    f"{key}={shown(row.get(key))}"
                    for _, row in rows(evidence, "records", requestId=request_id)
                    for key in fields
                ),
                where=at("records"),
                remedy="the condition was not there, so nothing succeeded in spite of it: inject the fault",
            )
        yield from _unless_paid(evidence, request_id)

    mine = {"requestId": request_id, **fields}
    mutants = (
        *(set_value("records", key, None, mine, every=True) for key in fields),
        _broken(request_id),
        _unpaid(request_id),
    )
    named = (Named("records", fields),)
    return Check(f"success_despite({request_id}, {wanted})", judge, mutants, ("records",), named=named)


@described
def steady_state_restored() -> Check:
    """Every probe that was taken before the procedure was taken after it as well, and all of them are ok."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        taken: dict[str, set[Any]] = {"before": set(), "after": set()}
        probed = evidence.table("steady_state")
        ill = {
            row.get("probe") for row in probed if row.get("when") == "before" and row.get("ok") is not True
        }
        faults = evidence.table("expected_faults")
        for index, row in enumerate(probed):
            taken.setdefault(str(row.get("when")), set()).add(row.get("probe"))
            if row.get("ok") is not True:
                yield Finding(
                    expected=f"{shown(row.get('probe'))} ok {shown(row.get('when'))} the procedure",
                    seen=f"{shown(row.get('ok'))}: {shown(row.get('detail'))}",
                    where=at("steady_state", index),
                    remedy=_unsteady(row, row.get("probe") in ill, injected=bool(faults)),
                )
        if not taken["before"] or taken["before"] != taken["after"]:
            yield Finding(
                expected=f"the probes taken before ({listed(taken['before'])}) taken again afterwards",
                seen=listed(taken["after"]),
                where=at("steady_state"),
                remedy="probe the steady state on both sides of the procedure",
            )

    mutants = (
        set_value("steady_state", "ok", False, {"when": "after"}),
        set_value("steady_state", "ok", False, {"when": "before"}),
        remove_rows("steady_state", {"when": "after"}),
        remove_rows("steady_state", {"when": "before"}),
        insert_row(
            "steady_state", {"when": "before", "probe": "forged", "ok": True}, "a probe not taken again"
        ),
    )
    return Check("steady_state_restored()", judge, mutants, ("steady_state",))


def _unsteady(row: Row, from_the_start: bool, *, injected: bool) -> str:
    if from_the_start:
        return (
            f"before the procedure nothing was injected: see why {shown(row.get('probe'))} does not answer "
            "as it should, by what was seen"
        )
    if injected:
        return "take the fault away (it must end with its block), then let what is pending come to its end"
    return (
        "let what is pending come to its end; a fault, where one was injected, must end with its block; "
        f"else see why {shown(row.get('probe'))} does not answer as it should"
    )


def _diagnose(evidence: Evidence, request_id: str) -> Diagnosis:
    records, artifacts = (marshal.dumps(list(evidence.table(name)), 2) for name in _READ)
    return _diagnosed(records, artifacts, request_id)


@lru_cache(maxsize=64)
def _diagnosed(records: bytes, artifacts: bytes, request_id: str) -> Diagnosis:
    # A check is put to the same rows several times, and the model is the largest part of judging them.
    read = (marshal.loads(table) for table in (records, artifacts))  # noqa: S302 - written above
    found = triage(Evidence().with_shared(dict(zip(_READ, map(tuple, read), strict=True))), request_id)
    # An id that only the artifact knows stands for several requests: the worst of them is the answer.
    return next((each for each in found if not each.healthy), found[0])


def _unless_paid(evidence: Evidence, request_id: str) -> Iterator[Finding]:
    diagnosis = _diagnose(evidence, request_id)
    if diagnosis.rule != "paid":
        seen = f"{diagnosis.domain}: {diagnosis.reason}{refusal_of(evidence, request_id)}"
        told = remedy_of(evidence, request_id)
        yield _misread(diagnosis, f"request {request_id} healthy and paid", seen, told)


def _misread(diagnosis: Diagnosis, expected: str, seen: str, told: str = "") -> Finding:
    about = (Subject("exchanges", "credential", diagnosis.request_id), Subject("records")) if told else ()
    index = diagnosis.record_index
    return Finding(
        expected=expected,
        seen=seen,
        where=at("records") if index is None else at("records", index),
        about=about,
        # The exchanges know whose fault a refusal is; records do not.
        remedy=told
        or f"triage says: {diagnosis.reason} (rule {diagnosis.rule}); if the records are right, "
        f"{diagnosis.next_step}",
    )


def _domain(name: str) -> Domain:
    try:
        return Domain(name)
    except ValueError:
        raise ValueError(f"triaged_as: expected one of {', '.join(Domain)}, saw {name!r}") from None


def _without_request(request_id: str) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        return flows_changed(_with_records(evidence, request_id, ()), request_id, lambda flow: None)

    return _told_to_triage("records: none names the request", apply)


def _with_records(evidence: Evidence, request_id: str, mine: Iterable[Row]) -> Evidence:
    """The evidence with these as the only records of the request."""
    others = [row for row in evidence.table("records") if row.get("requestId") != request_id]
    return evidence.with_table("records", [*others, *mine])


def _invalid(request_id: str) -> Mutant:
    changes = {"requestId": request_id, "plane": "unheard-of"}
    return another_record(changes, "an invalid record names the request")


def _broken(request_id: str) -> Mutant:
    def make(evidence: Evidence) -> Row | None:
        known = evidence.table("records")
        if not known:
            return None
        late = max(int(row.get("observedAtMs") or 0) for row in known) + 1
        changes = {"requestId": request_id, "plane": "gateway", "executor": "gateway", "observedAtMs": late}
        return {**known[0], **changes, "denyReason": "gateway_challenge_failed", "paymentProofRef": None}

    return insert_row("records", make, "the gateway says that it failed")


def _unpaid(request_id: str) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        mine = {"requestId": request_id}
        nulled = set_value("records", "paymentProofRef", None, mine, every=True).apply(evidence)
        # The artifact has the same records, and triage reads both.
        return flows_changed(nulled, request_id, lambda flow: with_records(flow, ()))

    return _told_to_triage("records: none of the request names a proof", apply)


def _completed(request_id: str) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        return _with_records(evidence, request_id, [complete_record(request_id, "control")])

    return _told_to_triage("records: the request is complete after all", apply)


def _healed(request_id: str) -> Mutant:
    """The request as it would look had nothing failed: no denial, one proof on every plane, an ended task."""

    def apply(evidence: Evidence) -> Evidence:
        mine = [_well(row) for _, row in rows(evidence, "records", requestId=request_id)]
        cured = [row for row in mine if row.get("plane") not in _READ_SIDE or not is_of_platform(row)]
        paid = sorted(
            (row for row in cured if row.get("paymentProofRef")), key=lambda row: row["plane"] != "gateway"
        )
        if paid:
            proof, amount = _hosted(paid[0]["paymentProofRef"]), paid[0].get("paidAmountMsats")
            for row in paid:
                if is_of_platform(row):
                    row.update(paymentProofRef=proof, paidAmountMsats=amount)
            # As a replay, since the settlement itself may be on record under another request.
            replay = {**paid[0], "executor": "system", "paymentProofRef": proof, "cacheHit": True}
            cured += [{**replay, "plane": plane} for plane in _READ_SIDE]
        return flows_changed(_with_records(evidence, request_id, cured), request_id, _ended)

    return _told_to_triage("records: nothing failed, every plane tells it alike", apply)


def _told_to_triage(name: str, apply: Callable[[Evidence], Evidence]) -> Mutant:
    """Triage reads records and local artifact as one, and answers with a record wherever it can."""
    return Mutant(name, apply).concerning("records")


def _well(row: Row) -> dict[str, Any]:
    well = {"walletState": "unlocked", "nodeSyncStatus": "synced", "desktopRuntimeStatus": "running"}
    known = {key: value for key, value in well.items() if row.get(key) is not None}
    return {**row, "denyReason": None, **known}


def _ended(flow: dict[str, Any]) -> dict[str, Any]:
    return with_records({**flow, "taskStatus": "completed"}, map(_well, records_of(flow)))


def _hosted(proof: str) -> str:
    form = "lightning_preimage:"
    return proof if proof.startswith(form) else f"{form}{proof.rpartition(':')[2]:0<24}"
