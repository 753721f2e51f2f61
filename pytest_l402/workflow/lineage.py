"""Decides which runs belong together: a fork, what it was forked from, and so on to the root intent."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_l402.evidence import Evidence, Row


def sources(evidence: Evidence) -> dict[str, Row]:
    """Return the workflows by their ids."""
    return {row["workflowID"]: row for row in evidence.table("workflows")}


def line_of(workflows: Mapping[str, Row], workflow_id: str) -> list[str]:
    """The run, what it was forked from, and so on to the root."""
    line = [workflow_id]
    while (source := workflows.get(line[-1], {}).get("forkedFrom")) and source not in line:
        line.append(source)
    return line


def root_of(workflows: Mapping[str, Row], workflow_id: str) -> str:
    """Return the run that all of its line came from."""
    return line_of(workflows, workflow_id)[-1]


def family_of(evidence: Evidence, workflow_id: str) -> set[str]:
    """All that come from the same root."""
    workflows = sources(evidence)
    root = root_of(workflows, workflow_id)
    return {run for run in workflows if root_of(workflows, run) == root} | {workflow_id}
