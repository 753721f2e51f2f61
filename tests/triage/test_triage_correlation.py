import re

import pytest
from evidence_records import make_record
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.contract import proof_join_key
from pytest_l402.triage.correlation import (
    correlated,
    correlation_sql,
    flow_rows,
    snake_case,
    statements,
    verdict_sql,
)
from pytest_l402.triage.findings import Findings
from pytest_l402.triage.rules import RULES

HOSTED = "lightning_preimage:00112233445566778899aabb"
LOCAL = "preimage:0011223344556677"

# What at least one of the engines a fleet may use does not have, or has with another meaning.
_NOT_PORTABLE = (
    r"filter\s*\(",
    r"bool_or|bool_and|any_value|arg_max|group_concat|string_agg",
    r"distinct",
    r"qualify|lateral|over\s*\(",
    r"is\s+(not\s+)?distinct",
    r"\b(ifnull|nvl|iif|instr|glob|regexp)\b",
    r"\bas\s+materialized|\bwith\b",
    r'"|`|\[',
    r"::",
)


def rows(table, *records):
    with correlated(records) as engine:
        columns = [name for _, name, *_ in engine.rows(f"pragma table_info({table})")]
        return [dict(zip(columns, row, strict=True)) for row in engine.rows(f"select * from {table}")]


@pytest.mark.parametrize("pattern", _NOT_PORTABLE)
def test_the_text_keeps_to_what_every_engine_has(pattern):
    bare = re.sub(r"--[^\n]*", "", correlation_sql()) + verdict_sql()
    assert re.search(pattern, bare, re.IGNORECASE) is None


def test_every_case_has_an_else():
    bare = re.sub(r"--[^\n]*", "", correlation_sql()) + verdict_sql()
    assert len(re.findall(r"\bcase\b", bare)) == len(re.findall(r"\belse\b", bare))


def test_no_identifier_needs_quotes():
    bare = re.sub(r"'[^']*'|--[^\n]*", "", correlation_sql() + verdict_sql())
    assert bare == bare.lower()


def test_the_statements_of_the_text_are_those_that_run():
    named = re.findall(r"^-- name: (\w+)$", correlation_sql(), re.MULTILINE)
    with correlated([]) as engine:
        tables = {name for (name,) in engine.rows("select name from sqlite_master")}
    assert set(named) <= tables
    assert [*named, "request_verdicts"] == [table for table, _ in statements()]
    assert len(named) == correlation_sql().count("create table") == 21


def test_every_rule_reads_columns_that_the_model_has():
    with correlated([]) as engine:
        columns = {name for _, name, *_ in engine.rows("pragma table_info(request_story)")}
    for rule in RULES:
        assert not rule.value or rule.value in columns, rule.name
        assert set(re.findall(r"{(\w+)}", rule.reason)) <= columns, rule.name
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_model_is_empty_again_after_use(record):
    assert len(rows("request_story", record())) == 1
    assert rows("request_story") == []
    with correlated([record()]), pytest.raises(RuntimeError, match="does not nest"), correlated([]):
        pass
    assert [story["request_id"] for story in rows("request_story", record(requestId="x"))] == ["x"]


def test_both_forms_of_a_proof_are_one_payment(record):
    told = (
        record(plane="gateway", executor="gateway", paymentProofRef=HOSTED, paidAmountMsats=5),
        record(
            plane="settlement",
            executor="gateway",
            paymentProofRef=HOSTED,
            paidAmountMsats=5,
            cacheHit=False,
        ),
        record(
            requestId="req-2",
            plane="settlement",
            executor="gateway",
            paymentProofRef=HOSTED,
            cacheHit=True,
        ),
        record(plane="settlement", executor="desktop", paymentProofRef=LOCAL, executionPath="local-node"),
    )
    (payment,) = rows("payments", *told)
    assert (payment["proof_key"], payment["paid_lo"], payment["paid_hi"]) == ("0011223344556677", 5, 5)
    hosted, local = sorted(rows("proof_audit", *told), key=lambda row: row["path"])
    assert (hosted["n_records"], hosted["n_settlement"], hosted["n_settled"]) == (3, 2, 1)
    assert (local["n_records"], local["n_settlement"], local["n_ui"]) == (1, 1, 0)


@given(reference=st.from_regex(r"(lightning_preimage:[0-9a-f]{24}|preimage:[0-9a-f]{16})", fullmatch=True))
def test_the_model_joins_proofs_as_the_contract_does(reference):
    (proof,) = rows("proof_audit", make_record(paymentProofRef=reference))
    assert proof["proof_key"] == proof_join_key(reference)


def test_a_reference_of_a_foreign_form_is_its_own_key(record):
    (proof,) = rows("proof_audit", record(paymentProofRef="receipt-77"))
    assert proof["proof_key"] == "receipt-77"


def test_invalid_records_are_kept_out_and_named(record):
    broken = record(requestId="req-2")
    del broken["plane"]
    records = [record(), broken, record(requestId=7), record(requestId=None)]
    with correlated(records) as engine:
        counted = dict(engine.rows("select request_id, n_invalid from request_story"))
        broken = [*engine.rows("select line, request_id from l402_violations")]
        assert Findings(engine).n_unattributable == 1
    assert broken == [(1, "req-2"), (2, None)]
    assert counted == {"req-1": 0, "req-2": 1}


def test_numbers_that_json_wrote_with_a_point_are_integers(record):
    (proof,) = rows("payments", record(plane="ui", paymentProofRef="x", paidAmountMsats=2.0))
    assert proof["paid_lo"] == 2
    assert isinstance(proof["paid_lo"], int)


def test_flows_are_found_by_every_id_they_name():
    flow = {
        "createRequestId": "a",
        "transitionRequestIds": ["b", "a", 7],
        "observabilityRecords": [{"requestId": "c"}, {}, "?"],
        "taskId": "t",
        "taskStatus": "running",
    }
    found = [(row["request_id"], row["is_create"]) for row in flow_rows({"flows": [flow, "?"]})]
    assert found == [("a", 1), ("b", 0), ("c", 0)]
    assert flow_rows({}) == flow_rows({"flows": [{}]}) == []


@pytest.mark.parametrize(
    ("key", "column"), [("requestId", "request_id"), ("observedAtMs", "observed_at_ms"), ("plane", "plane")]
)
def test_columns_are_snake_case(key, column):
    assert snake_case(key) == column
