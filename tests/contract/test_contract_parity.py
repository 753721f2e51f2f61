from copy import deepcopy

import pytest
from contract_samples import paid_record, vector

from pytest_l402.contract import PARITY_KEYS, ParityState, parity

PROOF = "lightning_preimage:000577509e3cf1013c746ab2"


def hosted(**changes):
    return paid_record(requestId="r1", taskId="t1", paymentProofRef=PROOF, **changes)


def local_record(**changes):
    record = vector("local-node-artifact.json")["flows"][0]["observabilityRecords"][0]
    return record | {"requestId": "r1", "taskId": "t1"} | changes


def flow(**changes):
    value = deepcopy(vector("local-node-artifact.json")["flows"][0])
    value |= {"taskId": "t1", "createRequestId": "r1", "transitionRequestIds": []}
    value["observabilityRecords"] = [local_record()]
    return value | changes


def states(report):
    return {key.key: key.state for key in report.keys}


def test_one_payment_told_on_both_sides_agrees_although_the_references_differ_in_form():
    report = parity([hosted()], [flow()])
    assert report.agrees
    assert states(report) == dict.fromkeys(PARITY_KEYS, ParityState.AGREES)
    assert parity([hosted()], [local_record()]).agrees


def test_key_presence_is_not_enough():
    nulls = dict.fromkeys(("requestId", "taskId", "paymentProofRef"))
    report = parity([hosted() | nulls], [flow()])
    assert report.in_state(ParityState.MISSING_HOSTED) == ("requestId", "taskId", "paymentProofRef")
    assert not report.agrees


def test_blocked_flow_alone_never_agrees():
    blocked = vector("local-node-artifact.json")["flows"][1]
    report = parity([hosted()], [blocked])
    assert not report.agrees
    assert "paymentProofRef" in report.in_state(ParityState.MISSING_LOCAL)
    assert "requestId" in report.in_state(ParityState.DIFFERS)


def test_nothing_at_all_never_agrees():
    assert not parity([], []).agrees
    assert not parity([hosted()], [flow()], required=()).agrees


def test_two_unrelated_payments_differ():
    report = parity(
        [hosted(paywallId=None) | {"paymentProofRef": "lightning_preimage:" + "f" * 24}], [flow()]
    )
    assert report.in_state(ParityState.DIFFERS) == ("requestId", "taskId", "paymentProofRef")
    assert "000577509e3cf101" in report.keys[1].reason


def test_original_tools_runs_have_no_payment_in_common():
    report = parity(vector("observability.json")["records"], vector("local-node-artifact.json")["flows"])
    assert report.in_state(ParityState.DIFFERS) == ("requestId", "taskId", "paymentProofRef")


@pytest.mark.parametrize("key", ["requestId", "taskId"])
def test_ids_must_meet_within_the_payment(key):
    other = hosted() | {key: "another"}
    report = parity([other, hosted(paywallId="x") | {"paymentProofRef": None}], [flow()])
    assert report.in_state(ParityState.DIFFERS) == (key,)


def test_every_local_payment_needs_its_hosted_one():
    second = flow(proofReference="preimage:" + "b" * 16, observabilityRecords=[])
    assert parity([hosted()], [flow()]).agrees
    assert "paymentProofRef" in parity([hosted()], [flow(), second]).in_state(ParityState.DIFFERS)


def test_wrong_execution_path_differs_on_either_side():
    theirs = hosted(executionPath="local-node")
    assert parity([theirs], [flow()]).in_state(ParityState.DIFFERS) == ("executionPath",)
    wrong = flow(observabilityRecords=[local_record(executionPath="hosted-node")])
    assert parity([hosted()], [wrong]).in_state(ParityState.DIFFERS) == ("executionPath",)


def test_other_hosted_buyers_do_not_disturb():
    other = hosted(userId="u2") | {"requestId": "r9", "paymentProofRef": "lightning_preimage:" + "9" * 24}
    assert parity([hosted(), other], [flow()]).agrees


@pytest.mark.parametrize("key", ["requestId", "taskId", "paymentProofRef"])
@pytest.mark.parametrize("null", [None, "", " "])
def test_what_stands_beside_the_records_does_not_make_up_for_a_key_that_is_null_in_each(key, null):
    records = [local_record(**{key: null}), local_record(**{key: null}, plane="ui")]
    report = parity([hosted()], [flow(observabilityRecords=records)])
    assert states(report)[key] is ParityState.MISSING_LOCAL
    assert not report.agrees
    assert parity([hosted()], [flow(observabilityRecords=[*records, local_record()])]).agrees


@pytest.mark.parametrize("key", ["taskId", "paymentProofRef"])
def test_nor_does_another_payment_that_has_it(key):
    other = hosted() | {
        "requestId": "r2",
        "taskId": "t2",
        "paymentProofRef": "lightning_preimage:" + "f" * 24,
    }
    told = {"requestId": "r2", "taskId": "t2", "paymentProofRef": "preimage:" + "f" * 16}
    whole = flow(
        taskId="t2",
        createRequestId="r2",
        proofReference=told["paymentProofRef"],
        observabilityRecords=[local_record(**told)],
    )
    assert parity([hosted(), other], [flow(), whole]).agrees
    report = parity([hosted(), other], [flow(observabilityRecords=[local_record(**{key: None})]), whole])
    assert states(report)[key] is ParityState.DIFFERS
