"""Decides how the verdict on one request is told: on which record it stands, why, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.boundary import printable, redact_text
from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.triage.rules import RULES, Domain

_BY_NAME: Final = {rule.name: rule for rule in RULES}
_PLACES: Final = {key: place for place, key in enumerate(REQUIRED_KEYS)}
_PLANE: Final = _PLACES["plane"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with one request, by which rule, and where to go on.

    `record_index` is the number of the record that decides, None when no single one does. It counts within
    `triage_records` (the table `records`, then those that only the local artifact has), or all that was read.
    `section` and `next_step` are the runbook's. Of its records, `n_untimed` have a time that cannot be
    milliseconds; the others lie from first to last.
    """

    request_id: str
    domain: Domain
    rule: str
    deciding_field: str
    deciding_value: str | int | None
    record_index: int | None
    section: str
    next_step: str
    reason: str
    first_at_ms: int | None = None
    last_at_ms: int | None = None
    paid_msats: int = 0
    n_untimed: int = 0

    @property
    def healthy(self) -> bool:
        """Nothing failed; an incomplete request is not healthy."""
        return self.domain is Domain.HEALTHY


def concluded(
    story: Mapping[str, Any], rule_name: str, told: Iterable[tuple[Any, ...]], n_unattributable: int
) -> Diagnosis:
    """Return the diagnosis that a rule makes of a request's story.

    `told` are its valid records in the order of their times: number, then the values in the contract's order.
    """
    rule = _BY_NAME[rule_name]
    value = story[rule.value] if rule.value else None
    index = story["first_invalid_line"] if rule.name == "invalid_record" else None
    place = _PLACES.get(rule.field)
    if value is not None and place is not None:
        for number, *cells in told:
            if (not rule.planes or cells[_PLANE] in rule.planes) and cells[place] == value:
                index = number
                if not rule.last:
                    break
    reason = rule.reason
    if "{" in reason:
        reason = reason.format_map(_Shown(story))
    if n_unattributable and rule.domain not in (Domain.HEALTHY, Domain.INCOMPLETE):
        reason += f" (but {n_unattributable} invalid record(s) name no request, and may be what seems absent)"
    return Diagnosis(
        request_id=story["request_id"],
        domain=rule.domain,
        rule=rule.name,
        deciding_field=rule.field,
        deciding_value=value,
        record_index=index,
        section=rule.section,
        next_step=rule.next_step,
        reason=reason,
        first_at_ms=story["first_at_ms"],
        last_at_ms=story["last_at_ms"],
        paid_msats=int(story["paid_msats"] or 0),
        n_untimed=int(story["n_untimed"]),
    )


def not_told_of(request_id: str, n_records: int, n_unattributable: int) -> Diagnosis:
    """Return the diagnosis of a request that no record names: incomplete, never healthy."""
    reason = f"none of {n_records} record(s) names this request"
    if n_unattributable:
        reason += f", and {n_unattributable} invalid record(s) name no request at all"
    return Diagnosis(
        request_id=request_id,
        domain=Domain.INCOMPLETE,
        rule="no_record",
        deciding_field="requestId",
        deciding_value=None,
        record_index=None,
        section="Correlation Workflow 1",
        next_step=(
            "read x-oa-request-id from the response again, search the logs by oa_req=<id>, and "
            "add the records of every plane"
        ),
        reason=reason,
    )


class _Shown(dict[str, Any]):
    """A story whose values are made safe to print when a reason asks for them."""

    def __getitem__(self, key: str) -> str:
        return _shown(super().__getitem__(key))


def _shown(value: Any) -> str:
    return "null" if value is None else printable(redact_text(str(value)))
