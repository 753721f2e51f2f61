"""A wrong argument of a check is told when the check is made: its name, what was given, what it takes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pytest_l402 import evidence
from pytest_l402.evidence import Check

PURCHASE = SimpleNamespace(request_id="r-1", payment_hash="a" * 64)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: evidence.recovered(7), "purchase: expected a purchase, or a request id, saw 7"),
        (
            lambda: evidence.paid_exactly_once(5),
            "purchase: expected a purchase, a payment hash, or None, saw 5",
        ),
        (lambda: evidence.paid_nothing(PURCHASE, None), "purchases[1]: expected a purchase, or a request id"),
        (lambda: evidence.same_value(None, PURCHASE), "field: expected a text, saw null"),
        (
            lambda: evidence.same_in_every_row("runs", "n", at_least="2"),
            'at_least: expected a whole number, saw "2"',
        ),
        (lambda: evidence.gateway_challenged("r-1", True), "price_msats: expected a whole number, saw true"),
        (
            lambda: evidence.deployment_persisted("r-1", "applied", rolled_back=1),
            "rolled_back: expected True or",
        ),
        (
            lambda: evidence.events_persisted("r-1", PURCHASE),
            "event_types[0]: expected a text, saw an object of",
        ),
        (lambda: evidence.proof_absent(PURCHASE, plane=_f), "plane: expected a text, saw the function _f"),
        (lambda: evidence.gateway_delivered(PURCHASE), "request_id: expected a text, saw an object of"),
        (
            lambda: evidence.found_in_logs(object()),
            "purchase: expected a purchase, or a request id, saw an object",
        ),
    ],
)
def test_it_names_the_argument(made: Callable[[], Check], told: str) -> None:
    with pytest.raises(TypeError) as refused:
        made()
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def _f() -> None: ...


def test_what_a_check_takes_is_taken() -> None:
    assert evidence.paid_exactly_once(None).name == "paid_exactly_once(nothing)"
    assert evidence.idempotent_replay(None).name == "idempotent_replay(nothing)"
    assert evidence.paid_exactly_once(SimpleNamespace(payment_hash="a" * 64))
    assert evidence.proof_absent("r-1", plane="ui")
    assert evidence.denied_before_payment(PURCHASE, None)
