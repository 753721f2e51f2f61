"""Go's regexps: what Go's engine takes and refuses, what it finds, and what is said of all that matches.

The answers are those of Go 1.26's own `regexp` package.
"""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_l402.ops.regexps import (
    PatternError,
    ascii_pattern,
    compiled,
    fixed_beginning,
    fixed_ending,
    only_text,
    quote_go,
    whole_bounds,
    without_anchors,
)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/a(?=b)", "invalid perl operator"),
        ("/a(?!b)", "invalid perl operator"),
        ("/(?<=a)b", "invalid"),
        ("/(?<!a)b", "invalid"),
        (r"/(a)\1", "invalid escape"),
        ("/(?P<n>a)(?P=n)", "invalid perl operator"),
        ("/(?>a)", "invalid perl operator"),
        ("/(?#note)a", "invalid perl operator"),
        ("/(?(1)a|b)", "invalid perl operator"),
        ("/a++", "bad repetition"),
        ("/a**", "bad repetition"),
        ("/a{2}{3}", "bad repetition"),
        ("*", "no argument for repetition"),
        ("/(*a)", "no argument for repetition"),
        ("/a|+b", "no argument for repetition"),
        ("/a{1001}", "invalid repetition size"),
        ("/a{3,2}", "invalid repetition size"),
        ("/(a{100}){100}", "invalid repetition size"),
        ("/a{1,2147483648}", "invalid repeat count"),
        ("/(a", "missing )"),
        ("/a)", "unexpected )"),
        ("/[a", "missing ]"),
        ("/[z-a]", "invalid character class range"),
        ("/[[:nope:]]", "invalid character class range"),
        ("/a\\", "trailing \\"),
        (r"/\Z", "invalid escape"),
        ("/\\é", "invalid escape"),
        (r"/\x{110000}", "invalid escape"),
        (r"/\p{Nope}", "invalid character class range"),
        ("/(?P<é>a)", "invalid named capture"),
        (r"/\C", "invalid escape sequence"),
        (r"/\\\C", "invalid escape sequence"),
        (r"/\Qa\E\C", "invalid escape sequence"),
        ("/\ud800", "surrogate"),
    ],
)
def test_what_the_engine_refuses_is_refused_with_its_reason(pattern, reason):
    with pytest.raises(PatternError, match=re.escape(reason)):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("/v[0-9]+/x", "/v12/x", "/v/x"),
        (r"/v\d{2,3}", "/v123", "/v1"),
        ("/a{2,}", "/aaa", "/a"),
        ("/a{0}b", "/b", "/ab"),
        ("/a{,2}", "/a{,2}", "/aa"),
        ("/a{01}", "/a{01}", "/a"),
        ("/(?:a|b)?c", "/c", "/abc"),
        ("/(?P<name>a)(?<other>b)", "/ab", "/a"),
        ("/(?i)ab", "/AB", "/AC"),
        ("/(?i:a)b", "/Ab", "/AB"),
        ("/(?i)[^a]", "/b", "/A"),
        ("/(?i)é", "/É", "/e"),
        ("(?i)k", "\u212a", "l"),
        ("/(?i-i:a)b", "/ab", "/Ab"),
        ("/.", "/x", "/\n"),
        ("/(?s).", "/\n", "/"),
        (r"/[\d-]+", "/1-2", "/a"),
        ("/[ac]", "/a", "/b"),
        (r"/[]a]", "/]", "/b"),
        (r"/[^]a]", "/b", "/]"),
        ("/[a-c-]", "/-", "/d"),
        (r"/[\x41-\x{43}]", "/B", "/D"),
        (r"/\101\x2f\.", "/A/.", "/A/x"),
        ("/[[:alpha:][:^print:]]", "/q", "/1"),
        ("[[:word:]]", "_", "-"),
        (r"/\W\S\D", "/-aa", "/aaa"),
        (r"/\pL\p{Lu}\P{N}\p{^L}", "/éÉa1", "/1Éa1"),
        (r"/\a\t\n", "/\x07\t\n", "/a"),
        (r"^/a$", "/a", "/a/"),
        ("a$|b$", "b", "ab\n"),
        (r"a\z", "a", "a\n"),
        (r"/a\b.*", "/a b", "/ab"),
        (r"/a\B.*", "/ab", "/a b"),
        (r"\B", "", "a"),
        ("(?m)^/a$\n^b$", "/a\nb", "/a b"),
        ("/a*?b+?", "/aab", "/aa"),
        ("(?U)/a+", "/a", "/"),
        ("/()a", "/a", "/"),
        (r"/\Qa.b\E", "/a.b", "/axb"),
        (r"/\Q\C\E", r"/\C", "/C"),
        (r"/\\C", r"/\C", "/a"),
        (r"\p{Greek}{3}", "αβγ", "abc"),
        (r"\pL{1000}", "é" * 1000, "é" * 999),
        ("^.{2}$", "é\ud800", "é"),
    ],
)
def test_a_pattern_finds_what_it_says(pattern, matching, other):
    assert compiled(pattern).search(matching)
    assert not compiled(pattern).search(other)


def test_a_pattern_that_would_take_too_much_memory_is_refused():
    with pytest.raises(PatternError, match="too large"):
        compiled(r"\pL{1000}" * 40)


_CHARACTERS = st.characters(exclude_categories=["Cs"])


@given(st.text(_CHARACTERS, max_size=12), st.text(_CHARACTERS, max_size=12))
def test_a_quoted_text_matches_itself_only(text, other):
    quoted = quote_go(text)
    assert quoted.isascii()
    assert only_text(quoted) == (text or None)
    assert fixed_beginning(quoted) == text
    assert compiled(quoted).fullmatch(text)
    assert compiled(quoted).fullmatch(other) == (text == other)
    assert not compiled(quoted).fullmatch(text + "x")


def test_a_class_beyond_ascii_keeps_its_meaning_as_codes():
    assert ascii_pattern("/[à-é]é\t") == r"/[\x{e0}-\x{e9}]\x{e9}\x{9}"
    assert compiled(ascii_pattern("/[à-é]")).fullmatch("/è")


_ATOMS = st.sampled_from(
    ["a", "b", "é", "/", ".", "[ab]", "[^a]", r"\w", "(?:ab)", "(?:a|é)", "(?i:a)", r"\.", r"\Qa.\E", r"\b"]
)
_REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,}"])
_PARTS = st.tuples(_ATOMS, _REPEATS).map("".join)
_CHOICES = st.lists(_PARTS, max_size=5).map("".join)
_PATTERNS = st.lists(_CHOICES, min_size=1, max_size=2).map("|".join)
_TEXTS = st.text("abAéc/.", max_size=6)


@given(_PATTERNS, st.lists(_TEXTS, max_size=20))
@example(r"aa*\b", ["a"])
@example(r"ab\Bab", ["abab"])
@settings(max_examples=300)
def test_what_is_said_of_all_matches_holds_for_each(pattern, texts):
    low, high = whole_bounds(pattern)
    only = only_text(pattern)
    for text in texts:
        if compiled(pattern).fullmatch(text):
            assert low <= text.encode()
            assert not high or text.encode() <= high
            assert only in (None, text)
            assert text.startswith(fixed_beginning(pattern))
            assert text.endswith(fixed_ending(pattern))


@pytest.mark.parametrize(
    ("pattern", "only", "beginning", "ending"),
    [
        (r"/a\.b", "/a.b", "/a.b", "/a.b"),
        ("/v[0-9]+/users", None, "/v", "/users"),
        ("/(?i:v)1", None, "/", ""),
        ("(?i)/v1", None, "/", ""),
        ("/a|/b", None, "/", ""),
        ("(?:/a|/a)", "/a", "/a", ""),
        ("/é.*", None, "/é", ""),
        ("/[é-ê]", None, "/", ""),
        ("/ab?", None, "/a", ""),
        (r"/x\d", None, "/x", ""),
        (r"/x\d\+", None, "/x", "+"),
        (r"/[ab]\x41", None, "/", ""),
        (r"/[ab]\101x", None, "/", "x"),
        (r"/[ab]\pLx", None, "/", "x"),
        (r"/\Qa.b", "/a.b", "/a.b", ""),
        ("/" + "é" * 600, None, "/" + "é" * 499, "/" + "é" * 600),
        ("", None, "", ""),
        ("a^b", None, "ab", "b"),
    ],
)
def test_what_is_known_of_all_matches(pattern, only, beginning, ending):
    assert (only_text(pattern), fixed_beginning(pattern), fixed_ending(pattern)) == (only, beginning, ending)


@pytest.mark.parametrize(
    ("pattern", "body", "warned"),
    [
        ("^/a$", "/a", False),
        ("/a", "/a", False),
        ("^/a", "/a", True),
        ("/a$", "/a", True),
        (r"^/a\$", r"/a\$", True),
        (r"^/a\\$", r"/a\\", False),
        ("^/a|/b$", "^/a|/b$", False),
        ("^(/a|/b)$", "(/a|/b)", False),
        ("^(?P<n>/a|/b)$", "(?P<n>/a|/b)", False),
        ("^[|]$", "[|]", False),
        ("^[[:alpha:]|]$", "[[:alpha:]|]", False),
        (r"^\Q|\E$", r"\Q|\E", False),
        (r"^\|$", r"\|", False),
        ("^", "", True),
        (r"^/\Qa$", r"/\Qa$\E", True),
        ("/\\Qa\\", r"/\Qa\\E", False),
    ],
)
def test_anchors_at_the_ends_are_taken_off_where_they_say_nothing(pattern, body, warned):
    found, warning = without_anchors(pattern)
    assert (found, warning is not None) == (body, warned)
