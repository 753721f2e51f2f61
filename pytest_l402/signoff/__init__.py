"""Decides whether a run signs off, and writes down why."""

from pytest_l402.boundary.cleaning import clean_text
from pytest_l402.signoff.catalogue import Catalogue, CatalogueError, Rehearsal, Runbook
from pytest_l402.signoff.document import (
    ProjectPin,
    SignOffDocument,
    build_document,
    document_bytes,
    installed_versions,
    read_signoff,
)
from pytest_l402.signoff.document_model import DocumentKind
from pytest_l402.signoff.files import RunFiles, find_evidence_faults, move_aside, write_run
from pytest_l402.signoff.github import annotation_lines, append_step_summary
from pytest_l402.signoff.judged import (
    Reason,
    ReasonCode,
    RehearsalJudgement,
    RehearsalState,
    SignOff,
    Verdict,
)
from pytest_l402.signoff.manifest import ManifestError, check_manifest
from pytest_l402.signoff.markdown import render_markdown
from pytest_l402.signoff.results import NodeResult, NotedShortfall, RecordedFile, ResultError, RunFacts
from pytest_l402.signoff.terminal import TerminalLine, terminal_lines
from pytest_l402.signoff.verdict import judge_run
from pytest_l402.signoff.waivers import (
    Waiver,
    WaiverError,
    WaiverTarget,
    covering_waiver,
    load_waivers,
    missing_local_artifact_waiver,
)

__all__ = [
    "Catalogue",
    "CatalogueError",
    "DocumentKind",
    "ManifestError",
    "NodeResult",
    "NotedShortfall",
    "ProjectPin",
    "Reason",
    "ReasonCode",
    "RecordedFile",
    "Rehearsal",
    "RehearsalJudgement",
    "RehearsalState",
    "ResultError",
    "RunFacts",
    "RunFiles",
    "Runbook",
    "SignOff",
    "SignOffDocument",
    "TerminalLine",
    "Verdict",
    "Waiver",
    "WaiverError",
    "WaiverTarget",
    "annotation_lines",
    "append_step_summary",
    "build_document",
    "check_manifest",
    "clean_text",
    "covering_waiver",
    "document_bytes",
    "find_evidence_faults",
    "installed_versions",
    "judge_run",
    "load_waivers",
    "missing_local_artifact_waiver",
    "move_aside",
    "read_signoff",
    "render_markdown",
    "terminal_lines",
    "write_run",
]
