"""What the rows are that a reconcile leaves: in its history, and as the summary of a reconcile or a look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_l402.evidence.fields import Form, annotations_of
from pytest_l402.ops.reconcile.deployments import Deployment, GatewayEvent
from pytest_l402.ops.reconcile.summary import ReconcileSummary

_INSPECTION: Final[Mapping[str, Any]] = {**annotations_of(ReconcileSummary), "ok": bool}

RECONCILE_FORMS: Final[Mapping[str, Form]] = {
    "deployments": Deployment,
    "gateway_events": GatewayEvent,
    "reconcile_summary": ReconcileSummary,
    "inspection": _INSPECTION,
}
"""By table; a system that is reconciled declares them (`System.fields`)."""
