from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_l402.billing import Billing, BillingFault, Zygote
from pytest_l402.plugin.evidence_fixture import EvidenceCollector


@pytest.fixture
def billings(tmp_path: Path, l402_billing_zygote: Zygote) -> Any:
    """Make a system with faults, and the collector of its evidence."""

    @contextmanager
    def make(*faults: BillingFault) -> Iterator[tuple[Billing, EvidenceCollector]]:
        with Billing(faults=faults, zygote=l402_billing_zygote) as billing:
            collector = EvidenceCollector(title="a drill", seed="a seed", artifact_dir=tmp_path)
            collector.attach(billing)
            yield billing, collector

    return make
