"""A check tells how it was built, in plain JSON, and can be built again from that; or it tells nothing."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import pytest_l402.evidence as evidence_room
from pytest_l402.evidence import (
    Check,
    described,
    forgeries_refused,
    paid_exactly_once,
    same_value,
    some_record,
    triaged_as,
)
from pytest_l402.evidence import recipe as recipe_module
from pytest_l402.evidence.recipe import NotPermittedError, Recipe, RecipeError, build

PURCHASE = SimpleNamespace(
    request_id="req-1", payment_hash="a" * 64, kind="expired", preimage="b" * 64, credential="m:p"
)


@described
def ours_alone(limit: int = 1) -> Check:
    return Check(f"ours_alone({limit})", lambda evidence: (), (), ("records",))


def nobody_described(limit: int = 1) -> Check:
    return ours_alone(limit)


@pytest.mark.parametrize(
    ("check", "factory", "arguments", "named"),
    [
        (some_record(cacheHit=True), "some_record", (), {"cacheHit": True}),
        (triaged_as("req-1", "healthy"), "triaged_as", ("req-1", "healthy"), {}),
        (same_value("paymentProofRef", "req-1", "req-2").proves("3.paid-once"), "same_value", 3, {}),
        (ours_alone(limit=3), f"{__name__}:ours_alone", (), {"limit": 3}),
    ],
)
def test_a_check_tells_the_call_that_built_it(
    check: Check, factory: str, arguments: Any, named: dict[str, Any]
) -> None:
    recipe = check.recipe
    assert recipe is not None
    assert (recipe.factory, dict(recipe.named)) == (factory, named)
    assert arguments in (recipe.arguments, len(recipe.arguments))


def test_a_purchase_is_told_by_its_references_alone() -> None:
    recipe = forgeries_refused("req-0", PURCHASE).recipe
    assert recipe is not None
    told = {"request_id": "req-1", "payment_hash": "a" * 64, "kind": "expired"}
    assert recipe.arguments == ("req-0", {"purchase": told})


@pytest.mark.parametrize(
    "check",
    [
        some_record(cacheHit=True, denyReason=None),
        forgeries_refused(PURCHASE, "req-2", PURCHASE),
        paid_exactly_once(SimpleNamespace(payment_hash="c" * 64)),
        paid_exactly_once(PURCHASE),
        triaged_as(PURCHASE, "settlement", field="paymentProofRef", step_contains="replay"),
        ours_alone(7),
    ],
    ids=lambda check: check.name,
)
def test_what_is_built_again_from_json_is_the_same_check(check: Check) -> None:
    assert check.recipe is not None
    told = json.loads(json.dumps(dataclasses.asdict(check.recipe)))
    again = build(Recipe(told["factory"], tuple(told["arguments"]), told["named"]), {__name__})
    assert (again.name, again.tables) == (check.name, check.tables)
    assert [mutant.name for mutant in again.mutants] == [mutant.name for mutant in check.mutants]
    assert again.recipe == check.recipe


@pytest.mark.parametrize(
    "argument",
    [
        object(),
        {1, 2},
        math.nan,
        {"purchase": 1},
        {1: 2},
        SimpleNamespace(request_id=1),
        "preimage=" + "c" * 64,
    ],
    ids=["object", "set", "nan", "looks-like-a-purchase", "number-key", "no-request-id", "secret"],
)
def test_what_cannot_be_told_is_not_told(argument: Any) -> None:
    assert ours_alone(argument).recipe is None
    assert ours_alone([argument]).recipe is None  # type: ignore[arg-type]


def test_a_check_that_was_altered_does_not_tell_what_it_was() -> None:
    check = some_record(cacheHit=True)
    assert check.recipe is not None
    for altered in (
        dataclasses.replace(check, judge=lambda evidence: ()),
        dataclasses.replace(check, mutants=check.mutants[:1]),
        dataclasses.replace(check, tables=("payments",)),
        dataclasses.replace(check, name="another"),
    ):
        assert altered.recipe is None
    assert check.proves("3.cache-hit").recipe == check.recipe


@pytest.mark.parametrize(
    ("recipe", "error"),
    [
        (Recipe("no_such_factory"), "has no factory 'no_such_factory'"),
        (Recipe("run_check"), "has no factory 'run_check'"),
        (Recipe("os:system", ("true",)), "imported only where that is permitted"),
        (Recipe(f"{__name__}:nobody_described"), "no described factory"),
        (Recipe("json:dumps", ("x",)), "no described factory 'dumps'"),
        (Recipe("json:__dict__"), "no described factory"),
        (Recipe("no.such.module:factory"), "cannot be imported: ModuleNotFoundError"),
        (Recipe("some_record"), "some_record does not take that"),
        (Recipe("some_record", (), {"cacheHti": True}), "some_record does not take that: ValueError"),
        (Recipe("triaged_as", ("req-1",)), "TypeError"),
        (Recipe("paid_exactly_once", ({"purchase": {"kind": "x"}},)), "expected a purchase"),
        (Recipe("same_value", ("taskId", {"purchase": {"request_id": 7}})), "expected a purchase"),
        (Recipe("paid_exactly_once", ({"purchase": {"request_id": "r", "preimage": "x"}},)), "a purchase"),
    ],
    ids=lambda value: f"{value.factory}{len(value.arguments)}" if isinstance(value, Recipe) else None,
)
def test_a_recipe_that_builds_nothing_says_why(recipe: Recipe, error: str) -> None:
    with pytest.raises(RecipeError, match=error):
        build(recipe, {__name__, "json", "no.such.module"})


def test_no_module_is_imported_that_was_not_permitted() -> None:
    with pytest.raises(NotPermittedError):
        build(Recipe("antigravity:fly"))


def test_a_factory_is_found_that_nobody_has_imported_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "_FACTORIES", {})
    for name in [name for name in sys.modules if name.startswith("pytest_l402.evidence.checks")]:
        monkeypatch.delitem(sys.modules, name)
    assert build(Recipe("some_record", (), {"cacheHit": True})).name == "some_record(cacheHit=true)"


def test_every_factory_of_the_room_is_described() -> None:
    """One that is not could not be judged again: nobody is to notice that only when it is too late."""
    factories = [
        name
        for name in evidence_room.__all__
        if inspect.isfunction(found := getattr(evidence_room, name))
        and found.__annotations__.get("return") == "Check"
    ]
    assert len(factories) > 40
    lacking = [name for name in factories if "describes" not in getattr(evidence_room, name).__dict__]
    assert lacking == []
