"""Decides whether the local-node artifact holds, how a purchase ended in it, and if the planes agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pytest_l402.boundary import is_digest_reference
from pytest_l402.contract import PARITY_KEYS, LocalNodeArtifact, parity
from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import (
    Bought,
    Found,
    at,
    complete_record,
    departures,
    flows_changed,
    is_hosted_payment,
    listed,
    other_value,
    proof_key,
    records_of,
    request_id_of,
    rows,
    shown,
    with_records,
)
from pytest_l402.evidence.mutants import Mutant, change_proof, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row
from pytest_l402.triage.correlation import flow_request_ids, flows_of

_HERE = at("local_artifact", 0)
_ARTIFACT_REMEDY = (
    "reference-only evidence: write a new artifact with this run, or waive the old one with an end date"
)
_OTHER_RUN = "is the artifact of another run or session? compare its generatedAtMs with the presence rows"


@described
def artifact_shows(purchase: Bought, *, flow: str | None = None, task_status: str | None = None) -> Check:
    """The local artifact has the purchase, as this kind of flow and with this task status (sections 2 and 6).

    The records of that flow are among the run's records, value by value: a buyer tells one story. Raises
    `ValueError` when neither is given.
    """
    request_id = request_id_of(purchase)
    wanted = {key: value for key, value in (("flow", flow), ("taskStatus", task_status)) if value is not None}
    if not wanted:
        raise ValueError("artifact_shows: expected flow= or task_status=, saw neither")

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _undecodable(evidence)
        found = _flows_of(evidence, request_id)
        if len(found) != 1:
            expected = f"one flow of request {request_id}"
            remedy = "the executor did not take the task, or wrote another artifact: look at its session"
            yield Finding(expected, f"{len(found) or 'none'}", _HERE, remedy)
        for each in found:
            yield from _foreign_records(evidence, each)
            for key, value in wanted.items():
                if each.get(key) != value:
                    expected = f"{key} {value} for request {request_id}"
                    remedy = "compare with the task's transitions: who moved it last, and when"
                    yield Finding(expected, shown(each.get(key)), _HERE, remedy)

    mutants = [_field_of(request_id, key, "other") for key in wanted]
    mutants += [_without_flow(request_id), _with_foreign_record(request_id)]
    name = f"artifact_shows({request_id}, {', '.join(wanted.values())})"
    tables = ("local_artifact", "records")
    return Check(name, judge, tuple(mutants), tables, every_field_of=("records",))


@described
def artifact_lacks(purchase: Bought) -> Check:
    """The control plane has a task for the purchase, and the local artifact has no flow of it (section 6)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from rows(evidence, "tasks", requestId=request_id).expect_some(
            f"a task of request {request_id}", "nothing was asked of the executor"
        )
        for each in _flows_of(evidence, request_id):
            yield Finding(
                expected=f"no flow of request {request_id}",
                seen=f"one, with taskStatus {shown(each.get('taskStatus'))}",
                where=_HERE,
                remedy="the executor did take the task: use artifact_shows, and triage the request",
            )

    def taken_up(evidence: Evidence) -> Evidence:
        artifacts = list(evidence.table("local_artifact")) or [{"generatedAtMs": 0, "flows": []}]
        flow = {"flow": "interrupted", "createRequestId": request_id, "taskStatus": "running"}
        first = {**artifacts[0], "flows": [*(artifacts[0].get("flows") or []), flow]}
        return evidence.with_table("local_artifact", [first, *artifacts[1:]])

    flow_is_there = Mutant("local_artifact: a flow of it is there", taken_up)
    mutants = (flow_is_there, remove_rows("tasks", {"requestId": request_id}))
    return Check(f"artifact_lacks({request_id})", judge, mutants, ("tasks",))


@described
def local_artifact_join(purchase: Bought) -> Check:
    """`desktopSessionId`, `taskId`, `requestId` join the artifact with records and presence (join 4)."""
    request_id = request_id_of(purchase)

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _undecodable(evidence)
        tasks = {row.get("taskId") for _, row in rows(evidence, "tasks", requestId=request_id)}
        sessions = {row.get("desktopSessionId") for row in evidence.table("presence")}
        found = _flows_of(evidence, request_id)
        if not found or not any(records_of(each) for each in found):
            yield Finding(
                expected=f"a flow of request {request_id} with records",
                seen=f"{len(found)} flow(s) without any" if found else "none",
                where=_HERE,
                remedy="the executor did not take the task, or was gone before it said anything",
            )
        for each in found:
            told = Found("local_artifact", ((0, inner) for inner in records_of(each)))
            yield from Found("local_artifact", [(0, each)]).expect("taskId", tasks, _OTHER_RUN)
            yield from told.expect("desktopSessionId", sessions, _OTHER_RUN)
            yield from _foreign_records(evidence, each)

    mine = {"requestId": request_id, "executor": "desktop"}
    mutants = (
        _field_of(request_id, "taskId", "task-other"),
        _inner_change("desktopSessionId", request_id),
        _inner_change("taskId", request_id),
        _inner_change("nodeSyncStatus", request_id),
        _without_flow(request_id),
        set_value("records", "desktopSessionId", "desktop-other", mine),
        set_value("records", "taskId", None, mine),
        set_value("records", "walletState", "locked", mine),
        remove_rows("records", mine),
        set_value("tasks", "taskId", "task-other", {"requestId": request_id}).concerning(
            "local_artifact.taskId"
        ),
        set_value("presence", "desktopSessionId", "desktop-other", every=True).concerning(
            "local_artifact.desktopSessionId"
        ),
    )
    tables = ("local_artifact", "records", "tasks", "presence")
    name = f"local_artifact_join({request_id})"
    return Check(name, judge, mutants, tables, every_field_of=("records",))


@described
def local_parity() -> Check:
    """Local artifact and hosted records tell of the same payments, by key and by value (section 2)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _undecodable(evidence)
        flows = [flow for flow, _ in _flows(evidence)]
        report = parity([row for row in evidence.table("records") if is_hosted_payment(row)], flows)
        for key in report.keys:
            if key.reason:
                expected, _, seen = key.reason.partition(", saw ")
                yield Finding(
                    expected=expected.removeprefix("expected "),
                    seen=seen or key.state.value,
                    where=f"{_HERE}; {at('records')}",
                    remedy="find the payment on the side that has it, and see why the other one does not",
                )

    def hosted_proof(row: Row) -> bool:
        return is_hosted_payment(row) and row.get("paymentProofRef") is not None

    mutants = (
        change_proof("records", hosted_proof, every=True),
        set_value("records", "taskId", None, is_hosted_payment, every=True),
        set_value("records", "requestId", "request-other", is_hosted_payment, every=True),
        set_value("records", "executionPath", "local-node", is_hosted_payment),
        _flow_of(None, "the paid flows are gone", lambda flow: None if flow.get("proofReference") else flow),
        _flow_of(None, "every payment is another", _other_payment),
    )
    return Check("local_parity()", judge, mutants, ("local_artifact", "records"))


@described
def reference_artifact_holds() -> Check:
    """A local artifact, historical or of this run, is well-formed evidence, and no more (section 2).

    It holds a success with payment, proof, a 402 and a 200 of the seller, and a blocked flow without payment;
    every record is complete, the parity keys have values, and no credential stands in it in the clear.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from _undecodable(evidence)
        for kind in ("success", "blocked"):
            if not any(flow.get("flow") == kind for flow, _ in _flows(evidence)):
                yield _artifact(f"a flow {kind}", "none", _HERE)
        for flow, where in _flows(evidence):
            yield from _well_formed(flow, where)

    mutants = (
        _where_flow("success", "no flow succeeded", lambda flow: None),
        _where_flow("blocked", "no flow was blocked", lambda flow: None),
        _with_fields("success", "taskStatus is running", taskStatus="running"),
        _with_fields("success", "the proof is gone", proofReference=None),
        _with_fields("success", "the proof is another", proofReference="preimage:" + "f" * 16),
        _with_fields("success", "the seller never answered", sellerCalls=[]),
        _where_flow("success", "a record lacks plane", _first_record_without_plane),
        _where_flow("success", "a credential in the clear", _clear_credential),
        _with_fields("blocked", "the blocked flow paid", paymentId="f" * 64),
        _with_fields("blocked", "no code", blockedErrorCode=None),
    )
    return Check("reference_artifact_holds()", judge, mutants, ("local_artifact",))


def _well_formed(flow: Row, where: str) -> Iterator[Finding]:
    calls = [call for call in flow.get("sellerCalls") or [] if isinstance(call, dict)]
    records = records_of(flow)
    for call in calls:
        if call.get("authorization") is not None and not is_digest_reference(call["authorization"]):
            yield _artifact("authorization as a digest", "a credential in the clear (not shown)", where)
    if flow.get("flow") == "success":
        statuses = [call.get("status") for call in calls]
        if flow.get("taskStatus") != "completed":
            yield _artifact("a success with taskStatus completed", shown(flow.get("taskStatus")), where)
        if statuses[:1] != [402] or statuses[-1:] != [200]:
            yield _artifact("a seller that answers 402 first and 200 last", listed(statuses), where)
        proofs = {proof_key(row.get("paymentProofRef")) for row in records}
        if not flow.get("paymentId") or proofs != {proof_key(flow.get("proofReference"))} or None in proofs:
            yield _artifact("a paymentId, and its proofReference in every record", "another or none", where)
        for key in PARITY_KEYS:
            if not any(row.get(key) for row in records):
                yield _artifact(f"a record with a value for {key}", "none", where)
    if flow.get("flow") == "blocked":
        named = [flow.get("paymentId"), flow.get("proofReference")]
        if any([*named, *(row.get("paymentProofRef") for row in records)]):
            yield _artifact("a blocked flow without a payment", "one that paid", where)
        if not flow.get("blockedErrorCode"):
            yield _artifact("a blockedErrorCode", "none", where)


def _artifact(expected: str, seen: str, where: str) -> Finding:
    return Finding(expected, seen, where, _ARTIFACT_REMEDY)


def _undecodable(evidence: Evidence) -> Iterator[Finding]:
    for index, row in enumerate(evidence.table("local_artifact")):
        yield from departures(LocalNodeArtifact, row, at("local_artifact", index), _ARTIFACT_REMEDY)


def _flows(evidence: Evidence) -> Iterator[tuple[dict[str, Any], str]]:
    for index, artifact in enumerate(evidence.table("local_artifact")):
        for number, flow in enumerate(flows_of(artifact), start=1):
            yield flow, f"{at('local_artifact', index)}, flow {number}"


def _flows_of(evidence: Evidence, request_id: str) -> list[dict[str, Any]]:
    return [flow for flow, _ in _flows(evidence) if request_id in flow_request_ids(flow)]


def _foreign_records(evidence: Evidence, flow: Row) -> Iterator[Finding]:
    for inner in records_of(flow):
        if inner not in evidence.table("records"):
            yield Finding(
                expected="each record of the flow among the records, value by value",
                seen=f"none like that of plane {shown(inner.get('plane'))}, "
                f"request {shown(inner.get('requestId'))}",
                where=at("records"),
                about=(Subject("local_artifact", "flows"), Subject("records")),
                remedy="is the artifact of another run? else the record did not leave the desktop as it is",
            )


def _where_flow(kind: str, name: str, change: Any) -> Mutant:
    return _flow_of(None, name, lambda flow: change(flow) if flow.get("flow") == kind else flow)


def _with_fields(kind: str, name: str, **fields: Any) -> Mutant:
    return _where_flow(kind, name, lambda flow: {**flow, **fields})


def _flow_of(request_id: str | None, name: str, change: Callable[[dict[str, Any]], Row | None]) -> Mutant:
    return Mutant(f"local_artifact: {name}", lambda evidence: flows_changed(evidence, request_id, change))


def _field_of(request_id: str, key: str, value: str) -> Mutant:
    mutant = _flow_of(request_id, f"{key} is another", lambda flow: {**flow, key: value})
    return mutant.concerning(f"local_artifact.{key}")


def _without_flow(request_id: str) -> Mutant:
    return _flow_of(request_id, "its flow is gone", lambda flow: None)


def _with_foreign_record(request_id: str) -> Mutant:
    foreign = complete_record(request_id, "ui", "desktop", "local-node")
    name = "a record that the run did not leave"
    return _flow_of(request_id, name, lambda flow: with_records(flow, [*records_of(flow), foreign]))


def _inner_change(key: str, request_id: str) -> Mutant:
    def change(record: Row) -> Row:
        return {**record, key: other_value(record.get(key))}

    name = f"{key} of its records is another"
    mutant = _flow_of(request_id, name, lambda flow: with_records(flow, map(change, records_of(flow))))
    return mutant.concerning(f"local_artifact.{key}")


def _other_payment(flow: dict[str, Any]) -> dict[str, Any]:
    proof = flow.get("proofReference")
    if proof is None:
        return flow
    inner = [
        {**record, "paymentProofRef": record["paymentProofRef"] and other_value(record["paymentProofRef"])}
        for record in records_of(flow)
    ]
    return with_records({**flow, "proofReference": other_value(proof)}, inner)


def _first_record_without_plane(flow: dict[str, Any]) -> dict[str, Any]:
    first, *rest = records_of(flow) or [{}]
    return with_records(flow, [{key: first[key] for key in first if key != "plane"}, *rest])


def _clear_credential(flow: dict[str, Any]) -> dict[str, Any]:
    call = {"path": "/", "authorization": "L402 bWFj:" + "f" * 64, "status": 200}
    return {**flow, "sellerCalls": [*(flow.get("sellerCalls") or []), call]}
