"""Frameworks that are not ours are judged by the same drills, each under the property that it breaks."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from drilled import violated

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import Point, Workers, paid_once, ran, resumed

FOREIGN = Path(__file__).with_name("foreign")


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(FOREIGN / script), *map(str, arguments)]


def killed_at(workers: Workers, point: Point, first: list[str], second: list[str]) -> None:
    """Kill the worker at a point, and let another one go on until it has nothing to do."""
    with workers.points.held(point) as hold:
        worker = workers.start(first)
        workers.points.reached(hold)
        worker.sigkill()
    assert workers.start(second).line() == "idle"


def verified(evidence: EvidenceCollector, *checks: Any) -> set[tuple[str | None, str]]:
    with contextlib.suppress(pytest.fail.Exception):
        evidence.verify(some_row("process_events", event="killed", exitSignal="SIGKILL"), *checks)
    return set(violated(evidence))


def test_huey_loses_the_run_of_a_worker_that_is_killed(
    l402_worker: Workers, l402_evidence: EvidenceCollector, tmp_path: Path
) -> None:
    if importlib.util.find_spec("huey") is None:
        pytest.skip("huey is not installed")
    huey = command("huey_worker.py", tmp_path / "queue.sqlite", "run-1")
    killed_at(l402_worker, Point.BEFORE_EFFECT, [*huey, "submit"], [*huey, "resume"])
    found = verified(l402_evidence, resumed("run-1").proves("RD"), ran("run-1", "pay").proves("PC"))
    assert found == {("RD", "resumed(run-1) [RD]")}


@pytest.mark.parametrize("key", ["key", "none"])
def test_burr_pays_again_unless_the_wallet_has_a_key(
    key: str, l402_worker: Workers, l402_evidence: EvidenceCollector, tmp_path: Path
) -> None:
    if importlib.util.find_spec("burr") is None:
        pytest.skip("apache-burr is not installed")
    burr = command("burr_worker.py", tmp_path / "states.sqlite", "run-1", key)
    killed_at(l402_worker, Point.AFTER_EFFECT, burr, burr)
    found = verified(
        l402_evidence,
        resumed("run-1").proves("RD"),
        ran("run-1", "plan").proves("PC"),
        paid_once("run-1", calls=2).proves("EO"),
    )
    assert found == (set() if key == "key" else {("EO", "paid_once(2 calls) [EO]")})
