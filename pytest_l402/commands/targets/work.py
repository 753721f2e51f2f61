"""What a target gives a command to carry out or to judge; the command never asks which target it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_l402.commands.artifacts import Rows

if TYPE_CHECKING:
    from pytest_l402.contract import FlowEvent, FullFlowSummary
    from pytest_l402.ops.reconcile.ledger import DeploymentHistory
    from pytest_l402.ops.reconcile.summary import ReconcileSummary


class Rollout(NamedTuple):
    """A deploy, or a look at one, that `work` carries out; `history` knows how it ended if it is cut off.

    `tables` gives the rows that it left, `more` are further keys of the document.
    """

    request_id: str
    work: Callable[[], ReconcileSummary]
    tables: Callable[[], Mapping[str, Rows]]
    history: DeploymentHistory | None
    more: Mapping[str, Any]


class Observed(NamedTuple):
    """What the planes recorded, what did not go as it should (code, reason), and what no look can show."""

    records: list[dict[str, Any]]
    failures: list[tuple[str, str]]
    not_observed: tuple[str, ...] = ()


class Settled(NamedTuple):
    """What is told of settlements, what does not hold (code, reason), and the rows behind it."""

    document: dict[str, Any]
    failures: tuple[tuple[str, str], ...]
    tables: Mapping[str, Rows]


class FlowRun(NamedTuple):
    """A full flow that `work` carries out, given the folder that it leaves its files in."""

    request_id: str
    work: Callable[[Path], tuple[FullFlowSummary, Sequence[FlowEvent]]]
