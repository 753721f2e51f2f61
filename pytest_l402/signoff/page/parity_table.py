"""Decides how parity is shown: each key with what the hosted and the local side tell, beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pytest_l402.boundary.pages import shown
from pytest_l402.contract.parity import PARITY_KEYS, ParityState, parity
from pytest_l402.evidence.checks.selecting import is_hosted_payment, records_of
from pytest_l402.signoff.document_entries import NodeEntry
from pytest_l402.signoff.page.kept_rows import KeptRows, Row
from pytest_l402.triage.correlation import flows_of

_CHECK: Final = "local_parity"
_VALUES: Final = 4


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One key of the contract on both sides; those of `required` must agree."""

    key: str
    state: str
    agrees: bool
    hosted: tuple[str, ...]
    local: tuple[str, ...]
    reason: str


def parity_of(node: NodeEntry, kept: KeptRows) -> tuple[ParityRow, ...]:
    """Return the parity of a test that asked for it, at the moment at which it did; empty for every other."""
    check = next((each for each in node.checks if each.recipe and each.recipe.factory == _CHECK), None)
    if check is None or check.moment is None:
        return ()
    hosted = [row for row in kept.at(node, check.moment, "records").rows if is_hosted_payment(row)]
    artifacts = kept.at(node, check.moment, "local_artifact").rows
    flows = [flow for artifact in artifacts for flow in flows_of(artifact)]
    local = [record for flow in flows for record in records_of(flow)]
    return tuple(
        ParityRow(
            key=each.key,
            state=each.state.value,
            agrees=each.state is ParityState.AGREES,
            hosted=_values(hosted, each.key),
            local=_values(local, each.key),
            reason=shown(each.reason),
        )
        for each in parity(hosted, flows, PARITY_KEYS).keys
    )


def _values(rows: Iterable[Row], key: str) -> tuple[str, ...]:
    found = dict.fromkeys(shown(row[key], 100) for row in rows if row.get(key) is not None)
    values = list(found)
    more = (f"and {len(values) - _VALUES} more",) if len(values) > _VALUES else ()
    return (*values[:_VALUES], *more)
