"""The rehearsals of durable workflows as functions that a test calls on a system of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pytest_l402.plugin.evidence_fixture import EvidenceCollector

REHEARSALS = Path(__file__).resolve().parents[2] / "rehearsals" / "durable_workflow"


def rehearsal(name: str) -> ModuleType:
    """The module of a rehearsal, to call its procedures on a system of the test's own."""
    spec = importlib.util.spec_from_file_location(f"rehearsed_{name}", REHEARSALS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def violated(collector: EvidenceCollector) -> Sequence[tuple[str | None, str]]:
    """Line and name of every check that does not hold, of those asked for and of the standing ones."""
    results = [*collector.checks, *collector.judge_standing()]
    return [(result.line, result.name) for result in results if not result.passed]
