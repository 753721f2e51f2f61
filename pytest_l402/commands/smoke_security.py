"""`smoke:security`: drill the security controls of a control plane, and leave them as they were."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.options import Options, add_shared_arguments, read_options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out

if TYPE_CHECKING:
    from pytest_l402.ops.security.summary import SecurityDrill

REQUEST_ID = "smoke:security"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Drill the security controls: credentials fail closed, the global pause and an owner's kill switch\n"
        "deny, a credential role is rotated, revoked and activated; everything is switched back.\n"
        "Live: needs --allow-live-changes, since the pause stops every sale while it is on.",
    )


def run(given: argparse.Namespace) -> int:
    """Print the outcome and return the exit code."""
    return carry_out(given.command, lambda: _work(read_options(given)), as_json=given.json)


def _work(options: Options) -> Outcome:
    if options.mode.is_live:
        from pytest_l402.commands.live_commands import security_live

        return security_live(options)
    from pytest_l402.commands.mock_stack import injected, mock_stack, read_faults
    from pytest_l402.ops.security.drill import run_security_drill

    faults = read_faults(options.faults)
    folder = ArtifactFolder(options.artifact_dir, "security", REQUEST_ID)
    with mock_stack() as stack, injected(stack, faults):
        document, reason = drill(lambda: run_security_drill(stack.control_plane, request_id=REQUEST_ID))
        tables = stack.tables()
    for key, table in (("records", "records"), ("controls", "controls"), ("roles", "credential_roles")):
        folder.lines(f"{key}Path", f"{table}.jsonl", tables.get(table, []))
    return Outcome(folder.summary(with_mode(options, document)), reason)


def drill(work: Callable[[], SecurityDrill]) -> tuple[dict[str, Any], str | None]:
    """Drill, and return what is printed and in one line why it failed, None when all held."""
    from pytest_l402.ops.security.drill import SecurityDrillRefused, SecurityDrillResidue

    try:
        held = work()
    except (SecurityDrillRefused, SecurityDrillResidue) as error:
        document: dict[str, Any] = {"ok": False, "executionPath": "hosted-node", "failureCode": error.code}
        return {**document, "error": str(error)}, str(error)
    return held.to_row(), ", ".join(held.failures) or None


def with_mode(options: Options, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the mode after `ok`."""
    return {"ok": document["ok"], "mode": options.mode.value, **document}
