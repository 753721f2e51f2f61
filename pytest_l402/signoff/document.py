"""Decides what `signoff.json` says of a run: the one record from which every other report of that run is
made.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.input_files import read_text
from pytest_l402.boundary.strict_json import parse_json
from pytest_l402.evidence.check import CheckResult, MutantVerdict, RunbookLine
from pytest_l402.evidence.kept import table_of
from pytest_l402.evidence.system import AttachedSystem
from pytest_l402.signoff.catalogue import Catalogue
from pytest_l402.signoff.document_entries import (
    CatalogueEntry,
    CheckEntry,
    CheckState,
    ComparisonEntry,
    LineEntry,
    LineState,
    NodeEntry,
    PartEntry,
    PreviousEntry,
    RehearsalEntry,
    RunEntry,
    ShortfallEntry,
    SignerStanding,
    SystemEntry,
    WaiverEntry,
)
from pytest_l402.signoff.document_model import (
    SCHEMA_VERSION,
    DocumentKind,
    SignOffDocument,
    count,
    is_pinning,
)
from pytest_l402.signoff.judged import LineProof, RehearsalJudgement, SignOff
from pytest_l402.signoff.parts_used import by_part, total
from pytest_l402.signoff.results import NodeResult, RunFacts
from pytest_l402.signoff.waivers import Waiver
from pytest_l402.signoff.window import VALID_DAYS, window_of

Entry = TypeVar("Entry", bound=BaseModel)

DISTRIBUTIONS: Final = ("pytest-l402", "pytest", "pydantic", "httpx", "respx", "freezegun", "PyYAML", "embit")
"""The distributions on which the outcome of a run in mock mode depends."""


@dataclass(frozen=True, slots=True)
class ProjectPin:
    """What pins the project that holds the rehearsals, "git:<commit>"; without it, why nothing does."""

    digest: str | None
    not_pinned_because: str | None = None


def installed_versions(distributions: Iterable[str] = DISTRIBUTIONS) -> dict[str, str]:
    """Return the Python version and that of each distribution; "not installed" for one that is missing."""
    versions = {"python": platform.python_version()}
    for name in distributions:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who is to sign a run, what came before it, and for how long it is to count.

    `key_id` is None where nobody signs; `battery_sha256` pins the package that holds the checks.
    """

    key_id: str | None = None
    signer: SignerStanding = SignerStanding.UNSTATED
    valid_days: int = VALID_DAYS
    previous: PreviousEntry | None = None
    comparison: ComparisonEntry | None = None
    battery_sha256: str | None = None


def build_document(
    sign_off: SignOff,
    *,
    project: ProjectPin,
    versions: Mapping[str, str] | None = None,
    vouched: Vouched = Vouched(),
) -> SignOffDocument:
    """Return the document of a judged run; every text in it is redacted and printable.

    `versions` defaults to `installed_versions()`. Raises `ValueError` if the sign-off contradicts itself,
    which `judge_run` never lets happen.
    """
    judged, catalogue = sign_off.outcomes, sign_off.catalogue
    rehearsals = tuple(_rehearsal(outcome, catalogue) for outcome in judged)
    return _entry(
        SignOffDocument,
        sign_off,
        schema_version=SCHEMA_VERSION,
        kind=DocumentKind.of(sign_off.verdict),
        signature="UNSIGNED" if vouched.key_id is None else "SIGNED",
        signed_by=vouched.key_id,
        signer=vouched.signer,
        window=window_of(sign_off, vouched.valid_days),
        previous=vouched.previous,
        comparison=vouched.comparison,
        battery_sha256=vouched.battery_sha256,
        run=_run(sign_off.facts),
        systems=system_entries([node for outcome in judged for node in outcome.nodes]),
        project=project,
        catalogue=_entry(
            CatalogueEntry,
            catalogue,
            source=_portable(catalogue.source),
            families=sign_off.families,
            runbooks={runbook.id: runbook.title for runbook in catalogue.runbooks},
        ),
        versions=dict(installed_versions() if versions is None else versions),
        counts=count(rehearsals),
        rehearsals=rehearsals,
        waivers=tuple(_waiver(waiver, sign_off) for waiver in sign_off.waivers),
    )


def document_bytes(document: SignOffDocument) -> bytes:
    """Return the document as it is written: JSON, one value a line, UTF-8, one LF at the end."""
    return document.model_dump_json(indent=1).encode() + b"\n"


def read_signoff(path: Path) -> SignOffDocument:
    """Read and check a sign-off, refusal or drill; `path` is the file or the run folder that holds one of
    them.

    A document of schema version 1 is read as what it says in terms of the current one. Raises `InputError`,
    one line, if there is none or more than one, if it is not JSON of this schema, if
    its parts contradict its verdict, or if its name is not that of its kind. It proves nothing about the
    evidence files: see `check_manifest`.
    """
    file = _document_in(path) if path.is_dir() else path
    text = read_text(file)
    value = parse_json(text, file)
    if isinstance(value, dict) and value.get("schema_version") == "1":
        text = json.dumps(_from_version_1(value))
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


def _from_version_1(value: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew one system, by a name that was always the same, and took the project's commit for its
    digest.
    """
    found = {**value, "schema_version": "2"}
    if isinstance(found.get("rehearsals"), list):
        found["rehearsals"] = [_with_lines_of_version_1(entry) for entry in found["rehearsals"]]
    system = found.pop("system", None)
    known = isinstance(system, dict) and set(system) == {"name", "version", "digest"}
    if not known or {"systems", "project"} & set(found):
        return {**found, "system": system}
    reason = None if system["digest"] else "version 1 of the document does not say why"
    found["project"] = {"digest": system["digest"], "not_pinned_because": reason}
    unknown: dict[str, Any] = {"digest": None, "pinned": "no", "tests": 0, "standing_checks": [], "parts": []}
    found["systems"] = [{**system, **unknown}]
    return found


def _with_lines_of_version_1(entry: Any) -> Any:
    """Version 1 called a line proven as soon as one of its checks held, whatever the others said."""
    try:
        checks = [check for node in entry["nodes"] for check in node["checks"] if check["line"] is not None]
        against = {check["line"]["id"] for check in checks if check["state"] != CheckState.HELD}
        unproven = {"state": LineState.UNPROVEN.value, "proven_by": []}
        told = (
            (line, line["state"] == LineState.PROVEN and line["id"] in against) for line in entry["lines"]
        )
        return {**entry, "lines": [{**line, **unproven} if worse else line for line, worse in told]}
    except (TypeError, KeyError):  # whoever reads it on says what is wrong with its form
        return entry


def system_entries(nodes: Sequence[NodeResult]) -> tuple[SystemEntry, ...]:
    """Every system that was attached, once for each state and each set of laws, with its parts by tests."""
    attached: dict[object, list[AttachedSystem]] = {}
    for system in (system for node in nodes for system in node.systems):
        state = (system.name, system.version, system.digest, system.standing_checks)
        attached.setdefault(state, []).append(system)
    return tuple(
        _entry(
            SystemEntry,
            times[0],
            pinned="by-digest" if is_pinning(times[0].digest) else "no",
            tests=len(times),
            standing_checks=tuple(dict.fromkeys(times[0].standing_checks)),
            parts=tuple(
                _entry(PartEntry, part, tests=len(asked), requests=total(asked))
                for part, asked in by_part(times).items()
            ),
        )
        for times in attached.values()
    )


def _portable(source: str) -> str:
    """No machine's own layout belongs in a sign-off: of an absolute path only folder and name are kept."""
    path = PurePosixPath(source)
    return PurePosixPath(*path.parts[-2:]).as_posix() if path.is_absolute() else source


def _entry(kind: type[Entry], source: object, /, **told: Any) -> Entry:
    """Return the entry whose fields are those of `source`, but for what is told otherwise."""
    alike = {name: getattr(source, name) for name in kind.model_fields if name not in told}
    return kind.model_validate(alike | told)


def _run(facts: RunFacts) -> RunEntry:
    return _entry(
        RunEntry,
        facts,
        id=facts.run_id,
        teeth="on" if facts.teeth else "off",
        selection="narrowed" if facts.narrowed else "full",
        time_source="clock of the machine, self-asserted",
    )


def _rehearsal(outcome: RehearsalJudgement, catalogue: Catalogue) -> RehearsalEntry:
    waived_lines = {reason.line for reason in outcome.reasons if reason.waiver is not None}

    def cite(line_id: str) -> object:
        return catalogue.line(outcome.rehearsal.runbook, line_id) or RunbookLine(line_id)

    return _entry(
        RehearsalEntry,
        outcome.rehearsal,
        need="required" if outcome.required else "optional",
        state=outcome.state,
        reasons=outcome.reasons,
        lines=tuple(_line(proof, proof.line.id in waived_lines) for proof in outcome.lines),
        nodes=tuple(node_entry(node, cite) for node in outcome.nodes),
    )


def _line(proof: LineProof, waived: bool) -> LineEntry:
    unproven = LineState.WAIVED if waived else LineState.UNPROVEN
    state = LineState.PROVEN if proof.proven_by else unproven
    return _entry(LineEntry, proof.line, state=state, proven_by=proof.proven_by)


def node_entry(node: NodeResult, cite: Callable[[str], object]) -> NodeEntry:
    """Return what the document says of one node; `cite` gives the line of the runbook with an id."""
    return _entry(
        NodeEntry,
        node,
        phases=dict(node.phases),
        checks=(
            *(check_entry(check, "asked", cite, node) for check in node.checks),
            *(check_entry(check, "standing", cite, node) for check in node.standing),
        ),
        shortfalls=tuple(_entry(ShortfallEntry, noted, line=cite(noted.line)) for noted in node.shortfalls),
        moments=dict(node.moments),
        own_rows=dict(node.own_rows),
        expected_faults=dict(node.expected_faults),
        evidence=node.evidence_files,
    )


def check_entry(
    check: CheckResult, scope: str, cite: Callable[[str], object], node: NodeResult
) -> CheckEntry:
    """Return what the document says of a check of a node; `cite` gives the line of the runbook with an id."""
    state = CheckState.HELD if check.rows > 0 and check.has_teeth else CheckState.TOOTHLESS
    return _entry(
        CheckEntry,
        check,
        scope=scope,
        line=None if check.line is None else cite(check.line),
        state=CheckState.VIOLATED if check.violations else state,
        moment=check.moment or None,
        read=_read(check, node),
        mutants_killed=tuple(mutant.name for mutant in check.mutants if mutant.killed),
        mutants_wrong_reason=check.ended(MutantVerdict.WRONG_REASON),
        mutants_survived=check.ended(MutantVerdict.SURVIVED),
        mutants_not_applicable=check.ended(MutantVerdict.NOT_APPLICABLE),
    )


def _read(check: CheckResult, node: NodeResult) -> dict[str, int]:
    rows = {file.path: file.rows or 0 for file in node.evidence_files}
    paths = (f"{node.folder}/{name}" for name in node.moments.get(check.moment, ()))
    return {path: rows.get(path, 0) for path in paths if table_of(path) in check.tables}


def _waiver(waiver: Waiver, sign_off: SignOff) -> WaiverEntry:
    used = any(reason.waiver == waiver for outcome in sign_off.outcomes for reason in outcome.reasons)
    expired = any(reason.waiver == waiver for reason in sign_off.reasons)
    effect = "expired" if expired else "waived" if used else "unused"
    return _entry(WaiverEntry, waiver, until=waiver.until.isoformat(), effect=effect)
