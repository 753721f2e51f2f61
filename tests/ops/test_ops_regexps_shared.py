"""However a pattern spells a text that it matches, nothing is said of its matches that the text belies."""

from __future__ import annotations

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pytest_l402.ops.compile.host_patterns import read_host_pattern
from pytest_l402.ops.compile.path_patterns import read_path_pattern
from pytest_l402.ops.regexps import UnmatchableError, compiled, fixed_beginning, fixed_ending


def spellings(char: str) -> st.SearchStrategy[str]:
    """Patterns that match a character, and perhaps others."""
    code = ord(char)
    ways = [
        *(["\\" + char] if char.isascii() and not char.isalnum() else [char]),
        *([rf"\x{code:02x}", rf"\{code:03o}"] if code < 256 else []),
        *([r"\pL", r"\p{L}", r"\PN", "(?i)" + char] if char.isalpha() else []),
        *([r"\pN", r"\d", "[[:digit:]]"] if char.isdigit() else []),
        *(rf"\x{{{code:x}}}", rf"\Q{char}\E", rf"(?:\Q{char}\E)", "(?:.)", "[^~]", rf"(?:9|\x{{{code:x}}})"),
        *(rf".*\x{{{code:x}}}", rf"[\x{{{code:x}}}]+", rf"\x{{{code:x}}}{{1}}", rf"\x{{{code:x}}}?"),
    ]
    return st.sampled_from(ways)


def written(text: str) -> str:
    return "".join(char if char.isalnum() else "\\" + char for char in text)


def spelled(text: str) -> st.SearchStrategy[str]:
    return st.tuples(*map(spellings, text)).map("".join)


@st.composite
def patterns_of(draw: st.DrawFn, text: str) -> str:
    """A pattern that matches the text as a whole: its middle may be any text, its end an open `\\Q`."""
    at, end = sorted((draw(st.integers(1, len(text))), draw(st.integers(1, len(text)))))
    middle = draw(st.one_of(st.just(".*"), spelled(text[at:end])))
    last = draw(st.one_of(st.just(written(text[end:])), spelled(text[end:]), st.just(r"\Q" + text[end:])))
    return text[0] + written(text[1:at]) + middle + last


def two_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str, str]]:
    return texts.flatmap(lambda text: st.tuples(st.just(text), patterns_of(text), patterns_of(text)))


_PATHS = st.text("a7kL.-é\u212a", min_size=1, max_size=5).map(lambda text: "/" + text)
_HOSTS = st.tuples(
    st.sampled_from(["a", "b7", "x-41"]),
    st.sampled_from([".com", ".c0", ".example.com", ".k", ":80", ".c0:70"]),
).map("".join)


@given(two_of(_PATHS))
@example(("/a/item7", r"/a/.*\pN", "/(a|c)/item7"))
@example(("/a/item7", r"/a/.*\x37", "/(a|c)/item7"))
@example(("/a/item7", r"/a/.*\067", "/(a|c)/item7"))
@example(("/é.bba", r"/\Qé.b\E+[ab]", r"/\Qé.bba"))
@settings(max_examples=100)
def test_two_paths_that_share_a_text_are_never_apart(shared: tuple[str, str, str]) -> None:
    text, *patterns = shared
    for pattern in patterns:
        assert compiled(pattern).fullmatch(text)
        assert text.startswith(fixed_beginning(pattern))
        assert text.endswith(fixed_ending(pattern))
    try:
        first, second = map(read_path_pattern, patterns)
    except UnmatchableError:
        assume(False)
    assert first.matches(text)
    assert compiled(first.regexp).search(text)
    assert first.common_path(second) is not None
    assert second.common_path(first) is not None


@given(two_of(_HOSTS))
@example(("a.example.com", r"[a-z]+\.example\.co\x6d", r"(a|b)\.example\.com"))
@example(("a.com:80", ".*0", r"(a|b)\.com"))
@example(("a.s", "(a|b)[.]\u017f", r"(a|c)\.s"))
@settings(max_examples=100)
def test_two_hosts_that_share_a_text_are_never_apart(shared: tuple[str, str, str]) -> None:
    text, *patterns = shared
    try:
        hosts = [*map(read_host_pattern, patterns)]
    except UnmatchableError:
        assume(False)
    for host in hosts:
        assume(host.matches(text))
    assert hosts[0].common_host(hosts[1]) is not None
    assert hosts[1].common_host(hosts[0]) is not None
