"""Decides whether a run signs off, and writes down why."""

from pytest_l402.signoff.catalogue import Catalogue, CatalogueError, Rehearsal
from pytest_l402.signoff.document import SystemUnderRehearsal, build_document, read_signoff
from pytest_l402.signoff.files import RunFiles, find_evidence_faults, move_aside, write_atomically, write_run
from pytest_l402.signoff.github import annotations, append_step_summary
from pytest_l402.signoff.markdown import render_markdown
from pytest_l402.signoff.results import NodeResult, RecordedFile, ResultError, RunFacts
from pytest_l402.signoff.terminal import TerminalLine, terminal_lines
from pytest_l402.signoff.verdict import RehearsalState, SignOff, Verdict, judge_run
from pytest_l402.signoff.waivers import Waiver, WaiverError, missing_local_artifact_waiver

__all__ = [
    "Catalogue",
    "CatalogueError",
    "NodeResult",
    "RecordedFile",
    "Rehearsal",
    "RehearsalState",
    "ResultError",
    "RunFacts",
    "RunFiles",
    "SignOff",
    "SystemUnderRehearsal",
    "TerminalLine",
    "Verdict",
    "Waiver",
    "WaiverError",
    "annotations",
    "append_step_summary",
    "build_document",
    "find_evidence_faults",
    "judge_run",
    "missing_local_artifact_waiver",
    "move_aside",
    "read_signoff",
    "render_markdown",
    "terminal_lines",
    "write_atomically",
    "write_run",
]
