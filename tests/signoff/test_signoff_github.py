"""GitHub Actions: ten annotations at most, escaped, and a summary that stays below the limit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from signoff_samples import (
    CATALOGUE,
    GREEN,
    PROJECT,
    VERSIONS,
    document,
    facts,
    failed_node,
    judge,
    node,
    violated,
    waiver,
)

from pytest_l402.signoff.document import build_document
from pytest_l402.signoff.github import SUMMARY_LIMIT, annotation_lines, append_step_summary
from pytest_l402.signoff.waivers import WaiverTarget


def test_a_sign_off_annotates_nothing() -> None:
    assert annotation_lines(document()) == ()


def test_a_refusal_points_at_the_test() -> None:
    nodes = (failed_node("success"), GREEN[1])

    assert annotation_lines(document(nodes, facts(nodes, exit_status=1))) == (
        "::error file=rehearsals/test_success.py,line=7,title=success FAILED::"
        "rehearsals/test_success.py::test_it failed in call: E  assert 1 == 2",
    )


def test_a_missing_rehearsal_has_no_place() -> None:
    assert annotation_lines(document((GREEN[0],))) == (
        "::error title=reuse NOT_RUN::no test carries the marker rehearsal('reuse', …)",
    )


def test_a_test_without_a_known_line_is_still_pointed_at() -> None:
    (error, *_) = annotation_lines(document((failed_node("success", line=None), GREEN[1])))

    assert error.startswith("::error file=rehearsals/test_success.py,title=success FAILED::")


def test_what_would_end_a_command_is_escaped() -> None:
    bad = failed_node("success", failure="100%\nof a::b, c", file="a,b:c.py")
    (line, *_) = annotation_lines(document((bad, GREEN[1])))

    assert "\n" not in line
    assert line.startswith("::error file=a%2Cb%3Ac.py,line=7,title=success FAILED::")
    assert "100%25" in line
    assert len(line.splitlines()) == 1


def test_ten_at_most_and_the_last_one_counts_the_rest() -> None:
    checks = tuple(violated(f"check {index}", "2.hit") for index in range(25))
    lines = annotation_lines(document((node("success"), node("reuse", checks=checks))))

    assert len(lines) == 10
    assert lines[-1] == "::error title=l402 sign-off::and 16 more, see the sign-off report"


def test_waived_reasons_are_no_errors() -> None:
    nodes = (node("success"), node("reuse", checks=(violated("hit", "2.hit"),)))

    assert annotation_lines(document(nodes, None, (waiver(WaiverTarget.CHECK, "hit"),))) == ()


def test_a_fault_of_the_run_is_an_error_of_its_own() -> None:
    assert annotation_lines(document(GREEN, facts(worker_crashes=("gw1",)))) == (
        "::error title=l402 sign-off worker-crash::worker crash: gw1",
    )


def test_a_drill_is_a_notice_and_errors_only_for_what_ran() -> None:
    nodes = (failed_node("reuse"),)
    notice, error = annotation_lines(document(nodes, facts(nodes, exit_status=1, narrowed_by=("-k reuse",))))

    assert notice.startswith("::notice title=DRILL%2C NOT A SIGN-OFF::Partial run, cannot sign off")
    assert error.startswith("::error file=rehearsals/test_reuse.py,line=7,title=reuse FAILED::")


def test_the_summary_is_appended_and_is_one_screen_whatever_a_run_left(tmp_path: Path) -> None:
    many = tuple(f"request-{index}-{'a' * 100}" for index in range(10_000))
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    append_step_summary(summary, document((node("success"), node("reuse", request_ids=many))))

    written = summary.read_text(encoding="utf-8")
    assert written.startswith("before\n# L402 sign-off: SIGNED OFF\n")
    assert len(written.splitlines()) < 40
    # What a summary would link to lies on the build machine.
    assert "](" not in written


def test_the_summary_is_capped(tmp_path: Path) -> None:
    catalogue = replace(
        CATALOGUE,
        rehearsals=tuple(
            CATALOGUE.rehearsals[1].model_copy(update={"id": f"reuse-{index}-{'a' * 80}"})
            for index in range(1000)
        ),
    )
    summary = tmp_path / "summary.md"
    built = build_document(judge((), catalogue=catalogue), project=PROJECT, versions=VERSIONS)
    append_step_summary(summary, built)

    written = summary.read_bytes()
    assert len(written) <= SUMMARY_LIMIT
    assert written.startswith(b"# L402 sign-off: ")
    assert b"Left out to stay below the limit: " in written
