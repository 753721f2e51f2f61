"""Section 3: a worker that froze after the effect is overtaken, and thaws into a run that is done."""

import pytest

from pytest_l402.evidence import some_row
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.workflow import DurableWorkflow, Point, Step, paid_once, ran

pytestmark = pytest.mark.rehearsal("frozen-worker", runbook="durable-workflow", section="3")


def test_overtaken(l402_workflow: DurableWorkflow, l402_evidence: EvidenceCollector) -> None:
    points = l402_workflow.outside.points
    frozen = l402_workflow.worker()
    with points.held(Point.AFTER_EFFECT) as hold:
        run = l402_workflow.start()
        points.reached(hold)
        l402_workflow.freeze(frozen)
    l402_workflow.worker()
    l402_workflow.finished(run)
    frozen.sigcont()
    points.seen(Point.LEFT, workflowID=run, pid=frozen.pid)
    l402_evidence.verify(
        some_row("process_events", event="frozen", pid=frozen.pid).proves("3.frozen"),
        some_row("process_events", event="thawed", pid=frozen.pid).proves("3.frozen"),
        some_row("workflows", workflowID=run, status="SUCCESS").proves("3.frozen"),
        ran(run, Step.COMPILE).proves("3.prefix"),
        ran(run, Step.RECORD).proves("3.frozen"),
        paid_once(run, calls=2).proves("3.exactly-once"),
    )
