"""`verify`: compare what a run folder holds, judge it again, look who signed it, and leave a record."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from pytest_l402 import __version__
from pytest_l402.commands.bad_input import BadInput, plain
from pytest_l402.commands.outcome import (
    SCHEMA_VERSION,
    UNUSABLE,
    complain,
    refusal,
    say,
    say_document,
)
from pytest_l402.commands.runner import deliver
from pytest_l402.commands.trust import add_trust_arguments, read_trust

if TYPE_CHECKING:
    from pytest_l402.signoff.verification import Trust, Verification

_EXIT_CODES: Final = """\
exit codes:
  0  it holds: nothing contradicts, and judging again gave the same; with --signed-off it is a sign-off
  1  it does not hold, or not any more
  2  inconclusive: nothing speaks against it, but not all of it could be looked at; or there is no run folder
"""
_CODES: Final = {"holds": 0, "contradicted": 1, "inconclusive": 2}
_WORDS: Final = {
    "holds": "holds",
    "contradicted": "DOES NOT HOLD",
    "inconclusive": "INCONCLUSIVE",
    "absent": "none",
}
_SHOWN: Final = 20

FACTORIES: Final = (
    "pytest_l402.billing.checks",
    "pytest_l402.billing.deployed_checks",
    "pytest_l402.billing.standing",
    "pytest_l402.workflow.checks",
    "pytest_l402.workflow.standing",
)
"""Modules of this package, beside `pytest_l402.evidence`, whose described factories need no permission."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Compare document, page, manifest and evidence of a run folder; build every check again, judge\n"
        "the kept evidence and its mutants with it; reach the verdict again; look who has signed it,\n"
        "whether it still counts, and whether a run before it is gone. No code that the folder names is\n"
        "imported, but for the factories of pytest-l402 and of the modules named by --import. No network."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument("folder", metavar="DIR", help="a run folder, such as output/signoff/<run>")
    parser.add_argument(
        "--import",
        dest="importable",
        action="append",
        default=[],
        metavar="MODULE",
        help="import described factories of checks from this module; may be given more than once",
    )
    add_trust_arguments(parser)
    parser.add_argument(
        "--record", metavar="PATH", help="where to leave the record (default: DIR.verification.json)"
    )
    parser.add_argument("--signed-off", action="store_true", help="fail unless the verdict is SIGNED_OFF")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Print what was found and return the exit code."""
    # Imported here: --help must not wait for models and engines.
    from pytest_l402.signoff.verification import verify_folder

    folder = Path(given.folder)
    try:
        trust = read_trust(given)
    except BadInput as error:
        return deliver("verify", refusal(error.code, str(error)), UNUSABLE, as_json=given.json)
    if given.importable:
        sys.path[:0] = ["", *_test_folders(folder)]
    found = verify_folder(folder, frozenset((*FACTORIES, *given.importable)), trust)
    code = _CODES[found.answer]
    if given.signed_off and not _is_signed_off(found):
        code = code or 1
    document = _document(found, code)
    record = _leave_record(folder, given, document, trust) if found.document is not None else None
    if given.json:
        say_document("verify", document)
    else:
        say("\n".join(_lines(found)))
    if record is not None:
        complain("verify", record)
    return code


def _leave_record(
    folder: Path, given: argparse.Namespace, document: dict[str, Any], trust: Trust
) -> str | None:
    """Write down what was found, of which bytes and with what; return what kept that from being written."""
    from pytest_l402.boundary import redact_values
    from pytest_l402.boundary.whole_files import write_document
    from pytest_l402.signoff.manifest import MANIFEST, file_digest
    from pytest_l402.signoff.run_files import record_of
    from pytest_l402.signoff.wording import instant

    with suppress(OSError):
        document = {**document, "manifestSha256": file_digest(folder / MANIFEST)[0]}
    record = {
        "schema": "pytest-l402/verification",
        "schemaVersion": SCHEMA_VERSION,
        "verifiedAt": instant(trust.now_ms),
        "clock": "of the verifier, self-asserted" if given.at is None else "given by hand",
        "verifier": {"name": "pytest-l402", "version": __version__},
        "key": None if trust.key is None else trust.key.key_id,
        "roster": None if trust.roster is None else file_digest(trust.roster)[0],
        "imported": given.importable,
        **document,
    }
    path = record_of(folder) if given.record is None else Path(given.record)
    try:
        write_document(path, redact_values(record))
    except OSError as error:
        return f"no record was left: {path}: {error.strerror or error}"
    return None


def _test_folders(folder: Path) -> list[str]:
    """The folders below this one in which the tests of a run are: pytest imports what lies beside a test.

    What is found there is imported under the permitted names alone; a folder elsewhere is not looked at.
    """
    found: dict[str, None] = {}
    for name in ("signoff.json", "refusal.json", "drill.json"):
        with suppress(OSError, ValueError, TypeError, AttributeError, LookupError):
            told = json.loads((folder / name).read_text(encoding="utf-8"))
            entries = told["rehearsals"] if isinstance(told, dict) and "rehearsals" in told else []
            nodeids = [node["nodeid"] for entry in entries for node in entry["nodes"]]
            for file in (PurePosixPath(nodeid.partition("::")[0]) for nodeid in nodeids):
                if not file.is_absolute() and ".." not in file.parts and Path(file.parent).is_dir():
                    found[str(file.parent)] = None
    return list(found)


def _is_signed_off(found: Verification) -> bool:
    return found.document is not None and found.document.verdict == "SIGNED_OFF"


def _document(found: Verification, code: int) -> dict[str, Any]:
    document = found.document
    return {
        "ok": code == 0,
        "answer": found.answer,
        "verdict": None if document is None else document.verdict,
        "signature": None if document is None else document.signature,
        "runId": None if document is None else document.run.id,
        "aspects": {finding.aspect: finding.answer for finding in found.findings},
        "said": {finding.aspect: finding.sentences for finding in found.attested},
        "checksJudged": found.checks,
        "mutantsJudged": found.mutants,
        "contradictions": found.contradictions,
        "differences": found.differences,
        "unknown": found.unknown,
    }


def _lines(found: Verification) -> Iterator[str]:
    document = found.document
    if document is None:
        yield f"verify: {_WORDS[found.answer]}"
    else:
        says = f"{document.verdict} of run {document.run.id}, {document.signature}"
        yield plain(f"verify: {_WORDS[found.answer]}: {says}")
        yield f"  {found.checks} checks and {found.mutants} mutants were judged again on the kept evidence"
        for finding in found.attested:
            told = "; ".join(finding.sentences)
            yield plain(f"  {finding.aspect}: {_WORDS[finding.answer]}: {told}")
    for words, texts in (
        ("contradicts itself", found.contradictions),
        ("judged again", found.differences),
        ("cannot be judged again", found.unknown),
    ):
        for text in texts[:_SHOWN]:
            yield plain(f"  {words}: {text}")
        if len(texts) > _SHOWN:
            yield f"  {words}: {len(texts) - _SHOWN} more; --json names them all"
