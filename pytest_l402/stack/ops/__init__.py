"""The operations of a hosted gateway: what is compiled, deployed and checked before anyone pays."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .aperture_config import render_aperture_yaml, service_of
from .compile import Compilation, compile_paywalls
from .decode_paywalls import PaywallDecodeError, decode_paywalls
from .deployment_ledger import DeploymentHistory, LedgerError
from .deployments import Deployment, GatewayEvent
from .diagnostics import Diagnostic, DiagnosticCode, Severity
from .gateway_deployer import GatewayDeployer
from .paywall import Paywall, PaywallStatus, Policy, Route
from .probe_targets import probe_targets
from .reconcile import Reconciler, ReconcileRefused
from .reconcile_lock import ReconcileBusy, ReconcileLock
from .reconcile_ports import (
    ActiveDeployment,
    DeploymentLedger,
    GatewayOps,
    GatewayOpsError,
    PaywallSource,
    ProbeOutcome,
    Probes,
    ProbeTarget,
)
from .reconcile_steps import Failpoint, FailureCode, Stage
from .reconcile_summary import Failure, ReconcileSummary
from .rules import ClosedRoute, Rule
from .snapshot import snapshot_hash

if TYPE_CHECKING:
    from .credential_roles import CredentialRoleError, CredentialRoles, RoleState, RoleStatus
    from .credential_validation import (
        CredentialRole,
        CredentialValidationError,
        RoleCredentials,
        credentials_from_environment,
        validate_credentials,
    )
    from .security_drill import SecurityDrillRefused, SecurityDrillResidue, run_security_drill
    from .security_summary import SecurityDrill
    from .settlement_ingest import IngestRefused, SettlementIngest, ingest_settlements
    from .settlement_smoke import smoke_events

# Who only deploys needs neither the security controls nor the books of settlements.
_ON_DEMAND = {
    "CredentialRole": ".credential_validation",
    "CredentialRoleError": ".credential_roles",
    "CredentialRoles": ".credential_roles",
    "CredentialValidationError": ".credential_validation",
    "IngestRefused": ".settlement_ingest",
    "RoleCredentials": ".credential_validation",
    "RoleState": ".credential_roles",
    "RoleStatus": ".credential_roles",
    "SecurityDrill": ".security_summary",
    "SecurityDrillRefused": ".security_drill",
    "SecurityDrillResidue": ".security_drill",
    "SettlementIngest": ".settlement_ingest",
    "credentials_from_environment": ".credential_validation",
    "ingest_settlements": ".settlement_ingest",
    "run_security_drill": ".security_drill",
    "smoke_events": ".settlement_smoke",
    "validate_credentials": ".credential_validation",
}

__all__ = [
    "ActiveDeployment",
    "ClosedRoute",
    "Compilation",
    "CredentialRole",
    "CredentialRoleError",
    "CredentialRoles",
    "CredentialValidationError",
    "Deployment",
    "DeploymentHistory",
    "DeploymentLedger",
    "Diagnostic",
    "DiagnosticCode",
    "Failpoint",
    "Failure",
    "FailureCode",
    "GatewayDeployer",
    "GatewayEvent",
    "GatewayOps",
    "GatewayOpsError",
    "IngestRefused",
    "LedgerError",
    "Paywall",
    "PaywallDecodeError",
    "PaywallSource",
    "PaywallStatus",
    "Policy",
    "ProbeOutcome",
    "ProbeTarget",
    "Probes",
    "ReconcileBusy",
    "ReconcileLock",
    "ReconcileRefused",
    "ReconcileSummary",
    "Reconciler",
    "RoleCredentials",
    "RoleState",
    "RoleStatus",
    "Route",
    "Rule",
    "SecurityDrill",
    "SecurityDrillRefused",
    "SecurityDrillResidue",
    "SettlementIngest",
    "Severity",
    "Stage",
    "compile_paywalls",
    "credentials_from_environment",
    "decode_paywalls",
    "ingest_settlements",
    "probe_targets",
    "render_aperture_yaml",
    "run_security_drill",
    "service_of",
    "smoke_events",
    "snapshot_hash",
    "validate_credentials",
]


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
