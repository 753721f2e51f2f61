"""Decides how a run's files reach the disk: whole or not at all, with the previous run moved aside first.

A file called `signoff.json` exists only where the verdict is SIGNED_OFF, so that even a gate that merely
looks for the file cannot be fooled. A full run that is refused leaves `refusal.json`, a partial run
`drill.json`: the same schema.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_l402.boundary.whole_files import flush_folder, staged_whole
from pytest_l402.signoff.chain import noting_removed
from pytest_l402.signoff.document import document_bytes
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.manifest import (
    MANIFEST,
    ManifestError,
    contents,
    digests_of,
    file_digest,
    is_text,
    manifest_of,
    read_manifest,
    shown_path,
)
from pytest_l402.signoff.results import NodeResult
from pytest_l402.signoff.run_files import PREVIOUS, record_of, runs_in
from pytest_l402.signoff.statement import statements_of
from pytest_l402.signoff.views import PAGES, WRITTEN, views_of

Sign = Callable[[Mapping[str, bytes]], Mapping[str, bytes]]
"""Returns the signatures over statements, as files by name."""


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where the reports of one run are."""

    document: Path
    page: Path
    manifest: Path


def move_aside(signoff_folder: Path, *, keep: str | None = None) -> tuple[Path, ...]:
    """Move every ended run of `output/signoff/` to `output/signoff/previous/`; return where they are now.

    A folder without document and page stays: its run is still going on, or died before it came to a verdict.
    `keep` names the folder of the current run, which stays. A name that is taken there gets a number: nothing
    is overwritten. Raises `OSError`.
    """
    if not signoff_folder.is_dir():
        return ()
    previous = signoff_folder / PREVIOUS
    staying = {PREVIOUS, keep}
    runs = sorted(
        entry
        for entry in signoff_folder.iterdir()
        if entry.name not in staying and entry.is_dir() and not entry.is_symlink() and _has_ended(entry)
    )
    moved = []
    for run in runs:
        previous.mkdir(exist_ok=True)
        target, number = previous / run.name, 2
        while target.exists():
            target, number = previous / f"{run.name}.{number}", number + 1
        run.rename(target)
        if record_of(run).is_file():
            record_of(run).rename(record_of(target))
        moved.append(target)
    if moved:
        flush_folder(previous)
        flush_folder(signoff_folder)
    return tuple(moved)


def remove_oldest(signoff_folder: Path, *, keep: int) -> tuple[Path, ...]:
    """Remove all runs of `output/signoff/previous/` but the last `keep`, and the last that was signed off;
    return where they were.

    Only what looks like a run that has ended is one: the name, and a document in it. One that cannot be
    removed stays for the next time.
    """
    previous = signoff_folder / PREVIOUS
    runs = [run for run in runs_in(previous) if _has_ended(run)]
    signed_off = [run for run in runs if (run / f"{DocumentKind.SIGNOFF}.json").is_file()]
    return _removed((run for run in runs[keep:] if run not in signed_off[:1]), signoff_folder)


def remove_abandoned(signoff_folder: Path, *, keep: int, current: str) -> tuple[Path, ...]:
    """Remove all runs of `output/signoff/` that died before a verdict, but the last `keep`; return where they
    were.

    Only what has the name of a run is one, and only what no process holds has died.
    """
    runs = [run for run in runs_in(signoff_folder) if run.name != current and not _has_ended(run)]
    return _removed((run for run in runs[keep:] if not _is_held(run)), signoff_folder)


def remove_drills(signoff_folder: Path, *, keep: int, current: str) -> tuple[Path, ...]:
    """Remove all drills of `output/signoff/` but the last `keep`; return where they were.

    A full run moves drills aside; where there is none, drills would pile up.
    """
    runs = [run for run in runs_in(signoff_folder) if run.name != current and _is_drill(run)]
    return _removed(runs[keep:], signoff_folder)


def _removed(runs: Iterable[Path], signoff_folder: Path) -> tuple[Path, ...]:
    removed = tuple(runs)
    with noting_removed(signoff_folder, removed):
        for run in removed:
            shutil.rmtree(run, ignore_errors=True)
            record_of(run).unlink(missing_ok=True)
    return tuple(run for run in removed if not run.exists())


def _is_drill(run: Path) -> bool:
    kinds = [kind for kind in DocumentKind if (run / f"{kind}.json").is_file()]
    return kinds == [DocumentKind.DRILL]


def _is_held(run: Path) -> bool:
    import fcntl

    try:
        descriptor = os.open(run, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def withdraw_copies(moved: Path, artifact_dir: Path, artifacts: str) -> None:
    """Remove what a run that was moved aside had copied to the artifact folder, and nothing else: the same
    bytes lie in its own folder.

    `artifacts` is the name of the folders whose files were copied. Raises `OSError`.
    """
    try:
        listed = read_manifest(moved)
    except ManifestError:
        return
    for path, digest in listed.items():
        copied = inside(path, artifacts)
        if copied is not None and ".." not in copied.parts:
            copy = artifact_dir / copied
            if copy.is_file() and not copy.is_symlink() and file_digest(copy)[0] == digest:
                copy.unlink()


def inside(path: str, artifacts: str) -> PurePosixPath | None:
    """Return the path of an artifact below its folder of artifacts; None for other evidence.

    A rehearsal and a test may have the name of that folder: it is the one in the folder of a test.
    """
    _, _, _, folder, *below = [*path.split("/"), *[""] * 4]
    found = PurePosixPath(*below)
    return found if folder == artifacts and found.parts else None


def find_evidence_faults(run_folder: Path, nodes: Sequence[NodeResult]) -> tuple[str, ...]:
    """Return one sentence for each recorded evidence file that is missing or differs on disk, and for all
    that nobody could verify: links, pipes, names that are no text (for `RunFacts`).

    A node that ran and recorded no evidence file at all is a fault too: then there is nothing that its
    checks rest on.
    """
    faults, folder = [*_unfit(run_folder)], os.fspath(run_folder)
    for node in nodes:
        if not node.evidence_files and node.phases.get("call") == "passed":
            faults.append(f"{node.nodeid}: expected evidence files, saw none")
        for recorded in node.evidence_files:
            try:
                seen = file_digest(f"{folder}/{recorded.path}")
            except OSError as error:
                faults.append(
                    f"{recorded.path}: expected the evidence of {node.nodeid}, saw: {error.strerror or error}"
                )
                continue
            if seen != (recorded.sha256, recorded.bytes):
                faults.append(f"{recorded.path}: expected what {node.nodeid} wrote, saw other bytes")
    return tuple(faults)


def write_run(run_folder: Path, document: SignOffDocument, sign: Sign | None = None) -> RunFiles:
    """Write `<kind>.json`, its views, the statements and, over every file of the folder, `SHA256SUMS`; return
    where they are.

    All are on the disk, under temporary names, before the first of them gets its own: what can fail has
    failed by then. The document comes before all that repeats it, so that nothing ever says what no document
    does. `sign` returns, for the statements by name, the signatures over them as files.
    What an earlier attempt left in the folder is removed first.
    Raises `OSError`, and `ManifestError` for a sign-off of a folder that nobody could verify; then none of
    them is left, whatever it was that went wrong.
    """
    files = RunFiles(
        document=run_folder / f"{document.kind}.json",
        page=run_folder / f"{document.kind}.html",
        manifest=run_folder / MANIFEST,
    )
    if run_folder.is_symlink():
        raise ManifestError(f"{run_folder.name}: expected the folder of this run, saw a link")
    take_back(run_folder)
    run_folder.mkdir(parents=True, exist_ok=True)
    unfit = _unfit(run_folder)
    if unfit and document.kind is DocumentKind.SIGNOFF:
        raise ManifestError("; ".join(unfit))
    reports = {files.document.name: document_bytes(document), **views_of(document, run_folder)}
    digests = digests_of(run_folder, reports)
    statements = statements_of(document, digests)
    reports |= {**statements, **(sign(statements) if sign is not None else {})}
    digests |= {name: hashlib.sha256(data).hexdigest() for name, data in reports.items()}
    manifest = manifest_of(digests)
    # Evidence first, and all of it with one call: hundreds of small files, flushed one by one, take a quarter
    # of the time of the rehearsals.
    os.sync()
    try:
        with contextlib.ExitStack() as unnamed:
            staged = [
                unnamed.enter_context(staged_whole(path, content))
                for path, content in (
                    (files.manifest, manifest),
                    *((run_folder / name, content) for name, content in reports.items()),
                )
            ]
            for each in staged:
                each.name_it()
        flush_folder(run_folder)
    except BaseException:
        take_back(run_folder)
        raise
    return files


def take_back(run_folder: Path) -> None:
    """Leave nothing in a run folder that the end of a run writes; what cannot be removed is emptied.

    Raises `OSError` if one of them can be neither removed nor emptied.
    """
    for name in WRITTEN:
        path = run_folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError:
            if not path.is_symlink():
                os.truncate(path, 0)


def _unfit(run_folder: Path) -> tuple[str, ...]:
    if run_folder.is_symlink():
        return (f"{run_folder.name}: expected the folder of this run, saw a link",)
    if not run_folder.exists():  # no test has left anything
        return ()
    found = contents(run_folder)
    return (
        *found.strangers,
        *(
            f"{shown_path(name)}: expected a name in UTF-8, saw other bytes; give it another name"
            for name in found.files
            if not is_text(name)
        ),
    )


def _has_ended(run_folder: Path) -> bool:
    # A page without its document is not of a run that goes on: the page is the last that a run writes.
    return any((run_folder / name).is_file() for name in (*(f"{kind}.json" for kind in DocumentKind), *PAGES))
