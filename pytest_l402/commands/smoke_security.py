"""`smoke:security`: drill the security controls of a control plane, and leave them as they were."""

from __future__ import annotations

import argparse

from pytest_l402.commands.arguments import Arguments, add_shared_arguments
from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.bad_input import Failed
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import running
from pytest_l402.commands.targets import opened

REQUEST_ID = "smoke:security"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Drill the security controls: credentials fail closed, the global pause and an owner's kill switch\n"
        "deny, a credential role is rotated, revoked and activated; everything is switched back.\n"
        "Live: needs --allow-live-changes, since the pause stops every sale while it is on.",
    )


def _work(arguments: Arguments) -> Outcome:
    from pytest_l402.ops.security.drill import SecurityDrillRefused, SecurityDrillResidue

    with opened(arguments) as target:
        drill = target.security_drill(REQUEST_ID)
        folder = ArtifactFolder(arguments.artifact_dir, "security", REQUEST_ID)
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


run = running(_work)
