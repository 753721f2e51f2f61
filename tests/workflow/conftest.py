from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import Databases, DurableWorkflow, EngineFault, Zygote


@pytest.fixture
def workflows(l402_zygote: Zygote, l402_workflow_databases: Databases, tmp_path: Path) -> Any:
    """Make a system with faults, and the collector of its evidence."""

    @contextmanager
    def make(
        *faults: EngineFault, traces: bool = False
    ) -> Iterator[tuple[DurableWorkflow, EvidenceCollector]]:
        url = l402_workflow_databases.fresh()
        with DurableWorkflow(l402_zygote, url, "a seed", faults=faults, traces=traces) as workflow:
            collector = EvidenceCollector(title="a drill", seed="a seed", artifact_dir=tmp_path)
            collector.attach(workflow)
            yield workflow, collector

    return make
