"""Decides whether each record says what its plane knew: when it was, of whom, of what, and for how much."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import (
    at,
    capped,
    complete_record,
    either,
    listed,
    proof_key,
    rows,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, insert_row, null_value, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row
from pytest_l402.triage.correlation import flow_request_ids, flows_of

_TIMED: Final = (
    "answers",
    "exchanges",
    "logs",
    "payments",
    "transitions",
    "presence",
    "controls",
    "ingest_batches",
)
_PATIENCE_MS: Final = 1_000
"""How much earlier or later than all that else was noted a record may be: it is noted with its cause."""
_DAY_MS: Final = 86_400_000
_GATE: Final = "/api/lightning/security/gate"
_UI: Final = "openagents.com/home#l402-transactions"
_OF_THE_BUYER: Final = ("desktopRuntimeStatus", "walletState", "nodeSyncStatus")
_EMITTER: Final = "mend the emitter of this record: it had the value when it spoke, and others rely on it"
SOMETHING: Final = ("something",)
"""What is owed where any value will do, as long as it is one."""


@described
def records_in_time() -> Check:
    """Each record is of when it was noted, in epoch milliseconds: in order, and within the run."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_out_of_time(evidence))

    mutants = (
        set_value("records", "observedAtMs", 0),
        set_value("records", "observedAtMs", lambda row: row["observedAtMs"] // 1000).named(
            "records: observedAtMs is in seconds"
        ),
        set_value("records", "observedAtMs", lambda row: row["observedAtMs"] + _DAY_MS).named(
            "records: observedAtMs is a day ahead"
        ),
    )
    return Check("records_in_time()", judge, mutants, ("records",))


def _out_of_time(evidence: Evidence) -> Iterator[Finding]:
    times = [row.get("atMs") for table in _TIMED for row in evidence.table(table)]
    known = [time for time in times if type(time) is int]
    latest = 0
    for index, row in enumerate(evidence.table("records")):
        time = row.get("observedAtMs")
        if type(time) is not int:
            continue
        if known and not min(known) - _PATIENCE_MS <= time <= max(known) + _PATIENCE_MS:
            expected = f"observedAtMs from {min(known)} to {max(known)}, when all else happened"
        elif time < latest:
            expected = f"observedAtMs not before {latest}, that of the record before it"
        else:
            latest = time
            continue
        remedy = "take the time from the clock of the host, in milliseconds, when the thing happens"
        about = (Subject("records", "observedAtMs", _request(row), (index,)),)
        yield Finding(expected, shown(time), at("records", index), remedy, about)


@described
def records_tell_what_is_known(routes: Mapping[str, Mapping[str, str]]) -> Check:
    """Each record has the ids, amounts and states that its plane knew; null is for what nobody knew.

    `routes` are the paywalls by path: {"/premium": {"paywallId": …, "ownerId": …}}. What is known is what
    tasks, exchanges, settlements, payments and heartbeats of the same request hold.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_untold(evidence, routes))

    # A run may have no such record: there the mutant is one that says of its path what it cannot be.
    forged = complete_record("request-forged", "settlement", "desktop")
    stray = insert_row(
        "records", lambda evidence: forged if evidence.table("records") else None, "a stray one"
    )
    buyers: dict[str, Any] = {"executor": "desktop"}
    mutants = (
        stray,
        _otherwise("executionPath", "hosted-node", buyers, stray),
        *(
            _nulled(key, buyers, stray)
            for key in ("taskId", "capAppliedMsats", "walletState", "desktopSessionId")
        ),
        *(_nulled("quotedCostMsats", {"plane": plane}, stray) for plane in ("settlement", "ui")),
        _nulled("paywallId", {"plane": "settlement", "executor": "gateway"}, stray),
        _nulled("userId", {"plane": "ui", "executor": "system"}, stray),
    )
    return Check("records_tell_what_is_known()", judge, mutants, ("records",))


def _nulled(key: str, where: dict[str, Any], otherwise: Mutant) -> Mutant:
    mutant = null_value("records", key, where, every=True)
    return either(mutant, otherwise)


def _otherwise(key: str, value: str, where: dict[str, Any], otherwise: Mutant) -> Mutant:
    return either(set_value("records", key, value, where), otherwise)


class _Owed(NamedTuple):
    """What a field of a record has to be; `by` says who knew."""

    field: str
    wanted: Collection[Any]
    by: str


class _Known:
    """What is known of each request and each payment, by tables that are not the records."""

    def __init__(self, evidence: Evidence, routes: Mapping[str, Mapping[str, str]]) -> None:
        self.routes = routes
        self.sessions = {row.get("desktopSessionId") for row in evidence.table("presence")}
        # Somebody else's client has none; of a buyer with an artifact every record says how it stands.
        self.of_a_session = {
            request_id
            for artifact in evidence.table("local_artifact")
            for flow in flows_of(artifact)
            for request_id in flow_request_ids(flow)
        }
        self.quotes: dict[str, set[Any]] = {}
        self.paths: dict[str, set[Any]] = {}
        for row in evidence.table("exchanges"):
            request_id = str(row.get("requestId"))
            self.paths.setdefault(request_id, set()).add(row.get("path"))
            if row.get("challenge") is not None:
                self.quotes.setdefault(request_id, set()).add(row.get("quotedMsats"))
        self._tasks: dict[str, list[Row]] = {}
        for row in evidence.table("tasks"):
            self._tasks.setdefault(str(row.get("requestId")), []).append(row)
        self.settled = {proof_key(row.get("paymentProofRef")): row for row in evidence.table("settlements")}
        paid = rows(evidence, "payments", status="succeeded", preimageReleased=True)
        self.amounts = {proof_key(row.get("proofReference")): row.get("amountMsats") for _, row in paid}

    def task(self, request_id: str) -> Row | None:
        """The task of a request, if there is one and no other."""
        found = self._tasks.get(request_id, ())
        return found[0] if len(found) == 1 else None

    def route(self, request_id: str, task: Row | None) -> Mapping[str, str] | None:
        """The paywall that a request is about, by what was asked for."""
        asked = {urlsplit(str(task.get("endpoint"))).path} if task else self.paths.get(request_id, set())
        found = [self.routes[path] for path in asked if path in self.routes]
        return found[0] if len(found) == 1 else None


def _untold(evidence: Evidence, routes: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    known = _Known(evidence, routes)
    for index, row in enumerate(evidence.table("records")):
        for owed in _owed(row, known):
            seen = row.get(owed.field)
            if seen is None if owed.wanted is SOMETHING else seen not in owed.wanted:
                who = f"{shown(row.get('executor'))}, plane {shown(row.get('plane'))}"
                yield Finding(
                    f"{owed.field} {listed(owed.wanted)}, as {owed.by} ({who})",
                    shown(seen),
                    at("records", index),
                    _EMITTER,
                    (Subject("records", owed.field, _request(row), (index,)),),
                )


def _owed(row: Row, known: _Known) -> Iterator[_Owed]:
    request_id, executor, plane = str(row.get("requestId")), row.get("executor"), row.get("plane")
    is_local = executor == "desktop" or row.get("desktopSessionId") is not None
    yield _Owed("executionPath", ["local-node" if is_local else "hosted-node"], "the one who speaks says it")
    task = known.task(request_id)
    if task is not None:
        yield _Owed("taskId", [task.get("taskId")], "the task of the request has it")
    if is_local and (row.get("desktopSessionId") is not None or request_id in known.of_a_session):
        yield _Owed("desktopSessionId", known.sessions, "the sessions that sent heartbeats have it")
    if executor == "desktop":
        yield from _owed_by_the_buyer(row, known, task)
        return
    for key in _OF_THE_BUYER:
        yield _Owed(key, [None], "no part of the hosted path knows it")
    route = known.route(request_id, task)
    if plane == "control":
        yield from _owed_by_the_control_plane(row, task, route)
    elif plane == "gateway" and row.get("endpoint") in known.routes:
        yield from _owed_by_the_gateway(row, known)
    elif plane in ("settlement", "ui"):
        yield from _owed_by_the_store(row, known)


def _owed_by_the_buyer(row: Row, known: _Known, task: Row | None) -> Iterator[_Owed]:
    plane = row.get("plane")
    for key in _OF_THE_BUYER if row.get("requestId") in known.of_a_session else ():
        yield _Owed(key, SOMETHING, "the buyer knows how it stands itself")
    if task is not None:
        yield _Owed("userId", [task.get("ownerId")], "the owner of the task")
        yield _Owed("capAppliedMsats", [task.get("maxSpendMsats")], "the task allows to spend")
        yield _Owed("endpoint", [_UI if plane == "ui" else task.get("endpoint")], "the task is for")
    quotes = known.quotes.get(str(row.get("requestId")))
    if plane in ("settlement", "ui"):
        amount = known.amounts.get(proof_key(row.get("paymentProofRef")))
        if quotes or amount is not None:
            yield _Owed("quotedCostMsats", quotes or [amount], "the challenge has asked for")
        if amount is not None:
            yield _Owed("paidAmountMsats", [amount], "the wallet has paid")
            yield _Owed("cacheHit", [not quotes], "the request was challenged, or was not")


def _owed_by_the_control_plane(
    row: Row, task: Row | None, route: Mapping[str, str] | None
) -> Iterator[_Owed]:
    owners = [task.get("ownerId")] if task else []
    if row.get("endpoint") == _GATE:
        # Asked for a task it is the buyer that is judged, asked by a gateway the seller.
        owners = [*owners, route["ownerId"]] if route else []
    elif task is not None:
        yield _Owed("endpoint", [task.get("endpoint")], "the task is for")
        yield _Owed("capAppliedMsats", [task.get("maxSpendMsats")], "the task allows to spend")
    if owners:
        yield _Owed("userId", owners, "whose task it is, or whose paywall")
    if route is not None:
        yield _Owed("paywallId", [route["paywallId"]], "the paywall of what was asked for")


def _owed_by_the_gateway(row: Row, known: _Known) -> Iterator[_Owed]:
    request_id, route = str(row.get("requestId")), known.routes[str(row.get("endpoint"))]
    yield _Owed("endpoint", known.paths.get(request_id, ()), "the request asked for it")
    yield _Owed("paywallId", [route["paywallId"]], "the paywall of the path")
    yield _Owed("userId", [route["ownerId"]], "the owner of the paywall")
    proof = proof_key(row.get("paymentProofRef"))
    quotes = known.quotes.get(request_id)
    if proof in known.amounts and proof is not None:
        for key in ("quotedCostMsats", "paidAmountMsats"):
            yield _Owed(key, [known.amounts[proof]], "the wallet has paid")
    elif quotes and row.get("denyReason") is None:
        yield _Owed("quotedCostMsats", quotes, "the challenge asks for")


def _owed_by_the_store(row: Row, known: _Known) -> Iterator[_Owed]:
    settlement = known.settled.get(proof_key(row.get("paymentProofRef")) or "")
    if settlement is None:
        for key in ("userId", "paywallId", "quotedCostMsats", "capAppliedMsats"):
            yield _Owed(key, SOMETHING, "an event of a settlement has it")
        return
    yield _Owed("userId", [settlement.get("ownerId")], "the settlement has it")
    yield _Owed("paywallId", [settlement.get("paywallId")], "the settlement has it")
    for key in ("quotedCostMsats", "capAppliedMsats", "paidAmountMsats"):
        yield _Owed(key, [settlement.get("amountMsats")], "the settlement has it")
    endpoint = f"/api/lightning/paywalls/{settlement.get('paywallId')}/settlements"
    yield _Owed("endpoint", [_UI if row.get("plane") == "ui" else endpoint], "the plane is asked there")
    if row.get("requestId") == settlement.get("requestId"):
        yield _Owed("taskId", [settlement.get("taskId")], "the settlement has it")


def _request(row: Row) -> str | None:
    request_id = row.get("requestId")
    return request_id if isinstance(request_id, str) else None
