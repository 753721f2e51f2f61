"""Results cross a process border as text and come back the same, without secrets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signoff_samples import GREEN, facts, held, node, violated, violation

from pytest_l402.evidence.check import CheckResult
from pytest_l402.signoff import NodeResult, ResultError, RunFacts

words = st.text(alphabet="abcdefghij klm.:/[]", max_size=20)


@given(
    case=st.none() | words,
    phases=st.dictionaries(
        st.sampled_from(["setup", "call", "teardown"]), st.sampled_from(["passed", "failed"])
    ),
    failure=st.none() | words,
    reran=st.integers(0, 3),
    line=st.none() | st.integers(1, 9999),
)
def test_a_node_comes_back_as_it_went(
    case: str | None, phases: dict[str, str], failure: str | None, reran: int, line: int | None
) -> None:
    sent = node(
        "reuse",
        case=case,
        phases=phases,
        failure=failure,
        reran=reran,
        line=line,
        checks=(held("a", "2.hit"), violated("b")),
    )

    assert NodeResult.from_json(sent.to_json()) == sent


def test_facts_come_back_as_they_went() -> None:
    sent = facts(
        GREEN,
        narrowed_by=("-k x",),
        deselected={"a::b": "reuse"},
        collect_errors=("one",),
        worker_crashes=("gw0",),
        internal_errors=("KeyError",),
        evidence_faults=("gone",),
        teeth=False,
        interrupted=True,
        exit_status=2,
    )

    assert RunFacts.from_json(sent.to_json()) == sent
    assert sent.narrowed


def test_the_text_is_one_line_of_plain_json() -> None:
    text = node("reuse", failure="two\nlines").to_json()

    assert "\n" not in text
    assert json.loads(text)["failure"] == "two\nlines"


def test_no_secret_travels() -> None:
    canary = "0123456789abcdef" * 4
    secret = violation(
        seen=f"preimage={canary}", where=f'{{"macaroon": "{canary}"}}', remedy="Bearer " + canary
    )
    check = CheckResult(f"check(secret={canary})", "1.ok", 1, (secret,), ())
    sent = node(
        "success", checks=(check,), failure=f"L402 AgEB{canary}:{canary}", request_ids=(f"token={canary}",)
    )

    assert canary in repr(sent)
    assert canary not in sent.to_json()


@pytest.mark.parametrize(
    "text",
    ["", "no json", "[]", "{}", '{"nodeid": "a"}', node("reuse").to_json().replace('"case"', '"kase"')],
)
def test_what_to_json_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(ResultError, match="expected"):
        NodeResult.from_json(text)
    with pytest.raises(ResultError, match="expected"):
        RunFacts.from_json(text)
