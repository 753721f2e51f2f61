"""Decides what `signoff.json` says of a run: the one record from which every other report of that run is
made.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from pydantic import ValidationError

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.input_files import read_text
from pytest_l402.boundary.strict_json import parse_json
from pytest_l402.evidence.check import CheckResult
from pytest_l402.signoff.catalogue import Catalogue
from pytest_l402.signoff.document_model import (
    SCHEMA_VERSION,
    CatalogueEntry,
    CheckEntry,
    CheckState,
    CitedLine,
    DocumentKind,
    FileEntry,
    LineEntry,
    LineState,
    NodeEntry,
    ReasonEntry,
    RehearsalEntry,
    RunEntry,
    ShortfallEntry,
    SignOffDocument,
    SurvivorEntry,
    SystemEntry,
    ViolationEntry,
    WaiverEntry,
    count,
)
from pytest_l402.signoff.judged import Reason, RehearsalJudgement, SignOff
from pytest_l402.signoff.results import NodeResult, RunFacts
from pytest_l402.signoff.waivers import Waiver

__all__ = [
    "DISTRIBUTIONS",
    "DocumentKind",
    "SignOffDocument",
    "SystemUnderRehearsal",
    "build_document",
    "document_bytes",
    "installed_versions",
    "read_signoff",
]

DISTRIBUTIONS: Final = ("pytest-l402", "pytest", "pydantic", "httpx", "respx", "freezegun", "PyYAML", "embit")
"""The distributions on which the outcome of a run in mock mode depends."""


@dataclass(frozen=True, slots=True)
class SystemUnderRehearsal:
    """What was rehearsed. `digest` pins it (a commit, "sha256:<hex>"); None is said plainly as "not
    pinned".
    """

    name: str
    version: str
    digest: str | None = None


def installed_versions(distributions: Iterable[str] = DISTRIBUTIONS) -> dict[str, str]:
    """Return the Python version and that of each distribution; "not installed" for one that is missing."""
    versions = {"python": platform.python_version()}
    for name in distributions:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def build_document(
    sign_off: SignOff, *, system: SystemUnderRehearsal, versions: Mapping[str, str] | None = None
) -> SignOffDocument:
    """Return the document of a judged run; every text in it is redacted and printable.

    `versions` defaults to `installed_versions()`. Raises `ValueError` if the sign-off contradicts itself,
    which `judge_run` never lets happen.
    """
    rehearsals = tuple(_rehearsal(outcome, sign_off.catalogue) for outcome in sign_off.outcomes)
    return SignOffDocument(
        schema_version=SCHEMA_VERSION,
        kind=DocumentKind.of(sign_off.verdict),
        verdict=sign_off.verdict,
        signature="UNSIGNED",
        reasons=tuple(_reason(reason) for reason in sign_off.reasons),
        run=_run(sign_off.facts),
        system=SystemEntry.model_validate(system),
        catalogue=CatalogueEntry(
            source=_portable(sign_off.catalogue.source),
            sha256=sign_off.catalogue.sha256,
            families=sign_off.families,
            runbooks={runbook.id: runbook.title for runbook in sign_off.catalogue.runbooks},
        ),
        versions=dict(installed_versions() if versions is None else versions),
        counts=count(rehearsals),
        rehearsals=rehearsals,
        waivers=tuple(_waiver(waiver, sign_off) for waiver in sign_off.waivers),
    )


def document_bytes(document: SignOffDocument) -> bytes:
    """Return the document as it is written: JSON, two-space indent, UTF-8, one LF at the end."""
    return document.model_dump_json(indent=2).encode() + b"\n"


def read_signoff(path: Path) -> SignOffDocument:
    """Read and check a sign-off, refusal or drill; `path` is the file or the run folder that holds one of
    them.

    Raises `InputError`, one line, if there is none or more than one, if it is not JSON of this schema, if
    its parts contradict its verdict, or if its name is not that of its kind. It proves nothing about the
    evidence files: see `check_manifest`.
    """
    file = _document_in(path) if path.is_dir() else path
    text = read_text(file)
    parse_json(text, file)
    try:
        document = SignOffDocument.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError.at(
            file,
            field=".".join(str(part) for part in first["loc"]) or None,
            expected=f"a document of schema version {SCHEMA_VERSION} that agrees with itself",
            seen=first["msg"].removeprefix("Value error, ") + more,
            remedy="use it as no proof of anything; run the rehearsals again",
        ) from None
    if file.name != f"{document.kind}.json":
        raise InputError.at(
            file,
            field="kind",
            expected=f"the file name {document.kind}.json for this kind",
            seen=file.name,
            remedy="a drill or a refusal does not become a sign-off by its name",
        )
    return document


def _document_in(folder: Path) -> Path:
    names = [f"{kind}.json" for kind in DocumentKind]
    found = [name for name in names if (folder / name).is_file()]
    if len(found) != 1:
        seen = " and ".join(found) or "none of them"
        raise InputError.at(folder, expected=f"exactly one of {', '.join(names)}", seen=seen)
    return folder / found[0]


def _portable(source: str) -> str:
    """No machine's own layout belongs in a sign-off: of an absolute path only folder and name are kept."""
    path = PurePosixPath(source)
    return PurePosixPath(*path.parts[-2:]).as_posix() if path.is_absolute() else source


def _run(facts: RunFacts) -> RunEntry:
    return RunEntry(
        id=facts.run_id,
        seed=facts.seed,
        mode=facts.mode,
        teeth="on" if facts.teeth else "off",
        selection="narrowed" if facts.narrowed else "full",
        narrowed_by=facts.narrowed_by,
        exit_status=facts.exit_status,
        started_at_ms=facts.started_at_ms,
        finished_at_ms=facts.finished_at_ms,
        time_source="clock of the machine, self-asserted",
    )


def _reason(reason: Reason) -> ReasonEntry:
    return ReasonEntry(
        code=reason.code,
        text=reason.text,
        rehearsal=reason.rehearsal,
        check=reason.check,
        line=reason.line,
        waived_by=None if reason.waiver is None else f"{reason.waiver.target} {reason.waiver.name}",
    )


def _rehearsal(outcome: RehearsalJudgement, catalogue: Catalogue) -> RehearsalEntry:
    rehearsal = outcome.rehearsal
    waived_lines = {reason.line for reason in outcome.reasons if reason.waiver is not None}
    return RehearsalEntry(
        id=rehearsal.id,
        title=rehearsal.title,
        runbook=rehearsal.runbook,
        family=rehearsal.family,
        section=rehearsal.section,
        kind=rehearsal.kind,
        need="required" if outcome.required else "optional",
        state=outcome.state,
        reasons=tuple(_reason(reason) for reason in outcome.reasons),
        lines=tuple(
            LineEntry(
                id=proof.line.id,
                section=proof.line.section,
                text=proof.line.text,
                source=proof.line.source,
                state=_line_state(bool(proof.proven_by), proof.line.id in waived_lines),
                proven_by=proof.proven_by,
            )
            for proof in outcome.lines
        ),
        nodes=tuple(_node(node, rehearsal.runbook, catalogue) for node in outcome.nodes),
    )


def _line_state(proven: bool, waived: bool) -> LineState:
    if proven:
        return LineState.PROVEN
    return LineState.WAIVED if waived else LineState.UNPROVEN


def _node(node: NodeResult, runbook: str, catalogue: Catalogue) -> NodeEntry:
    return NodeEntry(
        nodeid=node.nodeid,
        case=node.case,
        phases=dict(node.phases),
        failure=node.failure,
        file=node.file,
        line=node.line,
        checks=(
            *(_check(check, "asked", runbook, catalogue) for check in node.checks),
            *(_check(check, "standing", runbook, catalogue) for check in node.standing),
        ),
        request_ids=node.request_ids,
        shortfalls=tuple(
            ShortfallEntry(
                line=_cite(noted.line, runbook, catalogue),
                where=noted.where,
                seen=noted.seen,
                remedy=noted.remedy,
            )
            for noted in node.shortfalls
        ),
        evidence=tuple(map(FileEntry.model_validate, node.evidence_files)),
    )


def _check(
    check: CheckResult, scope: Literal["asked", "standing"], runbook: str, catalogue: Catalogue
) -> CheckEntry:
    state = CheckState.HELD if check.rows > 0 and check.has_teeth else CheckState.TOOTHLESS
    return CheckEntry(
        name=check.name,
        scope=scope,
        line=None if check.line is None else _cite(check.line, runbook, catalogue),
        state=CheckState.VIOLATED if check.violations else state,
        rows=check.rows,
        violations=tuple(map(ViolationEntry.model_validate, check.violations)),
        mutants_killed=tuple(mutant.name for mutant in check.mutants if mutant.killed),
        mutants_survived=tuple(map(SurvivorEntry.model_validate, check.survivors)),
    )


def _cite(line_id: str, runbook: str, catalogue: Catalogue) -> CitedLine:
    line = catalogue.line(runbook, line_id)
    if line is None:
        return CitedLine(id=line_id, section="", text="")
    return CitedLine.model_validate(line)


def _waiver(waiver: Waiver, sign_off: SignOff) -> WaiverEntry:
    used = any(reason.waiver == waiver for outcome in sign_off.outcomes for reason in outcome.reasons)
    expired = any(reason.waiver == waiver for reason in sign_off.reasons)
    effect: Literal["waived", "unused", "expired"] = "expired" if expired else "waived" if used else "unused"
    return WaiverEntry(
        target=waiver.target,
        name=waiver.name,
        owner=waiver.owner,
        reason=waiver.reason,
        until=waiver.until.isoformat(),
        source=waiver.source,
        effect=effect,
    )
