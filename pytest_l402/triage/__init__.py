"""What records alone say: correlation, rules, incident files."""

from pytest_l402.triage.correlation import InvalidRecord, correlation_sql
from pytest_l402.triage.diagnosis import Diagnosis, triage, triage_records, verdict_sql
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.incident_rows import Incident
from pytest_l402.triage.rules import RULES, Domain
from pytest_l402.triage.shortfalls import Shortfall, shortfalls

__all__ = [
    "RULES",
    "Diagnosis",
    "Domain",
    "Incident",
    "InvalidRecord",
    "Shortfall",
    "correlation_sql",
    "read_incident",
    "shortfalls",
    "triage",
    "triage_records",
    "verdict_sql",
]
