"""Decides which run came before a run, and whether one of them is gone from between.

Each run, a red one too, names the one before it by the SHA-256 of its `SHA256SUMS`. `last-run.json` beside
the run folders remembers the last one also where its folder is removed, `removed.jsonl` those that the limit
on what is kept has removed. Whoever may write to the folder can rewrite all of it: only a signature, or a
digest that was kept elsewhere, tells.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from pytest_l402.boundary.cleaning import CleanText
from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.strict_json import read_json, read_json_lines
from pytest_l402.boundary.whole_files import write_whole
from pytest_l402.signoff.document_entries import Digest, Entry, PreviousEntry
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.judged import Verdict
from pytest_l402.signoff.manifest import MANIFEST, file_digest
from pytest_l402.signoff.run_files import PREVIOUS, runs_in

HEAD: Final = "last-run.json"
REMOVED: Final = "removed.jsonl"

_FAR: Final = 100_000


class Link(Entry):
    """One run of a chain, and the one that it names as the one before."""

    run_id: CleanText
    verdict: Verdict
    manifest_sha256: Digest
    previous: PreviousEntry | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """What became of the runs before a run: how many are there, one sentence for each gap.

    `compared` is False where no other run lies beside it, as in a folder that was handed over alone.
    """

    compared: bool
    runs: int = 0
    gaps: tuple[str, ...] = ()


def find_previous(signoff_folder: Path, *, current: str) -> PreviousEntry | None:
    """Return the run before this one in a folder of runs; None if there was none."""
    kept = _kept(signoff_folder, current)
    last: Link | PreviousEntry | None = _head(signoff_folder)
    if isinstance(last, Link) and last.run_id == current:  # written before, and now once more
        last = last.previous
    newest = max(kept, default="")
    if newest and (last is None or newest > last.run_id):
        last = _link_in(kept[newest]) or last
    if last is None:
        return None
    return PreviousEntry(
        run_id=last.run_id,
        verdict=last.verdict,
        manifest_sha256=last.manifest_sha256,
        found=_found(last.run_id, last.manifest_sha256, kept, _removed(signoff_folder)),
    )


def note_last(signoff_folder: Path, run_folder: Path) -> None:
    """Remember a run that was written as the last one; raises `OSError`."""
    link = _link_in(run_folder)
    if link is not None:
        write_whole(signoff_folder / HEAD, link.model_dump_json(indent=1).encode() + b"\n")


@contextlib.contextmanager
def noting_removed(signoff_folder: Path, runs: Sequence[Path]) -> Iterator[None]:
    """Remember which runs the block removes, so that they are not missed; raises `OSError`."""
    links = [(run, _link_in(run)) for run in runs]
    yield
    lines = "".join(
        f"{link.model_dump_json()}\n" for run, link in links if link is not None and not run.exists()
    )
    if lines:
        with (signoff_folder / REMOVED).open("a", encoding="utf-8") as file:
            file.write(lines)


def follow(folder: Path, document: SignOffDocument) -> Chain:
    """Follow the chain of runs back from a run folder, and see that no later run knows it otherwise."""
    place = folder.resolve()
    root = place.parent.parent if place.parent.name == PREVIOUS else place.parent
    kept, removed = _kept(root, document.run.id), _removed(root)
    head = _head(root)
    if not kept and head is None:
        return Chain(compared=False)
    own = _digest_of(place)
    gaps = [
        f"run {link.run_id} names another {MANIFEST} of run {document.run.id} than the one here"
        for link in (head, *map(_link_in, kept.values()))
        if link is not None and (named := _names(link, document.run.id)) is not None and named != own
    ]
    by_id = {link.run_id: link for link in map(_link_in, kept.values()) if link is not None}
    runs, of, link = 0, document.run.id, document.previous
    seen: set[str] = set()
    while link is not None and link.run_id not in seen and len(seen) < _FAR:
        seen.add(link.run_id)
        found = _found(link.run_id, link.manifest_sha256, kept, removed)
        if found in ("gone", "changed"):
            gaps.append(f"run {of} names run {link.run_id} ({link.verdict}) as the one before: it is {found}")
            break
        runs += found == "kept"
        before = by_id.get(link.run_id) or removed.get(link.run_id)
        of, link = link.run_id, before.previous if before is not None else None
    return Chain(compared=True, runs=runs, gaps=tuple(dict.fromkeys(gaps)))


def _names(link: Link, run_id: str) -> str | None:
    if link.run_id == run_id:
        return link.manifest_sha256
    before = link.previous
    return before.manifest_sha256 if before is not None and before.run_id == run_id else None


def _found(
    run_id: str, sha256: str, kept: Mapping[str, Path], removed: Mapping[str, Link]
) -> Literal["kept", "removed", "gone", "changed"]:
    if run_id in kept:
        return "kept" if _digest_of(kept[run_id]) == sha256 else "changed"
    link = removed.get(run_id)
    return "removed" if link is not None and link.manifest_sha256 == sha256 else "gone"


def _kept(signoff_folder: Path, current: str) -> dict[str, Path]:
    """The folders of ended runs, by run id, without the current one."""
    places = [*runs_in(signoff_folder), *runs_in(signoff_folder / PREVIOUS)]
    ended = [place for place in places if _document_in(place) is not None]
    return {name: place for place in ended if (name := place.name.partition(".")[0]) != current}


def _document_in(run_folder: Path) -> Path | None:
    files = [run_folder / f"{kind}.json" for kind in DocumentKind]
    return next((file for file in files if file.is_file()), None)


def _digest_of(run_folder: Path) -> str:
    try:
        return file_digest(run_folder / MANIFEST)[0]
    except OSError:
        return ""


def _link_in(run_folder: Path) -> Link | None:
    """What a run folder says of itself; None for what is no document with a manifest."""
    file = _document_in(run_folder)
    try:
        told: Any = read_json(file) if file is not None else None
        return Link.model_validate_json(
            json.dumps(
                {
                    "run_id": told["run"]["id"],
                    "verdict": told["verdict"],
                    "manifest_sha256": _digest_of(run_folder),
                    "previous": told.get("previous"),
                }
            )
        )
    except (InputError, ValidationError, OSError, TypeError, KeyError, AttributeError):
        return None


def _head(signoff_folder: Path) -> Link | None:
    try:
        return Link.model_validate_json((signoff_folder / HEAD).read_bytes())
    except (OSError, ValidationError):
        return None


def _removed(signoff_folder: Path) -> dict[str, Link]:
    links: dict[str, Link] = {}
    try:
        for value in read_json_lines(signoff_folder / REMOVED):
            link = Link.model_validate_json(json.dumps(value))
            links[link.run_id] = link
    except (InputError, ValidationError, OSError, TypeError):
        return links  # what follows a broken line is not known to have been removed
    return links
