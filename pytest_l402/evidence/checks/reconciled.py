"""Decides whether what was written of deployments is what became of them, and if each route was probed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import (
    at,
    capped,
    derived,
    either,
    is_success,
    listed,
    reach,
    rows,
    shown,
)
from pytest_l402.evidence.mutants import Mutant, remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_FLAGS: Final = {"healthOk": "health", "challengeOk": "challenge", "proxyOk": "proxy"}
_PARITY: Final = ["executionPath", "requestId", "deploymentId", "configHash"]
_SCHEMA: Final = "l402_run_artifact_v1"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_META: Final = "diagnostics.metadata"
_DEPLOYED: Final = "dep_reconcile"
"""How the id of what may come to a deployment begins; what was not compiled has no route."""
_WRITER: Final = (
    "the summary, the row and the events are written from one outcome: mend the writer that differs"
)
_HEALTH: Final = "/healthz"
_UNDONE: Final = (
    "deploy_apply_failed",
    "health_check_failed",
    "challenge_check_failed",
    "proxy_check_failed",
)


@described
def deployments_told_alike() -> Check:
    """Each row of a deployment has its path, correlation, progress, failure and times, as the summary has.

    Source: runbook staging-reconcile section 3.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_deployments(evidence))

    mutants = (
        set_value("deployments", "executionPath", "local-node"),
        set_value("deployments", f"{_META}.executionPath", "local-node", every=True),
        set_value("deployments", f"{_META}.progress.healthOk", lambda row: not _progress(row)["healthOk"]),
        set_value("deployments", f"{_META}.correlation.requestId", "another"),
        set_value("deployments", f"{_META}.correlation.parityKeys", ["requestId"]),
        set_value("deployments", "updatedAtMs", 0, every=True),
        set_value("deployments", "imageDigest", "gateway:latest", every=True),
        set_value("deployments", "diagnostics.diagnostics", None, every=True),
    )
    return Check("deployments_told_alike()", judge, mutants, ("deployments",))


@described
def events_told_alike() -> Check:
    """Each event of a reconcile has its level, its ids in order, and the details of what was found.

    Source: runbook staging-reconcile section 3.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_events(evidence))

    mutants = (
        set_value("gateway_events", "level", "debug"),
        set_value("gateway_events", "eventId", "evt_of_another"),
        set_value("gateway_events", "createdAtMs", 0),
        set_value("gateway_events", "metadata.routeId", "pw_other:route_other"),
        _null_route(),
        set_value("gateway_events", "metadata.details", {}),
        set_value("gateway_events", "paywallId", None),
    )
    return Check("events_told_alike()", judge, mutants, ("gateway_events", "deployments"))


@described
def every_route_probed() -> Check:
    """Whatever was deployed, put back or taken away was asked for at every route before that was said.

    A deployment that is applied has challenged each route and delivered at one; so has what runs again after
    a rollback. After a withdrawal each route is asked for once more, and the health. Source: runbook
    staging-reconcile sections 4 and 5.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_probes(evidence))

    mutants = (
        derived("exchanges: only one route was asked for", partial(_forgotten, _others_are)),
        derived("exchanges: nothing was asked for", partial(_forgotten, _all_are)),
        derived("exchanges: one route was asked for each time", _one_path),
    )
    return Check("every_route_probed()", judge, mutants, ("deployments", "exchanges"))


def _null_route() -> Mutant:
    probed = set_value(
        "gateway_events", "metadata.routeId", None, {"eventType": "gateway_reconcile_health_ok"}
    )
    return either(probed, set_value("gateway_events", "metadata.routeId", "pw_other:route_another"))


def _deployments(evidence: Evidence) -> Iterator[Finding]:
    created: dict[Any, Any] = {}
    for index, row in enumerate(evidence.table("deployments")):
        for key, wanted in _owed(
            row, evidence, created.setdefault(row.get("deploymentId"), row.get("createdAtMs"))
        ):
            seen = reach(row, key)
            if seen not in wanted:
                yield _finding("deployments", index, row, key, wanted, seen)
        digest = row.get("imageDigest")
        runs = row.get("status") in ("applied", "rolled_back")
        if runs != (digest is not None) or (runs and not _DIGEST.fullmatch(str(digest))):
            wanted = ["sha256: and 64 hex digits"] if runs else [None]
            yield _finding("deployments", index, row, "imageDigest", wanted, digest)


def _owed(row: Row, evidence: Evidence, created_ms: Any) -> Iterator[tuple[str, list[Any]]]:
    yield "executionPath", ["hosted-node"]
    yield f"{_META}.executionPath", ["hosted-node"]
    yield "diagnostics.requestId", [row.get("requestId")]
    yield "createdAtMs", [created_ms]
    status, updated_ms = row.get("status"), row.get("updatedAtMs")
    yield "appliedAtMs", [updated_ms if status == "applied" else None]
    if not (type(updated_ms) is int and type(created_ms) is int and updated_ms >= created_ms):
        yield "updatedAtMs", [f"{shown(created_ms)} or later"]
    for _, summary in rows(evidence, "reconcile_summary", deploymentId=row.get("deploymentId"))[-1:]:
        yield "diagnostics.diagnostics", [summary.get("diagnostics")]
    if not _is_deployed(row):
        return
    for key in ("requestId", "deploymentId", "configHash"):
        yield f"{_META}.correlation.{key}", [row.get(key)]
    yield f"{_META}.correlation.parityKeys", [_PARITY]
    yield f"{_META}.correlation.paritySchemaVersion", [_SCHEMA]
    told = {
        row.get("eventType") for _, row in rows(evidence, "gateway_events", requestId=row.get("requestId"))
    }
    for flag, stage in _FLAGS.items():
        passed = status != "pending" and f"gateway_reconcile_{stage}_ok" in told
        yield f"{_META}.progress.{flag}", [passed]
    for _, summary in rows(evidence, "reconcile_summary", deploymentId=row.get("deploymentId"))[-1:]:
        yield from _as_summed_up(row, summary)


def _as_summed_up(row: Row, summary: Row) -> Iterator[tuple[str, list[Any]]]:
    is_last = row.get("status") == summary.get("deploymentStatus")
    for key in ("Code", "Stage", "Reason"):
        yield f"{_META}.failure.{key.lower()}", [summary.get(f"failure{key}") if is_last else None]
    yield f"{_META}.failure.original.code", [summary.get("originalFailureCode") if is_last else None]
    if is_last:
        for flag in _FLAGS:
            yield f"{_META}.progress.{flag}", [summary.get(flag)]
        yield "imageDigest", [summary.get("imageDigest")]
    undone = is_last and summary.get("failureCode") in _UNDONE
    withdrawn = True if undone and row.get("status") == "failed" else None
    yield f"{_META}.rollback.withdrawn", [withdrawn]
    back = row.get("rolledBackFrom")
    yield f"{_META}.rollback.rolledBackFrom", [back]
    yield f"{_META}.rollback.verified", [None if back is None else True]


def _events(evidence: Evidence) -> Iterator[Finding]:
    numbers: dict[Any, int] = {}
    for index, row in enumerate(evidence.table("gateway_events")):
        deployment_id = reach(row, "metadata.deploymentId")
        number = numbers[deployment_id] = numbers.get(deployment_id, 0) + 1
        owed = [("eventId", [f"evt_{deployment_id}_{number}"]), *_owed_by_event(row, evidence)]
        for key, wanted in owed:
            if reach(row, key) not in wanted:
                yield _finding("gateway_events", index, row, key, wanted, reach(row, key))
        at_ms, (since, until) = row.get("createdAtMs"), _span(evidence, deployment_id)
        if not (type(at_ms) is int and since <= at_ms <= until):
            wanted = [f"{since} to {until}, while it was deployed"]
            yield _finding("gateway_events", index, row, "createdAtMs", wanted, at_ms)
        paywall_id, rule = row.get("paywallId"), reach(row, "metadata.routeId")
        owes_none = rule is None and not str(deployment_id).startswith(_DEPLOYED)
        if not owes_none and not (paywall_id and str(rule).startswith(f"{paywall_id}:")):
            about = (
                Subject("gateway_events", "metadata.routeId", rows=(index,)),
                Subject("gateway_events", "paywallId", rows=(index,)),
            )
            where = at("gateway_events", index)
            yield Finding(f"a route of paywall {shown(paywall_id)}", shown(rule), where, _WRITER, about)


def _owed_by_event(row: Row, evidence: Evidence) -> Iterator[tuple[str, list[Any]]]:
    name = str(row.get("eventType")).removeprefix("gateway_reconcile_")
    found = rows(evidence, "deployments", deploymentId=reach(row, "metadata.deploymentId"))
    _, ended = found[-1] if found else (0, {})
    failure = reach(ended, f"{_META}.failure") or {}
    details = "metadata.details."
    yield "level", ["warn" if name == "rolled_back" else "error" if name.startswith("failed") else "info"]
    if name == "health_ok":
        yield f"{details}statusCode", list(range(200, 300))
    elif name == "challenge_ok":
        rules = [
            each.get("ruleCount")
            for _, each in rows(evidence, "reconcile_summary")
            if each.get("deploymentId") == reach(row, "metadata.deploymentId")
        ]
        yield f"{details}statusCode", [402]
        yield f"{details}amountMsats", _asked(evidence, row)
        if rules:
            # Of a deployed gateway one route is probed: the wire says how many were.
            asked = rows(evidence, "exchanges", requestId=row.get("requestId"), challenge="issued")
            yield f"{details}routesChecked", [*rules, len({each.get("path") for _, each in asked})]
    elif name == "proxy_ok":
        yield f"{details}statusCode", list(range(200, 300))
        # What was bought before has no price here.
        unpaid = [] if evidence.table("payments") else [None]
        yield f"{details}amountMsats", [*_asked(evidence, row), *unpaid]
    elif name == "applied":
        yield f"{details}imageDigest", [ended.get("imageDigest")]
    elif name == "rolled_back":
        yield f"{details}failureCode", [failure.get("code")]
        yield f"{details}failureReason", [failure.get("reason")]
        yield f"{details}rolledBackFrom", [ended.get("rolledBackFrom")]
    elif name == "failed_rollback_failed":
        yield f"{details}rollbackFailure", [failure.get("reason")]
        yield f"{details}failureCode", [reach(failure, "original.code")]
        yield f"{details}failureReason", [reach(failure, "original.reason")]
    else:
        yield f"{details}failureReason", [failure.get("reason")]
        yield f"{details}failureStage", [failure.get("stage", "compile")]


def _span(evidence: Evidence, deployment_id: Any) -> tuple[int, int]:
    """When a deployment began and ended, epoch milliseconds."""
    found = rows(evidence, "deployments", deploymentId=deployment_id)
    times = [row.get(key) for _, row in found for key in ("createdAtMs", "updatedAtMs")]
    known = [time for time in times if type(time) is int]
    return min(known, default=0), max(known, default=0)


def _asked(evidence: Evidence, event: Row) -> list[Any]:
    """What the gateway asked for at the first route that was probed for this event, msats.

    A reconcile may have probed before it deployed: those answers are of the configuration before.
    """
    request_id, ended = event.get("requestId"), event.get("createdAtMs")
    asked = rows(evidence, "exchanges", requestId=request_id, challenge="issued")
    times = [
        row.get("createdAtMs")
        for row in evidence.table("gateway_events")
        if row.get("requestId") == request_id
    ]
    began = max(
        (time for time in times if isinstance(time, int) and isinstance(ended, int) and time < ended),
        default=0,
    )
    within = [row for _, row in asked if isinstance(row.get("atMs"), int) and row["atMs"] >= began]
    return [row.get("quotedMsats") for row in (within or [row for _, row in asked])[:1]]


def _probes(evidence: Evidence) -> Iterator[Finding]:
    for index, row in enumerate(evidence.table("deployments")):
        summaries = rows(evidence, "reconcile_summary", deploymentId=row.get("deploymentId"))
        if row.get("status") == "pending" or not summaries or not _is_deployed(row):
            continue
        asked = rows(evidence, "exchanges", requestId=row.get("requestId"))
        number: Any = summaries[-1][1].get("ruleCount")
        if reach(row, f"{_META}.rollback.withdrawn") is True:
            wrong, when = (
                _after_a_withdrawal([one for _, one in asked], number),
                "after the withdrawal, and health",
            )
        elif row.get("status") in ("applied", "rolled_back"):
            if row.get("status") == "rolled_back":
                before = rows(evidence, "reconcile_summary", configHash=row.get("rolledBackFrom"))
                number = before[-1][1].get("ruleCount") if before else None
            wrong, when = (
                _after_a_deploy([one for _, one in asked], number),
                "after the health, and one delivered",
            )
        else:
            continue
        if wrong:
            yield Finding(
                f"each of {number} routes of request {shown(row.get('requestId'))} asked for {when}",
                wrong,
                asked.where,
                "probe every route of the file: the one that nobody asked for may be open, or shut",
                (Subject("exchanges"), Subject("exchanges", "path"), Subject("deployments", rows=(index,))),
            )


def _after_a_withdrawal(asked: list[Row], number: int) -> str:
    """What is wrong unless each route was asked for once more and not served, and the health last of all."""
    last = asked[-1].get("path") if asked else None
    told = asked[:-1][-number:]
    served = [one.get("path") for one in told if is_success(one.get("status"))]
    if last != _HEALTH or len({one.get("path") for one in told} - {_HEALTH}) != number:
        return f"{listed(one.get('path') for one in told)}, then {shown(last)}"
    return f"still served: {listed(served)}" if served else ""


def _after_a_deploy(asked: list[Row], number: int | None) -> str:
    """What is wrong unless each route was challenged since the health was last asked, and one delivered."""
    since = max((place for place, one in enumerate(asked) if one.get("path") == _HEALTH), default=-1)
    told = asked[since + 1 :]
    quoted = {one.get("path") for one in told if one.get("challenge") == "issued"}
    if number is not None and len(quoted) != number:
        return f"challenged: {listed(quoted)}"
    return "" if any(_is_delivered(one) for one in told) else "no delivery"


def _is_delivered(row: Row) -> bool:
    return row.get("credential") == "accepted" and is_success(row.get("status"))


def _is_deployed(row: Row) -> bool:
    return str(row.get("deploymentId")).startswith(_DEPLOYED)


def _progress(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = reach(row, f"{_META}.progress")
    return found


def _probed(evidence: Evidence) -> tuple[Any, Any] | None:
    """The request of a reconcile that has asked for several routes, and the first of them."""
    for row in evidence.table("reconcile_summary"):
        asked = rows(evidence, "exchanges", requestId=row.get("requestId"))
        paths = [one.get("path") for _, one in asked if one.get("path") != _HEALTH]
        if len(set(paths)) > 1:
            return row.get("requestId"), paths[0]
    return None


def _forgotten(is_forgotten: Callable[[Any, Row], bool], evidence: Evidence) -> Mutant | None:
    if (probed := _probed(evidence)) is None:
        return None
    mine, kept = probed
    return remove_rows("exchanges", lambda one: one.get("requestId") == mine and is_forgotten(kept, one))


def _others_are(kept: Any, one: Row) -> bool:
    return one.get("path") not in (kept, _HEALTH)


def _all_are(kept: Any, one: Row) -> bool:
    return True


def _one_path(evidence: Evidence) -> Mutant | None:
    if (probed := _probed(evidence)) is None:
        return None
    mine, kept = probed
    return set_value(
        "exchanges",
        "path",
        kept,
        lambda one: one.get("requestId") == mine and one.get("path") != _HEALTH,
        every=True,
    )


def _finding(table: str, index: int, row: Row, key: str, wanted: list[Any], seen: Any) -> Finding:
    expected = f"{key} {listed(wanted[:3])} of {shown(row.get('requestId'))}"
    return Finding(expected, shown(seen), at(table, index), _WRITER, (Subject(table, key, rows=(index,)),))
