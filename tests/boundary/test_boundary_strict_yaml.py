"""YAML is read as deep as the limit and not a level deeper, whichever PyYAML reads it, and each key once."""

from __future__ import annotations

import pytest

from pytest_l402.boundary.strict_yaml import DEEPEST, YamlError, parse_yaml


def test_a_document_may_be_nested_as_deep_as_the_limit() -> None:
    value = parse_yaml("[" * DEEPEST + "1" + "]" * DEEPEST)
    for _ in range(DEEPEST):
        assert isinstance(value, list)
        (value,) = value
    assert value == 1


@pytest.mark.parametrize("levels", [DEEPEST + 1, 2_000, 100_000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_a_level_deeper_is_refused_on_one_line_before_anything_is_built(opening: str, levels: int) -> None:
    with pytest.raises(YamlError, match=r"^line 2: expected at most 100 levels of nesting, saw more$"):
        parse_yaml("\n" + opening * levels)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: !!bool perhaps", "plain values"),
        ("a: 2026-13-45", "month"),
        ("a: [", r"line \d, column \d: expected YAML"),
        ("!!python/object:os.system {}", "constructor"),
        ("a: 1\n--- \nb: 2", "another document"),
        ("? [1]\n: 2", "unhashable"),
    ],
)
def test_whatever_cannot_be_read_is_one_line(text: str, problem: str) -> None:
    with pytest.raises(YamlError, match=problem) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "1: a\nb: 2\n0x1: c", "<<: {a: 1}\nb: 1\n<<: {a: 2}"])
def test_a_key_that_comes_twice_is_named_with_its_line(text: str) -> None:
    with pytest.raises(YamlError, match="line 3: expected each key once"):
        parse_yaml(text)


def test_keys_that_only_look_alike_are_two() -> None:
    assert parse_yaml("1: a\n'1': b\nc: &c {d: 1}\ne: {<<: *c, d: 2}") == {
        1: "a",
        "1": "b",
        "c": {"d": 1},
        "e": {"d": 2},
    }
