"""Decides how a run ends: judged from all that is known of it, written down, told, its exit code set."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from pytest_l402.boundary import write_whole
from pytest_l402.plugin.node import ARTIFACTS
from pytest_l402.plugin.origin import pin_of, used_files
from pytest_l402.plugin.outlets import say, say_unwritten
from pytest_l402.plugin.preparation import move_previous_aside, prepare
from pytest_l402.plugin.run import RUN
from pytest_l402.signoff import Verdict
from pytest_l402.signoff.document import build_document
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.files import find_evidence_faults, write_run
from pytest_l402.signoff.judged import SignOff
from pytest_l402.signoff.manifest import ManifestError
from pytest_l402.signoff.results import RunFacts
from pytest_l402.signoff.verdict import judge_run

if TYPE_CHECKING:
    from pytest_l402.plugin.seen import Seen
    from pytest_l402.plugin.settings import Settings


def judge(config: pytest.Config, seen: Seen, exit_status: int) -> SignOff:
    """Return the verdict on what was seen of the run; `exit_status` is pytest's own: a veto, no proof."""
    run = config.stash[RUN]
    preparation = prepare(config)
    selection = seen.selection
    nodes, faults = seen.ledger.results(run.folder, selection.selected)
    facts = RunFacts(
        run_id=run.run_id,
        seed=str(run.settings.seed),
        mode=run.settings.mode,
        started_at_ms=seen.started_at_ms,
        finished_at_ms=time.time_ns() // 1_000_000,
        exit_status=exit_status,
        teeth=run.settings.teeth,
        interrupted=seen.interrupted,
        narrowed_by=selection.narrowed_by,
        collected=selection.selected,
        deselected=selection.deselected,
        collect_errors=_named(seen.collect_errors),
        worker_crashes=_named(seen.worker_crashes),
        internal_errors=tuple(dict.fromkeys(map(_last_line, seen.internal_errors))),
        evidence_faults=(*faults, *find_evidence_faults(run.folder, nodes)),
    )
    return judge_run(
        catalogue=preparation.catalogue,
        families=preparation.families,
        nodes=nodes,
        facts=facts,
        waivers=preparation.waivers,
        today=preparation.today,
    )


def veto(session: pytest.Session, verdict: Verdict) -> bool:
    """Fail a run that was to sign off and did not; leave a drill, and any failure of pytest's own, alone."""
    if DocumentKind.of(verdict) is DocumentKind.REFUSAL and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return True
    return False


def conclude(session: pytest.Session, seen: Seen, exit_status: int) -> None:
    """Write the final word, say it, and see that the exit code agrees with it."""
    config = session.config
    run = config.stash[RUN]
    sign_off = judge(config, seen, exit_status)
    veto(session, sign_off.verdict)
    files = used_files(config, run.settings, seen.selection.selected)
    document = build_document(sign_off, project=pin_of(config.rootpath, files))
    try:
        if document.kind is not DocumentKind.DRILL:
            move_previous_aside(run)
        written = write_run(run.folder, document)
        publish_artifacts(run.folder, document, run.settings)
    except (OSError, ManifestError, pytest.UsageError) as error:
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        say_unwritten(config, run, error, document)
        return
    say(config, document, written)


def publish_artifacts(run_folder: Path, document: SignOffDocument, settings: Settings) -> None:
    """Copy each node's `artifacts/**` to the artifact folder, file by file through a temporary name.

    The copy is made once, by one process, in the order of the catalogue. Of two nodes that leave the same
    path the first one's is taken, with everything else in its folder, so that no folder mixes two stories.
    Nothing is copied to where verdicts are: those no test writes.
    Raises `OSError`.
    """
    owners: dict[PurePosixPath, str] = {}
    for rehearsal in document.rehearsals:
        for node in rehearsal.nodes:
            for entry in node.evidence:
                path = PurePosixPath(entry.path)
                if ARTIFACTS not in path.parts:
                    continue
                inside = PurePosixPath(*path.parts[path.parts.index(ARTIFACTS) + 1 :])
                # A file at the top stands for itself; one in a folder belongs to the story of that folder.
                story = inside if len(inside.parts) == 1 else inside.parent
                if owners.setdefault(story, node.nodeid) != node.nodeid:
                    continue
                target = settings.artifact_dir / inside
                if target.is_relative_to(settings.signoff_dir):
                    continue
                write_whole(target, (run_folder / path).read_bytes())


def _named(errors: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}: {_last_line(text)}" for name, text in errors.items())


def _last_line(text: str, limit: int = 200) -> str:
    """Return the last line that says something, which is where Python puts the error."""
    lines: Iterable[str] = (line.strip() for line in text.splitlines())
    return ([line for line in lines if line] or ["no message"])[-1][:limit]
