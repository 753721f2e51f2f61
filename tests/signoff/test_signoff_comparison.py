"""Comparison: what is less than before is a regression, what is more or other is a change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from signoff_samples import GREEN, document, facts, failed_node, held, node, violated, waiver

from pytest_l402.evidence.check import MutantResult, MutantVerdict
from pytest_l402.signoff import SignOffDocument
from pytest_l402.signoff.comparison import compare
from pytest_l402.signoff.waivers import WaiverTarget

BEFORE = document()
NEW = MutantResult("row doubled", MutantVerdict.KILLED, "noticed")


def with_checks(*checks: object) -> SignOffDocument:
    nodes = (GREEN[0], node("reuse", checks=checks))
    return document(nodes, facts(nodes))


def one_mutant_fewer() -> SignOffDocument:
    check = held("check 2.hit", "2.hit")
    return with_checks(replace(check, mutants=check.mutants[:1]))


def waived() -> SignOffDocument:
    nodes = (GREEN[0], failed_node("reuse", checks=(violated("check 2.hit", "2.hit"),)))
    return document(nodes, facts(nodes), (waiver(WaiverTarget.REHEARSAL, "reuse"),))


def test_the_same_run_has_changed_in_nothing() -> None:
    found = compare(BEFORE, document())
    assert (found.regressions, found.changes) == ((), ())


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (one_mutant_fewer, "reuse: check check 2.hit no longer kills row removed"),
        (lambda: with_checks(held("another", "2.hit")), "reuse: check check 2.hit is gone from"),
        (
            lambda: with_checks(violated("check 2.hit", "2.hit")),
            "reuse: check check 2.hit was HELD, and is VIOLATED",
        ),
        (lambda: document((GREEN[0],)), "reuse: was PASSED, and is NOT_RUN"),
        (lambda: document((GREEN[0],)), "reuse: line 2.hit was PROVEN, and is UNPROVEN"),
        (lambda: document((GREEN[0],)), "the verdict was SIGNED_OFF, and is INCOMPLETE"),
        (waived, "reuse: line 2.hit was PROVEN, and is WAIVED"),
        (waived, "reuse: was PASSED, and is WAIVED"),
    ],
    ids=["mutant", "check", "violated", "not-run", "line", "verdict", "line-waived", "waived"],
)
def test_what_is_less_is_a_regression(after: object, said: str) -> None:
    found = compare(BEFORE, after())  # type: ignore[operator]
    assert any(text.startswith(said) for text in found.regressions), found.regressions


def test_what_is_more_is_a_change_and_the_other_way_a_regression() -> None:
    check = held("check 2.hit", "2.hit")
    more = with_checks(replace(check, mutants=(*check.mutants, NEW)), held("one more", "2.hit"))
    assert compare(BEFORE, more).regressions == ()
    assert compare(BEFORE, more).changes == ("reuse: 1 new check",)
    assert len(compare(more, BEFORE).regressions) == 2


def test_a_waiver_that_is_new_is_a_change() -> None:
    assert any(
        text.startswith("waiver of rehearsal reuse: new") for text in compare(BEFORE, waived()).changes
    )


def test_a_drill_is_held_to_what_it_ran() -> None:
    nodes = (GREEN[1],)
    drill = document(nodes, facts(nodes, narrowed_by=("-k reuse",)))
    assert compare(BEFORE, drill).regressions == ()
    worse = (node("reuse", checks=(held("another", "2.hit"),)),)
    drill = document(worse, facts(worse, narrowed_by=("-k reuse",)))
    assert len(compare(BEFORE, drill).regressions) == 1


def test_what_was_red_may_become_green() -> None:
    red = document((GREEN[0],))
    assert compare(red, BEFORE).regressions == ()
    assert "reuse: was NOT_RUN, and is PASSED" in compare(red, BEFORE).changes
