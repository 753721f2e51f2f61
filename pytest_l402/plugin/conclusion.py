"""Decides how a run ends: judged from all that is known of it, written down, told, its exit code set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.boundary import write_whole
from pytest_l402.evidence import own_digest
from pytest_l402.plugin.origin import pin_of, used_files
from pytest_l402.plugin.outlets import say, say_removed, say_unwritten
from pytest_l402.plugin.preparation import make_way, prepare
from pytest_l402.plugin.run import ARTIFACTS, RUN, Run
from pytest_l402.plugin.runner import who_runs
from pytest_l402.plugin.signals import signals_held
from pytest_l402.signoff import Verdict
from pytest_l402.signoff.chain import find_previous, note_last
from pytest_l402.signoff.comparison import compare
from pytest_l402.signoff.document import Vouched, build_document
from pytest_l402.signoff.document_entries import ComparisonEntry, SignerStanding
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.files import (
    find_evidence_faults,
    inside,
    remove_abandoned,
    remove_drills,
    remove_oldest,
    take_back,
    write_run,
)
from pytest_l402.signoff.judged import SignOff
from pytest_l402.signoff.manifest import ManifestError, read_file
from pytest_l402.signoff.reconciled import UnlikeError
from pytest_l402.signoff.results import RunFacts
from pytest_l402.signoff.verdict import judge_run

if TYPE_CHECKING:
    from pytest_l402.plugin.seen import Seen
    from pytest_l402.plugin.settings import Settings

_ATTEMPTS: Final = 2
"""At a sign-off, and then at a refusal that says why there is none."""


def judge(
    config: pytest.Config,
    seen: Seen,
    exit_status: int,
    troubles: Sequence[str] = (),
    regressions: Sequence[str] = (),
) -> SignOff:
    """Return the verdict on what was seen of the run; `exit_status` is pytest's own: a veto, no proof.

    `troubles` says what went wrong when it was to be written down, `regressions` what is less than before.
    """
    run = config.stash[RUN]
    preparation = prepare(config)
    selection = seen.selection
    nodes, faults = seen.ledger.results(run.folder, selection.selected, seen.late)
    finished_at_ms = seen.end()
    ran_by, ran_on = who_runs(os.environ)
    facts = RunFacts(
        run_id=run.run_id,
        seed=str(run.settings.seed),
        mode=run.settings.mode,
        started_at_ms=seen.started_at_ms,
        finished_at_ms=finished_at_ms,
        exit_status=exit_status,
        teeth=run.settings.teeth,
        interrupted=seen.interrupted,
        narrowed_by=selection.narrowed_by,
        collected=selection.selected,
        deselected=selection.deselected,
        collect_errors=_named(seen.collect_errors),
        worker_crashes=_named(seen.worker_crashes),
        internal_errors=tuple(dict.fromkeys(map(_last_line, seen.internal_errors))),
        evidence_faults=(*faults, *find_evidence_faults(run.folder, nodes), *troubles),
        distrust=tuple(seen.distrust),
        regressions=tuple(regressions),
        ran_by=ran_by,
        ran_on=ran_on,
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
    """Write the final word, say it, and see that the exit code agrees with it.

    The document comes last of all that can fail. What goes wrong before it is a reason against a sign-off,
    and told in a refusal; where not even that can be written, the terminal and the exit code say so.
    """
    with signals_held() as signalled:
        _conclude(session, seen, exit_status, signalled)


def _conclude(session: pytest.Session, seen: Seen, exit_status: int, signalled: Callable[[], bool]) -> None:
    config = session.config
    run = config.stash[RUN]
    document: SignOffDocument | None = None
    troubles: list[str] = []
    while len(troubles) < _ATTEMPTS:
        seen.interrupted = seen.interrupted or signalled()
        try:
            document = _document(session, seen, exit_status, troubles)
            if not troubles:
                if document.kind is not DocumentKind.DRILL:
                    make_way(config)
                publish_artifacts(run.folder, document, run.settings)
            if signalled() and not seen.interrupted:
                raise KeyboardInterrupt
            key = prepare(config).key
            written = write_run(run.folder, document, None if key is None else key.sign_statements)
            note_last(run.settings.signoff_dir, run.folder)
        except BaseException as error:  # whatever it is, there is no sign-off then
            seen.interrupted = seen.interrupted or isinstance(error, KeyboardInterrupt)
            troubles.append(_trouble(error))
            continue
        # A terminal that is gone, or cannot show a character: file and exit code have said it.
        with contextlib.suppress(OSError, ValueError):
            drill = document.kind is DocumentKind.DRILL
            say_removed(config, _removed(run, drill), run.settings.keep_previous, drill=drill)
            say(config, document, written)
        return
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    with contextlib.suppress(OSError):
        take_back(run.folder)
    with contextlib.suppress(OSError, ValueError):
        say_unwritten(config, run, troubles[-1], document)


def _removed(run: Run, drill: bool) -> int:
    folder, keep = run.settings.signoff_dir, run.settings.keep_previous
    with contextlib.suppress(OSError):
        if drill:
            remove_abandoned(folder, keep=keep, current=run.run_id)
            return len(remove_drills(folder, keep=keep, current=run.run_id))
        return len(remove_oldest(folder, keep=keep))
    return 0


def _document(
    session: pytest.Session, seen: Seen, exit_status: int, troubles: Sequence[str]
) -> SignOffDocument:
    config = session.config
    files = used_files(config, config.stash[RUN].settings, seen.selection.selected)
    project, vouched = pin_of(config.rootpath, files), _vouched(config)

    def told(sign_off: SignOff, vouched: Vouched) -> SignOffDocument:
        veto(session, sign_off.verdict)
        # What the document names is what the shell will see.
        facts = replace(sign_off.facts, exit_status=int(session.exitstatus))
        return build_document(replace(sign_off, facts=facts), project=project, vouched=vouched)

    baseline = prepare(config).baseline
    document = told(judge(config, seen, exit_status, troubles), vouched)
    if baseline is None:
        return document
    found = compare(baseline, document)
    vouched = replace(
        vouched,
        comparison=ComparisonEntry(
            run_id=baseline.run.id,
            verdict=baseline.verdict,
            regressions=found.regressions,
            changes=found.changes,
        ),
    )
    if found.regressions and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return told(judge(config, seen, exit_status, troubles, found.regressions), vouched)


def _vouched(config: pytest.Config) -> Vouched:
    run, key = config.stash[RUN], prepare(config).key
    return Vouched(
        key_id=None if key is None else key.public.key_id,
        signer=SignerStanding(run.settings.signer),
        valid_days=run.settings.valid_days,
        previous=find_previous(run.settings.signoff_dir, current=run.run_id),
        battery_sha256=own_digest().removeprefix("sha256:"),
    )


def _trouble(error: BaseException) -> str:
    text = str(error) if isinstance(error, OSError | ManifestError | UnlikeError | pytest.UsageError) else ""
    return f"the run could not be written down: {text or type(error).__name__}"


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
                copied = inside(entry.path, ARTIFACTS)
                if copied is None:
                    continue
                # A file at the top stands for itself; one in a folder belongs to the story of that folder.
                story = copied if len(copied.parts) == 1 else copied.parent
                if owners.setdefault(story, node.nodeid) != node.nodeid:
                    continue
                target = settings.artifact_dir / copied
                if target.is_relative_to(settings.signoff_dir):
                    continue
                write_whole(target, read_file(run_folder / entry.path))


def _named(errors: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}: {_last_line(text)}" for name, text in errors.items())


def _last_line(text: str, limit: int = 200) -> str:
    """Return the last line that says something, which is where Python puts the error."""
    lines: Iterable[str] = (line.strip() for line in text.splitlines())
    return ([line for line in lines if line] or ["no message"])[-1][:limit]
