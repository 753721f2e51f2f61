"""`smoke:security`, `smoke:settlement`: drill controls and books, and leave them as they were."""

from __future__ import annotations

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.artifacts import ArtifactFolder
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
