"""Checks over rows that a procedure recorded: what is not there is not null, and one row is not two."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from evidence_records import public_checks

from pytest_l402.evidence import (
    Check,
    Evidence,
    no_row,
    result_shows,
    run_check,
    same_in_every_row,
    some_row,
)
from pytest_l402.evidence.telling import tell_results

EVIDENCE = Evidence(
    {
        "drill": [{"ok": True, "error": None, "gate": {"allowed": False, "code": "paused"}}],
        "runs": [{"hash": "a", "n": 1}, {"hash": "a", "n": 2}],
        "rules": [{"id": "one"}, {"id": "two"}],
    }
)


HOLDING = [
    result_shows("drill", ok=True, error=None, gate__allowed=False, gate__code="paused"),
    same_in_every_row("runs", "hash"),
    some_row("rules", id="two"),
    no_row("rules", witness="rules", id="three"),
]


@pytest.mark.parametrize("check", HOLDING, ids=lambda check: check.name)
def test_holds_and_notices_every_mutant(check: Check) -> None:
    result = run_check(check, EVIDENCE)
    assert result.passed, tell_results([result])
    assert result.has_teeth


@pytest.mark.parametrize(
    ("check", "seen"),
    [
        (result_shows("drill", ok=1), "true"),
        (result_shows("drill", missing=None), "no such key"),
        (result_shows("drill", gate__missing__deeper=1), "no such key"),
        (result_shows("runs", hash="a"), "2"),
        (same_in_every_row("runs", "n"), "1, 2"),
        (same_in_every_row("runs", "missing"), "no such key"),
        (same_in_every_row("rules", "id", at_least=3), "2"),
        (some_row("rules", id="three"), "none in 2 rows"),
        (no_row("rules", witness="rules", id="two"), "one"),
        (no_row("rules", witness="nothing", id="three"), "no evidence: the table is empty"),
    ],
    ids=lambda value: value.name if isinstance(value, Check) else value.replace(" ", "-"),
)
def test_is_violated(check: Check, seen: str) -> None:
    assert seen in {violation.seen for violation in run_check(check, EVIDENCE).violations}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: result_shows("drill"), id="result_shows-drill"),
        pytest.param(lambda: same_in_every_row("runs"), id="same_in_every_row-runs"),
        pytest.param(
            lambda: same_in_every_row("runs", "hash", at_least=1), id="same_in_every_row-runs-hash-at_least-1"
        ),
        pytest.param(lambda: some_row("rules"), id="some_row-rules"),
        pytest.param(lambda: no_row("rules", witness="rules"), id="no_row-rules-witness-rules"),
    ],
)
def test_a_check_of_nothing_is_refused(make: Callable[[], Check]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


def test_every_check_of_the_module_is_tried() -> None:
    public = {name for name, theme in public_checks().items() if theme == "results"}
    assert {check.name.partition("(")[0] for check in HOLDING} == public
