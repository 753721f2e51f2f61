import json
from copy import deepcopy

import pytest
from contract_samples import VECTORS, vector

from pytest_l402.boundary import is_digest_reference
from pytest_l402.contract import (
    CHECK_NAMES,
    FLOW_STAGES,
    DocumentError,
    FlowEvent,
    FullFlowSummary,
    LocalFlow,
    LocalNodeArtifact,
    stage_order_departures,
)

PREIMAGE = "000577509e3cf1013c746ab2daabe46378e35e14171ad7c5b55251765389cb27"


def events():
    text = (VECTORS / "full-flow-events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def changed(document, path, value):
    copy = deepcopy(document)
    *parents, last = path
    place = copy
    for key in parents:
        place = place[key]
    place[last] = value
    return copy


def test_local_artifact_of_the_original_round_trips_but_for_its_secret():
    artifact = vector("local-node-artifact.json")
    row = LocalNodeArtifact.decode(artifact).to_row()
    reference = row["flows"][0]["sellerCalls"][1]["authorization"]
    assert is_digest_reference(reference)
    assert row == changed(artifact, ["flows", 0, "sellerCalls", 1, "authorization"], reference)
    assert list(row["flows"][1]) == list(artifact["flows"][1])


def test_local_artifact_shows_its_secret_nowhere():
    artifact = LocalNodeArtifact.decode(vector("local-node-artifact.json"))
    for text in (repr(artifact), str(artifact), json.dumps(artifact.to_row()), repr(artifact.redacted())):
        assert PREIMAGE not in text
        assert "mac_success" not in text


def test_redacting_twice_changes_nothing_more():
    once = LocalNodeArtifact.decode(vector("local-node-artifact.json")).redacted()
    assert once.redacted() == once


def test_free_text_of_an_artifact_is_redacted():
    artifact = changed(
        vector("local-node-artifact.json"), ["flows", 1, "blockedReason"], f"preimage={PREIMAGE} refused"
    )
    assert PREIMAGE not in json.dumps(LocalNodeArtifact.decode(artifact).to_row())


def test_flow_knows_every_request_id_of_its_purchase():
    flow = vector("local-node-artifact.json")["flows"][0]
    ids = LocalFlow.decode(flow).request_ids
    assert ids == {flow["createRequestId"], *flow["transitionRequestIds"]}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (["flows", 0, "taskStatus"], "done", "flows[0].taskStatus"),
        (["flows", 0, "flow"], "SUCCESS", "flows[0].flow"),
        (["flows"], {}, "flows"),
        (["flows", 1, "sellerCalls", 0, "status"], "402", "flows[1].sellerCalls[0].status"),
        (["generatedAtMs"], -1, "generatedAtMs"),
    ],
)
def test_broken_artifact_names_the_field(path, value, field):
    with pytest.raises(DocumentError) as caught:
        LocalNodeArtifact.decode(changed(vector("local-node-artifact.json"), path, value))
    assert [departure.field for departure in caught.value.departures] == [field]


def test_summary_of_the_original_round_trips():
    summary = vector("full-flow-summary.json")
    assert FullFlowSummary.decode(summary).to_row() == summary


def test_check_names_count_what_the_original_counts():
    assert len(CHECK_NAMES) == vector("full-flow-summary.json")["coverage"]["totalChecks"]


def failed_summary(*checks, **sections):
    summary = vector("full-flow-summary.json") | sections
    summary["ok"] = False
    summary["coverage"] = {
        "totalChecks": 8,
        "passedChecks": 8 - len(checks),
        "failedChecks": list(checks),
    }
    return summary


def test_failed_flow_may_leave_sections_out():
    summary = failed_summary("paid_request_success", "settlement_correlation", paidRequest=None)
    assert FullFlowSummary.decode(summary).paid_request is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["ok"], False),
        (["coverage", "passedChecks"], 7),
        (["coverage", "totalChecks"], 9),
        (["coverage", "failedChecks"], ["observability"]),
        (["coverage", "failedChecks"], ["unheard_of"]),
        (["executionPath"], "local-node"),
        (["paywallCreation", "ok"], False),
        (["paywallCreation"], None),
        (["gatewayReconcile", "challengeOk"], False),
        (["gatewayReconcile", "proxyOk"], False),
        (["gatewayReconcile", "healthOk"], False),
        (["paidRequest", "status"], "failed"),
        (["paidRequest", "settlementId"], None),
        (["paidRequest", "paymentProofRef"], None),
        (["policyDeniedRequest", "status"], "allowed"),
        (["policyDeniedRequest", "denyReasonCode"], None),
        (["settlementCorrelation", "paymentProofRefs"], []),
        (["settlementCorrelation", "processed"], 0),
        (["observability", "missingFieldKeys"], ["userId"]),
        (["observability", "recordCount"], 0),
        (["observability", "requiredFieldKeys"], ["requestId"]),
        (["parity", "hostedMissingKeys"], ["taskId"]),
        (["parity", "hostedKeys"], []),
        (["parity", "localMissingKeys"], []),
        (["parity", "localKeys"], ["taskId"]),
        (["parity", "sharedKeys"], ["taskId"]),
        (["parity"], None),
    ],
)
def test_summary_that_contradicts_itself_is_refused(path, value):
    with pytest.raises(DocumentError):
        FullFlowSummary.decode(changed(vector("full-flow-summary.json"), path, value))


def test_every_check_but_the_waivable_one_must_be_borne_out():
    sections = {
        "paywall_creation": "paywallCreation",
        "gateway_reconcile": "gatewayReconcile",
        "policy_deny": "policyDeniedRequest",
        "observability": "observability",
    }
    for check, section in sections.items():
        FullFlowSummary.decode(failed_summary(check, **{section: None}))
        with pytest.raises(DocumentError, match=check):
            FullFlowSummary.decode(failed_summary("local_parity", **{section: None}))


def test_events_of_the_original_round_trip_in_stage_order():
    decoded = [FlowEvent.decode(event) for event in events()]
    assert [event.to_row() for event in decoded] == events()
    assert stage_order_departures(decoded) == ()
    assert tuple(event.stage for event in decoded) == FLOW_STAGES


def test_events_out_of_order_missing_or_back_in_time_are_named():
    decoded = [FlowEvent.decode(event) for event in events()]
    assert "saw none" in stage_order_departures([])[0]
    assert stage_order_departures(decoded[:-1])
    assert stage_order_departures([decoded[1], decoded[0], *decoded[2:]])
    late = FlowEvent.decode({**events()[0], "ts": events()[1]["ts"] + 1})
    (departure,) = stage_order_departures([late, *decoded[1:]])
    assert "gateway.reconcile not before paywall.create" in departure


@pytest.mark.parametrize("change", [{"stage": "x"}, {"status": "done"}, {"details": []}, {"ts": "1"}])
def test_broken_event_is_refused(change):
    with pytest.raises(DocumentError):
        FlowEvent.decode(events()[0] | change)
