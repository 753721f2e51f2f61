"""The terminal section: words first, inside the width, the verdict and the path last."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signoff_samples import GREEN, document, facts, failed_node, node, violated, waiver

from pytest_l402.signoff import SignOffDocument
from pytest_l402.signoff.terminal import terminal_lines
from pytest_l402.signoff.waivers import WaiverTarget

PATH = "output/signoff/20261121T120000Z-0123abcd/signoff.json"


def texts(built: SignOffDocument, width: int = 100, path: str | None = PATH) -> list[str]:
    return [line.text for line in terminal_lines(built, width=width, path=path)]


def test_a_sign_off() -> None:
    lines = terminal_lines(document(), width=100, path=PATH)

    assert [line.text for line in lines] == [
        "PASSED  success  2 of 2 lines proven, 3 checks, 6 mutants killed",
        "PASSED  reuse  1 of 1 line proven, 2 checks, 4 mutants killed",
        "NOT_RUN  extra  optional, no result",
        "UNSIGNED: nobody has put a signature on this document. Tested system: stack of the tests 0, not",
        "    pinned by a digest. Rehearsals not pinned: no git commit holds them. Times come from the clock",
        "    of the machine; no one else attests them. It counts until 2026-12-21T12:00:01.500Z, the end of",
        "    its 30 days.",
        "SIGNED OFF: 2 of 2 required rehearsals passed; 5 checks held and killed 10 mutants.",
        PATH,
    ]
    assert [line.tone for line in lines] == ["good", "good", *["plain"] * 5, "good", "plain"]


def test_a_refusal_names_the_reason_under_its_rehearsal() -> None:
    nodes = (failed_node("success", checks=(violated("keys", "1.keys"),)), GREEN[1])
    lines = texts(document(nodes, facts(nodes, exit_status=1)), width=200)

    assert lines[0].startswith("FAILED  success")
    assert lines[1] == "    keys: expected 19 keys, saw 18 keys, in records row 4"
    assert lines[-2].startswith("NOT SIGNED OFF: 1 of 2 required rehearsals passed. success failed: keys:")
    assert lines[-1] == PATH


def test_a_drill_lists_only_what_ran() -> None:
    nodes = (GREEN[1],)
    lines = texts(document(nodes, facts(nodes, narrowed_by=("-k reuse",))), width=200)

    assert lines[0] == "PASSED  reuse  1 of 1 line proven, 2 checks, 4 mutants killed"
    assert lines[1] == "narrowed by: -k reuse"
    assert lines[-2] == "DRILL, NOT A SIGN-OFF: Partial run, cannot sign off: reuse passed."
    assert not any("success" in line for line in lines)


def test_waivers_and_run_faults_are_said() -> None:
    nodes = (node("success"), node("reuse", checks=(violated("hit", "2.hit"),)))
    covered = waiver(WaiverTarget.CHECK, "hit")
    lines = texts(document(nodes, facts(nodes, worker_crashes=("gw1",)), (covered,)), width=200)

    assert any(line.endswith("(waived by check hit)") for line in lines)
    assert "waiver: check hit, until 2026-12-01, by ada: ticket 12 (in use; from waivers.yaml)" in lines
    assert "worker crash: gw1" in lines


def test_many_reasons_are_counted() -> None:
    checks = tuple(violated(f"check {index}", "2.hit") for index in range(9))
    nodes = (node("success"), node("reuse", checks=checks))

    assert "    and 4 more reasons in the report" in texts(document(nodes))


def test_a_missing_rehearsal_says_why() -> None:
    lines = texts(document((GREEN[0],)))

    assert "NOT_RUN  reuse  required, no result" in lines
    assert "    no test carries the marker rehearsal('reuse', …)" in lines


def test_nothing_written_means_no_path() -> None:
    assert texts(document(), path=None)[-1].startswith("SIGNED OFF")


@pytest.mark.parametrize("width", [1, 40, 80, 200])
@pytest.mark.parametrize("text", ["word " * 100, "漢字 " * 100, "e\u0301e\u0301 " * 200, "a\nb\x1b[2J\tc"])
def test_no_line_is_wider_than_the_terminal(text: str, width: int) -> None:
    nodes = (failed_node("success", nodeid="t.py::test_it", failure=text), GREEN[1])
    for line in terminal_lines(document(nodes), width=width, path=None):
        assert columns(line.text) <= max(width, 40)
        assert line.text.isprintable()


def test_a_node_id_stays_whole() -> None:
    long = "rehearsals/" + "x" * 100 + ".py::test_it"
    lines = texts(document((failed_node("success", nodeid=long), GREEN[1])), width=80)

    assert any(line.strip().startswith(long) for line in lines)


@given(st.text(alphabet="ab cd漢é", max_size=300), st.integers(40, 120))
def test_nothing_is_lost_by_wrapping(text: str, width: int) -> None:
    built = document(GREEN, facts(GREEN, collect_errors=(text,)))
    joined = "".join(texts(built, width=width))

    assert text.replace(" ", "") in joined.replace(" ", "")


def columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def test_brief_keeps_the_whole_verdict_and_the_path() -> None:
    nodes = (failed_node("success", checks=(violated("keys", "1.keys"),)), GREEN[1])
    lines = [
        line.text
        for line in terminal_lines(
            document(nodes, facts(nodes, exit_status=1)), width=40, path=PATH, brief=True
        )
    ]

    assert lines[0].startswith("FAILED  ")
    assert lines[1].startswith("NOT SIGNED OFF: ")
    assert len(lines) > 3
    assert lines[-1] == PATH


def test_causes_are_told_as_the_failure_told_them_and_each_failed_test_has_a_line_at_the_end() -> None:
    causes = (
        "1.keys: expected the first purchase with 19 keys, saw 18 keys, " + "long " * 20,
        "2.hit: expected a hit, saw none",
    )
    broken = replace(failed_node("success", checks=(violated("keys(desktop-1)", "1.keys"),)), causes=causes)
    other = failed_node(
        "reuse", nodeid="t.py::test_other", case="test_other", failure="\nassert 1 == 2\n  more"
    )
    lines = texts(document((broken, other), facts((broken, other), exit_status=1)), width=80)

    assert not any("keys(desktop-1)" in line for line in lines)
    whole = " ".join(" ".join(lines).split())
    assert whole.index(f": {causes[0].strip()}") < whole.index(f": {causes[1]}")
    assert "t.py::test_other failed in call: assert 1 == 2" in whole
    verdict = next(index for index, line in enumerate(lines) if line.startswith("NOT SIGNED OFF"))
    first, second = lines[verdict - 2 : verdict]
    assert first.startswith("1.keys  ")
    assert " expected the first purchase" in first
    assert second == "FAILED  test_other  assert 1 == 2"
    assert "test_it: 1.keys: expected the first purchase" in whole
