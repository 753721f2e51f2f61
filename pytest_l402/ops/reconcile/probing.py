"""Decides whether a gateway does what its configuration says: the same probes after deploy and undo."""

from __future__ import annotations

from typing import Any

from pytest_l402.ops.reconcile.ports import ProbeAnswer, Probes, ProbeTarget, reason_of
from pytest_l402.ops.reconcile.steps import Stage

_PAYMENT_REQUIRED = 402


class StageFailed(Exception):  # noqa: N818 - an outcome of the run, not an error of it
    """A stage did not pass; `reason` is one line without secrets."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(f"{stage.value}: {reason}")
        self.stage = stage
        self.reason = reason


def probe_stage(
    probes: Probes,
    stage: Stage,
    targets: tuple[ProbeTarget, ...],
    request_id: str,
    *,
    formerly: tuple[ProbeTarget, ...] = (),
) -> dict[str, Any] | None:
    """Take one of the three probes, and return what its event says; None when nothing was to be asked.

    The challenge of every target is asked for, as that moves no money; the first target is paid. Where a
    configuration sells nothing, what was sold `formerly` must be neither sold nor delivered any more.

    Raises:
        StageFailed: the gateway does something else.
    """
    try:
        if stage is Stage.HEALTH:
            outcome = probes.health(request_id=request_id)
            return _passed(stage, outcome)
        if not targets:
            if stage is Stage.CHALLENGE:
                _none_is_sold(probes, formerly, request_id)
            return None
        if stage is Stage.PROXY:
            return _passed(stage, probes.proxy(targets[0], request_id=request_id))
        details = [
            _passed(stage, probes.challenge(target, request_id=request_id), target.rule_id)
            for target in targets
        ]
        return details[0] | {"routesChecked": len(targets)}
    except StageFailed:
        raise
    except Exception as error:
        raise StageFailed(stage, reason_of(error)) from error


def _passed(stage: Stage, outcome: ProbeAnswer, rule_id: str | None = None) -> dict[str, Any]:
    if outcome.reason is not None:
        where = "" if rule_id is None else f" at {rule_id}"
        raise StageFailed(stage, outcome.reason + where)
    details = {"statusCode": outcome.status_code, "amountMsats": outcome.amount_msats}
    return {key: value for key, value in details.items() if value is not None}


def _none_is_sold(probes: Probes, formerly: tuple[ProbeTarget, ...], request_id: str) -> None:
    for target in formerly:
        status = probes.challenge(target, request_id=request_id).status_code
        if status is not None and (status == _PAYMENT_REQUIRED or 200 <= status < 300):
            raise StageFailed(Stage.CHALLENGE, f"still_sold_status_{status} at {target.rule_id}")
