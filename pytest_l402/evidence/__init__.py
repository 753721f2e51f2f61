"""Evidence and what is concluded from it: tables of rows, checks with teeth, correlation and triage."""

from pytest_l402.evidence.check import Check, CheckResult, Finding, MutantResult, Violation, run_check
from pytest_l402.evidence.mutants import Mutant
from pytest_l402.evidence.runbook import RunbookLine
from pytest_l402.evidence.tables import (
    TABLES,
    Evidence,
    EvidenceError,
    EvidenceFile,
    Row,
    read_evidence,
    write_evidence,
)

__all__ = [
    "TABLES",
    "Check",
    "CheckResult",
    "Evidence",
    "EvidenceError",
    "EvidenceFile",
    "Finding",
    "Mutant",
    "MutantResult",
    "Row",
    "RunbookLine",
    "Violation",
    "read_evidence",
    "run_check",
    "write_evidence",
]
