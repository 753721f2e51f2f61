import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.boundary import folder_name, printable, quoted


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain <b> & 100 % ünï", "plain <b> & 100 % ünï"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\u200b\u2028\U000e0041", r"\u200b\u2028\U000e0041"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        (None, "null"),
        (True, "true"),
        (2500, "2500"),
        ({"a": [1, "\x1b"]}, r'{"a": [1, "\u001b"]}'),
        pytest.param(10**5000, '"an integer of 16610 bits"', id="thousands-of-digits"),
        (object(), '"<object>"'),
    ],
)
def test_values_on_one_harmless_line(value, expected):
    assert printable(value) == expected


@given(st.text(), st.integers(1, 50))
def test_printable_is_printable_short_and_stable(text, limit):
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert printable(shown, limit) == shown


def test_endless_and_deep_values_are_cut():
    deep = []
    for _ in range(2000):
        deep = [deep]
    assert len(printable(deep)) < 50
    assert printable({"a": {"b": {"c": {"d": {}}}}}) == '{"a": {"b": {"c": {"d": "…"}}}}'
    assert len(printable("x" * 10_000_000)) == 200
    assert printable("x" * 300).endswith("…")
    assert len(printable(["x" * 1000] * 1000)) <= 200


def test_quoted_is_a_json_literal_that_opens_no_tag():
    assert quoted("</script>\x1b") == r'"\u003c/script\u003e\u001b"'
    assert json.loads(quoted("<a href='x'>")) == "<a href='x'>"
    assert quoted(None) == "null"
    assert quoted("x" * 100, 10) == '"xxxxxxxxxx…"'


@given(st.text())
def test_quoted_text_is_safe_and_read_back(text):
    shown = quoted(text, 10_000)
    assert shown.isprintable()
    assert "<" not in shown
    if len(shown) < 9_000 and text.isprintable():
        assert json.loads(shown) == text


@pytest.mark.parametrize(
    ("request_id", "folder"),
    [
        ("smoke:full-flow:1795263442422", "smoke_full-flow_1795263442422"),
        ("req_1", "req_1"),
        ("3f2b8c1e-0d4a-4e5f-9a7b-6c8d9e0f1a2b", "3f2b8c1e-0d4a-4e5f-9a7b-6c8d9e0f1a2b"),
        ("a//b::c", "a_b_c~"),
        ("", "_~"),
        (".", "_~"),
        ("..", "_.~"),
        ("../../etc/passwd", "_._.._etc_passwd~"),
        (".hidden", "_hidden~"),
        ("ä", "_~"),
        ("x" * 500, "x" * 103 + "~"),
    ],
)
def test_folder_of_a_request(request_id, folder):
    name, mark, _ = folder_name(request_id).partition("~")
    assert (name, mark) == folder.partition("~")[:2]
    if not mark:
        assert folder_name(request_id) == folder


IDS = [
    *("a/b", "a_b", "a:b", "a b", "a\\b", "a\0b", "a__b", "A_b", "a_B", "a_b~", "a_b/"),
    *(
        "smoke:full-flow:1",
        "smoke_full-flow_1",
        "smoke:full_flow:1",
        "Smoke:full-flow:1",
        "smoke:full-flow/1",
    ),
    *(
        "x" * 300,
        "x" * 301,
        "x" * 120,
        "x" * 121,
        "e\u0301",
        "\u00e9",
        "",
        ".",
        "..",
        "_",
        "_.",
        "\ud800",
        "\ud801",
    ),
]


def test_no_two_requests_share_a_folder_also_where_case_does_not_count():
    names = [folder_name(request_id) for request_id in IDS]
    names += [folder_name(name) for name in names if "~" in name]
    assert len({name.lower() for name in names}) == len(names)


@given(st.text(), st.text())
def test_no_two_texts_share_a_folder(one, other):
    assert (folder_name(one).lower() == folder_name(other).lower()) == (one == other)


@given(st.text())
def test_folder_is_always_one_visible_segment(request_id):
    name = folder_name(request_id)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._~-]{0,119}", name)
