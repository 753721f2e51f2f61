"""The operations of a hosted gateway: what is compiled, deployed and checked before anyone pays."""

from .aperture_config import render_aperture_yaml, service_of
from .compile import Compilation, compile_paywalls
from .decode_paywalls import PaywallDecodeError, decode_paywalls
from .diagnostics import Diagnostic, DiagnosticCode, Severity
from .paywall import Paywall, PaywallStatus, Policy, Route
from .rules import ClosedRoute, Rule
from .snapshot import snapshot_hash

__all__ = [
    "ClosedRoute",
    "Compilation",
    "Diagnostic",
    "DiagnosticCode",
    "Paywall",
    "PaywallDecodeError",
    "PaywallStatus",
    "Policy",
    "Route",
    "Rule",
    "Severity",
    "compile_paywalls",
    "decode_paywalls",
    "render_aperture_yaml",
    "service_of",
    "snapshot_hash",
]
