"""Decides whether a run signs off, and writes down why."""

from pytest_l402.signoff.document import read_signoff
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import ReasonCode, Verdict
from pytest_l402.signoff.manifest import ManifestError, check_manifest

__all__ = [
    "ManifestError",
    "ReasonCode",
    "SignOffDocument",
    "Verdict",
    "check_manifest",
    "read_signoff",
]
