from dataclasses import replace

import pytest

from pytest_l402.evidence import Check, Evidence, Finding, Mutant, run_check
from pytest_l402.evidence.check import Fate, MutantVerdict
from pytest_l402.evidence.mutants import drop_key, insert_row, remove_rows, set_value
from pytest_l402.evidence.telling import tell_results

PAID = Evidence({"payments": [{"status": "succeeded", "amountMsats": 1}]})


def _judge(evidence):
    for index, row in enumerate(evidence.table("payments")):
        if row.get("status") != "succeeded":
            yield Finding("status succeeded", str(row.get("status")), f"payments {index}", "pay again")


def _check(*mutants, judge=_judge, tables=("payments",)):
    return Check("all_paid()", judge, mutants, tables)


FAILED = set_value("payments", "status", "failed")


def test_a_check_that_kills_its_mutant_passes():
    result = run_check(_check(FAILED).proves("3.paid-once"), PAID)
    assert (result.passed, result.has_teeth, result.rows, result.line) == (True, True, 1, "3.paid-once")
    assert result.mutants[0].killed
    assert result.mutants[0].detail == "failed"
    assert tell_results([result]) == ""


def test_a_mutant_the_check_does_not_notice_survives_and_spoils_the_result():
    result = run_check(_check(FAILED, set_value("payments", "amountMsats", 2)), PAID)
    assert not result.passed
    assert not result.has_teeth
    assert [mutant.killed for mutant in result.mutants] == [True, False]
    assert "survived" in tell_results([result])


def test_a_mutant_that_changes_nothing_is_not_killed():
    result = run_check(_check(set_value("payments", "status", "succeeded")), PAID)
    assert [(m.killed, m.detail.partition(":")[0]) for m in result.mutants] == [(False, "not applicable")]


def test_zero_rows_is_a_violation_and_not_a_pass():
    for evidence in (Evidence({}), Evidence({"payments": []}), Evidence({"records": [{}]})):
        result = run_check(_check(FAILED), evidence)
        assert not result.passed
        assert "no evidence" in result.violations[0].seen
        assert result.mutants == ()


def test_a_check_without_tables_or_mutants_proves_nothing():
    assert "no table" in run_check(_check(FAILED, tables=()), PAID).violations[0].seen
    assert "able to fail" in run_check(_check(), PAID).violations[0].seen
    assert run_check(_check(), PAID, teeth=False).passed


def test_without_teeth_no_mutant_is_tried():
    result = run_check(_check(FAILED), PAID, teeth=False)
    assert (result.passed, result.has_teeth, result.mutants) == (True, False, ())


def test_evidence_that_is_wrong_already_is_not_mutated():
    result = run_check(_check(FAILED), Evidence({"payments": [{"status": "pending"}] * 2}))
    assert [violation.seen for violation in result.violations] == ["pending", "pending"]
    assert result.mutants == ()


def test_a_judge_that_raises_is_a_violation_and_keeps_what_it_found_before():
    def judge(evidence):
        yield Finding("a", "b", "c", "d")
        raise KeyError("status")

    result = run_check(_check(FAILED, judge=judge), PAID)
    assert [violation.seen for violation in result.violations] == ["b", "it raised KeyError: 'status'"]


def test_a_judge_that_raises_on_a_mutant_has_not_noticed_it():
    def judge(evidence):
        assert evidence.table("payments")[0]
        return []

    result = run_check(_check(remove_rows("payments"), judge=judge), PAID)
    assert [mutant.killed for mutant in result.mutants] == [False]
    assert "fell over" in result.mutants[0].detail


def test_a_mutant_that_raises_is_a_survivor():
    def apply(evidence):
        raise ZeroDivisionError

    result = run_check(_check(Mutant("broken", apply)), PAID)
    assert not result.passed
    assert "ZeroDivisionError" in result.mutants[0].detail


def test_only_the_judge_kills():
    # Emptying a table is noticed by run_check itself; the check gets no credit for that.
    assert not run_check(_check(remove_rows("payments")), PAID).passed


@pytest.mark.parametrize("fields", [{}, {"amountMsats": 1}])
def test_the_same_check_can_be_tied_to_a_line_and_stays_the_same(fields):
    check = _check(insert_row("payments", fields))
    assert check.line is None
    assert check.proves("x").line == "x"
    assert check.proves("x").proves("y") == check.proves("y")


def test_every_mutant_has_a_verdict_and_both_canaries_are_told():
    other = Finding("settled", "not", "settlements.jsonl", "look")

    def judge(evidence):
        yield from _judge(evidence)
        if evidence.table("payments")[-1].get("amountMsats") != 1:
            yield other

    mutants = (
        FAILED,
        set_value("payments", "amountMsats", 2),
        set_value("payments", "status", "succeeded"),
        insert_row("payments", {"status": "succeeded", "amountMsats": 1}),
    )
    result = run_check(_check(*mutants, judge=judge), PAID)
    assert [mutant.verdict for mutant in result.mutants] == [
        MutantVerdict.KILLED,
        MutantVerdict.WRONG_REASON,
        MutantVerdict.NOT_APPLICABLE,
        MutantVerdict.SURVIVED,
    ]
    assert "altered payments.amountMsats" in result.mutants[1].detail
    assert not result.has_teeth
    assert [(canary.due, canary.seen) for canary in result.canaries] == [
        (Fate.SURVIVES, Fate.SURVIVES),
        (Fate.DIES, Fate.DIES),
    ]


def test_a_check_may_look_at_every_field_of_a_table_if_it_says_so():
    known = {"status", "amountMsats"}

    def judge(evidence):
        for row in evidence.table("payments"):
            if set(row) != known:
                yield Finding(f"{known} alone", f"{set(row)}", "payments", "look")

    check = _check(drop_key("payments", "status"), judge=judge)
    assert "canary" in run_check(check, PAID).violations[0].seen
    assert run_check(replace(check, every_field_of=("payments",)), PAID).passed
