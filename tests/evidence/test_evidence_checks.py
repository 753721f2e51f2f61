import pytest
from evidence_records import public_checks

from pytest_l402.evidence import (
    Evidence,
    artifact_lacks,
    artifact_shows,
    artifacts_written,
    cached_request,
    delivered_as_paid,
    delivered_for_one_payment,
    denial_recorded,
    denied_before_payment,
    every_fault_fired,
    forgeries_refused,
    found_in_logs,
    idempotent_replay,
    local_artifact_join,
    local_parity,
    money_agrees,
    no_record,
    no_second_payment,
    not_reused,
    nothing_reached,
    one_challenge_an_invoice,
    one_story,
    opened_in_no_other_way,
    paid_and_denied_present,
    paid_as_challenged,
    paid_exactly_once,
    paid_nothing,
    paid_nothing_meanwhile,
    parity_keys_present,
    payments_agree,
    planes_agree,
    probes_ok,
    proof_absent,
    proof_differs,
    proof_join,
    purchases_cost_one_payment,
    records_complete,
    records_in_time,
    records_tell_what_is_known,
    recovered,
    reference_artifact_holds,
    replays_told_apart,
    response_header_joins,
    rows_in_order,
    run_check,
    same_value,
    settlement_conflict,
    sold_as_listed,
    some_record,
    steady_state_restored,
    success_despite,
    summary_ok,
    task_settlement_join,
    triaged_as,
    ui_join,
    values_listed,
)
from pytest_l402.evidence.checks.planes import record_checks
from pytest_l402.evidence.telling import tell_results


def _settlement_id(story):
    return f"set_{story.first.payment_hash[:16]}"


# Each check with a story of which it holds.
HOLDS = {
    "artifact_lacks": ("paused", lambda s: artifact_lacks(s.first)),
    "artifact_shows": ("success", lambda s: artifact_shows(s.first, flow="success", task_status="completed")),
    "artifact_shows blocked": ("success", lambda s: artifact_shows(s.second, flow="blocked")),
    "artifact_shows stopped": ("stopped", lambda s: artifact_shows(s.first, task_status="paid")),
    "artifacts_written": ("flow", lambda s: artifacts_written()),
    "cached_request": ("cached", lambda s: cached_request(s.first, s.second)),
    "delivered_as_paid": ("cached", lambda s: delivered_as_paid("/premium")),
    "delivered_for_one_payment": ("interrupted", lambda s: delivered_for_one_payment(s.first, s.second)),
    "delivered_for_one_payment alone": ("success", lambda s: delivered_for_one_payment(s.first)),
    "denial_recorded": ("success", lambda s: denial_recorded(s.second, "amount_over_cap")),
    "denial_recorded alone": ("paused", lambda s: denial_recorded(s.first, "global_pause_active")),
    "denied_before_payment": ("paused", lambda s: denied_before_payment(s.first)),
    "denied_before_payment code": ("success", lambda s: denied_before_payment(s.second, "amount_over_cap")),
    "every_fault_fired": ("mismatch", lambda s: every_fault_fired()),
    "forgeries_refused": ("forged", lambda s: forgeries_refused(s.first, *s.second)),
    "found_in_logs": ("paused", lambda s: found_in_logs(s.first)),
    "found_in_logs plane": ("success", lambda s: found_in_logs(s.first, "settlement")),
    "idempotent_replay": ("cached", lambda s: idempotent_replay(s.first)),
    "idempotent_replay hash": ("cached", lambda s: idempotent_replay(s.first.payment_hash)),
    "local_artifact_join": ("success", lambda s: local_artifact_join(s.first)),
    "local_parity": ("success", lambda s: local_parity()),
    "money_agrees": ("cached", lambda s: money_agrees()),
    "money_agrees nobody paid": ("paused", lambda s: money_agrees()),
    "no_record": ("success", lambda s: no_record(plane="gateway", denyReason="gateway_upstream_failed")),
    "no_second_payment": ("refused", lambda s: no_second_payment(s.first, s.second)),
    "not_reused": ("expired", lambda s: not_reused(s.first, s.second)),
    "nothing_reached": (
        "paused",
        lambda s: nothing_reached("exchanges", "payments", "settlements", request_id=s.first),
    ),
    "one_challenge_an_invoice": ("expired", lambda s: one_challenge_an_invoice()),
    "one_story": ("flow", lambda s: one_story()),
    "opened_in_no_other_way": ("forged", lambda s: opened_in_no_other_way(*s.second)),
    "paid_and_denied_present": ("flow", lambda s: paid_and_denied_present()),
    "paid_as_challenged": ("expired", lambda s: paid_as_challenged()),
    "paid_as_challenged nobody paid": ("paused", lambda s: paid_as_challenged()),
    "paid_exactly_once": ("success", lambda s: paid_exactly_once(s.first)),
    "paid_exactly_once hash": ("cached", lambda s: paid_exactly_once(s.second.payment_hash)),
    "paid_nothing": ("success", lambda s: paid_nothing(s.second)),
    "paid_nothing_meanwhile": ("pending", lambda s: paid_nothing_meanwhile(s.first, s.second)),
    "parity_keys_present": ("flow", lambda s: parity_keys_present()),
    "payments_agree": ("expired", lambda s: payments_agree()),
    "planes_agree": ("cached", lambda s: planes_agree()),
    "planes_agree nobody paid": ("paused", lambda s: planes_agree()),
    "planes_agree declared": ("mismatch declared", lambda s: planes_agree()),
    "planes_agree one proof": ("lost declared", lambda s: planes_agree()),
    "probes_ok": ("flow", lambda s: probes_ok()),
    "proof_absent": ("stopped", lambda s: proof_absent(s.first)),
    "proof_differs": ("mismatch", lambda s: proof_differs(s.first)),
    "proof_join": ("success", lambda s: proof_join(s.first)),
    "purchases_cost_one_payment": ("expired", lambda s: purchases_cost_one_payment()),
    "purchases_cost_one_payment nobody paid": ("paused", lambda s: purchases_cost_one_payment()),
    "purchases_cost_one_payment declared": ("stopped declared", lambda s: purchases_cost_one_payment()),
    "records_complete": ("success", lambda s: records_complete()),
    "records_in_time": ("cached", lambda s: records_in_time()),
    "records_tell_what_is_known": ("cached", lambda s: records_tell_what_is_known(PREMIUM)),
    "records_tell_what_is_known denied": ("success", lambda s: records_tell_what_is_known({})),
    "records_tell_what_is_known nobody bought": ("paused", lambda s: records_tell_what_is_known(PREMIUM)),
    "recovered": ("stopped", lambda s: recovered(s.second)),
    "recovered reused": ("lost", lambda s: recovered(s.second)),
    "reference_artifact_holds": ("success", lambda s: reference_artifact_holds()),
    "replays_told_apart": ("cached", lambda s: replays_told_apart()),
    "replays_told_apart nobody paid": ("paused", lambda s: replays_told_apart()),
    "replays_told_apart declared": ("mismatch declared", lambda s: replays_told_apart()),
    "response_header_joins": ("success", lambda s: response_header_joins(s.first)),
    "rows_in_order": ("success", lambda s: rows_in_order()),
    "rows_in_order stopped": ("stopped", lambda s: rows_in_order()),
    "same_value": ("cached", lambda s: same_value("paymentProofRef", s.first, s.second, plane="settlement")),
    "same_value one": ("success", lambda s: same_value("taskId", s.first)),
    "settlement_conflict": ("conflict", lambda s: settlement_conflict(_settlement_id(s), "amountMsats")),
    "sold_as_listed": ("success", lambda s: sold_as_listed({"/premium": 21_000})),
    "some_record": ("cached", lambda s: some_record(cacheHit=True, plane="settlement")),
    "steady_state_restored": ("success", lambda s: steady_state_restored()),
    "success_despite": ("success", lambda s: success_despite(s.first, walletState="unlocked")),
    "summary_ok": ("flow", lambda s: summary_ok()),
    "task_settlement_join": ("success", lambda s: task_settlement_join(s.first)),
    "triaged_as": (
        "success",
        lambda s: triaged_as(
            s.second, "policy", field="denyReason", rule="policy_denied", step_contains="pause"
        ),
    ),
    "triaged_as healthy": ("cached", lambda s: triaged_as(s.second, "healthy")),
    "triaged_as executor": ("stopped", lambda s: triaged_as(s.first, "executor", field="taskStatus")),
    "triaged_as settlement": ("mismatch", lambda s: triaged_as(s.first, "settlement")),
    "ui_join": ("cached", lambda s: ui_join(s.second)),
    "values_listed": ("success", lambda s: values_listed()),
}

PREMIUM = {"/premium": {"paywallId": "pw_premium", "ownerId": "owner_premium"}}

# Each check with a story of which it must not hold, and what the finding says was seen.
FAILS = {
    "artifact_lacks": ("success", lambda s: artifact_lacks(s.first), "taskStatus completed"),
    "artifact_shows": ("success", lambda s: artifact_shows(s.second, task_status="completed"), "blocked"),
    "artifacts_written": ("success", lambda s: artifacts_written(), "no evidence"),
    "cached_request": ("expired", lambda s: cached_request(s.first, s.second), "sha256:"),
    "delivered_as_paid": ("doubled", lambda s: delivered_as_paid("/premium"), "2 times"),
    "delivered_for_one_payment": (
        "expired",
        lambda s: delivered_for_one_payment(s.first, s.second),
        "1 succeeded; ",
    ),
    "denial_recorded": (
        "paused",
        lambda s: denial_recorded(s.first, "amount_over_cap"),
        "global_pause_active",
    ),
    "denied_before_payment": ("success", lambda s: denied_before_payment(s.first), "21000"),
    "every_fault_fired": ("unfired", lambda s: every_fault_fired(), "fired 0 times"),
    "forgeries_refused": ("cached", lambda s: forgeries_refused(s.first, s.second), "credential accepted"),
    "found_in_logs": ("paused", lambda s: found_in_logs(s.first, "gateway"), "none in"),
    "opened_in_no_other_way": ("cached", lambda s: opened_in_no_other_way(s.second), "status 200"),
    "idempotent_replay": ("expired", lambda s: idempotent_replay(s.first), "none"),
    "local_artifact_join": ("cached", lambda s: local_artifact_join("req-unknown"), "none"),
    "local_parity": ("stopped", lambda s: local_parity(), "none"),
    "money_agrees": ("not-debited", lambda s: money_agrees(), "0 msats, from 100000000 to 100000000"),
    "no_record": ("success", lambda s: no_record(denyReason="amount_over_cap"), "one, of request"),
    "no_second_payment": (
        "expired",
        lambda s: no_second_payment(s.first, s.second),
        "21000 msats, succeeded",
    ),
    "not_reused": ("cached", lambda s: not_reused(s.first, s.second), "sha256:"),
    "nothing_reached": ("success", lambda s: nothing_reached("payments", request_id=s.first), "one"),
    "one_challenge_an_invoice": ("doubled", lambda s: one_challenge_an_invoice(), "in none"),
    "one_story": ("success", lambda s: one_story(), "no evidence"),
    "paid_and_denied_present": ("success", lambda s: paid_and_denied_present(), "no evidence"),
    "paid_as_challenged": (
        "another-call",
        lambda s: paid_as_challenged(),
        "GET /premium with a query, with another query",
    ),
    "paid_exactly_once": ("success", lambda s: paid_exactly_once("a" * 64), "none succeeded"),
    "paid_exactly_once twice": ("twice", lambda s: paid_exactly_once(s.first), "2 payments, 42000 msats"),
    "paid_nothing": ("success", lambda s: paid_nothing(s.first), "21000 msats, succeeded"),
    "paid_nothing_meanwhile": ("expired", lambda s: paid_nothing_meanwhile(s.first, s.second), "none"),
    "parity_keys_present": ("success", lambda s: parity_keys_present(), "no evidence"),
    "payments_agree": ("stopped", lambda s: payments_agree(), "settlements: none"),
    "payments_agree twice": (
        "both-delivered",
        lambda s: payments_agree(),
        "2 payments, 42000 msats",
    ),
    "planes_agree": ("mismatch", lambda s: planes_agree(), "gateway: lightning_preimage:"),
    "planes_agree twice": ("twice", lambda s: planes_agree(), "2 of them: "),
    "planes_agree both delivered": ("both-delivered", lambda s: planes_agree(), "2 of them: "),
    "probes_ok": ("success", lambda s: probes_ok(), "no evidence"),
    "proof_absent": ("success", lambda s: proof_absent(s.first), "lightning_preimage:"),
    "proof_differs": ("success", lambda s: proof_differs(s.first), "both name"),
    "proof_join": ("mismatch", lambda s: proof_join(s.first), "lightning_preimage:"),
    "records_tell_what_is_known": (
        "cached",
        lambda s: records_tell_what_is_known({"/premium": {"paywallId": "pw_other", "ownerId": "owner"}}),
        "pw_premium",
    ),
    "purchases_cost_one_payment": (
        "twice",
        lambda s: purchases_cost_one_payment(),
        "2 payments, 42000 msats",
    ),
    "purchases_cost_one_payment for nothing": (
        "stopped",
        lambda s: purchases_cost_one_payment(),
        "never presented",
    ),
    "recovered": ("stopped", lambda s: recovered(s.first), "executor: "),
    "reference_artifact_holds": ("cached", lambda s: reference_artifact_holds(), "none"),
    "response_header_joins": ("paused", lambda s: response_header_joins(s.first), "no evidence"),
    "same_value": ("expired", lambda s: same_value("paymentProofRef", s.first, s.second), ", preimage:"),
    "settlement_conflict": ("conflict", lambda s: settlement_conflict(_settlement_id(s), "ownerId"), "none"),
    "sold_as_listed": ("success", lambda s: sold_as_listed({"/premium": 22_000}), "21000 msats"),
    "some_record": ("success", lambda s: some_record(cacheHit=True, plane="ui"), "cacheHit=false"),
    "success_despite": ("success", lambda s: success_despite(s.first, nodeSyncStatus="degraded"), "synced"),
    "summary_ok": ("success", lambda s: summary_ok(), "no evidence"),
    "task_settlement_join": ("cached", lambda s: task_settlement_join(s.second), "none"),
    "triaged_as": ("success", lambda s: triaged_as(s.first, "gateway"), "healthy"),
    "ui_join": ("stopped", lambda s: ui_join(s.first), "none"),
}


# These speak of a reconcile or of recorded results, and are tried beside those.
THEMES = ("deployments", "reconciled", "results")
TRIED_ELSEWHERE = {name for name, theme in public_checks().items() if theme in THEMES}


def test_every_public_check_is_tried_here():
    public = set(public_checks()) - {"record_checks"} - TRIED_ELSEWHERE
    assert {name.split()[0] for name in HOLDS} == public
    # The others are tried on evidence that no stack leaves: below, and in test_evidence_checks_known.py.
    of_any_evidence = {"records_in_time", "replays_told_apart", "rows_in_order"}
    of_any_evidence |= {"records_complete", "values_listed", "steady_state_restored"}
    assert {name.split()[0] for name in FAILS} == public - of_any_evidence


@pytest.mark.parametrize("name", HOLDS)
def test_a_check_holds_of_good_evidence_and_kills_every_mutant(story, name):
    told, factory = HOLDS[name]
    check = factory(story(told))
    result = run_check(check, story(told).evidence)
    assert tell_results([result]) == ""
    assert result.has_teeth
    assert result.rows > 0
    assert check.name.startswith(name.split()[0])


def test_what_was_delivered_without_payment_is_told_once_and_first(story):
    evidence = story("success").evidence
    # As a gateway leaves it that serves at once.
    given = [
        {**row, "credential": "absent"} if row["credential"] == "accepted" else row
        for row in evidence.table("exchanges")
    ]
    evidence = evidence.with_table("exchanges", given).with_table("payments", [])
    checks = (paid_exactly_once("a" * 64).proves("3.paid-once"), sold_as_listed({"/premium": 21_000}))
    told = tell_results([run_check(check, evidence) for check in checks])
    headline, *_ = told.splitlines()
    assert headline.startswith("3.paid-once: expected payment for /premium, 21000 msats, before it is")
    assert told.index("sold_as_listed() is violated") < told.index("paid_exactly_once")
    assert told.count("seen      delivered without payment") == 1


@pytest.mark.parametrize(
    ("whens", "faults", "says"),
    [
        (("before", "after"), [], "before the procedure nothing was injected: see why gateway_challenge"),
        (("after",), [], "else see why gateway_challenge does not answer"),
        (("after",), [{"requestId": "r", "shownAs": None, "injected": ["gone"]}], "take the fault away"),
    ],
)
def test_a_fault_is_to_be_taken_away_only_where_one_can_be(whens, faults, says):
    probes = [
        {"when": when, "probe": "gateway_challenge", "ok": when not in whens, "detail": None}
        for when in ("before", "after")
    ]
    evidence = Evidence({"steady_state": probes, "expected_faults": faults})
    told = run_check(steady_state_restored(), evidence).violations
    assert [each.remedy for each in told] == [told[0].remedy] * len(whens)
    assert says in told[0].remedy
    assert ("take the fault away" in told[0].remedy) is bool(faults)


def test_a_delivery_that_the_control_plane_denied_is_not_told_again(story):
    evidence = story("success").evidence
    request = evidence.table("exchanges")[0]["requestId"]
    given = [
        {**row, "credential": "absent", "status": 200, "upstreamStatus": 200, "challenge": None}
        for row in evidence.table("exchanges")
    ][:1]
    denial = {**evidence.table("records")[0], "plane": "control", "requestId": request, "denyReason": "x"}
    evidence = evidence.with_table("exchanges", given)
    check = sold_as_listed({"/premium": 21_000})
    assert run_check(check, evidence, teeth=False).violations
    told = evidence.with_table("records", [*evidence.table("records"), denial])
    assert not run_check(check, told, teeth=False).violations


@pytest.mark.parametrize("name", FAILS)
def test_a_check_finds_what_is_wrong_and_says_where(story, name):
    told, factory, seen = FAILS[name]
    result = run_check(factory(story(told)), story(told).evidence)
    assert result.violations
    assert seen in "\n".join(violation.seen for violation in result.violations)
    for violation in result.violations:
        assert all([violation.expected, violation.seen, violation.where, violation.remedy])


@pytest.mark.parametrize("name", HOLDS)
def test_no_check_passes_on_evidence_without_rows(story, name):
    told, factory = HOLDS[name]
    check = factory(story(told))
    empty = Evidence({table: [] for table in story(told).evidence.names})
    assert not run_check(check, empty).passed
    for table in check.tables:
        assert not run_check(check, story(told).evidence.with_table(table, [])).passed


@pytest.mark.parametrize("name", HOLDS)
def test_a_mutant_has_a_name_of_its_own(story, name):
    told, factory = HOLDS[name]
    names = [mutant.name for mutant in factory(story(told)).mutants]
    assert len(set(names)) == len(names)


def test_a_broken_contract_is_named_with_the_key(story):
    rows = [dict(row) for row in story("success").evidence.table("records")]
    del rows[2]["taskId"]
    rows[3]["walletState"] = "asleep"
    evidence = Evidence({"records": rows})
    result = run_check(records_complete(), evidence)
    assert [violation.where.split(" (")[0] for violation in result.violations] == [
        "records.jsonl line 3",
        "records.jsonl line 4",
    ]
    assert result.violations[0].expected.startswith("taskId")
    (violation,) = run_check(values_listed(), evidence).violations
    assert "walletState" in violation.seen
    assert "asleep" in violation.seen


def test_a_thousand_findings_are_counted_and_not_listed():
    result = run_check(records_complete(), Evidence({"records": [{}] * 1000}))
    assert len(result.violations) == 11
    assert result.violations[-1].seen == "990 more like these"


def test_a_steady_state_that_was_not_reached_again_is_named(story):
    rows = [dict(row) for row in story("success").evidence.table("steady_state")]
    rows[-1]["ok"] = False
    rows[-1]["detail"] = "1 fault left"
    (violation,) = run_check(steady_state_restored(), Evidence({"steady_state": rows})).violations
    assert violation.seen == "false: 1 fault left"
    half = [row for row in rows if row["when"] == "before"]
    assert not run_check(steady_state_restored(), Evidence({"steady_state": half})).passed


def test_the_checks_of_records_hold_of_every_story_when_its_faults_are_declared(story):
    whole = ("success", "cached", "expired", "refused", "paused", "flow", "conflict")
    for name in (*whole, "mismatch declared", "stopped declared", "lost declared"):
        for check in record_checks():
            assert tell_results([run_check(check, story(name).evidence)]) == ""
    assert not run_check(planes_agree(), story("mismatch").evidence).passed


def test_the_amount_is_compared_over_every_book(story):
    evidence = story("success").evidence
    rows = [{**row, "amountMsats": 1} for row in evidence.table("settlements")]
    (violation,) = run_check(planes_agree(), evidence.with_table("settlements", rows)).violations
    assert "1, 21000" in violation.seen
    assert (
        "settlement" in run_check(planes_agree(), evidence.with_table("settlements", [])).violations[0].seen
    )


def test_a_settlement_that_no_record_tells_of_is_found(story):
    evidence = story("success").evidence
    silent = {**evidence.table("settlements")[0], "paymentProofRef": "lightning_preimage:" + "e" * 24}
    more = evidence.with_table("settlements", [*evidence.table("settlements"), silent])
    (violation,) = run_check(planes_agree(), more).violations
    assert violation.where == "settlements.jsonl line 2"


def test_a_settled_purchase_that_the_wallet_never_paid_is_found(story):
    evidence = story("success").evidence
    unpaid = [{**row, "status": "failed"} for row in evidence.table("payments")]
    result = run_check(payments_agree(), evidence.with_table("payments", unpaid))
    assert "payments: none" in result.violations[0].seen


def test_a_purchase_that_paid_nothing_is_not_paid_once(story):
    result = run_check(paid_exactly_once(None), story("success").evidence)
    assert "nothing was paid" in result.violations[0].seen


def test_a_longer_request_id_does_not_answer_for_a_shorter_one():
    logs = Evidence({"logs": [{"line": "GET oa_req=req-10 status=200", "plane": "gateway"}]})
    assert run_check(found_in_logs("req-10"), logs).passed
    assert not run_check(found_in_logs("req-1"), logs).passed


def test_a_credential_in_the_clear_is_found_and_not_shown(story):
    artifact = dict(story("success").evidence.table("local_artifact")[0])
    flows = [dict(flow) for flow in artifact["flows"]]
    flows[0]["sellerCalls"] = [
        *flows[0]["sellerCalls"],
        {"path": "/", "authorization": "L402 s3cret", "status": 200},
    ]
    evidence = Evidence({"local_artifact": [{**artifact, "flows": flows}]})
    result = run_check(reference_artifact_holds(), evidence)
    assert "in the clear" in result.violations[0].seen
    assert "s3cret" not in tell_results([result])


def test_an_artifact_that_is_none_is_named_by_its_faults():
    evidence = Evidence({"local_artifact": [{"flows": [{"flow": "success"}]}]})
    result = run_check(reference_artifact_holds(), evidence)
    assert "flows[0].taskId: a value or null" in {violation.expected for violation in result.violations}


@pytest.mark.parametrize(
    ("misuse", "error", "says"),
    [
        (some_record, ValueError, "some_record: .* saw none"),
        (lambda: some_record(cachehit=True), ValueError, "did you mean 'cacheHit'"),
        (lambda: no_record(zzz=1), ValueError, "one of requestId"),
        (lambda: same_value("proof", "a"), ValueError, "observability contract"),
        (lambda: same_value("taskId"), ValueError, "same_value: .* saw none"),
        (paid_nothing, ValueError, "paid_nothing: .* saw none"),
        (lambda: nothing_reached(request_id="a"), ValueError, "at least one table"),
        (lambda: artifact_shows("a"), ValueError, "saw neither"),
        (lambda: success_despite("a"), ValueError, "success_despite: .* saw none"),
        (lambda: triaged_as("a", "weather"), ValueError, "healthy, policy, gateway"),
        (lambda: recovered(7), TypeError, "recovered: purchase: expected a purchase, or a request id, saw 7"),
        (lambda: recovered(""), TypeError, "request id"),
    ],
)
def test_misuse_is_refused_when_the_check_is_made(misuse, error, says):
    with pytest.raises(error, match=says):
        misuse()


def test_a_payment_that_is_pending_beside_the_one_that_succeeded(story):
    told = story("success")
    (row,) = (row for row in told.evidence.table("payments") if row["status"] == "succeeded")
    twice = told.evidence.with_table("payments", [row, {**row, "status": "pending"}])
    (violation,) = run_check(paid_exactly_once(told.first), twice).violations
    assert violation.seen == "1 succeeded, 1 pending"


def test_nothing_in_a_result_is_a_secret(story):
    # Everything that the checks print comes from rows, which hold references and digests only.
    for name in ("success", "refused", "mismatch"):
        for table in story(name).evidence:
            text = story(name).evidence.jsonl(table).decode()
            assert "macaroon=" not in text
            assert "L402 " not in text


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ({"field": "nodeSyncStatus"}, "denyReason"),
        ({"rule": "spending_policy"}, "policy_denied"),
        ({"step_contains": "reboot"}, "nothing is broken"),
    ],
)
def test_a_diagnosis_is_compared_in_every_part_that_was_asked_for(story, wanted, seen):
    check = triaged_as(story("success").second, "policy", **wanted)
    (violation,) = run_check(check, story("success").evidence).violations
    assert seen in violation.seen


def test_a_request_with_an_invalid_record_is_triaged_as_incomplete(story):
    evidence, first = story("success").evidence, story("success").first
    broken = {**evidence.table("records")[0], "requestId": first.request_id, "plane": None}
    more = evidence.with_table("records", [*evidence.table("records"), broken])
    result = run_check(triaged_as(first, "incomplete"), more)
    assert tell_results([result]) == ""
    assert result.has_teeth


def _summary(story, **sections):
    evidence = story("flow").evidence
    return evidence.with_table("flow_summary", [{**evidence.table("flow_summary")[0], **sections}])


@pytest.mark.parametrize(
    ("check", "sections", "seen"),
    [
        (one_story, {"paidRequest": None}, "nothing"),
        (one_story, {"observability": None}, "nothing"),
        (one_story, {"policyDeniedRequest": None}, "nothing"),
        (probes_ok, {"gatewayReconcile": None}, "challengeOk, proxyOk, healthOk"),
        (summary_ok, {"mode": "dream"}, "dream"),
        (parity_keys_present, {"parity": None}, "lacking executionPath"),
        (artifacts_written, {"requestId": "smoke:another"}, "smoke_full-flow"),
        (paid_and_denied_present, {"paidRequest": {"status": "paid"}}, "nothing"),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_summary_that_does_not_fit_the_rest_is_found(story, check, sections, seen):
    violations = run_check(check(), _summary(story, **sections)).violations
    assert seen in "\n".join(violation.seen for violation in violations)


@pytest.mark.parametrize(
    "check", [summary_ok, probes_ok, one_story, artifacts_written, paid_and_denied_present]
)
def test_two_summaries_are_not_one(story, check):
    evidence = story("flow").evidence
    twice = evidence.with_table("flow_summary", evidence.table("flow_summary") * 2)
    assert "2" in {violation.seen for violation in run_check(check(), twice).violations}


def test_events_out_of_order_or_unreadable_are_found(story):
    evidence = story("flow").evidence
    events = list(evidence.table("flow_events"))
    back = run_check(artifacts_written(), evidence.with_table("flow_events", events[::-1])).violations
    assert back[0].seen.startswith("parity.verify, observability.verify")
    broken = evidence.with_table("flow_events", [*events[:-1], {**events[-1], "stage": "party"}])
    assert any("party" in violation.seen for violation in run_check(artifacts_written(), broken).violations)


def test_events_that_failed_contradict_a_summary_that_is_ok(story):
    evidence = story("flow").evidence
    events = [{**row, "status": "failed"} for row in evidence.table("flow_events")]
    violations = run_check(one_story(), evidence.with_table("flow_events", events)).violations
    assert "ok=true, and 6 stage(s) that failed" in violations[0].seen


def test_records_that_were_lost_contradict_the_count(story):
    evidence = story("flow").evidence
    few = evidence.with_table("records", evidence.table("records")[:3])
    assert "3 records" in {violation.seen for violation in run_check(one_story(), few).violations}


def test_one_settlement_too_many_or_another_amount_is_found(story):
    evidence, first = story("success").evidence, story("success").first
    (row,) = evidence.table("settlements")
    twice = evidence.with_table("settlements", [row, {**row, "settlementId": "set_2"}])
    assert [v.seen for v in run_check(paid_exactly_once(first), twice).violations] == ["2"]
    cheap = evidence.with_table("settlements", [{**row, "amountMsats": 1}])
    assert [v.seen for v in run_check(paid_exactly_once(first), cheap).violations] == ["1 msats"]


def test_a_replay_that_contradicts_the_store_is_found(story):
    evidence, first = story("cached").evidence, story("cached").first
    row = {"settlementId": f"set_{first.payment_hash[:16]}", "field": "ownerId"}
    (violation,) = run_check(idempotent_replay(first), evidence.with_table("conflicts", [row])).violations
    assert violation.seen == "ownerId contradicts the store"


def test_a_payment_that_only_references_tell_apart_is_found(story):
    evidence, first = story("success").evidence, story("success").first
    altered = first.proof_reference[:-1] + ("0" if first.proof_reference[-1] != "0" else "1")
    rows = [{**row, "paymentProofRef": altered} for row in evidence.table("settlements")]
    (violation,) = run_check(planes_agree(), evidence.with_table("settlements", rows)).violations
    assert altered in violation.seen
    paid = [{**row, "proofReference": altered} for row in evidence.table("payments")]
    (violation,) = run_check(proof_join(first), evidence.with_table("payments", paid)).violations
    assert violation.where == "payments.jsonl line 1"


def test_a_flow_that_failed_and_says_so_is_one_story_and_accuses_no_check(story):
    evidence = story("flow").evidence
    (summary,) = evidence.table("flow_summary")
    events = [
        {**row, "status": "failed" if row["stage"] == "gateway.reconcile" else row["status"]}
        for row in evidence.table("flow_events")
    ]
    failed = evidence.with_table("flow_events", events)
    failed = failed.with_table("flow_summary", [{**summary, "ok": False}])
    result = run_check(one_story(), failed)
    assert tell_results([result]) == ""
    assert result.has_teeth


@pytest.mark.parametrize(
    ("standing", "refusal", "seen", "remedy"),
    [
        ("absent", None, "no credential presented", "the client sent no credential"),
        ("refused", "header_malformed", "a credential that cannot be read", "the client garbled it"),
        ("refused", "invoice_not_settled", "a credential refused: invoice_not_settled", "the node does not"),
    ],
)
def test_a_diagnosis_says_of_a_refusal_which_of_three_it_is(story, standing, refusal, seen, remedy):
    told = story("success")
    evidence, request = told.evidence, told.first.request_id
    exchanges = [
        {**row, "credential": standing, "refusal": refusal, "status": 402, "challenge": "issued"}
        if row["credential"] == "accepted"
        else row
        for row in evidence.table("exchanges")
    ]
    records = [
        {**row, "denyReason": "credential_refused", "paymentProofRef": None}
        if row["requestId"] == request and row["executor"] == "desktop"
        else row
        for row in evidence.table("records")
        if row["paymentProofRef"] is None or row["executor"] == "desktop"
    ]
    evidence = evidence.with_table("exchanges", exchanges).with_table("records", records)
    (violation,) = run_check(triaged_as(request, "healthy"), evidence, teeth=False).violations
    assert seen in violation.seen
    assert violation.remedy.startswith(remedy)
