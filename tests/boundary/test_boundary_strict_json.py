import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.boundary import InputError, parse_json, read_json, read_json_lines
from pytest_l402.boundary.input_files import read_lines
from pytest_l402.boundary.json_positions import line_of, member_offsets, value_positions
from pytest_l402.boundary.strict_json import _without_duplicates

UNICODE = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | UNICODE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(UNICODE, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1]))
def test_what_json_writes_is_read_back(value, indent):
    assert parse_json(json.dumps(value, indent=indent)) == value
    assert parse_json(json.dumps(value, indent=indent, ensure_ascii=False)) == value


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        ('{"a": 1,\n "b": {"x": 1,\n "x": 2}}', 3, "b.x", "each key once"),
        ('[{"k": 1}, {"k": 1,\n"k": 1}]', 2, "[1].k", "each key once"),
        ('{"a":\n NaN}', 2, None, "saw NaN"),
        ("[-Infinity]", 1, None, "saw -Infinity"),
        ("[1,\n1e999]", 2, None, "1e999"),
        ('{"a": ["\\ud800"]}', 1, "a[0]", "lone surrogates"),
        ('{"\\udc00": 1}', 1, None, "lone surrogates"),
        ('{"a": 1,', 1, None, "cut off"),
        ('{"a": "x', 1, None, "cut off"),
        ("", 1, None, "cut off"),
        ("[1]\n [2]", 2, None, "more text after it"),
        ("{a: 1}", 1, None, "expected JSON"),
        ("[" * 100_000, 1, None, "nesting"),
        ("[" + "9" * 5000 + "]", 1, None, "thousands of digits"),
    ],
)
def test_refusals_name_line_and_field(text, line, field, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_json(text, "evidence.json")
    assert (caught.value.line, caught.value.field) == (line, field)
    assert str(caught.value).startswith(f"evidence.json:{line}: ")
    assert "\n" not in str(caught.value)


def test_a_key_twice_among_many_is_found_without_comparing_each_with_each():
    """A reply of 1 MiB with one key twice at its end kept the parser busy for minutes."""

    class Counted(str):
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other):
            Counted.compared += 1
            return str.__eq__(self, other)

    pairs = [(Counted(number), None) for number in (*range(500), 499)]
    with pytest.raises(ValueError, match="each key once"):
        _without_duplicates(pairs)
    assert Counted.compared < 2 * len(pairs)


def test_surrogate_pairs_are_characters():
    assert parse_json('["\\ud83d\\ude00", "😀"]') == ["😀", "😀"]


def test_first_line_shifts_the_lines():
    with pytest.raises(InputError) as caught:
        parse_json('{"a":1,\n"a":2}', "f", first_line=10)
    assert caught.value.line == 11


def test_errors_are_one_safe_line():
    error = InputError.at("a\n\x1b[31m", expected="x", seen="Bearer abcdefghijklm", line=1, field="<b>\n")
    assert str(error) == r"a\n\x1b[31m:1: \u003cb\u003e\n: expected x, saw Bearer [redacted]"


def bytes_file(tmp_path, content, name="evidence.json"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_byte_order_mark_is_dropped(tmp_path):
    path = bytes_file(tmp_path, b"\xef\xbb\xbf[1]\n")
    assert read_json(path) == [1]
    assert list(read_json_lines(path)) == [[1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "saw an empty file"),
        (b" \n\n", "saw an empty file"),
        (b'["\xff"]', "evidence.json:1: expected UTF-8 text, saw byte 0xff at offset 2"),
        (b"\n\n\xfe", "evidence.json:3: expected UTF-8"),
        ("[1]".encode("utf-16"), "expected UTF-8"),
    ],
)
def test_bytes_that_are_no_json_are_named(tmp_path, content, message):
    path = bytes_file(tmp_path, content)
    with pytest.raises(InputError, match=message):
        read_json(path)
    with pytest.raises(InputError, match=message):
        list(read_json_lines(path))


def test_missing_directory_and_impossible_names_are_named(tmp_path):
    for name, message in (
        (tmp_path / "no", "nothing of that name"),
        (tmp_path, "directory"),
        ("a\0b", "null"),
    ):
        with pytest.raises(InputError, match=message):
            read_json(name)
        with pytest.raises(InputError, match=message):
            list(read_json_lines(name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_named(tmp_path):
    path = bytes_file(tmp_path, b"[]")
    path.chmod(0)
    with pytest.raises(InputError, match="no permission"):
        read_json(path)


def test_json_lines_skip_blanks_and_count_them(tmp_path):
    path = bytes_file(tmp_path, b'{"a":1}\n\n  \n{"a":2}\n[')
    lines = read_json_lines(path)
    assert [next(lines), next(lines)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(InputError, match=r"evidence\.json:5: expected complete JSON"):
        next(lines)
    assert [number for number, _ in read_lines(path)] == [1, 4, 5]


def test_sizes_are_bounded(tmp_path):
    path = bytes_file(tmp_path, b'["' + b"x" * 100 + b'"]\n[1]\n')
    with pytest.raises(InputError, match="at most 50 bytes, saw a larger one"):
        read_json(path, limit=50)
    with pytest.raises(InputError, match=r"evidence\.json:1: expected lines of at most 50 bytes"):
        list(read_json_lines(path, limit=50))
    assert len(list(read_json_lines(path, limit=105))) == 2


def test_line_that_never_ends_is_not_read_to_its_end():
    with pytest.raises(InputError, match="a longer one"):
        list(read_json_lines("/dev/zero", limit=1000))


def test_read_error_while_reading_is_named():
    with pytest.raises(InputError, match="expected a readable file"):
        read_json("/proc/self/mem")


TEXT = '{\n "a": [1,\n  {"x": "},\\"[", "y": {}}],\n "b": 2,\n "b": 3}'


def test_positions_of_values():
    assert [(position.path, position.line, position.repeated) for position in value_positions(TEXT)] == [
        ("", 1, False),
        ("a", 2, False),
        ("a[0]", 2, False),
        ("a[1]", 3, False),
        ("a[1].x", 3, False),
        ("a[1].y", 3, False),
        ("b", 4, False),
        ("b", 5, True),
    ]
    assert [position.path for position in value_positions(TEXT, max_depth=1)] == ["", "a", "b", "b"]


def test_absent_value_stands_where_its_parent_does():
    assert line_of(TEXT, "a[1].z") == 3
    assert line_of(TEXT, "c.d") == 1
    assert line_of(TEXT, "a[1].y", first_line=10) == 12


@given(JSON)
def test_positions_find_every_value_that_the_parser_finds(value):
    text = json.dumps(value, indent=1)
    expected = []

    def walk(item, path):
        expected.append(path)
        if isinstance(item, dict):
            for key, child in item.items():
                walk(child, f"{path}.{key}" if path else key)
        if isinstance(item, list):
            for index, child in enumerate(item):
                walk(child, f"{path}[{index}]")

    walk(value, "")
    assert [position.path for position in value_positions(text)] == expected


@given(JSON)
def test_member_offsets_point_at_the_members(value):
    text = " " + json.dumps(value, indent=1)
    if not isinstance(value, dict | list):
        return
    found = {key: json.JSONDecoder().raw_decode(text, offset)[0] for key, offset in member_offsets(text)}
    assert found == (value if isinstance(value, dict) else dict(enumerate(value)))
