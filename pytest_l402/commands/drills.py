"""`smoke:security`, `smoke:settlement`, `smoke:observability`: drill controls, books and planes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.artifacts import ArtifactFolder, Rows
from pytest_l402.commands.bad_input import Failed
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.targets import opened

_SECURITY = "smoke:security"


def security(arguments: Arguments) -> Outcome:
    """Drill the security controls: credentials fail closed, the global pause and an owner's kill switch
    deny, a credential role is rotated, revoked and activated; everything is switched back.
    Live: needs --allow-live-changes, since the pause stops every sale while it is on.
    """
    from pytest_l402.ops.security.drill import SecurityDrillRefused, SecurityDrillResidue

    with opened(arguments) as target:
        drill = target.security_drill(_SECURITY)
        folder = ArtifactFolder(arguments.artifact_dir, "security", _SECURITY)
        try:
            held = drill()
        except (SecurityDrillRefused, SecurityDrillResidue) as error:
            refused = {"ok": False, "mode": arguments.mode.value, "executionPath": "hosted-node"}
            document = folder.leave({**refused, "failureCode": error.code, "error": str(error)})
            raise Failed(str(error), error.code, document) from None
        tables = target.tables()
    names = {"records": "records", "controls": "controls", "roles": "credential_roles"} if tables else {}
    files = {key: (f"{table}.jsonl", tables.get(table, ())) for key, table in names.items()}
    document = folder.leave({"ok": held.ok, "mode": arguments.mode.value, **held.to_row()}, **files)
    return Outcome(document, tuple((code, "it did not hold") for code in held.failures))


def settlement(arguments: Arguments) -> Outcome:
    """Enter a batch of settlement events: a payment, its replay, a late event, an expired invoice;
    then one that contradicts the books, which must be refused whole.
    Live: enters nothing, since it could not be taken out again; reads the settlements instead,
    and checks that each is told once, with its proof.
    """
    with opened(arguments) as target:
        document, failures, tables = target.settle()
    folder = ArtifactFolder(arguments.artifact_dir, "settlement", "smoke:settlement")
    files = {table: (f"{table}.jsonl", rows) for table, rows in tables.items()}
    whole = {"ok": document["ok"], "mode": arguments.mode.value, **document}
    return Outcome(folder.leave(whole, **files), failures)


def observability(arguments: Arguments) -> Outcome:
    """Let every plane record: a deployment, a paid request, its replay and a denied one, and check that
    the records are complete and tell of all of them.
    Live: records what a read-only look at gateway and control plane shows.
    """
    from pytest_l402.ops.full_flow.verification import observability_failures, observability_section

    with opened(arguments) as target:
        request_id = f"smoke:observability:{target.now_ms()}"
        folder = ArtifactFolder(arguments.artifact_dir, "observability", request_id)
        look = target.observe(request_id)
    records, found = look.records, list(look.failures)
    # A key, a value or a plane that is silent.
    found += [("records_incomplete", reason) for reason in observability_failures(records)]
    if not look.not_observed:
        found += _shortfalls(records, f"{request_id}:security")
    document: dict[str, Any] = {
        "ok": not found,
        "mode": arguments.mode.value,
        "requestId": request_id,
        "executionPath": "hosted-node",
        **observability_section(records).to_row(),
    }
    if look.not_observed:
        document["notObserved"] = list(look.not_observed)
    if found:
        document["failureCode"] = found[0][0]
        document["failures"] = [{"code": code, "reason": reason} for code, reason in found]
    document["records"] = records
    return Outcome(folder.leave(document, records=("records.jsonl", records)), tuple(found))


def _shortfalls(records: Rows, denied_id: str) -> Iterator[tuple[str, str]]:
    """Yield code and reason of what the records do not tell of: a replay, and just the denial asked for."""
    if not any(row.get("cacheHit") is True for row in records):
        yield "no_cache_hit", "expected a record with cacheHit=true, as a settlement was replayed; saw none"
    denials = [row for row in records if row.get("denyReason")]
    if not any(row["requestId"] == denied_id and row["plane"] == "control" for row in denials):
        yield "no_denial", f"expected a denial of {denied_id} in plane=control, saw none"
    for row in denials:
        if row["requestId"] != denied_id:
            yield "denied", f"{row['plane']} of {row['requestId']}: {row['denyReason']}"
