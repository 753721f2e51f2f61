"""Decides what is attested of a run, in the form of in-toto: what its folder holds, how its system did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pytest_l402.signoff.document_entries import RehearsalEntry, SystemEntry
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.judged import RehearsalState, Verdict
from pytest_l402.signoff.manifest import MANIFEST, is_text
from pytest_l402.signoff.run_files import ATTESTATIONS, STATEMENT, TEST_RESULT
from pytest_l402.signoff.wording import instant

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
TEST_RESULT_TYPE: Final = "https://in-toto.io/attestation/test-result/v0.1"
PREDICATES: Final = "urn:pytest-l402"
"""What the names of our own predicates begin with: names, not addresses."""

CONFIGURATION: Final = "pytest-l402 rehearsals"
"""By this name a consumer of test results knows the test; it never changes."""

_SETTLEMENTS: Final = "settlements.jsonl"


def predicate_type(kind: DocumentKind) -> str:
    """Return the type of our predicate about a run: only a sign-off has that of a sign-off."""
    return f"{PREDICATES}:{kind}:v1"


def statements_of(document: SignOffDocument, digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the statements of a run, as files by name; `digests` are those of the files of its folder."""
    about_the_system = system_statement(document)
    return {STATEMENT: run_statement(document, digests)} | (
        {TEST_RESULT: about_the_system} if about_the_system is not None else {}
    )


def run_statement(document: SignOffDocument, digests: Mapping[str, str]) -> bytes:
    """Return the statement about a run: every file of its folder, and how far its verdict can be relied on.

    `digests` has the SHA-256 of each file by its path. Files that speak of the others are no subjects, and
    neither is one whose name is no text, which no sign-off may have.
    """
    subjects = [
        {"name": name, "digest": {"sha256": digest}}
        for name, digest in sorted(digests.items())
        if name not in (*ATTESTATIONS, MANIFEST) and is_text(name)
    ]
    return _bytes(subjects, predicate_type(document.kind), _predicate(document))


def system_statement(document: SignOffDocument) -> bytes | None:
    """Return the statement about the tested systems; None for a drill, or where one of them is not pinned.

    A consumer that reads `result` alone never takes less than a sign-off for a pass. Source: in-toto
    test-result v0.1.
    """
    if document.kind is DocumentKind.DRILL or not_pinned(document):
        return None
    subjects = [{"name": system.name, "digest": _named_digest(system.digest)} for system in document.systems]
    unique = list({json.dumps(subject, sort_keys=True): subject for subject in subjects}.values())
    passed, warned, failed = (
        [entry.id for entry in document.rehearsals if _weighs(entry) is word]
        for word in (RehearsalState.PASSED, RehearsalState.WAIVED, RehearsalState.FAILED)
    )
    if document.verdict is not Verdict.SIGNED_OFF and not failed:
        # What went wrong belongs to no rehearsal, and nobody may find an empty list of failures.
        failed = [f"run: {reason.code}" for reason in document.reasons]
    predicate = {
        "result": "FAILED" if failed else "WARNED" if warned else "PASSED",
        "configuration": [
            {"name": CONFIGURATION, "digest": {"sha256": document.catalogue.sha256}},
            *_battery_descriptor(document),
            *_project_descriptor(document),
        ],
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }
    return _bytes(unique, TEST_RESULT_TYPE, predicate)


def not_pinned(document: SignOffDocument) -> tuple[str, ...]:
    """Return the tested systems that no digest pins, by name; "no system" where none was attached."""
    names = (system.name for system in document.systems if system.pinned != "by-digest")
    return tuple(dict.fromkeys(names)) if document.systems else ("no system",)


def claim(document: SignOffDocument) -> dict[str, Any]:
    """Return what a run claims: by which battery, on how many settlements, and that its checks can fail."""
    counts = document.counts
    tried = counts.mutants_killed + counts.mutants_wrong_reason + counts.mutants_survived
    return {
        "battery": {
            "name": "pytest-l402",
            "version": document.versions.get("pytest-l402"),
            "sha256": document.battery_sha256,
            "catalogue": {"source": document.catalogue.source, "sha256": document.catalogue.sha256},
            "families": list(document.catalogue.families),
        },
        "settlements": settlements(document),
        "mutants": {
            "tried": tried + counts.mutants_not_applicable,
            "killedForDeclaredReason": counts.mutants_killed,
        },
        "signer": document.signer,
    }


def settlements(document: SignOffDocument) -> int:
    """Return how many settlements the tests of a run have recorded, each as its test left them."""
    return sum(
        file.rows or 0
        for entry in document.rehearsals
        for node in entry.nodes
        for file in node.evidence
        if file.path == f"{node.folder}/{_SETTLEMENTS}"
    )


def _predicate(document: SignOffDocument) -> dict[str, Any]:
    run, window, previous = document.run, document.window, document.previous
    return {
        "verdict": document.verdict,
        "run": {
            "id": run.id,
            "mode": run.mode,
            "seed": run.seed,
            "startedAt": instant(run.started_at_ms),
            "finishedAt": instant(run.finished_at_ms),
        },
        "systems": [
            {"name": system.name, "version": system.version, "digest": system.digest, "pinned": system.pinned}
            for system in document.systems
        ],
        "project": document.project.model_dump(),
        "window": window
        and {
            "notBefore": instant(window.not_before_ms),
            "notAfter": instant(window.not_after_ms),
            "endedBy": window.ended_by,
        },
        "required": {
            "families": list(document.catalogue.families),
            "rehearsals": [entry.id for entry in document.rehearsals if entry.need == "required"],
        },
        "waivers": [waiver.model_dump() for waiver in document.waivers],
        "previous": previous
        and {
            "run": previous.run_id,
            "verdict": previous.verdict,
            "manifest": {"sha256": previous.manifest_sha256},
            "found": previous.found,
        },
        "clock": run.time_source,
        "signature": document.signature,
        "keyid": document.signed_by,
        "claim": claim(document),
    }


def _weighs(entry: RehearsalEntry) -> RehearsalState | None:
    """What a rehearsal is to a consumer; None for an optional one that did not run."""
    if entry.state in (RehearsalState.PASSED, RehearsalState.WAIVED):
        return entry.state
    if entry.need == "required" or entry.state is RehearsalState.FAILED:
        return RehearsalState.FAILED
    return None


def _battery_descriptor(document: SignOffDocument) -> list[dict[str, Any]]:
    if document.battery_sha256 is None:
        return []
    version = document.versions.get("pytest-l402", "unknown")
    return [
        {
            "name": "pytest-l402",
            "digest": {"sha256": document.battery_sha256},
            "annotations": {"version": version},
        }
    ]


def _project_descriptor(document: SignOffDocument) -> list[dict[str, Any]]:
    digest = document.project.digest
    return [{"name": "rehearsals", "digest": _named_digest(digest)}] if digest is not None else []


def _named_digest(digest: SystemEntry | str | None) -> dict[str, str]:
    """Turn `sha256:<hex>` and `git:<commit>` into a set of digests of in-toto."""
    algorithm, _, value = str(digest).partition(":")
    return {"gitCommit" if algorithm == "git" else algorithm: value}


def _bytes(subjects: list[dict[str, Any]], kind: str, predicate: Mapping[str, Any]) -> bytes:
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": kind,
        "predicate": predicate,
    }
    return json.dumps(statement, indent=1, ensure_ascii=False).encode() + b"\n"
