"""Go's regexp syntax: what the engine takes, what it refuses, and what a pattern matches."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytest_l402.stack.ops.go_regexp import ascii_pattern, parse_go_regexp, quote_go
from pytest_l402.stack.ops.language import Language, literal_prefix, literal_suffix, literal_text
from pytest_l402.stack.ops.regexp_nodes import PatternError


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/a(?=b)", "lookahead"),
        ("/a(?!b)", "lookahead"),
        ("/(?<=a)b", "lookbehind"),
        ("/(?<!a)b", "lookbehind"),
        (r"/(a)\1", "backreference"),
        ("/(?P<n>a)(?P=n)", "backreference"),
        ("/(?>a)", "atomic group"),
        ("/(?#note)a", "does not know"),
        ("/(?(1)a|b)", "does not know"),
        ("/a++", "repetition of a repetition"),
        ("/a**", "repetition of a repetition"),
        ("/a{2}{3}", "repetition of a repetition"),
        ("*", "repetition of nothing"),
        ("/(*a)", "repetition of nothing"),
        ("/a|+b", "repetition of nothing"),
        ("/a{1001}", "count"),
        ("/a{3,2}", "count"),
        ("/(a{100}){100}", "nested counts"),
        ("/(a", "without a closing one"),
        ("/a)", "without an opening one"),
        ("/[a", "without its ]"),
        ("/[z-a]", "backwards"),
        ("/[[:nope:]]", "unknown name"),
        ("/a\\", "backslash at the end"),
        (r"/\Z", "does not know"),
        ("/\\é", "does not know"),
        (r"/\x{110000}", "beyond the last"),
        (r"/\p{Nope}", "Unicode class"),
        (r"/\Qa.b\E", "not read here"),
        ("/(?P<n>a)(?P<n>b)", "second group"),
        ("/(?)a", "empty group of flags"),
        ("/" + "(" * 300 + "a" + ")" * 300, "too deeply"),
    ],
)
def test_what_the_engine_refuses_is_refused_with_its_reason(pattern, reason):
    with pytest.raises(PatternError, match=reason):
        parse_go_regexp(pattern)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("/v[0-9]+/x", "/v12/x", "/v/x"),
        (r"/v\d{2,3}", "/v123", "/v1"),
        ("/a{2,}", "/aaa", "/a"),
        ("/a{0}b", "/b", "/ab"),
        ("/a{,2}", "/a{,2}", "/aa"),
        ("/(?:a|b)?c", "/c", "/abc"),
        ("/(?P<name>a)(?<other>b)", "/ab", "/a"),
        ("/(?i)ab", "/AB", "/AC"),
        ("/(?i:a)b", "/Ab", "/AB"),
        ("/(?i)[^a]", "/b", "/A"),
        ("/(?i)é", "/É", "/e"),
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
        (r"/\W\S\D", "/-aa", "/aaa"),
        (r"/\pL\p{Lu}\P{N}\p{^L}", "/éÉa1", "/1Éa1"),
        (r"/\a\t\n", "/\x07\t\n", "/a"),
        (r"^/a$", "/a", "/a/"),
        (r"^/a$|^/b$", "/b", "/ab"),
        (r"/a\b.*", "/a b", "/ab"),
        (r"/a\B.*", "/ab", "/a b"),
        ("(?m)^/a$\n^b$", "/a\nb", "/a b"),
        ("/a*?b+?", "/aab", "/aa"),
        ("/()a", "/a", "/"),
    ],
)
def test_a_pattern_matches_what_it_says(pattern, matching, other):
    language = Language(parse_go_regexp(pattern))
    assert language.matches(matching)
    assert not language.matches(other)


def test_a_pattern_too_large_to_compare_is_refused():
    with pytest.raises(PatternError, match="too large"):
        Language(parse_go_regexp("/" + "[a-z]{1000}" * 25))


@given(st.text(max_size=12))
def test_a_quoted_text_matches_itself_only(text):
    assume(not any("\ud800" <= char <= "\udfff" for char in text))
    quoted = quote_go(text)
    assert quoted.isascii()
    node = parse_go_regexp(quoted)
    assert literal_text(node) == text
    assert Language(node).matches(text)
    assert not Language(node).matches(text + "x")


def test_a_class_beyond_ascii_keeps_its_meaning_as_codes():
    assert ascii_pattern("/[à-é]é\t") == r"/[\x{e0}-\x{e9}]\x{e9}\x{9}"
    assert Language(parse_go_regexp(ascii_pattern("/[à-é]"))).matches("/è")


_ATOMS = st.sampled_from(
    ["a", "b", "/", ".", "[ab]", "[^a]", r"\w", "(?:ab)", "(?:a|b)", "(?i:a)", r"\.", "c"]
)
_REPEATS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{0,}"])
_PARTS = st.tuples(_ATOMS, _REPEATS).map("".join)
PATTERNS = st.lists(_PARTS, max_size=5).map("".join)
TEXTS = st.text("abAc/.", max_size=6)


@given(PATTERNS, TEXTS)
@settings(max_examples=150)
def test_a_language_agrees_with_another_engine(pattern, text):
    assert Language(parse_go_regexp(pattern)).matches(text) == bool(re.fullmatch(pattern, text))


@given(PATTERNS, PATTERNS, TEXTS)
@settings(max_examples=150)
def test_a_common_text_is_matched_by_both_and_found_when_there_is_one(one, other, text):
    first, second = Language(parse_go_regexp(one)), Language(parse_go_regexp(other))
    common = first.common_text(second)
    if common is not None:
        assert re.fullmatch(one, common)
        assert re.fullmatch(other, common)
    else:
        assert not (re.fullmatch(one, text) and re.fullmatch(other, text))


@given(PATTERNS, PATTERNS, TEXTS)
@settings(max_examples=150)
def test_a_pattern_that_covers_another_matches_all_its_texts(one, other, text):
    if Language(parse_go_regexp(one)).covers(Language(parse_go_regexp(other))):
        assert re.fullmatch(one, text) or not re.fullmatch(other, text)


@given(PATTERNS, TEXTS)
def test_every_match_begins_and_ends_with_the_literals(pattern, text):
    if re.fullmatch(pattern, text):
        node = parse_go_regexp(pattern)
        assert text.startswith(literal_prefix(node))
        assert text.endswith(literal_suffix(node))
        assert text.lower().startswith(literal_prefix(node, any_case=True))
        assert text.lower().endswith(literal_suffix(node, any_case=True))


def test_covering_is_decided_for_unlike_spellings():
    def language(pattern):
        return Language(parse_go_regexp(pattern))

    assert language("/[a-z0-9]*").covers(language("/v[0-9]+"))
    assert not language("/v[0-9]+").covers(language("/[a-z0-9]*"))
    assert not language(r"/v\b.*").covers(language("/v"))
