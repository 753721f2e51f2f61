import json
from pathlib import Path

import pytest
from evidence_records import make_record as rec
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.evidence import Evidence
from pytest_l402.stack.faults import (
    ChallengeFailure,
    ExecutorStops,
    GatewayDown,
    NodeDegraded,
    PaymentFailure,
    PaymentPending,
    PreimageMissing,
    ProjectionProofMismatch,
    ProjectionStale,
    SettlementDelayed,
    SettlementLost,
    SettlementProofMismatch,
    UpstreamDown,
    UpstreamFailure,
    WalletLocked,
)
from pytest_l402.triage.diagnosis import triage, triage_records
from pytest_l402.triage.rules import RULES, Domain

VECTORS = Path(__file__).parent.parent / "contract" / "vectors"
T0 = 1_790_000_000_000
P = "lightning_preimage:00112233445566778899aabb"
P_ALIKE = "lightning_preimage:0011223344556677ffffffff"
Q = "lightning_preimage:ffeeddccbbaa998877665544"
P_LOCAL = "preimage:0011223344556677"

# One voice each: who says it, on which plane.
GATE = {"plane": "control", "executor": "system"}
GATEWAY = {"plane": "gateway", "executor": "gateway"}
STORE = {"plane": "settlement", "executor": "gateway"}
UI = {"plane": "ui", "executor": "system"}
BUYER = {"plane": "settlement", "executor": "desktop", "executionPath": "local-node"}
BUYER_UI = {**BUYER, "plane": "ui"}
BUYER_GATEWAY = {**BUYER, "plane": "gateway"}


def _paid(**other):
    return [
        rec(**GATEWAY, quotedCostMsats=5),
        rec(**STORE, paymentProofRef=other.get("store", P), cacheHit=False, paidAmountMsats=5),
        rec(**UI, paymentProofRef=other.get("ui", P), paidAmountMsats=5),
        rec(**GATEWAY, paymentProofRef=other.get("gateway", P), paidAmountMsats=5, observedAtMs=T0 + 9),
        rec(**BUYER, paymentProofRef=P_LOCAL, nodeSyncStatus="degraded"),
    ]


def _without(records, **fields):
    return [row for row in records if any(row[key] != value for key, value in fields.items())]


_INVALID = {key: value for key, value in rec().items() if key != "plane"}
_UNFINISHED = {"flow": "interrupted", "taskId": "t", "taskStatus": "running", "createRequestId": "req-1"}

CASES = {
    "invalid_record": ([*_paid(), _INVALID], Domain.INCOMPLETE),
    "doubtful_proof": (
        [
            *_without(_paid(), plane="settlement", executor="gateway"),
            {**_INVALID, "requestId": "x", "paymentProofRef": P},
        ],
        Domain.INCOMPLETE,
    ),
    "executor_unavailable": (
        [rec(**GATE), rec(**GATE, denyReason="desktop_executor_offline")],
        Domain.EXECUTOR,
    ),
    "reconcile_failed": ([rec(**GATE, denyReason="health_check_failed")], Domain.GATEWAY),
    "delivered_unpaid": (
        [
            rec(**GATE),
            rec(**GATEWAY, paywallId="pw", endpoint="/premium"),
            rec(**BUYER_UI, paidAmountMsats=0),
        ],
        Domain.GATEWAY,
    ),
    "credential_refused": (
        [rec(**GATEWAY, quotedCostMsats=5), rec(**BUYER, denyReason="credential_refused")],
        Domain.GATEWAY,
    ),
    "paid_over_cap": (
        [*_paid(), rec(**BUYER_UI, paymentProofRef=P_LOCAL, paidAmountMsats=5, capAppliedMsats=4)],
        Domain.EXECUTOR,
    ),
    "policy_denied": ([rec(**GATE, denyReason="global_pause_active")], Domain.POLICY),
    "gateway_failed": ([rec(**GATEWAY, denyReason="gateway_probe_failed")], Domain.GATEWAY),
    "spending_policy": ([rec(**BUYER, denyReason="Host shop.test is blocked")], Domain.POLICY),
    "gateway_unreachable": ([rec(**BUYER_GATEWAY, denyReason="gateway_unreachable")], Domain.GATEWAY),
    "settlement_refused": ([rec(**STORE, denyReason="invalid_preimage")], Domain.SETTLEMENT),
    "settlement_mismatch": (_paid(store=Q, ui=Q), Domain.SETTLEMENT),
    "settlement_absent": (
        _without(_without(_paid(), plane="settlement", executor="gateway"), plane="ui"),
        Domain.SETTLEMENT,
    ),
    "payment_unsettled": (
        [rec(**GATEWAY, quotedCostMsats=5), rec(**BUYER, paymentProofRef=P_LOCAL)],
        Domain.SETTLEMENT,
    ),
    "settled_twice": (
        [*_paid(), rec(requestId="req-0", **STORE, paymentProofRef=P, cacheHit=False)],
        Domain.SETTLEMENT,
    ),
    "amounts_differ": (
        [*_without(_paid(), plane="ui"), rec(**UI, paymentProofRef=P, paidAmountMsats=6)],
        Domain.SETTLEMENT,
    ),
    "projection_failed": ([*_paid(), rec(**UI, denyReason="read_model_down")], Domain.PROJECTION),
    "projection_mismatch": (_paid(ui=Q), Domain.PROJECTION),
    "projection_absent": (_without(_paid(), plane="ui"), Domain.PROJECTION),
    "wallet_locked": ([rec(**BUYER, walletState="locked", denyReason="wallet_locked")], Domain.LOCAL_NODE),
    "payment_uncertain": ([rec(**BUYER, denyReason="payment_pending")], Domain.LOCAL_NODE),
    "local_failure": ([rec(**BUYER, denyReason="no_route")], Domain.LOCAL_NODE),
    "task_unfinished": ([rec(**GATE), rec(**GATEWAY, quotedCostMsats=5)], Domain.EXECUTOR),
    "runtime_down": ([rec(**BUYER, desktopRuntimeStatus="backoff")], Domain.LOCAL_NODE),
    "node_degraded": ([rec(**BUYER, nodeSyncStatus="degraded")], Domain.LOCAL_NODE),
    "task_failed": ([rec(**GATE)], Domain.LOCAL_NODE),
    "paid": (_paid(), Domain.HEALTHY),
    "challenged": ([rec(**GATE), rec(**GATEWAY, quotedCostMsats=5)], Domain.HEALTHY),
    "no_payment": ([rec(**GATE, endpoint="/api/lightning/security/gate")], Domain.HEALTHY),
    "denied_yet_paid": ([*_paid(), rec(**GATE, denyReason="global_pause_active")], Domain.POLICY),
    "refused_yet_paid": ([*_paid(), rec(**GATEWAY, denyReason="gateway_x", observedAtMs=99)], Domain.GATEWAY),
    "stopped_yet_paid": ([*_paid(), rec(**BUYER_UI, denyReason="host_blocked")], Domain.POLICY),
    "payment_pending": ([rec(**STORE, denyReason="payment_pending")], Domain.SETTLEMENT),
    "paid_twice": (
        [
            *_paid(),
            *({**row, "paymentProofRef": Q} for row in _paid() if row["paymentProofRef"] == P),
        ],
        Domain.SETTLEMENT,
    ),
    "unknown_denial": ([rec(**BUYER, denyReason="computer says no")], Domain.UNKNOWN),
    "lone_plane": ([rec(**GATE)], Domain.NOT_ENOUGH),
}


def _evidence(name):
    tables = {"records": CASES[name][0]}
    if name in ("task_unfinished", "task_failed"):
        status = "failed" if name == "task_failed" else "running"
        tables["local_artifact"] = [{"flows": [{**_UNFINISHED, "taskStatus": status}]}]
    return Evidence(tables)


def test_there_is_a_case_for_every_rule():
    assert set(CASES) == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", CASES)
def test_each_rule_decides_its_case(name):
    (found,) = triage(_evidence(name), "req-1")
    assert (found.rule, found.domain) == (name, CASES[name][1])
    assert found.next_step
    assert found.section
    assert "{" not in found.reason
    records = triage_records(_evidence(name))
    if found.record_index is not None and found.rule != "invalid_record":
        shown = records[found.record_index]
        assert (shown["requestId"], shown[found.deciding_field]) == ("req-1", found.deciding_value)
    assert found.healthy is (found.domain is Domain.HEALTHY)


@given(name=st.sampled_from(sorted(CASES)), data=st.data())
def test_the_order_of_records_never_matters(name, data):
    evidence = _evidence(name)
    shuffled = evidence.with_table("records", data.draw(st.permutations(evidence.table("records"))))

    def decided(found):
        return [(d.request_id, d.domain, d.rule, d.deciding_field, d.deciding_value, d.reason) for d in found]

    assert decided(triage(shuffled)) == decided(triage(evidence))


@given(
    name=st.sampled_from(sorted(CASES)), key=st.text(min_size=1).filter(lambda key: key not in REQUIRED_KEYS)
)
def test_keys_that_the_contract_does_not_know_never_matter(name, key):
    evidence = _evidence(name)
    more = evidence.with_table("records", [{**row, key: "x"} for row in evidence.table("records")])
    assert triage(more) == triage(evidence)


_VOICES = st.sampled_from([GATE, GATEWAY, STORE, UI, BUYER, BUYER_UI, BUYER_GATEWAY])
_RECORDS = st.lists(
    st.builds(
        lambda voice, fields: rec(**voice, **fields),
        _VOICES,
        st.fixed_dictionaries(
            {
                "requestId": st.sampled_from(["req-1", "req-2", None]),
                "paymentProofRef": st.sampled_from([None, P, P_ALIKE, Q, P_LOCAL, "other"]),
                "denyReason": st.sampled_from([None, "", " ", "x", "gateway_x", "desktop_executor_timeout"]),
                "cacheHit": st.sampled_from([None, True, False]),
                "paidAmountMsats": st.sampled_from([None, 5, 6]),
                "observedAtMs": st.integers(T0, T0 + 3),
            }
        ),
    ),
    max_size=6,
)


@given(records=_RECORDS)
def test_every_request_has_exactly_one_domain(records):
    named = sorted({row["requestId"] for row in records if row["requestId"]})
    found = triage(Evidence({"records": records}))
    assert [diagnosis.request_id for diagnosis in found] == named
    for request_id in named:
        assert triage(Evidence({"records": records}), request_id) == tuple(
            diagnosis for diagnosis in found if diagnosis.request_id == request_id
        )


@given(records=_RECORDS)
def test_an_invalid_record_is_never_healthy_and_never_a_finding(records):
    evidence = Evidence({"records": [*records, _INVALID]})
    assert triage(evidence, "req-1")[0].domain is Domain.INCOMPLETE


def test_a_request_nobody_recorded_is_not_healthy():
    for tables in ({}, {"records": [rec(), {"requestId": 7}]}):
        (found,) = triage(Evidence(tables), "req-9")
        assert (found.domain, found.rule) == (Domain.INCOMPLETE, "no_record")


def test_a_purchase_told_under_two_request_ids_is_one_purchase():
    asked = [rec(requestId="ask", **GATEWAY, quotedCostMsats=5)]
    paid = [{**row, "requestId": "pay"} for row in _paid()]
    found = {d.request_id: d.rule for d in triage(Evidence({"records": asked + paid}))}
    assert found == {"ask": "challenged", "pay": "paid"}


def test_a_replay_is_settled_by_the_request_that_paid():
    again = [rec(requestId="req-2", **GATEWAY, paymentProofRef=P, paidAmountMsats=5)]
    found = triage(Evidence({"records": _paid() + again}), "req-2")
    assert found[0].rule == "paid"


def test_hosted_references_that_only_begin_alike_differ():
    assert triage(Evidence({"records": _paid(store=P_ALIKE, ui=P_ALIKE)}))[0].rule == "settlement_mismatch"
    assert triage(Evidence({"records": _paid(ui=P_ALIKE)}))[0].rule == "projection_mismatch"


def test_a_failure_that_was_overcome_is_no_finding():
    failed = rec(**GATEWAY, denyReason="gateway_upstream_failed", observedAtMs=T0 + 3)
    assert triage(Evidence({"records": [*_paid(), failed]}))[0].rule == "paid"
    late = {**failed, "observedAtMs": T0 + 9}
    assert triage(Evidence({"records": [*_paid(), late]}))[0].rule == "refused_yet_paid"
    lifted = [
        rec(**GATE, denyReason="global_pause_active", observedAtMs=T0 + 1),
        rec(**GATE, observedAtMs=T0 + 2),
        *_paid(),
    ]
    assert triage(Evidence({"records": lifted}))[0].rule == "paid"


def test_the_code_that_names_the_switch_wins_over_the_one_that_says_denied():
    denials = [rec(**GATE, denyReason="access_denied"), rec(**GATE, denyReason="owner_kill_switch_active")]
    assert triage(Evidence({"records": denials}))[0].deciding_value == "owner_kill_switch_active"


def test_records_that_name_no_request_bound_what_is_concluded_from_absence():
    records = [*_without(_paid(), plane="ui"), {**_INVALID, "requestId": None}]
    (found,) = triage(Evidence({"records": records}))
    assert found.rule == "projection_absent"
    assert "1 invalid record(s) name no request" in found.reason


def test_hostile_text_is_shown_harmlessly():
    denied = rec(**GATE, denyReason="\x1b[2J preimage=" + "ab" * 32)
    text = triage(Evidence({"records": [denied]}))[0].reason
    assert "\x1b" not in text
    assert "ab" * 32 not in text


def test_the_real_local_artifact_is_read_as_it_went():
    artifact = json.loads((VECTORS / "local-node-artifact.json").read_text())
    evidence = Evidence({"local_artifact": [artifact]})
    success, blocked = artifact["flows"]
    ids = [record["requestId"] for record in success["observabilityRecords"]]
    found = {d.request_id: (d.domain, d.rule) for d in triage(evidence)}
    assert found == {
        **dict.fromkeys(ids, (Domain.HEALTHY, "paid")),
        blocked["observabilityRecords"][0]["requestId"]: (Domain.POLICY, "spending_policy"),
    }
    # The id of the create call has no record of its own; the flow knows it.
    by_creation = triage(evidence, success["createRequestId"])
    assert sorted(d.request_id for d in by_creation) == sorted(ids)


def test_the_real_hosted_records_are_read_as_they_went():
    records = json.loads((VECTORS / "observability.json").read_text())["records"]
    found = {d.request_id: d.rule for d in triage(Evidence({"records": records}))}
    assert found == {
        "req_smoke_1": "paid",
        "smoke:observability": "no_payment",
        "smoke:observability:security": "policy_denied",
    }


def test_an_artifact_alone_tells_of_a_task_that_never_ended():
    flows = [_UNFINISHED, {"createRequestId": "req-2", "taskStatus": "completed"}, "?"]
    (found,) = triage(Evidence({"local_artifact": [{"flows": flows}]}))
    assert (found.request_id, found.rule, found.deciding_value) == ("req-1", "task_unfinished", "running")
    assert triage(Evidence({"local_artifact": [{"flows": flows}]}), "req-2")[0].rule == "no_record"


def test_records_of_the_artifact_are_counted_once():
    row = rec()
    artifact = {"flows": [{"observabilityRecords": [row, rec(requestId="b"), 7]}]}
    records = triage_records(Evidence({"records": [row], "local_artifact": [artifact]}))
    assert records == [row, rec(requestId="b"), {}]


@pytest.mark.parametrize(
    ("fault", "domain", "rule"),
    [
        (GatewayDown(), "gateway", "gateway_unreachable"),
        (ChallengeFailure(), "gateway", "gateway_failed"),
        (UpstreamFailure(), "gateway", "refused_yet_paid"),
        (UpstreamDown(), "gateway", "refused_yet_paid"),
        (SettlementLost(), "settlement", "settlement_absent"),
        (SettlementDelayed(), "settlement", "settlement_absent"),
        (SettlementProofMismatch(), "settlement", "settlement_mismatch"),
        (ProjectionStale(), "projection", "projection_absent"),
        (ProjectionProofMismatch(), "projection", "projection_mismatch"),
        (WalletLocked(), "local-node", "wallet_locked"),
        (PaymentFailure(), "local-node", "local_failure"),
        (PaymentPending(), "local-node", "payment_uncertain"),
        (PreimageMissing(), "local-node", "payment_uncertain"),
        (NodeDegraded(), "healthy", "paid"),
        (ExecutorStops("before_payment"), "executor", "task_unfinished"),
        (ExecutorStops("during_payment"), "executor", "task_unfinished"),
        (ExecutorStops("after_payment"), "executor", "task_unfinished"),
    ],
    ids=str,
)
def test_each_fault_of_the_stack_is_named_by_its_domain(drill, fault, domain, rule):
    story = drill(fault)
    evidence = story.evidence.only("records", "local_artifact")
    assert [(d.domain, d.rule) for d in triage(evidence, story.first.request_id)] == [(domain, rule)]
    # While a payment is on its way the buyer makes no other.
    then = (domain, rule) if fault == PaymentPending() else ("healthy", "paid")
    assert [(d.domain, d.rule) for d in triage(evidence, story.second.request_id)] == [then]


def test_a_cap_that_was_kept_and_a_health_check_are_healthy():
    exact = rec(**BUYER_UI, paymentProofRef=P_LOCAL, paidAmountMsats=5, capAppliedMsats=5)
    health = rec(**GATEWAY, endpoint="/l402/health")
    (found,) = triage(Evidence({"records": [*_paid(), exact, health]}), "req-1")
    assert found.rule == "paid"


def test_what_was_given_away_is_said_although_policy_had_denied_it():
    records = [rec(**GATE, denyReason="global_pause_active"), rec(**GATEWAY, paywallId="pw", endpoint="/x")]
    (found,) = triage(Evidence({"records": records}), "req-1")
    assert found.rule == "delivered_unpaid"
    assert found.reason.startswith("delivered without payment")


def test_who_is_at_fault_for_a_refusal_is_not_guessed():
    (found,) = triage(_evidence("credential_refused"), "req-1")
    assert "probe" not in found.next_step
    for party in ("presented none", "garbled", "a good one"):
        assert party in found.reason
