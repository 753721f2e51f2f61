"""Section 5, walkthrough F: every attempt of every step has a span, and a kill does not break the trace."""

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, EngineProcessFailed, Point, traced

pytestmark = pytest.mark.rehearsal("otlp-audit", runbook="durable-workflow", section="5")

NOBODY = "http://127.0.0.1:9/v1/traces"


@pytest.fixture
def l402_traces() -> bool:
    return True


def test_a_flaky_step_and_a_kill(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    points = l402_workflow.outside.points
    worker = l402_workflow.worker()
    with points.held(Point.AT_GATE) as hold:
        run = l402_workflow.start(approval=True)
        points.reached(hold)
        l402_workflow.exported(run, "DecideST")
        l402_workflow.kill(worker)
    with points.failing(Point.BEFORE_EFFECT):
        l402_workflow.worker()
        l402_workflow.control.approve(run)
        l402_workflow.finished(run)
    l402_workflow.exported(run, "RecordST")
    l402_evidence.verify(traced(run, attempts=2).proves("5.spans"))


def test_nobody_takes_the_spans(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    for endpoint in ("", NOBODY):
        with pytest.raises(EngineProcessFailed, match="traces endpoint") as refused:
            l402_workflow.worker(traces=endpoint)
        l402_evidence.record(
            "refusals", {"endpoint": endpoint, "refused": "traces endpoint" in str(refused.value)}
        )
    l402_workflow.worker()
    l402_workflow.finished(l402_workflow.start())
    l402_evidence.verify(
        some_row("refusals", endpoint="", refused=True).proves("5.fails-fast"),
        some_row("refusals", endpoint=NOBODY, refused=True).proves("5.fails-fast"),
    )
