"""Decides whether a run folder holds: nothing in it contradicts the rest, judging again gives the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pytest_l402.boundary.input_error import InputError
from pytest_l402.signoff.attested import (
    approvals_finding,
    chain_finding,
    signature_finding,
    window_finding,
)
from pytest_l402.signoff.catalogue import Catalogue, CatalogueError, Line, Rehearsal, Runbook
from pytest_l402.signoff.document import read_signoff
from pytest_l402.signoff.document_entries import RehearsalEntry
from pytest_l402.signoff.document_model import DocumentKind, SignOffDocument
from pytest_l402.signoff.finding import Answer, Aspect, Finding, overall
from pytest_l402.signoff.folder import contradictions
from pytest_l402.signoff.judged import ReasonCode, SignOff, Verdict
from pytest_l402.signoff.manifest import MANIFEST, contents, shown_path
from pytest_l402.signoff.rejudging import Rejudged, rejudge
from pytest_l402.signoff.results import NodeResult, RunFacts
from pytest_l402.signoff.signing import VerifyingKey
from pytest_l402.signoff.verdict import judge_run
from pytest_l402.signoff.waivers import Waiver

_OF_WHAT_IS_KEPT: Final = frozenset(
    {
        ReasonCode.CHECK_VIOLATED,
        ReasonCode.CHECK_UNTRUSTED,
        ReasonCode.NO_EVIDENCE,
        ReasonCode.MUTANT_SURVIVED,
        ReasonCode.NO_MUTANTS,
        ReasonCode.TEETH_OFF,
        ReasonCode.LINE_UNPROVEN,
        ReasonCode.PHASE_FAILED,
        ReasonCode.NO_CHECKS,
    }
)
"""The reasons that follow from what a folder keeps; the others were seen in the run alone."""

_SUMS: Final = frozenset({ReasonCode.REHEARSAL_FAILED, ReasonCode.REHEARSAL_MISSING})
"""The reasons of a run that only say how its rehearsals ended."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What the reader of a run folder brings along: whose signatures to believe, and what time it is.

    `now_ms` is epoch ms. Without a key, or a roster, nobody is believed.
    """

    now_ms: int
    key: VerifyingKey | None = None
    roster: Path | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a run folder; `document` is None where none could be read.

    `contradictions` are between the parts of the folder, `differences` between the document and judging
    again, `unknown` is what cannot be judged again: each one sentence. `attested` has what came of
    signatures, window and chain. `checks` and `mutants` count what was judged again; None: nothing was to be.
    """

    document: SignOffDocument | None
    contradictions: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    attested: tuple[Finding, ...] = ()
    checks: int | None = 0
    mutants: int | None = 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What came of each aspect, in the order in which they are told."""
        if self.document is None:
            answer = Answer.CONTRADICTED if self.contradictions else Answer.INCONCLUSIVE
            return (Finding(Aspect.FILES, answer, self.contradictions or self.unknown),)
        files = Answer.CONTRADICTED if self.contradictions else Answer.HOLDS
        return (
            Finding(Aspect.FILES, files, self.contradictions),
            *([] if self.checks is None else [self._judged]),
            *self.attested,
        )

    @property
    def answer(self) -> Answer:
        """What speaks against the folder goes before what cannot be told of it."""
        return overall(finding.answer for finding in self.findings)

    @property
    def _judged(self) -> Finding:
        if self.differences:
            return Finding(Aspect.VERDICT, Answer.CONTRADICTED, self.differences)
        return Finding(Aspect.VERDICT, Answer.INCONCLUSIVE if self.unknown else Answer.HOLDS, self.unknown)


def verify_folder(folder: Path, importable: Collection[str] = (), trust: Trust | None = None) -> Verification:
    """Compare all that a run folder holds, judge its evidence again, and reach its verdict again; with
    `trust` look at its signatures, its time and the runs before it as well.

    Of `importable` modules, and of no other, the factories of checks may be imported. Nothing is raised for
    what the folder holds.
    """
    found = look_at_folder(folder, trust)
    document = found.document
    if document is None:
        return found
    present = frozenset(contents(folder).files)
    judged = [
        rejudge(
            folder,
            node,
            rehearsal=entry.id,
            teeth=document.run.teeth == "on",
            present=present,
            importable=importable,
        )
        for entry in document.rehearsals
        for node in entry.nodes
    ]
    differences = [text for each in judged for text in each.differences]
    unknown = [text for each in judged for text in each.unknown]
    if not unknown and not differences:
        differences += _reached_otherwise(document, judged)
    return replace(
        found,
        differences=tuple(differences),
        unknown=tuple(unknown),
        checks=sum(len(each.result.checks) + len(each.result.standing) for each in judged),
        mutants=sum(each.mutants for each in judged),
    )


def look_at_folder(folder: Path, trust: Trust | None = None, *, rendering: bool = True) -> Verification:
    """Do what `verify_folder` does, without judging any evidence again; without `rendering` any page, too."""
    named = [*(f"{kind}.json" for kind in DocumentKind), MANIFEST]
    if not any((folder / name).is_file() for name in named):
        return Verification(None, unknown=(f"{shown_path(str(folder))}: expected a run folder, saw none",))
    faults = contradictions(folder, rendering=rendering)
    try:
        document = read_signoff(folder)
    except InputError as error:
        return Verification(None, faults or (str(error),))
    attested = [] if trust is None else _attested(folder, document, trust)
    return Verification(document, faults, attested=tuple(attested), checks=None, mutants=None)


def _attested(folder: Path, document: SignOffDocument, trust: Trust) -> list[Finding]:
    return [
        signature_finding(folder, document, trust.key),
        approvals_finding(folder, trust.roster, trust.now_ms),
        window_finding(document, trust.now_ms),
        chain_finding(folder, document),
    ]


def _reached_otherwise(document: SignOffDocument, judged: Sequence[Rejudged]) -> Iterator[str]:
    """Compare the verdict, and the state of each rehearsal, with those that the kept evidence leads to."""
    try:
        again = _judge_again(document, [each.result for each in judged])
    except (CatalogueError, ValidationError, ValueError, OverflowError, OSError) as error:
        yield f"no verdict can be reached from the document: {str(error).splitlines()[0]}"
        return
    for entry in document.rehearsals:
        yield from _rehearsal_otherwise(entry, again)
    if document.verdict is again.verdict:
        return
    if document.verdict is Verdict.SIGNED_OFF:
        yield f"the document says SIGNED_OFF, reached again it is {again.verdict}: {again.reasons[0].text}"
    elif again.verdict is Verdict.SIGNED_OFF and not _seen_in_the_run_alone(document):
        yield f"the document says {document.verdict}, and nothing that it keeps speaks against a sign-off"


def _seen_in_the_run_alone(document: SignOffDocument) -> bool:
    """Whether something speaks against the run that leaves nothing behind, such as a worker that died."""
    of_rehearsals = {reason.code for entry in document.rehearsals for reason in entry.reasons}
    of_the_run = {reason.code for reason in document.reasons} - _SUMS
    return bool(of_the_run or of_rehearsals - _OF_WHAT_IS_KEPT)


def _rehearsal_otherwise(entry: RehearsalEntry, again: SignOff) -> Iterator[str]:
    outcome = next(outcome for outcome in again.outcomes if outcome.rehearsal.id == entry.id)
    said = {(r.code, r.check, r.line) for r in entry.reasons if r.code in _OF_WHAT_IS_KEPT}
    found = {(r.code, r.check, r.line) for r in outcome.reasons if r.code in _OF_WHAT_IS_KEPT}
    for words, lacking in (("leaves out", found - said), ("adds", said - found)):
        for code, check, line in sorted(lacking, key=str):
            about = " of ".join(part for part in (code, check, line) if part)
            yield f"{entry.id}: the document {words} a reason against it: {about}"
    if {reason.code for reason in entry.reasons} <= _OF_WHAT_IS_KEPT and outcome.state is not entry.state:
        yield f"{entry.id}: the document says {entry.state}, judging again says {outcome.state}"
    for told, proof in zip(entry.lines, outcome.lines, strict=True):
        if told.proven_by != proof.proven_by:
            saying, finding = (
                " and ".join(names) or "nothing" for names in (told.proven_by, proof.proven_by)
            )
            yield f"{entry.id}: the document says {told.id} is proven by {saying}, judging again by {finding}"


def _judge_again(document: SignOffDocument, nodes: Sequence[NodeResult]) -> SignOff:
    run = document.run
    facts = RunFacts(
        run_id=run.id,
        seed=run.seed,
        mode=run.mode,
        started_at_ms=run.started_at_ms,
        finished_at_ms=run.finished_at_ms,
        exit_status=run.exit_status,
        teeth=run.teeth == "on",
        narrowed_by=run.narrowed_by,
        collected={node.nodeid: entry.id for entry in document.rehearsals for node in entry.nodes},
    )
    return judge_run(
        catalogue=_catalogue(document),
        families=document.catalogue.families,
        nodes=nodes,
        facts=facts,
        waivers=[
            Waiver(w.target, w.name, w.owner, w.reason, date.fromisoformat(w.until), w.source)
            for w in document.waivers
        ],
        today=datetime.fromtimestamp(run.finished_at_ms / 1000, UTC).date(),
    )


def _catalogue(document: SignOffDocument) -> Catalogue:
    """The catalogue as far as the document tells of it."""
    lines: dict[str, dict[str, Line]] = {runbook: {} for runbook in document.catalogue.runbooks}
    for entry in document.rehearsals:
        for line in entry.lines:
            told = Line(id=line.id, section=line.section, text=line.text, source=line.source)
            lines.setdefault(entry.runbook, {}).setdefault(line.id, told)
    return Catalogue(
        source=document.catalogue.source,
        sha256=document.catalogue.sha256,
        version=1,
        runbooks=tuple(
            Runbook.model_construct(
                id=name, title=document.catalogue.runbooks.get(name, name), lines=tuple(own.values())
            )
            for name, own in lines.items()
        ),
        rehearsals=tuple(
            Rehearsal.model_construct(
                id=entry.id,
                runbook=entry.runbook,
                family=entry.family,
                section=entry.section,
                title=entry.title,
                kind=entry.kind,
                proves=tuple(line.id for line in entry.lines),
                required=entry.need == "required",
            )
            for entry in document.rehearsals
        ),
    )
