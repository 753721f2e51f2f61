"""The Markdown report: the verdict first, and no text from outside able to act as markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signoff_samples import GREEN, document, facts, failed_node, held, node, violation, waiver

from pytest_l402.evidence.check import CheckResult, MutantResult, MutantVerdict
from pytest_l402.signoff.markdown import code, prose, render_markdown
from pytest_l402.signoff.waivers import WaiverTarget

NASTY = [
    "<img src=x onerror=alert(1)>",
    "`</code><script>alert(1)</script>",
    "```\n# heading\n```",
    "a | b | c",
    "@everyone see https://evil.example/ and [x](javascript:alert(1))",
    "x\n\n## SIGNED OFF\n\n| a |",
    "$\\text{math}$ ~~gone~~ ![i](http://x/y.png)",
    "\x1b[31mred\x1b[0m \u202eright to left",
    "`",
    "``` `` `",
    " ",
    "",
]


def outside_code(markdown: str) -> str:
    """What is left when code spans and fenced blocks are taken out, as CommonMark reads them."""
    markdown = re.sub(r"^```sh\n.*?^```$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return "\n".join(_without_spans(line) for line in markdown.split("\n"))


def _without_spans(line: str) -> str:
    left, position = "", 0
    while match := re.compile(r"(?<![\\`])(`+)(?!`)").search(line, position):
        closing = re.compile(rf"(?<!`){match[1]}(?!`)").search(line, match.end())
        if closing is None:
            left, position = left + line[position : match.end()], match.end()
            continue
        left, position = left + line[position : match.start()], closing.end()
    return left + line[position:]


def dirty_document(text: str) -> str:
    check = CheckResult(
        f"check {text}",
        "1.ok",
        1,
        (violation(check=text, expected=text, seen=text, where=text, remedy=text),),
        (),
    )
    bad = failed_node("success", nodeid=f"n{text}", checks=(check,), failure=text, request_ids=(text,))
    covered = waiver(WaiverTarget.CHECK, text)
    return render_markdown(document((bad,), facts((bad,), seed=text, collect_errors=(text,)), (covered,)))


@pytest.mark.parametrize("text", NASTY)
def test_text_from_outside_stays_inside_code_spans(text: str) -> None:
    harmless = outside_code(dirty_document("harmless"))

    assert outside_code(dirty_document(text)) == harmless


@given(st.text(max_size=40))
def test_no_text_escapes_its_code_span(text: str) -> None:
    assert _without_spans(f"before {code(text)} after") == "before  after"
    assert "\n" not in code(text)


@given(st.text(max_size=40))
def test_prose_has_no_active_punctuation(text: str) -> None:
    unescaped = re.sub(r"\\.", "", prose(text))

    assert not set(unescaped) & set("`*_[]<>|@$#~&\n")
    assert "://" not in unescaped


def test_the_catalogue_may_hold_any_punctuation() -> None:
    assert prose("oa_req=<id> | and `more`") == r"oa\_req=\<id\> \| and \`more\`"


def test_the_verdict_comes_first_and_the_way_to_check_last() -> None:
    text = render_markdown(document())
    lines = text.splitlines()

    assert lines[0] == "# L402 sign-off: SIGNED OFF"
    assert lines[2] == "`2 of 2 required rehearsals passed; 5 checks held and killed 10 mutants.`"
    assert "UNSIGNED" in text
    assert "not pinned" in text
    assert "| PASSED | reuse | observability 2 | 1 of 1 | 2 | 4 |" in lines
    assert "sha256sum -c SHA256SUMS" in lines[-5:]


def test_it_is_one_screen_that_leads_into_the_page() -> None:
    text = render_markdown(document(), page="signoff.html")

    assert len(text.splitlines()) < 40
    assert "[The page](signoff.html)" in text
    assert "| PASSED | [reuse](signoff.html#rehearsal-reuse) |" in text
    assert "](" not in render_markdown(document())


def test_a_refusal_says_why_before_anything_else() -> None:
    nodes = (GREEN[0], failed_node("reuse"))
    text = render_markdown(document(nodes, facts(nodes, exit_status=1)))

    assert text.startswith("# L402 sign-off: NOT SIGNED OFF\n")
    assert text.index("## Why not") < text.index("## Rehearsals")
    assert text.index("| FAILED | reuse |") < text.index("| PASSED | success |")


def test_a_drill_says_that_it_is_none_and_speaks_of_what_it_ran_alone() -> None:
    text = render_markdown(document((GREEN[1],), facts((GREEN[1],), narrowed_by=("-k reuse",))))

    assert text.startswith("# L402 sign-off: DRILL, NOT A SIGN-OFF\n")
    assert "Partial run, cannot sign off: reuse passed." in text
    assert "success" not in text


def test_a_limit_leaves_out_what_passed_first_and_counts_it() -> None:
    nodes = (failed_node("success"), GREEN[1])
    built = document(nodes, facts(nodes, exit_status=1))
    whole = render_markdown(built)
    cut = render_markdown(built, limit=len(whole.encode()) - 1)

    assert len(cut.encode()) < len(whole.encode())
    assert "| FAILED | success |" in cut
    assert "| PASSED | reuse |" not in cut
    assert re.search(r"^Left out to stay below the limit: [12] rehearsals?\.$", cut, re.MULTILINE)
    assert "sha256sum -c" in cut
    assert render_markdown(built, limit=10**6) == whole


def test_a_waiver_is_shown_and_what_stands_by_it() -> None:
    sleepy = held(
        "sleepy", "2.hit", mutants=(MutantResult("key dropped", MutantVerdict.SURVIVED, "saw nothing"),)
    )
    nodes = (node("success"), node("reuse", checks=(sleepy,)))
    text = render_markdown(document(nodes, None, (waiver(WaiverTarget.CHECK, "sleepy"),)))

    assert "- waiver: `check sleepy, until 2026-12-01, by ada: ticket 12 (in use; from waivers.yaml)`" in text
    assert "| WAIVED | reuse |" in text
    assert "1 of 2 required rehearsals passed, 1 only by waiver; 4 checks held and killed 8 mutants." in text


def test_an_instant_beyond_the_calendar_is_a_number() -> None:
    assert f"from {10**18} ms" in render_markdown(document(GREEN, facts(started_at_ms=10**18)))


def test_a_flood_of_reasons_is_counted() -> None:
    built = document(GREEN, facts(GREEN, collect_errors=tuple(f"error {index}" for index in range(70))))

    assert "- and 60 more" in render_markdown(built)
