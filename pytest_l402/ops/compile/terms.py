"""Decides what a token costs and how long it is good for, and whether Aperture can sell on such terms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pytest_l402.boundary import quoted
from pytest_l402.ops.compile.diagnostics import Diagnostic, DiagnosticCode, Severity
from pytest_l402.ops.compile.paywall import PaywallDefinition

MSATS_PER_SAT = 1_000
MAX_PRICE_SATS = 100_000_000 * 100_000
"""Aperture's own limit for a price."""
DEFAULT_TOKEN_VALIDITY_S = 3_600
MAX_TOKEN_VALIDITY_S = 10 * 31_557_600
"""Ten years; far below where Aperture's nanoseconds overflow."""
TOKEN_VALIDITY_KEY = "tokenValiditySeconds"  # noqa: S105 - a key, no secret


@dataclass(frozen=True, slots=True)
class Terms:
    """What a token of a paywall costs, and how long it opens a route."""

    price_sats: int
    token_validity_s: int


def terms_of(paywall: PaywallDefinition, token_validity_s: int, report: list[Diagnostic]) -> Terms | None:
    """Return price and validity of a paywall, or None when its routes need not be looked at."""
    policy = paywall.policy
    msats = policy.fixed_amount_msats

    def refuse(code: DiagnosticCode, message: str, **details: object) -> None:
        report.append(Diagnostic.about(paywall, None, code, message, **details))

    if policy.pricing_mode != "fixed":
        refuse(
            DiagnosticCode.INVALID_PRICING_MODE,
            "Only fixed pricing mode is supported in Phase 2A",
            pricingMode=policy.pricing_mode,
        )
        return None
    if not math.isfinite(msats) or msats <= 0:
        refuse(
            DiagnosticCode.MISSING_PRICING,
            "fixedAmountMsats must be greater than zero",
            fixedAmountMsats=msats if math.isfinite(msats) else str(msats),
        )
        return None
    report.extend(_price_findings(paywall))
    validity = paywall.metadata.get(TOKEN_VALIDITY_KEY, token_validity_s)
    # A bool is an int to Python, and no number of seconds.
    if type(validity) is not int or not 0 < validity <= MAX_TOKEN_VALIDITY_S:
        refuse(
            DiagnosticCode.INVALID_TOKEN_VALIDITY,
            f"metadata.{TOKEN_VALIDITY_KEY} must be whole seconds, from 1 to {MAX_TOKEN_VALIDITY_S}",
            **{TOKEN_VALIDITY_KEY: quoted(validity)},
        )
        validity = token_validity_s
    return Terms(int(msats // MSATS_PER_SAT), validity)


def _price_findings(paywall: PaywallDefinition) -> Iterator[Diagnostic]:
    policy = paywall.policy
    msats, cap = policy.fixed_amount_msats, policy.max_per_request_msats
    finding = partial(Diagnostic.about, paywall, None)
    if msats % MSATS_PER_SAT:
        below = int(msats // MSATS_PER_SAT) * MSATS_PER_SAT
        yield finding(
            DiagnosticCode.FRACTIONAL_SATS,
            f"fixedAmountMsats must be whole sats, since Aperture prices in sats: {msats} msats is "
            f"{msats / MSATS_PER_SAT:g} sats; set {below or MSATS_PER_SAT} or {below + MSATS_PER_SAT}",
            fixedAmountMsats=msats,
        )
    if msats > MAX_PRICE_SATS * MSATS_PER_SAT:
        yield finding(
            DiagnosticCode.PRICE_TOO_HIGH,
            f"fixedAmountMsats must be at most {MAX_PRICE_SATS} sats, or Aperture does not start",
            fixedAmountMsats=msats,
        )
    if cap is not None and msats > cap:
        yield finding(
            DiagnosticCode.PRICE_OVER_CAP,
            f"fixedAmountMsats must not be above the paywall's own maxPerRequestMsats: {msats} > {cap}",
            fixedAmountMsats=msats,
            maxPerRequestMsats=cap,
        )
    limits = {"quotaPerMinute": policy.quota_per_minute, "quotaPerDay": policy.quota_per_day}
    quotas = {key: value for key, value in limits.items() if value is not None}
    if quotas:
        yield finding(
            DiagnosticCode.QUOTA_NOT_ENFORCED,
            "quotas are not in the file, as Aperture limits single tokens: they stay with the control plane",
            Severity.WARN,
            **quotas,
        )
