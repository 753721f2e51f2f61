"""The operations of a hosted gateway: what is compiled, deployed and checked before anyone pays."""

from .aperture_config import render_aperture_yaml, service_of
from .compile import Compilation, compile_paywalls
from .credential_roles import CredentialRoleError, CredentialRoles, RoleState, RoleStatus
from .credential_validation import (
    CredentialRole,
    CredentialValidationError,
    RoleCredentials,
    credentials_from_environment,
    validate_credentials,
)
from .decode_paywalls import PaywallDecodeError, decode_paywalls
from .diagnostics import Diagnostic, DiagnosticCode, Severity
from .paywall import Paywall, PaywallStatus, Policy, Route
from .rules import ClosedRoute, Rule
from .security_drill import SecurityDrillRefused, SecurityDrillResidue, run_security_drill
from .security_summary import SecurityDrill
from .settlement_ingest import IngestRefused, SettlementIngest, ingest_settlements
from .settlement_smoke import smoke_events
from .snapshot import snapshot_hash

__all__ = [
    "ClosedRoute",
    "Compilation",
    "CredentialRole",
    "CredentialRoleError",
    "CredentialRoles",
    "CredentialValidationError",
    "Diagnostic",
    "DiagnosticCode",
    "IngestRefused",
    "Paywall",
    "PaywallDecodeError",
    "PaywallStatus",
    "Policy",
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
    "compile_paywalls",
    "credentials_from_environment",
    "decode_paywalls",
    "ingest_settlements",
    "render_aperture_yaml",
    "run_security_drill",
    "service_of",
    "smoke_events",
    "snapshot_hash",
    "validate_credentials",
]
