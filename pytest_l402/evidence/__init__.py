"""Evidence and what is concluded from it: tables of rows, checks with teeth, correlation and triage."""

from pytest_l402.evidence.check import Check, CheckResult, Finding, MutantResult, Violation, run_check
from pytest_l402.evidence.correlation import Correlation, InvalidRecord, correlate, correlation_sql
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
from pytest_l402.evidence.triage import Diagnosis, triage, triage_records
from pytest_l402.evidence.triage_rules import RULES, Domain, verdict_sql

__all__ = [
    "RULES",
    "TABLES",
    "Check",
    "CheckResult",
    "Correlation",
    "Diagnosis",
    "Domain",
    "Evidence",
    "EvidenceError",
    "EvidenceFile",
    "Finding",
    "InvalidRecord",
    "Mutant",
    "MutantResult",
    "Row",
    "RunbookLine",
    "Violation",
    "correlate",
    "correlation_sql",
    "read_evidence",
    "run_check",
    "triage",
    "triage_records",
    "verdict_sql",
    "write_evidence",
]
