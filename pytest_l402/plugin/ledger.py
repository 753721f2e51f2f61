"""Decides what each rehearsal test amounted to, from its reports and the files that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from pytest_l402.plugin.node import RAISED_PROPERTY, RESULT_PROPERTY
from pytest_l402.plugin.selection import REHEARSAL_PROPERTY

if TYPE_CHECKING:
    from pytest_l402.signoff.results import NodeResult

_PHASES = ("setup", "call", "teardown")


@dataclass
class _Node:
    rehearsal: str | None = None
    phases: dict[str, str] = field(default_factory=dict)
    setups: int = 0
    reruns: int = 0
    failed_subtests: int = 0
    skipped_subtests: int = 0
    skipped: str | None = None
    xfail: str | None = None
    failure: str | None = None
    file: str | None = None
    line: int | None = None
    took_s: float = 0.0
    result: str | None = None
    raised: set[str] = field(default_factory=set)


class Ledger:
    """Every report of every test, kept until it is known which tests are rehearsals."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        # A run is judged twice; its files are looked at each time, and what is in them is read once.
        self._read = lru_cache(maxsize=None)(_read)

    @property
    def rehearsals(self) -> dict[str, str]:
        """The nodes that reported themselves as rehearsals: node id to rehearsal id."""
        return {nodeid: node.rehearsal for nodeid, node in self._nodes.items() if node.rehearsal is not None}

    def add(self, report: pytest.TestReport) -> None:
        """Take in one report of a rehearsal, or of a test whose worker died before it could say more."""
        properties = {name: value for name, value in report.user_properties if isinstance(value, str)}
        node = self._nodes.setdefault(report.nodeid, _Node())
        node.rehearsal = properties.get(REHEARSAL_PROPERTY, node.rehearsal)
        node.result = properties.get(RESULT_PROPERTY, node.result)
        node.raised.update(
            value
            for name, value in report.user_properties
            if name == RAISED_PROPERTY and isinstance(value, str)
        )
        if isinstance(report, pytest.SubtestReport):
            node.failed_subtests += report.failed
            node.skipped_subtests += report.skipped
        else:
            _add_phase(node, report)

    def results(
        self, run_folder: Path, selected: Mapping[str, str], late: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[list[NodeResult], list[str]]:
        """Return a result for each rehearsal node that reported, and what is wrong with their files.

        `late` says by node id what came to light after the reports: it counts as a failed teardown.
        """
        results, faults = [], []
        for nodeid, node in self._nodes.items():
            rehearsal = selected.get(nodeid, node.rehearsal)
            if rehearsal is None:
                continue
            base, fault = self._result(nodeid, node, rehearsal, run_folder)
            if fault:
                faults.append(fault)
            phases, failure = _phases(node, base), base.failure if node.failure is None else node.failure
            if nodeid in late and "failed" not in phases.values():
                phases["teardown"], failure = "failed", late[nodeid]
            results.append(
                replace(
                    base,
                    phases=phases,
                    skipped=node.skipped,
                    xfail=node.xfail,
                    reran=max(node.reruns, node.setups - 1, base.reran),
                    failed_subtests=node.failed_subtests,
                    skipped_subtests=node.skipped_subtests,
                    failure=failure,
                    file=node.file,
                    line=node.line,
                    took_ms=round(node.took_s * 1000),
                )
            )
        return results, faults

    def _result(
        self, nodeid: str, node: _Node, rehearsal: str, run_folder: Path
    ) -> tuple[NodeResult, str | None]:
        from pytest_l402.signoff.manifest import read_file
        from pytest_l402.signoff.results import NodeResult, ResultError

        nothing = NodeResult(nodeid=nodeid, rehearsal=rehearsal)
        if node.result is None:
            return nothing, None
        path, _, digest = node.result.rpartition(" sha256:")
        try:
            content = read_file(run_folder / path)
            if hashlib.sha256(content).hexdigest() != digest:
                return nothing, f"{path}: expected what {nodeid} wrote, saw other bytes"
            result = self._read(content)
        except (OSError, UnicodeDecodeError, ResultError) as error:
            return nothing, f"{path}: expected the result of {nodeid}, saw: {error}"
        if (result.nodeid, result.rehearsal) != (nodeid, rehearsal):
            return nothing, f"{path}: expected the result of {nodeid}, saw that of {result.nodeid}"
        return result, None


def _add_phase(node: _Node, report: pytest.TestReport) -> None:
    file, line, _ = report.location
    node.file, node.line = file, None if line is None else line + 1
    if report.when in _PHASES:
        node.took_s += max(report.duration, 0)
        node.setups += report.when == "setup"
        node.phases[report.when] = report.outcome
    # "rerun" is no outcome of pytest's own; pytest-rerunfailures sets it on the attempt that it repeats.
    node.reruns += str(report.outcome) == "rerun"
    if hasattr(report, "wasxfail"):
        node.xfail = str(report.wasxfail)
    elif report.skipped:
        node.skipped = _skip_reason(report)
    if report.outcome not in ("passed", "skipped") and node.failure is None:
        node.failure = _crash_message(report)


def _phases(node: _Node, own: NodeResult) -> dict[str, str]:
    """Return what was reported. What is reported as passed must not have raised, and a call must have been
    seen to pass as well.
    """
    phases = {
        phase: "failed" if outcome == "passed" and phase in node.raised else outcome
        for phase, outcome in node.phases.items()
    }
    if own.checks and phases.get("call") == "passed" and own.phases.get("call") != "passed":
        phases["call"] = "failed"
    return phases


def _skip_reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return report.longreprtext


def _crash_message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    message = report.longreprtext if crash is None else str(crash.message)
    return message.removeprefix("Failed: ")


def _read(content: bytes) -> NodeResult:
    from pytest_l402.signoff.results import NodeResult

    return NodeResult.from_json(content.decode())
