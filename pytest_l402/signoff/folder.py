"""Decides whether a run folder contradicts itself: its document, page, manifest and evidence, each against
the others.

What all of them agree on may be made up all the same: a folder is compared with itself alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.strict_json import read_json
from pytest_l402.boundary.text_safety import folder_name
from pytest_l402.evidence.check import RunbookLine
from pytest_l402.signoff.document import installed_versions, node_entry, read_signoff, system_entries
from pytest_l402.signoff.document_entries import NodeEntry, RehearsalEntry
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.manifest import (
    ManifestError,
    check_manifest,
    contents,
    digests_of,
    file_digest,
    is_approval,
    is_text,
    read_file,
    shown_path,
)
from pytest_l402.signoff.results import RESULT_FILE, NodeResult, ResultError, terms_of
from pytest_l402.signoff.run_files import ATTESTATIONS, EVIDENCE, STATEMENT, STATEMENTS
from pytest_l402.signoff.statement import statements_of
from pytest_l402.signoff.views import PAGES, VIEWS, WRITTEN, views_of
from pytest_l402.signoff.wording import VERDICT_WORDS

_RUN_ID: Final = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")
_MOVED_ASIDE: Final = re.compile(r"\.\d+")
_START_UP_MS: Final = 3_600_000
_REPORTED: Final = frozenset({"phases", "failure", "file", "line", "took_ms"})
"""What a node's entry has from pytest's reports, and not from the node's own result."""


def contradictions(folder: Path, *, rendering: bool = True) -> tuple[str, ...]:
    """Return one sentence for each thing in a run folder that contradicts another; empty if nothing does.

    Without `rendering` the pages are held to their digests and their first words, not rendered again.
    Nothing is raised for what the folder holds: a folder without a readable document has one contradiction.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return (f"{shown_path(str(folder))}: expected a run folder, saw none",)
    try:
        faults = [*check_manifest(folder)]
    except ManifestError as error:
        faults = [str(error), *contents(folder).strangers]
    try:
        document = read_signoff(folder)
    except InputError as error:
        return (*faults, str(error))
    # What was changed, added or taken away is told once: no statement over the rest can be right.
    faults += [] if faults else _statements(folder, document)
    faults += _run(folder, document)
    faults += _catalogue(document)
    unlike = [*_evidence(folder, document)]
    faults += unlike
    # A page shows evidence: where that is not what the document says, it is no wonder that it shows another.
    due = views_of(document, folder) if rendering and not unlike else None
    faults += _views(folder, document, due)
    # What a refusal names as its own reason does not contradict it.
    told = "" if document.kind is DocumentKind.SIGNOFF else "\n".join(each.text for each in document.reasons)
    return tuple(fault for fault in dict.fromkeys(faults) if fault not in told)


def _views(folder: Path, document: SignOffDocument, due: Mapping[str, bytes] | None) -> Iterator[str]:
    """Each view is what the document renders to; without `due`, or by another version of this package, its
    pages begin as they must.
    """
    is_ours = _is_of_this_version(document)
    own = {f"{document.kind}.html", f"{document.kind}.md"}
    for name in VIEWS:
        try:
            seen = (folder / name).read_bytes() if (folder / name).is_file() else None
        except OSError as error:
            yield f"{name}: expected a readable page, saw: {error.strerror or error}"
            continue
        if name in PAGES and name not in own:
            if seen is not None:
                yield f"{name}: expected no page but those of {document.kind}.json, saw a second one"
        elif seen is None:
            if is_ours or name.endswith(".md"):
                yield f"{name}: expected what {document.kind}.json says, saw none"
        elif (due is not None and is_ours and seen != due[name]) or not _begins_well(name, seen, document):
            yield f"{name}: expected what {document.kind}.json says, saw something else"


def _begins_well(name: str, seen: bytes, document: SignOffDocument) -> bool:
    words = VERDICT_WORDS[document.verdict]
    if name.endswith(".html"):
        return f"<title>{words} ".encode() in seen[:4096]
    return name not in PAGES or seen.startswith(f"# L402 sign-off: {words}\n".encode())


def _statements(folder: Path, document: SignOffDocument) -> Iterator[str]:
    """The statements are those of the document over the files that are there; version 2 had none."""
    if document.schema_version == "2":
        for name in ATTESTATIONS:
            if (folder / name).is_file():
                yield f"{name}: expected no statement beside a document of version 2, saw one"
        return
    try:
        due = statements_of(document, digests_of(folder))
    except ManifestError as error:
        yield str(error)
        return
    for name in STATEMENTS:
        try:
            seen = read_file(folder / name) if (folder / name).exists() else None
        except OSError as error:
            yield f"{name}: expected a readable statement, saw: {error.strerror or error}"
            continue
        if seen is None and name == STATEMENT:
            yield f"{name}: expected the statement of {document.kind}.json, saw none"
        elif seen is not None and name not in due:
            yield f"{name}: expected none for this document, saw one"
        elif seen != due.get(name) and _is_of_this_version(document):
            yield f"{name}: expected what {document.kind}.json and the files here say, saw another statement"


def _is_of_this_version(document: SignOffDocument) -> bool:
    ours = installed_versions(("pytest-l402",))["pytest-l402"]
    return document.versions.get("pytest-l402") == ours


def _run(folder: Path, document: SignOffDocument) -> Iterator[str]:
    run, name = document.run, folder.resolve().name
    # A run that was moved aside where another of its name lay has a number behind it.
    if name != run.id and not (name.startswith(run.id) and _MOVED_ASIDE.fullmatch(name[len(run.id) :])):
        yield f"{document.kind}.json: expected the run of its folder, {shown_path(name)}, saw run {run.id}"
    if run.finished_at_ms < run.started_at_ms:
        yield f"run: expected an end after the start, {run.started_at_ms}, saw {run.finished_at_ms}"
    stamp = _RUN_ID.fullmatch(run.id)
    if stamp is not None:
        named_ms = _epoch_ms(stamp[1])
        if named_ms is None or not named_ms - 1000 <= run.started_at_ms <= named_ms + _START_UP_MS:
            yield f"run: expected a start at the time that run {run.id} names, saw {run.started_at_ms}"
    if (run.selection == "narrowed") != bool(run.narrowed_by):
        narrowed = ", ".join(run.narrowed_by) or "nothing"
        yield f"run: expected what narrowed a {run.selection} run, saw {narrowed}"
    for waiver in document.waivers:
        # A run may begin on the last day of a waiver and end on the next.
        if waiver.effect != "expired" and _day(run.started_at_ms) > waiver.until:
            yield (
                f"waiver of {waiver.target} {waiver.name}: expected one that had not ended at the run, "
                f"saw {waiver.until}"
            )


def _epoch_ms(stamp: str) -> int | None:
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000


def _day(epoch_ms: int) -> str:
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return date.max.isoformat()


def _catalogue(document: SignOffDocument) -> Iterator[str]:
    """What was required, and what became of it, by the document alone."""
    known = document.catalogue
    yield from _repeated("rehearsal", [entry.id for entry in document.rehearsals])
    yield from _repeated("test", [node.nodeid for entry in document.rehearsals for node in entry.nodes])
    families = {entry.family for entry in document.rehearsals}
    for family in known.families:
        if family not in families:
            yield f"family {family}: expected its rehearsals, as it is required; saw none"
    for entry in document.rehearsals:
        if entry.runbook not in known.runbooks:
            yield f"{entry.id}: expected a runbook of the catalogue, saw {entry.runbook}"
        if entry.need == "required" and entry.family not in known.families:
            yield f"{entry.id}: expected it optional, as family {entry.family} is not required; saw required"
        yield from _cited_otherwise(entry)


def _repeated(what: str, names: Sequence[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        if times > 1:
            yield f"{what} {name}: expected once, saw it {times} times"


def _cited_otherwise(entry: RehearsalEntry) -> Iterator[str]:
    texts = {line.id: (line.section, line.text) for line in entry.lines}
    for check in (check for node in entry.nodes for check in node.checks):
        cited = check.line
        if cited is not None and texts.get(cited.id, (cited.section, cited.text)) != (
            cited.section,
            cited.text,
        ):
            yield f"{check.name}: expected the text of line {cited.id}, saw another"


def _evidence(folder: Path, document: SignOffDocument) -> Iterator[str]:
    """Each file is that of one test of the document, as the test left it; each test has left its result."""
    nodes = {node.nodeid: (entry, node) for entry in document.rehearsals for node in entry.nodes}
    yield from _files_differ(folder, [node for _, node in nodes.values()])
    results: dict[str, NodeResult] = {}
    faults: list[str] = []
    claimed = {recorded.path for _, node in nodes.values() for recorded in node.evidence}
    for path in contents(folder).files:
        if path in claimed or path in WRITTEN or is_approval(path) or _is_unkept(path, document):
            continue
        if not _is_result(path):
            faults.append(f"{shown_path(path)}: expected a file of a test of this run, saw one of none")
            continue
        try:
            result = NodeResult.from_json(read_file(folder / path).decode())
        except (OSError, UnicodeDecodeError, ResultError) as error:
            faults.append(f"{shown_path(path)}: expected the result of a test, saw: {error}")
            continue
        if result.nodeid not in nodes:
            faults.append(f"{shown_path(path)}: expected a test of this document, saw {result.nodeid}")
        elif result.nodeid in results:
            faults.append(f"{shown_path(path)}: expected one result of a test, saw {result.nodeid} again")
        else:
            results[result.nodeid] = result
            faults += _result_differs(path, result, *nodes[result.nodeid])
    for nodeid, (_, node) in nodes.items():
        if nodeid not in results and (node.evidence or node.checks):
            faults.append(f"{nodeid}: expected its {RESULT_FILE}, saw none that names it")
    if not _of_version_1(folder / f"{document.kind}.json"):
        for nodeid, result in results.items():
            faults += _terms_differ(result, document, nodes[nodeid][0])
    yield from faults
    if not faults and not _of_version_1(folder / f"{document.kind}.json"):
        told = [results[nodeid] for nodeid in nodes if nodeid in results]
        if system_entries(told) != document.systems:
            yield f"systems: expected those that the tests name in {RESULT_FILE}, saw others"


def _is_unkept(path: str, document: SignOffDocument) -> bool:
    """Whether a refused run may have this file of a test that did not come to keep its evidence."""
    if document.kind is DocumentKind.SIGNOFF:
        return False
    names = {
        folder_name(entry.id)
        for entry in document.rehearsals
        if not entry.nodes or not all(node.evidence for node in entry.nodes)
    }
    place = path.split("/")
    return not is_text(path) or (place[0] == EVIDENCE and place[1] in names and not _is_result(path))


def _is_result(path: str) -> bool:
    parts = path.split("/")
    return parts[0] == EVIDENCE and len(parts) == 4 and parts[3] == RESULT_FILE


def _files_differ(folder: Path, nodes: Sequence[NodeEntry]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for node in nodes:
        for recorded in node.evidence:
            shown = shown_path(recorded.path)
            owner = owners.setdefault(recorded.path, node.nodeid)
            if owner != node.nodeid:
                yield f"{shown}: expected a file of one test, saw it named by {owner} and by {node.nodeid}"
            if recorded.path.split("/")[0] != EVIDENCE:
                yield f"{shown}: expected evidence in {EVIDENCE}/, saw it elsewhere"
            try:
                seen = file_digest(folder / recorded.path)
            except OSError as error:
                yield f"{shown}: expected the evidence of {node.nodeid}, saw: {error.strerror or error}"
                continue
            if seen != (recorded.sha256, recorded.bytes):
                yield f"{shown}: expected what the document has of {node.nodeid}, saw other bytes"


def _result_differs(path: str, result: NodeResult, entry: RehearsalEntry, node: NodeEntry) -> Iterator[str]:
    if result.rehearsal != entry.id or path.split("/")[1] != folder_name(entry.id):
        yield f"{shown_path(path)}: expected a test of {entry.id}, saw one of {result.rehearsal}"
    cited: Mapping[str, object] = {
        line.id: line
        for line in (
            *(check.line for check in node.checks if check.line is not None),
            *(noted.line for noted in node.shortfalls),
        )
    }
    told = node_entry(result, lambda line_id: cited.get(line_id) or RunbookLine(line_id))
    for name in NodeEntry.model_fields:
        if name not in _REPORTED and getattr(told, name) != getattr(node, name):
            yield f"{shown_path(path)}: expected the {name} that the document has of it, saw others"
    if node.checks and (result.phases.get("call") == "passed") < (node.phases.get("call") == "passed"):
        yield f"{shown_path(path)}: expected a test that passed, as the document says; saw one that did not"


def _terms_differ(result: NodeResult, document: SignOffDocument, entry: RehearsalEntry) -> Iterator[str]:
    told = terms_of(
        mode=document.run.mode,
        seed=document.run.seed,
        catalogue=document.catalogue.sha256,
        title=entry.title,
        lines=entry.lines,
    )
    apart = [name for name in {**told, **result.terms} if told.get(name) != result.terms.get(name)]
    if apart:
        yield (
            f"{result.nodeid}: expected the {', '.join(apart[:3])} of its {RESULT_FILE}, under which it ran, "
            "saw others in the document"
        )


def _of_version_1(file: Path) -> bool:
    value = read_json(file)
    return isinstance(value, dict) and value.get("schema_version") == "1"
