"""Decides how a run looks in the Common Test Report Format, so that no consumer of it takes a run for green
that is not signed off.

Source: CTRF 1.0.0 (ctrf-io/ctrf). What it has no words for stands in `extra`, under a name of ours.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pytest_l402.boundary.cleaning import flat
from pytest_l402.signoff.document_entries import CheckState, NodeEntry, RehearsalEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import RehearsalState, Verdict
from pytest_l402.signoff.results import PHASES
from pytest_l402.signoff.wording import VERDICT_WORDS, sentence

OURS: Final = "pytest-l402"
"""The key of `extra` under which everything of ours stands."""

SIGN_OFF: Final = "l402 sign-off"
"""The name of the entry that stands for the verdict."""

_MESSAGE: Final = 2000


class Status(StrEnum):
    """What CTRF knows; only PASSED is green."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    PENDING = "pending"
    OTHER = "other"


class _Form(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True
    )


class _Test(_Form):
    name: str = Field(min_length=1)
    status: Status
    duration: int
    suite: tuple[str, ...]
    message: str | None = None
    raw_status: str
    file_path: str | None = None
    line: int | None = None
    extra: dict[str, Any]


class _Summary(_Form):
    tests: int
    passed: int
    failed: int
    skipped: int
    pending: int
    other: int
    suites: int
    start: int
    stop: int


class _Tool(_Form):
    name: str
    version: str


class _Results(_Form):
    tool: _Tool
    summary: _Summary
    tests: tuple[_Test, ...]
    extra: dict[str, Any]


class _Report(_Form):
    report_format: Literal["CTRF"] = "CTRF"
    spec_version: Literal["1.0.0"] = "1.0.0"
    report_id: str
    run_id: str
    generated_by: str
    results: _Results


_OF_VERDICT: Final = {
    Verdict.SIGNED_OFF: Status.PASSED,
    Verdict.NOT_SIGNED_OFF: Status.FAILED,
    Verdict.INCOMPLETE: Status.FAILED,
    Verdict.DRILL: Status.OTHER,
}
_OF_STATE: Final = {
    RehearsalState.PASSED: Status.PASSED,
    RehearsalState.WAIVED: Status.OTHER,
    RehearsalState.NOT_RUN: Status.PENDING,
    RehearsalState.INCOMPLETE: Status.OTHER,
    RehearsalState.FAILED: Status.FAILED,
}


def ctrf_bytes(document: SignOffDocument) -> bytes:
    """Return the report: one entry a test, one for each rehearsal without any, and one for the verdict."""
    tests = tuple(_tests(document))
    counted = Counter(test.status for test in tests)
    version = document.versions.get("pytest-l402", "unknown")
    report = _Report(
        # The same run gives the same bytes.
        report_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"pytest-l402 {document.run.id}")),
        run_id=document.run.id or "unknown",
        generated_by=f"pytest-l402 {version}",
        results=_Results(
            tool=_Tool(name="pytest-l402", version=version),
            summary=_Summary(
                tests=len(tests),
                suites=len({test.suite for test in tests}),
                start=document.run.started_at_ms,
                stop=document.run.finished_at_ms,
                **{status.value: counted[status] for status in Status},
            ),
            tests=tests,
            extra={
                OURS: {
                    "verdict": document.verdict.value,
                    "sentence": sentence(document),
                    "document": f"{document.kind}.json",
                    "signature": document.signature,
                    "counts": document.counts.model_dump(mode="json"),
                }
            },
        ),
    )
    return report.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"


def _tests(document: SignOffDocument) -> Iterator[_Test]:
    yield _Test(
        name=SIGN_OFF,
        status=_OF_VERDICT[document.verdict],
        duration=max(document.run.finished_at_ms - document.run.started_at_ms, 0),
        suite=(SIGN_OFF,),
        message=f"{VERDICT_WORDS[document.verdict]}: {_cut(sentence(document))}",
        raw_status=document.verdict.value,
        extra={OURS: {"verdict": document.verdict.value}},
    )
    for entry in document.rehearsals:
        yield from (_of_node(entry, node) for node in entry.nodes)
        if not entry.nodes and entry.need == "required" and document.verdict is not Verdict.DRILL:
            yield _Test(
                name=entry.id or "unknown",
                status=Status.PENDING,
                duration=0,
                suite=(entry.runbook, entry.id),
                message=_cut("; ".join(reason.text for reason in entry.reasons)) or None,
                raw_status=entry.state.value,
                extra={OURS: {"rehearsal": entry.id, "need": entry.need, "took_known": False}},
            )


def _of_node(entry: RehearsalEntry, node: NodeEntry) -> _Test:
    reasons = "; ".join(reason.text for reason in entry.reasons)
    status = _status(entry, node)
    return _Test(
        name=node.nodeid or "unknown",
        status=status,
        duration=node.took_ms or 0,
        suite=(entry.runbook, entry.id),
        message=None if status is Status.PASSED else _cut(node.failure or reasons) or None,
        raw_status=entry.state.value,
        file_path=node.file,
        line=node.line,
        extra={
            OURS: {
                "rehearsal": entry.id,
                "need": entry.need,
                "took_known": node.took_ms is not None,
                "checks": len(node.checks),
                "mutants_killed": sum(len(check.mutants_killed) for check in node.checks),
            }
        },
    )


def _status(entry: RehearsalEntry, node: NodeEntry) -> Status:
    """A test is green if it passed, each of its checks held, and nothing is said against its rehearsal."""
    passed = node.phases == dict.fromkeys(PHASES, "passed")
    if passed and all(check.state is CheckState.HELD for check in node.checks):
        # Another test of the rehearsal may be at fault: this one is not.
        return Status.PASSED
    if entry.state is RehearsalState.PASSED:
        return Status.OTHER
    if "skipped" in node.phases.values() and "failed" not in node.phases.values():
        return Status.SKIPPED if entry.state is not RehearsalState.WAIVED else Status.OTHER
    return _OF_STATE[entry.state]


def _cut(text: str) -> str:
    told = flat(text)
    return told if len(told) <= _MESSAGE else f"{told[: _MESSAGE - 1]}…"
