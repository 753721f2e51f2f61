"""Results cross a process border as text and come back the same, without secrets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signoff_samples import held, node, violated, violation

from pytest_l402.evidence.check import CheckResult
from pytest_l402.signoff.results import NodeResult, ResultError

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


def test_half_a_character_travels_as_its_escape() -> None:
    sent = node("reuse", failure="half \ud83d", request_ids=("r \ud83d",))
    came = NodeResult.from_json(sent.to_json())

    assert came.failure == "half \\ud83d"
    assert NodeResult.from_json(came.to_json()) == came


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"nodeid": "a"}',
        node("reuse").to_json().replace('"case"', '"kase"'),
        node("reuse").to_json().replace('"version":1', '"version":2'),
        node("reuse", reran=1).to_json().replace('"reran":1', '"reran":"1"'),
        node("reuse").to_json().replace('"KILLED"', '"killed"'),
    ],
)
def test_what_to_json_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(ResultError, match="expected"):
        NodeResult.from_json(text)
