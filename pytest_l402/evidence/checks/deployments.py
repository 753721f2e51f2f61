"""Decides whether a reconcile did what it says: summary, history, events, and what the gateway answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pytest_l402.evidence.check import Check, Finding
from pytest_l402.evidence.checks.presented import story_of, what_to_do
from pytest_l402.evidence.checks.selecting import (
    Found,
    at,
    is_success,
    listed,
    other_value,
    reach,
    rows,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, drop_key, null_value, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.spelling import Named
from pytest_l402.evidence.tables import Evidence

SUMMARY_TABLE = "reconcile_summary"
_EXPECTED_KEYS = ("challengeOk", "proxyOk", "configHash", "deploymentStatus")
_CONFIG_HASH = re.compile(r"cfg_[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WRITER = "mend the row's writer"
_LOOK_AT_EVENTS = "read gateway_events of this request in order: the last one says which step failed, and why"


@described
def reconcile_reported(request_id: str, **fields: Any) -> Check:
    """The reconcile's JSON has the four documented keys, a real configHash, and these values (section 2).

    `fields` are camelCase keys of the summary, e.g. `deploymentStatus="applied"`, `failureCode=None`.
    """
    where = {"requestId": request_id}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, SUMMARY_TABLE, **where)
        yield from found.expect_one(f"one summary of {request_id}", "run the reconcile once")
        for key, value in fields.items():
            yield from found.expect(key, [value], _LOOK_AT_EVENTS)
        for index, row in found:
            place, config_hash = at(SUMMARY_TABLE, index), row.get("configHash")
            for key in _EXPECTED_KEYS:
                if row.get(key) is None:
                    remedy = "the summary must carry it whatever happens"
                    yield Finding(f"a value for {key}", "none", place, remedy)
            if not _CONFIG_HASH.fullmatch(str(config_hash)):
                remedy = "take the hash of the compiled file itself"
                yield Finding("configHash of cfg_ and 64 hex digits", shown(config_hash), place, remedy)
            for _, stored in rows(evidence, "deployments", deploymentId=row.get("deploymentId"))[-1:]:
                for key, kept in (("configHash", "configHash"), ("deploymentStatus", "status")):
                    if row.get(key) != stored.get(kept):
                        seen = shown(row.get(key))
                        expected = f"{key} {shown(stored.get(kept))}, as it was persisted"
                        yield Finding(expected, seen, place, "the history is right: mend the summary")

    mutants = [drop_key(SUMMARY_TABLE, key, where) for key in _EXPECTED_KEYS]
    mutants += [
        set_value(SUMMARY_TABLE, key, lambda row, key=key: other_value(row.get(key)), where) for key in fields
    ]
    mutants.append(set_value(SUMMARY_TABLE, "configHash", "cfg_" + "0" * 64, where))
    tables, named = (SUMMARY_TABLE, "deployments"), (Named(SUMMARY_TABLE, fields),)
    return Check(f"reconcile_reported({request_id})", judge, tuple(mutants), tables, named=named)


@described
def deployment_persisted(request_id: str, status: str, *, rolled_back: bool = False) -> Check:
    """The deployment's history ends in this status, pending row kept, correlated, hosted-node (section 3).

    `rolled_back`: its last row names in `rolledBackFrom` the configuration that runs again, which is the last
    one that was applied before.
    """
    where = {"requestId": request_id}
    last = {"requestId": request_id, "status": status}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "deployments", **where)
        statuses = [row.get("status") for _, row in found]
        wanted = ["pending", status] if _is_deployed(found) else [status]
        if statuses != wanted:
            expected, remedy = f"rows {' then '.join(wanted)}", "history is appended, never replaced"
            yield Finding(expected, listed(statuses), found.where, remedy)
        for index, row in found:
            yield from _correlated(row, at("deployments", index), request_id)
        yield from found.expect("executionPath", ["hosted-node"], _WRITER)
        if found:
            index, row = found[-1]
            if status == "applied" and not _DIGEST.fullmatch(str(row.get("imageDigest"))):
                yield Finding(
                    "a pinned image: sha256: and 64 hex digits",
                    shown(row.get("imageDigest")),
                    at("deployments", index),
                    "pin the Aperture image of the rollout (runbook staging-reconcile section 5)",
                )
            before = _last_applied(evidence, index) if rolled_back else None
            if row.get("rolledBackFrom") != before or (rolled_back and before is None):
                yield Finding(
                    f"rolledBackFrom {shown(before)}, the configuration that was applied before"
                    if rolled_back
                    else "rolledBackFrom null",
                    shown(row.get("rolledBackFrom")),
                    at("deployments", index),
                    "compare with the gateway's active deployment",
                )

    mutants: list[Mutant] = [
        remove_rows("deployments", last),
        set_value("deployments", "status", "running", last),
        set_value("deployments", "executionPath", "local-node", last),
        null_value("deployments", "configHash", last),
        set_value("deployments", "deploymentId", "dep_of_another", last),
    ]
    if status == "applied":
        mutants += [set_value("deployments", "imageDigest", "aperture:latest", last)]
    if rolled_back:
        mutants += [null_value("deployments", "rolledBackFrom", last)]
    mutants += [set_value("deployments", "rolledBackFrom", "cfg_" + "0" * 64, last)]
    name, named = f"deployment_persisted({request_id}, {status})", Named("deployments", {"status": status})
    return Check(name, judge, tuple(mutants), ("deployments",), named=(named,))


@described
def events_persisted(request_id: str, *event_types: str) -> Check:
    """Exactly these gateway events were appended, in order, with the ids of the deployment (section 3)."""
    if not event_types:
        raise ValueError("events_persisted: expected at least one event type, saw none")
    where = {"requestId": request_id}
    last = {"requestId": request_id, "eventType": event_types[-1]}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "gateway_events", **where)
        seen = tuple(row.get("eventType") for _, row in found)
        if seen != event_types:
            listing = ", ".join(map(shown, seen)) or "none"
            yield Finding(", ".join(event_types), listing, found.where, _LOOK_AT_EVENTS)
        deployed = rows(evidence, "deployments", **where)
        known = {row.get("deploymentId"): row.get("configHash") for _, row in deployed}
        for index, row in found:
            deployment_id, config_hash = (
                reach(row, "metadata.deploymentId"),
                reach(row, "metadata.configHash"),
            )
            if not config_hash or known.get(deployment_id) != config_hash:
                yield Finding(
                    "deploymentId and configHash of this request's deployment",
                    f"{shown(deployment_id)}, {shown(config_hash)}",
                    at("gateway_events", index),
                    "an event without them cannot be joined; mend its writer",
                )
        yield from found.expect("metadata.executionPath", ["hosted-node"], "mend its writer")

    mutants = (
        remove_rows("gateway_events", last),
        set_value("gateway_events", "eventType", "gateway_reconcile_started", last),
        set_value("gateway_events", "requestId", "another request", last),
        set_value("gateway_events", "metadata.deploymentId", "dep_of_another", last),
        null_value("gateway_events", "metadata.configHash", last),
        set_value("gateway_events", "metadata.executionPath", "local-node", last),
    )
    return Check(f"events_persisted({request_id})", judge, mutants, ("gateway_events", "deployments"))


@described
def gateway_challenged(request_id: str, price_msats: int) -> Check:
    """The probe was answered 402 with a challenge for exactly the configured price, msats (section 5)."""
    where = {"requestId": request_id, "challenge": "issued", "quotedMsats": price_msats}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        if not rows(evidence, "exchanges", **where, status=402):
            asked = rows(evidence, "exchanges", requestId=request_id)
            yield Finding(
                f"a 402 with a challenge for {price_msats} msats",
                listed(f"{row.get('status')} for {shown(row.get('quotedMsats'))} msats" for _, row in asked),
                asked.where,
                "a 200 here is an open paywall, another amount a wrong price: roll back, then compare files",
            )

    mutants = (
        set_value("exchanges", "status", 200, where, every=True),
        set_value("exchanges", "challenge", None, where, every=True),
        set_value("exchanges", "quotedMsats", price_msats * 2, where, every=True),
    )
    name, named = f"gateway_challenged({request_id}, {price_msats} msats)", {"quotedMsats": price_msats}
    return Check(name, judge, mutants, ("exchanges",), named=(Named("exchanges", named),))


@described
def gateway_delivered(request_id: str) -> Check:
    """The probe with a paid credential was let through and the upstream answered 2xx (section 5)."""
    where = {"requestId": request_id, "credential": "accepted"}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "exchanges", **where)
        seen = [(row.get("status"), row.get("upstreamStatus")) for _, row in found]
        if not any(is_success(status) and is_success(upstream) for status, upstream in seen):
            asked = rows(evidence, "exchanges", requestId=request_id)
            yield Finding(
                "an accepted credential and a 2xx of the upstream",
                story_of(asked),
                asked.where,
                "ask the upstream directly, then compare the address in the compiled file"
                if found
                else what_to_do(asked),
            )

    mutants = (
        set_value("exchanges", "credential", "refused", where, every=True),
        set_value("exchanges", "status", 502, where, every=True),
        set_value("exchanges", "upstreamStatus", 503, where, every=True),
    )
    return Check(f"gateway_delivered({request_id})", judge, mutants, ("exchanges",))


def _last_applied(evidence: Evidence, index: int) -> Any:
    """The configuration that ran before the deployment of this row: the last one that was applied."""
    applied = rows(evidence, "deployments", status="applied")
    return next((row.get("configHash") for place, row in reversed(applied) if place < index), None)


def _is_deployed(found: Found) -> bool:
    return any(str(row.get("deploymentId")).startswith("dep_reconcile") for _, row in found)


def _correlated(row: dict[str, Any], where: str, request_id: str) -> Iterator[Finding]:
    for key in ("requestId", "deploymentId", "configHash"):
        value = request_id if key == "requestId" else row.get(key)
        told = reach(row, f"diagnostics.metadata.correlation.{key}")
        if not value or told != value:
            yield Finding(f"correlation {key} {shown(value)}", shown(told), where, _WRITER)
