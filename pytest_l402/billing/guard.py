"""Decides whether an amount may move: seven invariants, each by an evaluator and by a check of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pytest_l402.billing.expressions import NoExpression, compiled

__all__ = ["CONSTRAINTS", "Guard", "GuardState", "Outcome", "Verdict", "effective"]

Values = Mapping[str, Any]


class GuardState(StrEnum):
    """Whether the guard can judge."""

    READY = "ready"
    DEGRADED = "degraded"
    BYPASSED = "bypassed"


class Outcome(StrEnum):
    """What one side says of an invariant."""

    PASS = "pass"  # noqa: S105 - a word
    FAIL = "fail"
    ERROR = "error"
    BYPASSED = "bypassed"


@dataclass(frozen=True)
class Verdict:
    """What both sides say, and what follows."""

    invariant: str
    evaluator: Outcome
    adhoc: Outcome

    @property
    def effective(self) -> Outcome:
        """Pass or fail."""
        return effective(self.evaluator, self.adhoc)


def effective(evaluator: Outcome, adhoc: Outcome) -> Outcome:
    """Pass only if both pass; a bypassed evaluator leaves it to the other; whatever else is fail."""
    passes = adhoc is Outcome.PASS and evaluator in (Outcome.PASS, Outcome.BYPASSED)
    return Outcome.PASS if passes else Outcome.FAIL


CONSTRAINTS: Final[Mapping[str, str]] = {
    "budget_conservation": "limit >= spent",
    "cost_non_negative": "cost >= 0",
    "reserve_within_allocation": "allocation >= reserve",
    "x402_payment_conservation": "payment >= cost",
}
"""What the evaluator compiles; the three other invariants have a check of their own alone."""

_ENTITLED: Final = ("ACTIVE", "PAST_DUE")
_AMOUNT: Final = re.compile(r"0|-?[1-9][0-9]{0,29}")


def _whole(values: Values, *names: str) -> tuple[int, ...]:
    found = tuple(values[name] for name in names)
    if any(type(value) is not int for value in found):
        raise TypeError("no whole number")
    return found


def _at_least(more: str, less: str) -> Callable[[Values], bool]:
    def holds(values: Values) -> bool:
        first, second = _whole(values, more, less)
        return first >= second

    return holds


_ADHOC: Final[Mapping[str, Callable[[Values], bool]]] = {
    "budget_conservation": _at_least("limit", "spent"),
    "cost_non_negative": lambda values: _whole(values, "cost")[0] >= 0,
    "reserve_within_allocation": _at_least("allocation", "reserve"),
    "x402_payment_conservation": _at_least("payment", "cost"),
    "entitlement_valid": lambda values: values["state"] in _ENTITLED,
    "rate_consistency": lambda values: len(set(_whole(values, "commit_rate", "reserve_rate"))) == 1,
    "amount_format": lambda values: _AMOUNT.fullmatch(values["amount"]) is not None,
}
INVARIANTS: Final = tuple(_ADHOC)


class Guard:
    """The conservation guard; its expressions come from a file, which is read again until it compiles.

    With `bypass` the evaluator is left out and what is left still judges.
    """

    def __init__(self, constraints: Path, *, bypass: bool) -> None:
        self._file = constraints
        self._compiled: dict[str, Callable[[Values], bool]] = {}
        self.state = GuardState.BYPASSED if bypass else GuardState.DEGRADED
        self.problem = ""

    def compile(self) -> bool:
        """Read and compile the constraints; return whether the guard can judge now."""
        if self.state is GuardState.BYPASSED:
            return True
        try:
            texts = json.loads(self._file.read_text(encoding="utf-8"))
            found = {name: compiled(texts[name]) for name in CONSTRAINTS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.problem = (
                str(error) if isinstance(error, NoExpression) else f"{type(error).__name__}: {error}"
            )
            self.state = GuardState.DEGRADED
        else:
            self._compiled, self.state, self.problem = found, GuardState.READY, ""
        return self.state is GuardState.READY

    def judge(self, invariant: str, values: Values) -> Verdict:
        """What both sides say of an invariant; raises `KeyError` for one that there is not."""
        return Verdict(invariant, self._evaluated(invariant, values), _asked(_ADHOC[invariant], values))

    def _evaluated(self, invariant: str, values: Values) -> Outcome:
        if self.state is GuardState.DEGRADED:
            return Outcome.ERROR
        if self.state is GuardState.BYPASSED or invariant not in CONSTRAINTS:
            return Outcome.BYPASSED
        return _asked(self._compiled[invariant], values)


def _asked(holds: Callable[[Values], bool], values: Values) -> Outcome:
    try:
        return Outcome.PASS if holds(values) else Outcome.FAIL
    except (KeyError, TypeError):
        # Whoever cannot judge does not let money through, and does not switch itself off.
        return Outcome.ERROR
