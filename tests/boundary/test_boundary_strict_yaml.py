"""YAML is loaded as deep as its limit, and not a level deeper, by libyaml and by Python's own parser."""

from __future__ import annotations

import pytest
import yaml

from pytest_l402.boundary.bounded_yaml import DEEPEST, UNREADABLE, BoundedLoader, TooDeeplyNestedError


def load(text: str) -> object:
    return yaml.load(text, Loader=BoundedLoader)


def test_the_limit_counts_every_node_on_the_way_down() -> None:
    lists = DEEPEST - 1
    value = load("[" * lists + "1" + "]" * lists)
    for _ in range(lists):
        assert isinstance(value, list)
        (value,) = value
    assert value == 1
    with pytest.raises(TooDeeplyNestedError) as caught:
        load("\n" + "[" * DEEPEST + "1" + "]" * DEEPEST)
    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line == 1


@pytest.mark.parametrize(
    "text", ["a: !!bool perhaps", "a: 2026-13-45", "a: [", "!!python/object:os.system {}"]
)
def test_whatever_cannot_be_loaded_is_one_of_the_named_errors(text: str) -> None:
    with pytest.raises(UNREADABLE):
        load(text)
