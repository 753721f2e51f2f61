"""Decides what a look at a deployed platform tells of its planes: gate, settlements, users' view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_l402.contract import Plane, Speaker
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.observation import GATE_ENDPOINT, UI_ENDPOINT, Known, observation
from pytest_l402.live.system import LiveSystem

SHOWN_SETTLEMENTS: Final = 20
"""How many of the newest settlements of a paywall are told of."""


def observe_gate(system: LiveSystem, clock: Clock, request_id: str, owner_id: str) -> str | None:
    """Record how the security gate decides for an owner, and return why it denies, None if it does not.

    Raises:
        LiveError: the control plane cannot be asked.
    """
    code = system.security.gate(request_id, owner_id, None).code
    known = Known(request_id=request_id, user_id=owner_id, endpoint=GATE_ENDPOINT, deny_reason=code)
    _emit(system, clock, Plane.CONTROL, Speaker.SYSTEM, known)
    return code


def observe_settlements(system: LiveSystem, clock: Clock, paywall_id: str) -> Sequence[Mapping[str, Any]]:
    """Record what the platform says was paid to a paywall, and what of that its users see; return the rows.

    What users see is the list from which the page of transactions is made. Whether a settlement was a replay
    the platform does not say.

    Raises:
        LiveError: settlements cannot be read.
    """
    settled = system.settlements.of_paywall(paywall_id)[-SHOWN_SETTLEMENTS:]
    shown = {row["settlementId"]: row for row in system.settlements.all()}
    for row in settled:
        endpoint = f"/api/lightning/paywalls/{paywall_id}/settlements"
        _emit(system, clock, Plane.SETTLEMENT, Speaker.GATEWAY, _known(row, endpoint))
        if row["settlementId"] in shown:
            seen = _known(shown[row["settlementId"]], UI_ENDPOINT)
            _emit(system, clock, Plane.UI, Speaker.SYSTEM, seen)
    return settled


def _known(row: Mapping[str, Any], endpoint: str) -> Known:
    return Known(
        request_id=row["requestId"],
        user_id=row["ownerId"],
        paywall_id=row["paywallId"],
        task_id=row["taskId"],
        endpoint=endpoint,
        paid_amount_msats=row["amountMsats"],
        payment_proof_ref=row["paymentProofRef"],
    )


def _emit(system: LiveSystem, clock: Clock, plane: Plane, executor: Speaker, known: Known) -> None:
    system.journal.emit(observation(plane, executor, observed_at_ms=clock.tick(), **known))
