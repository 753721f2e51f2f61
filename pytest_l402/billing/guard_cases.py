"""Decides what the guard is asked in a drill: 36 cases with what follows, and its lattice of eight rows."""

from typing import Any

BIG, HUGE = 2**53 + 1, 2**64 + 1


def _pairs(invariant: str, more: str, less: str) -> list[tuple[str, dict[str, Any], str]]:
    pairs = ((0, 0, "pass"), (5, 4, "pass"), (4, 5, "fail"), (BIG, BIG - 1, "pass"), (HUGE - 1, HUGE, "fail"))
    cases = [(invariant, {more: first, less: second}, wanted) for first, second, wanted in pairs]
    return [*cases, (invariant, {more: 5, less: 4.0}, "fail")]


CASES: list[tuple[str, dict[str, Any], str]] = [
    *_pairs("budget_conservation", "limit", "spent"),
    *_pairs("reserve_within_allocation", "allocation", "reserve"),
    *_pairs("x402_payment_conservation", "payment", "cost"),
    ("cost_non_negative", {"cost": 0}, "pass"),
    ("cost_non_negative", {"cost": HUGE}, "pass"),
    ("cost_non_negative", {"cost": -1}, "fail"),
    ("cost_non_negative", {}, "fail"),
    ("entitlement_valid", {"state": "ACTIVE"}, "pass"),
    ("entitlement_valid", {"state": "PAST_DUE"}, "pass"),
    ("entitlement_valid", {"state": "GRACE_EXPIRED"}, "fail"),
    ("entitlement_valid", {"state": "CANCELLED"}, "fail"),
    ("entitlement_valid", {"state": "unheard-of"}, "fail"),
    ("rate_consistency", {"commit_rate": BIG, "reserve_rate": BIG}, "pass"),
    ("rate_consistency", {"commit_rate": BIG, "reserve_rate": BIG - 1}, "fail"),
    ("rate_consistency", {"commit_rate": 1}, "fail"),
    ("amount_format", {"amount": "0"}, "pass"),
    ("amount_format", {"amount": "-12"}, "pass"),
    ("amount_format", {"amount": "012"}, "fail"),
    ("amount_format", {"amount": "-0"}, "fail"),
    ("amount_format", {"amount": "1.5"}, "fail"),
    ("amount_format", {"amount": "9" * 31}, "fail"),
]

LATTICE = [
    ("pass", "pass", "pass"),
    ("pass", "fail", "fail"),
    ("fail", "pass", "fail"),
    ("fail", "fail", "fail"),
    ("error", "pass", "fail"),
    ("error", "fail", "fail"),
    ("bypassed", "pass", "pass"),
    ("bypassed", "fail", "fail"),
]
