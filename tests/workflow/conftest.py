from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, EngineFault, Zygote

REHEARSALS = Path(__file__).resolve().parents[2] / "rehearsals" / "durable_workflow"


def rehearsal(name: str) -> ModuleType:
    """The module of a rehearsal, to call its procedures on a system of the test's own."""
    spec = importlib.util.spec_from_file_location(f"rehearsed_{name}", REHEARSALS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workflows(l402_zygote: Zygote, tmp_path: Path) -> Any:
    """Make a system with faults, and the collector of its evidence."""

    @contextmanager
    def make(
        *faults: EngineFault, traces: bool = False
    ) -> Iterator[tuple[DurableWorkflow, EvidenceCollector]]:
        with DurableWorkflow(l402_zygote, "a seed", faults=faults, traces=traces) as workflow:
            collector = EvidenceCollector(title="a drill", seed="a seed", artifact_dir=tmp_path)
            collector.attach(workflow)
            yield workflow, collector

    return make


def violated(collector: EvidenceCollector) -> Sequence[tuple[str | None, str]]:
    """Line and name of every check that does not hold, of those asked for and of the standing ones."""
    results = [*collector.checks, *collector.judge_standing()]
    return [(result.line, result.name) for result in results if not result.passed]
