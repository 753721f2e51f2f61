"""The verdict: green only on positive evidence, and never greener for something that went wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signoff_samples import (
    CATALOGUE,
    GREEN,
    PROJECT,
    TODAY,
    facts,
    failed_node,
    held,
    judge,
    node,
    violated,
    violation,
    waiver,
)

from pytest_l402.evidence.check import AtFault, Canary, CheckResult, Fate, MutantResult, MutantVerdict
from pytest_l402.signoff import ReasonCode, Verdict
from pytest_l402.signoff.catalogue import CatalogueError
from pytest_l402.signoff.document import build_document
from pytest_l402.signoff.judged import RehearsalState, SignOff
from pytest_l402.signoff.results import NodeResult
from pytest_l402.signoff.waivers import WaiverTarget
from pytest_l402.signoff.wording import tally

RANK = {Verdict.SIGNED_OFF: 0, Verdict.INCOMPLETE: 1, Verdict.NOT_SIGNED_OFF: 2}


def codes(sign_off: SignOff, rehearsal: str) -> list[ReasonCode]:
    outcome = sign_off.outcome(rehearsal)
    assert outcome is not None
    return [reason.code for reason in outcome.reasons]


def state(sign_off: SignOff, rehearsal: str) -> RehearsalState:
    outcome = sign_off.outcome(rehearsal)
    assert outcome is not None
    return outcome.state


def test_everything_proven_is_signed_off() -> None:
    sign_off = judge()

    assert sign_off.verdict is Verdict.SIGNED_OFF
    assert sign_off.reasons == ()
    assert state(sign_off, "success") is RehearsalState.PASSED
    assert state(sign_off, "extra") is RehearsalState.NOT_RUN
    outcome = sign_off.outcome("success")
    assert outcome is not None
    assert [(proof.line.id, proof.proven_by) for proof in outcome.lines] == [
        ("1.ok", ("check 1.ok",)),
        ("1.keys", ("check 1.keys",)),
    ]


PASSED = {"setup": "passed", "call": "passed", "teardown": "passed"}


@pytest.mark.parametrize(
    ("changes", "code", "expected_state", "verdict"),
    [
        pytest.param(
            {"phases": {**PASSED, "call": "failed"}, "failure": "boom"},
            ReasonCode.PHASE_FAILED,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="call-failed",
        ),
        pytest.param(
            {"phases": {**PASSED, "teardown": "failed"}},
            ReasonCode.PHASE_FAILED,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="teardown-failed",
        ),
        pytest.param(
            {"phases": {"setup": "failed", "teardown": "passed"}},
            ReasonCode.PHASE_FAILED,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="setup-failed",
        ),
        pytest.param(
            {"phases": {"setup": "skipped", "teardown": "passed"}, "skipped": "no dbos", "checks": ()},
            ReasonCode.SKIPPED,
            RehearsalState.NOT_RUN,
            Verdict.INCOMPLETE,
            id="skipped-in-setup",
        ),
        pytest.param(
            {"phases": {**PASSED, "call": "skipped"}, "skipped": "late"},
            ReasonCode.SKIPPED,
            RehearsalState.NOT_RUN,
            Verdict.INCOMPLETE,
            id="skipped-in-call",
        ),
        pytest.param(
            {"phases": {**PASSED, "call": "skipped"}, "xfail": "known"},
            ReasonCode.EXPECTED_FAILURE,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="xfail",
        ),
        pytest.param(
            {"xfail": ""},
            ReasonCode.EXPECTED_FAILURE,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="xpass",
        ),
        pytest.param(
            {"reran": 1}, ReasonCode.RERUN, RehearsalState.FAILED, Verdict.NOT_SIGNED_OFF, id="rerun"
        ),
        pytest.param(
            {"failed_subtests": 1},
            ReasonCode.SUBTEST_FAILED,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="subtest-failed",
        ),
        pytest.param(
            {"skipped_subtests": 1},
            ReasonCode.SUBTEST_SKIPPED,
            RehearsalState.INCOMPLETE,
            Verdict.INCOMPLETE,
            id="subtest-skipped",
        ),
        pytest.param(
            {"phases": {"setup": "passed"}},
            ReasonCode.PHASE_MISSING,
            RehearsalState.NOT_RUN,
            Verdict.INCOMPLETE,
            id="no-call-phase",
        ),
        pytest.param(
            {"phases": {"setup": "passed", "call": "passed"}},
            ReasonCode.PHASE_MISSING,
            RehearsalState.INCOMPLETE,
            Verdict.INCOMPLETE,
            id="no-teardown-phase",
        ),
        pytest.param(
            {"phases": {**PASSED, "extra": "passed"}},
            ReasonCode.PHASE_MISSING,
            RehearsalState.INCOMPLETE,
            Verdict.INCOMPLETE,
            id="unknown-phase",
        ),
        pytest.param(
            {"checks": ()},
            ReasonCode.NO_CHECKS,
            RehearsalState.INCOMPLETE,
            Verdict.INCOMPLETE,
            id="no-checks",
        ),
        pytest.param(
            {"checks": (violated("hit", "2.hit"),)},
            ReasonCode.CHECK_VIOLATED,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="check-violated",
        ),
        pytest.param(
            {"standing": (violated("records_complete"),)},
            ReasonCode.CHECK_VIOLATED,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="standing-check-violated",
        ),
        pytest.param(
            {"checks": (held("hit", "2.hit", rows=0),)},
            ReasonCode.NO_EVIDENCE,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="no-rows",
        ),
        pytest.param(
            {"checks": (held("hit", "2.hit", mutants=()),)},
            ReasonCode.NO_MUTANTS,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="no-mutants",
        ),
        pytest.param(
            {
                "checks": (
                    held(
                        "hit",
                        "2.hit",
                        mutants=(
                            MutantResult("a", MutantVerdict.KILLED),
                            MutantResult("b", MutantVerdict.SURVIVED),
                        ),
                    ),
                )
            },
            ReasonCode.MUTANT_SURVIVED,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="mutant-survived",
        ),
        pytest.param(
            {"checks": (held("other"),)},
            ReasonCode.LINE_UNPROVEN,
            RehearsalState.INCOMPLETE,
            Verdict.INCOMPLETE,
            id="line-unproven",
        ),
        pytest.param(
            {"checks": (held("hit", "2.hit"), held("typo", "2.hitt"))},
            ReasonCode.UNKNOWN_LINE,
            RehearsalState.FAILED,
            Verdict.NOT_SIGNED_OFF,
            id="line-unknown",
        ),
    ],
)
def test_one_flaw_of_a_node_is_enough(
    changes: dict[str, object], code: ReasonCode, expected_state: RehearsalState, verdict: Verdict
) -> None:
    sign_off = judge((node("success"), node("reuse", **changes)))

    assert code in codes(sign_off, "reuse")
    assert state(sign_off, "reuse") is expected_state
    assert sign_off.verdict is verdict
    assert "reuse" in sign_off.reasons[0].text


DIED = Canary("noise", due=Fate.SURVIVES, seen=Fate.DIES)
UNTRUSTED = replace(violation("hit", "2.hit"), at_fault=AtFault.CHECK)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(violated("other", "2.hit"), id="violated"),
        pytest.param(held("other", "2.hit", violations=(UNTRUSTED,), canaries=(DIED,)), id="untrusted"),
        pytest.param(held("other", "2.hit", mutants=()), id="toothless"),
        pytest.param(held("other", "2.hit", rows=0, moment=""), id="rowless"),
        pytest.param(
            held("other", "2.hit", mutants=(MutantResult("a", MutantVerdict.WRONG_REASON),)),
            id="wrong-reason",
        ),
    ],
)
@pytest.mark.parametrize("where", ["same test", "other test", "standing"])
def test_a_line_is_proven_only_if_every_check_tied_to_it_held(other: CheckResult, where: str) -> None:
    reuse = node("reuse")
    nodes = {
        "same test": (replace(reuse, checks=(held("hit", "2.hit"), other)),),
        "other test": (reuse, replace(reuse, nodeid=f"{reuse.nodeid}[2]", checks=(other,))),
        "standing": (replace(reuse, standing=(other,)),),
    }[where]
    sign_off = judge((node("success"), *nodes))
    outcome = sign_off.outcome("reuse")
    assert outcome is not None
    assert [proof.proven_by for proof in outcome.lines] == [()]
    assert sign_off.verdict is Verdict.NOT_SIGNED_OFF
    assert tally(build_document(sign_off, project=PROJECT).rehearsals[1]).startswith("0 of 1 line proven")


def test_a_check_that_cannot_be_trusted_is_told_apart_from_a_violated_one() -> None:
    untrusted = held("hit", "2.hit", violations=(UNTRUSTED,))
    sign_off = judge((node("success"), node("reuse", checks=(untrusted,))))
    assert codes(sign_off, "reuse") == [ReasonCode.CHECK_UNTRUSTED]


def test_a_line_that_only_a_toothless_check_holds_is_not_proven() -> None:
    sign_off = judge((node("success"), node("reuse", checks=(held("hit", "2.hit", mutants=()),))))

    outcome = sign_off.outcome("reuse")
    assert outcome is not None
    assert outcome.lines[0].proven_by == ()


def test_a_standing_check_may_prove_a_line() -> None:
    reuse = node("reuse", checks=(held("asked"),), standing=(held("always", "2.hit"),))

    assert judge((node("success"), reuse)).verdict is Verdict.SIGNED_OFF


def test_a_standing_check_may_cite_a_line_of_another_runbook() -> None:
    reuse = node("reuse", standing=(held("always", "contract.keys"),))

    assert judge((node("success"), reuse)).verdict is Verdict.SIGNED_OFF


def test_teeth_off_cannot_sign_off_though_every_check_holds() -> None:
    nodes = tuple(
        replace(
            entry,
            checks=tuple(replace(check, mutants=()) for check in entry.checks),
            standing=tuple(replace(check, mutants=()) for check in entry.standing),
        )
        for entry in GREEN
    )
    sign_off = judge(nodes, facts(nodes, teeth=False))

    assert sign_off.verdict is Verdict.INCOMPLETE
    assert codes(sign_off, "reuse") == [ReasonCode.TEETH_OFF]


def test_teeth_off_cannot_sign_off_even_if_mutants_are_reported() -> None:
    assert judge(GREEN, facts(teeth=False)).verdict is Verdict.INCOMPLETE


def test_a_required_rehearsal_without_a_node_is_missing() -> None:
    sign_off = judge((node("success"),))

    assert sign_off.verdict is Verdict.INCOMPLETE
    assert codes(sign_off, "reuse") == [ReasonCode.NO_NODE]


def test_no_node_at_all_is_incomplete() -> None:
    assert judge((), facts(())).verdict is Verdict.INCOMPLETE
    assert judge((), facts((), exit_status=5)).verdict is Verdict.INCOMPLETE


def test_a_collected_case_without_a_result_is_missing() -> None:
    other = node("reuse", "two")
    sign_off = judge(GREEN, facts((*GREEN, other)))

    assert codes(sign_off, "reuse") == [ReasonCode.NO_RESULT]
    assert sign_off.verdict is Verdict.INCOMPLETE


def test_one_deselected_case_is_enough_to_refuse() -> None:
    other = node("reuse", "two")
    sign_off = judge(GREEN, facts(GREEN, deselected={other.nodeid: "reuse"}))

    assert codes(sign_off, "reuse") == [ReasonCode.DESELECTED]
    assert sign_off.verdict is Verdict.INCOMPLETE


def test_a_node_that_was_never_collected_does_not_count() -> None:
    sign_off = judge(GREEN, facts(GREEN, collected={GREEN[0].nodeid: "success"}))

    assert codes(sign_off, "reuse") == [ReasonCode.NOT_COLLECTED]
    assert sign_off.verdict is Verdict.INCOMPLETE


def test_a_node_that_was_collected_as_another_rehearsal_does_not_count() -> None:
    run = facts(GREEN, collected={GREEN[0].nodeid: "success", GREEN[1].nodeid: "success"})

    assert judge(GREEN, run).verdict is Verdict.INCOMPLETE


def test_a_node_reported_twice_does_not_count() -> None:
    sign_off = judge((*GREEN, node("reuse")))

    assert codes(sign_off, "reuse") == [ReasonCode.REPORTED_TWICE]


def test_a_second_case_that_fails_fails_the_rehearsal() -> None:
    sign_off = judge((*GREEN, failed_node("reuse", nodeid="rehearsals/test_reuse.py::test_it[two]")))

    assert state(sign_off, "reuse") is RehearsalState.FAILED


def test_a_node_of_an_unknown_rehearsal_is_refused() -> None:
    stranger = node("reuze")
    sign_off = judge((*GREEN, stranger))

    assert sign_off.verdict is Verdict.NOT_SIGNED_OFF
    assert [reason.code for reason in sign_off.reasons] == [ReasonCode.UNKNOWN_REHEARSAL]


def test_what_went_wrong_is_said_before_what_is_missing() -> None:
    nodes = (node("success", checks=(held("other"),)), failed_node("reuse", checks=()))
    sign_off = judge(nodes)

    assert [reason.code for reason in sign_off.reasons] == [
        ReasonCode.REHEARSAL_FAILED,
        ReasonCode.REHEARSAL_MISSING,
    ]
    assert codes(sign_off, "reuse") == [ReasonCode.PHASE_FAILED, ReasonCode.LINE_UNPROVEN]


def test_an_optional_rehearsal_may_be_left_out_but_not_fail() -> None:
    assert judge((*GREEN, node("extra"))).verdict is Verdict.SIGNED_OFF
    assert judge((*GREEN, node("extra", skipped="no", phases={}))).verdict is Verdict.SIGNED_OFF
    assert judge((*GREEN, failed_node("extra"))).verdict is Verdict.NOT_SIGNED_OFF


@pytest.mark.parametrize(
    ("changes", "code", "verdict"),
    [
        ({"exit_status": 1}, ReasonCode.EXIT_STATUS, Verdict.NOT_SIGNED_OFF),
        ({"exit_status": 2}, ReasonCode.INTERRUPTED, Verdict.INCOMPLETE),
        ({"exit_status": 3}, ReasonCode.EXIT_STATUS, Verdict.NOT_SIGNED_OFF),
        ({"exit_status": 4}, ReasonCode.EXIT_STATUS, Verdict.NOT_SIGNED_OFF),
        ({"exit_status": 5}, ReasonCode.NO_TESTS, Verdict.INCOMPLETE),
        ({"exit_status": 6}, ReasonCode.EXIT_STATUS, Verdict.NOT_SIGNED_OFF),
        ({"exit_status": -9}, ReasonCode.EXIT_STATUS, Verdict.NOT_SIGNED_OFF),
        ({"exit_status": 77}, ReasonCode.EXIT_STATUS, Verdict.NOT_SIGNED_OFF),
        ({"interrupted": True}, ReasonCode.INTERRUPTED, Verdict.INCOMPLETE),
        ({"collect_errors": ("x.py",)}, ReasonCode.COLLECT_ERROR, Verdict.NOT_SIGNED_OFF),
        ({"worker_crashes": ("gw1",)}, ReasonCode.WORKER_CRASH, Verdict.NOT_SIGNED_OFF),
        ({"internal_errors": ("KeyError",)}, ReasonCode.INTERNAL_ERROR, Verdict.NOT_SIGNED_OFF),
        ({"evidence_faults": ("gone",)}, ReasonCode.EVIDENCE_FAULT, Verdict.NOT_SIGNED_OFF),
    ],
)
def test_a_fault_of_the_run_is_a_veto(changes: dict[str, object], code: ReasonCode, verdict: Verdict) -> None:
    sign_off = judge(GREEN, facts(**changes))

    assert [reason.code for reason in sign_off.reasons] == [code]
    assert sign_off.verdict is verdict
    assert state(sign_off, "reuse") is RehearsalState.PASSED


def test_a_narrowed_run_is_a_drill_whatever_came_of_it() -> None:
    for nodes in (GREEN, (failed_node("reuse"),), ()):
        sign_off = judge(nodes, facts(nodes, narrowed_by=("-k reuse",)))
        assert sign_off.verdict is Verdict.DRILL
        assert "-k reuse" in sign_off.reasons[0].text


def test_a_catalogue_that_requires_nothing_signs_off_nothing() -> None:
    optional = replace(
        CATALOGUE,
        rehearsals=tuple(entry.model_copy(update={"required": False}) for entry in CATALOGUE.rehearsals),
    )
    sign_off = judge(GREEN, catalogue=optional)

    assert sign_off.verdict is Verdict.INCOMPLETE
    assert [reason.code for reason in sign_off.reasons] == [ReasonCode.NOTHING_REQUIRED]


def test_a_rehearsal_that_must_prove_a_line_its_runbook_lacks_is_a_programming_error() -> None:
    lost = replace(CATALOGUE, runbooks=())
    with pytest.raises(ValueError, match=r"expected line '1\.ok' in runbook 'observability', saw none"):
        judge(GREEN, catalogue=lost)


def test_an_unknown_family_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CatalogueError, match="did you mean 'observability'"):
        judge(families=("observabilty",))


class TestWaivers:
    def test_a_waived_check_leaves_its_reason_in_sight(self) -> None:
        nodes = (node("success"), node("reuse", checks=(violated("hit", "2.hit"),)))
        sign_off = judge(nodes, waivers=(waiver(WaiverTarget.CHECK, "hit"),))

        assert sign_off.verdict is Verdict.SIGNED_OFF
        assert state(sign_off, "reuse") is RehearsalState.WAIVED
        assert codes(sign_off, "reuse") == [ReasonCode.CHECK_VIOLATED]

    def test_a_waived_line_covers_only_that_line(self) -> None:
        nodes = (node("success", checks=(held("nothing of the runbook"),)), node("reuse"))
        one = waiver(WaiverTarget.LINE, "observability/1.ok")
        other = waiver(WaiverTarget.LINE, "observability/1.keys")

        assert judge(nodes, waivers=(one,)).verdict is Verdict.INCOMPLETE
        assert judge(nodes, waivers=(one, other)).verdict is Verdict.SIGNED_OFF

    def test_a_waived_rehearsal_may_be_absent(self) -> None:
        sign_off = judge((node("success"),), waivers=(waiver(WaiverTarget.REHEARSAL, "reuse"),))

        assert sign_off.verdict is Verdict.SIGNED_OFF
        assert state(sign_off, "reuse") is RehearsalState.WAIVED

    def test_a_check_waiver_does_not_cover_a_test_that_fell_over(self) -> None:
        nodes = (node("success"), failed_node("reuse", checks=(violated("hit", "2.hit"),)))

        assert judge(nodes, waivers=(waiver(WaiverTarget.CHECK, "hit"),)).verdict is Verdict.NOT_SIGNED_OFF

    def test_the_last_day_counts_and_the_day_after_turns_the_run_red(self) -> None:
        nodes = (node("success"),)
        ends = waiver(WaiverTarget.REHEARSAL, "reuse", until=TODAY)

        assert judge(nodes, waivers=(ends,), today=TODAY).verdict is Verdict.SIGNED_OFF
        late = judge(nodes, waivers=(ends,), today=TODAY + timedelta(days=1))
        assert late.verdict is Verdict.NOT_SIGNED_OFF
        assert ReasonCode.WAIVER_EXPIRED in [reason.code for reason in late.reasons]

    def test_an_expired_waiver_turns_red_even_a_run_that_did_not_need_it(self) -> None:
        ended = waiver(WaiverTarget.CHECK, "never run", until=date(2026, 1, 1))

        assert judge(waivers=(ended,)).verdict is Verdict.NOT_SIGNED_OFF

    def test_waivers_alone_sign_off_nothing(self) -> None:
        both = (waiver(WaiverTarget.REHEARSAL, "success"), waiver(WaiverTarget.REHEARSAL, "reuse"))
        sign_off = judge((), facts(()), waivers=both)

        assert sign_off.verdict is Verdict.INCOMPLETE
        assert [reason.code for reason in sign_off.reasons] == [ReasonCode.ONLY_WAIVERS]

    def test_no_waiver_covers_a_fault_of_the_run(self) -> None:
        covered = waiver(WaiverTarget.REHEARSAL, "reuse")

        assert judge(GREEN, facts(exit_status=1), waivers=(covered,)).verdict is Verdict.NOT_SIGNED_OFF


bad_phases = st.dictionaries(
    st.sampled_from(["setup", "call", "teardown"]),
    st.sampled_from(["failed", "skipped", "rerun"]),
    min_size=1,
)
good_or_bad = st.builds(
    lambda rehearsal, case, change: node(rehearsal, case, **change),
    st.sampled_from(["success", "reuse", "extra"]),
    st.sampled_from(["a", "b", "c"]),
    st.one_of(
        st.just({}),
        st.builds(lambda phases: {"phases": {**PASSED, **phases}}, bad_phases),
        st.sampled_from(
            [
                {"skipped": "why"},
                {"xfail": ""},
                {"reran": 2},
                {"checks": ()},
                {"checks": (violated("hit", "2.hit"),)},
                {"checks": (held("hit", "2.hit", rows=0),)},
                {"phases": {}},
            ]
        ),
    ),
)
runs = st.lists(good_or_bad, max_size=5, unique_by=lambda entry: entry.nodeid)


@given(runs, st.sampled_from(["success", "reuse", "extra"]), st.booleans())
def test_adding_a_failing_node_never_makes_a_verdict_greener(
    nodes: list[NodeResult], rehearsal: str, in_front: bool
) -> None:
    failing = failed_node(rehearsal, nodeid="rehearsals/test_more.py::test_it")
    more = [failing, *nodes] if in_front else [*nodes, failing]

    assert RANK[judge(more).verdict] >= RANK[judge(nodes).verdict]
    assert judge(more).verdict is Verdict.NOT_SIGNED_OFF


@given(runs, st.randoms(use_true_random=False))
def test_the_order_in_which_nodes_report_decides_nothing(nodes: list[NodeResult], random: object) -> None:
    shuffled = list(nodes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = judge(nodes), judge(shuffled)

    assert one.verdict is other.verdict
    assert [outcome.state for outcome in one.outcomes] == [outcome.state for outcome in other.outcomes]


@given(runs)
def test_a_sign_off_always_rests_on_every_required_rehearsal(nodes: list[NodeResult]) -> None:
    sign_off = judge(nodes)
    if sign_off.verdict is not Verdict.SIGNED_OFF:
        assert sign_off.reasons
        return
    for outcome in sign_off.outcomes:
        if outcome.required:
            assert outcome.nodes
            assert all(dict(entry.phases) == PASSED for entry in outcome.nodes)
            assert all(proof.proven_by for proof in outcome.lines)
