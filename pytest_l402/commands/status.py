"""`status`: whether what was signed off last still counts, in one word, for a gate before a deployment."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_l402.commands.bad_input import BadInput, plain
from pytest_l402.commands.outcome import UNUSABLE, refusal, say, say_document
from pytest_l402.commands.runner import deliver
from pytest_l402.commands.trust import add_trust_arguments, read_trust

if TYPE_CHECKING:
    from pytest_l402.signoff.verification import Verification

_EXIT_CODES: Final = """\
exit codes:
  0  SIGNED_OFF: and nothing else
  1  STALE, NOT_SIGNED_OFF, INCOMPLETE, DRILL, NONE, CONTRADICTED
  2  INCONCLUSIVE: a signature without a key, a clock before the run, a document that has no end
"""
_CODES: Final = {"SIGNED_OFF": 0, "INCONCLUSIVE": 2}


class _Status(NamedTuple):
    """One word for machines, one sentence why, and what it is about."""

    word: str
    why: str
    run_id: str | None = None
    not_after_ms: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Say whether the last full run is signed off and still counts. Its files, signatures, time and\n"
        "the chain of runs are looked at; `verify` alone judges evidence and renders pages again. No network."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        default="output/signoff",
        help="where runs have their folders, or one of these (default: output/signoff)",
    )
    add_trust_arguments(parser)
    parser.add_argument(
        "--tested",
        action="append",
        default=[],
        metavar="DIGEST",
        help="what is about to be deployed, as sha256:<hex> or git:<commit>: a sign-off of anything else is "
        "STALE; may be given more than once",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Print the word and return the exit code."""
    try:
        status = _status(given)
    except BadInput as error:
        return deliver("status", refusal(error.code, str(error)), UNUSABLE, as_json=given.json)
    code = _CODES.get(status.word, 1)
    if given.json:
        told = {"status": status.word, "why": status.why, "runId": status.run_id}
        say_document("status", {"ok": code == 0, **told, "notAfterMs": status.not_after_ms})
    else:
        of = "" if status.run_id is None else f" (run {status.run_id})"
        say(plain(f"status: {status.word}: {status.why}{of}"))
    return code


def _status(given: argparse.Namespace) -> _Status:
    from pytest_l402.signoff.document_model import is_pinning
    from pytest_l402.signoff.verification import look_at_folder

    trust, place = read_trust(given), Path(given.folder)
    for digest in given.tested:
        if not is_pinning(digest):
            raise BadInput(f"--tested {plain(digest[:80])}: expected sha256:<64 hex> or git:<commit>")
    folder = _last_full_run(place)
    if isinstance(folder, _Status):
        return folder
    return _told(look_at_folder(folder, trust, rendering=False), given.tested)


def _told(found: Verification, tested: list[str]) -> _Status:
    from pytest_l402.signoff.finding import Answer
    from pytest_l402.signoff.wording import sentence

    document = found.document
    if document is None or found.contradictions:
        texts = found.contradictions or found.unknown
        word = "CONTRADICTED" if found.contradictions else "INCONCLUSIVE"
        return _Status(word, texts[0], None if document is None else document.run.id)
    run_id, window = document.run.id, document.window
    if document.verdict != "SIGNED_OFF":
        return _Status(document.verdict, sentence(document), run_id)
    known = {document.project.digest, *(system.digest for system in document.systems)}
    for digest in tested:
        if digest not in known:
            return _Status("STALE", f"{digest} is not what was tested", run_id)
    by_answer = {answer: [each for each in found.attested if each.answer is answer] for answer in Answer}
    for finding in by_answer[Answer.CONTRADICTED]:
        word = "STALE" if finding.aspect == "window" else "CONTRADICTED"
        return _Status(word, "; ".join(finding.sentences), run_id)
    for finding in by_answer[Answer.INCONCLUSIVE]:
        return _Status("INCONCLUSIVE", "; ".join(finding.sentences), run_id)
    not_after_ms = None if window is None else window.not_after_ms
    return _Status("SIGNED_OFF", sentence(document), run_id, not_after_ms)


def _last_full_run(place: Path) -> Path | _Status:
    """The run folder that is meant; a later one that came to no verdict goes before it."""
    from pytest_l402.signoff.document_model import DocumentKind
    from pytest_l402.signoff.run_files import runs_in

    kinds = [f"{kind}.json" for kind in DocumentKind]
    if any((place / name).is_file() for name in kinds):
        return place
    for run in runs_in(place):
        if (run / "signoff.json").is_file() or (run / "refusal.json").is_file():
            return run
        if not (run / "drill.json").is_file():
            return _Status("NONE", "a later run has come to no verdict", run.name)
    return _Status("NONE", f"no full run lies in {place}; run pytest -m rehearsal")
