"""`approve`: put one's name to a run, by a signature of ssh-keygen over its statement."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Final

from pytest_l402.commands.bad_input import Failed, plain
from pytest_l402.commands.outcome import FAILED, OK, refusal, say, say_document
from pytest_l402.commands.runner import deliver

_EXIT_CODES: Final = """\
exit codes:
  0  approved: the signature lies in DIR/approvals/
  1  not approved: the run cannot be relied on, or no signature of that name could be made; nothing is left
  2  the arguments cannot be used
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Sign the statement of a run with an SSH key, after a look at its files and its time. A key under a\n"
        "passphrase is asked for by ssh-keygen, at a terminal alone; an agent's key is named by its .pub."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument("folder", metavar="DIR", help="a run folder, such as output/signoff/<run>")
    parser.add_argument(
        "--key", required=True, metavar="PATH", help="an SSH key, or the .pub of one that an agent holds"
    )
    parser.add_argument(
        "--as", dest="identity", required=True, metavar="NAME", help="who approves, as the roster names them"
    )
    parser.add_argument(
        "--roster", metavar="PATH", help="refuse a key that this file, as allowed_signers, has not for NAME"
    )
    parser.add_argument(
        "--draft", action="store_true", help="approve also what is not signed off, or does not count"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Print what was approved and return the exit code."""
    try:
        document = _approved(given)
    except Failed as error:
        return deliver("approve", refusal(error.code, str(error)), FAILED, as_json=given.json)
    if given.json:
        say_document("approve", document)
    else:
        of = f"{document['verdict']} of run {document['runId']}"
        say(plain(f"approve: {document['identity']} has approved {of}: {document['file']}"))
    return OK


def _approved(given: argparse.Namespace) -> dict[str, Any]:
    from pytest_l402.signoff.approval import ApprovalError, approve
    from pytest_l402.signoff.verification import look_at_folder
    from pytest_l402.signoff.window import Currency, currency

    folder, now_ms = Path(given.folder), time.time_ns() // 1_000_000
    found = look_at_folder(folder)
    document = found.document
    if document is None or found.contradictions:
        raise Failed((found.contradictions or found.unknown)[0], "not_approved")
    if document.schema_version == "2":
        raise Failed(
            "expected a statement to sign, saw a document of version 2, which has none", "not_approved"
        )
    if not given.draft and (seen := currency(document, now_ms)) is not Currency.CURRENT:
        raise Failed(
            f"expected a sign-off that counts, saw {document.verdict}, which is {seen}; --draft takes it",
            "not_approved",
        )
    try:
        file = approve(
            folder,
            key=Path(given.key),
            identity=given.identity,
            roster=None if given.roster is None else Path(given.roster),
            now_ms=now_ms,
        )
    except (ApprovalError, OSError) as error:
        raise Failed(str(error), "not_approved") from None
    return {
        "ok": True,
        "identity": given.identity,
        "verdict": document.verdict,
        "runId": document.run.id,
        "file": file.relative_to(folder).as_posix(),
    }
