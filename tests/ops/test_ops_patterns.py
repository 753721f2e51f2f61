"""Host and path patterns: what they mean, and that the emitted regexps match the same requests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_paywalls import python_regexp

from pytest_l402.ops.compile.host_patterns import read_host_pattern
from pytest_l402.ops.compile.path_patterns import PathKind, read_path_pattern
from pytest_l402.ops.regexps import PatternError, UnmatchableError


@pytest.mark.parametrize(
    ("pattern", "specificity", "matching", "other"),
    [
        ("*", 0, ["a.com", "", "[::1]:80"], []),
        (
            " A.com ",
            2,
            ["a.com", "A.COM", "a.com:8443", "a.com."],
            ["aXcom", "b.a.com", "a.com.evil", "xa.com"],
        ),
        ("a.com:8443", 2, ["a.com:8443"], ["a.com", "a.com:84430"]),
        ("a.com:443", 2, ["a.com:443", "a.com"], ["a.com:80"]),
        ("*.a.com", 1, ["x.a.com", "x.y.a.com:1", "X.A.com"], ["a.com", "x.a.com.evil", "x:1.a.com"]),
        ("api*.a.com", 1, ["api.a.com", "api2.a.com"], ["xapi.a.com"]),
        ("[::1]", 2, ["[::1]", "[::1]:80"], ["::1"]),
        (r"^a\.com$", 2, ["a.com", "A.com:1"], ["axcom"]),
        (r"^(?:a|b)\.com$", 1, ["a.com", "B.com.:9"], ["c.com"]),
        (r"^a\.com$|^b\.com$", 1, ["a.com", "b.com"], ["c.com"]),
        (".*.a.com", 1, ["x.a.com"], ["x.b.com"]),
    ],
)
def test_a_host_pattern_takes_these_hosts(pattern, specificity, matching, other):
    host = read_host_pattern(pattern)
    emitted = python_regexp(host.regexp)
    assert host.specificity == specificity
    for header in matching:
        assert host.matches(header), header
        assert emitted.search(header), header
    for header in other:
        assert not host.matches(header), header
        assert not emitted.search(header), header
    assert host.matches(host.example)


def test_a_regexp_that_is_one_host_is_that_host():
    assert read_host_pattern(r"^a\.com$") == read_host_pattern("a.com")


@pytest.mark.parametrize(
    "pattern", ["bücher.de", "a b.com", "a.com/x", "a@b", "a.com:99999", "a.com:x", "http://a.com"]
)
def test_what_is_no_host_matches_no_request(pattern):
    with pytest.raises(UnmatchableError):
        read_host_pattern(pattern)


def test_a_host_regexp_that_go_refuses():
    with pytest.raises(PatternError, match="invalid perl operator"):
        read_host_pattern("(?!evil).*")


@pytest.mark.parametrize(
    ("pattern", "kind", "matching", "other"),
    [
        ("", PathKind.CATCHALL, ["/", "/x"], []),
        ("/", PathKind.CATCHALL, ["/", "/x/y\nz"], []),
        ("*", PathKind.CATCHALL, ["/x"], []),
        ("/api/*", PathKind.PREFIX, ["/api/", "/api/x/y", "/api/a\nb"], ["/api", "/apix", "/x/api/y"]),
        ("api/x", PathKind.EXACT, ["/api/x"], ["/api/x/", "/api/xy", "/a/api/x", "/api/x\n"]),
        ("/.well-known/x", PathKind.EXACT, ["/.well-known/x"], ["/xwell-known/x"]),
        ("/v[0-9]+/x", PathKind.REGEXP, ["/v1/x"], ["/v1/x/y", "/a/v1/x"]),
        ("v[0-9]", PathKind.REGEXP, ["/v1"], ["v1"]),
        ("(a|b)/c", PathKind.REGEXP, ["/a/c"], ["/c/c"]),
        ("(/a|/b)", PathKind.REGEXP, ["/a"], ["//a"]),
        ("^/a|/b$", PathKind.REGEXP, ["/a", "/b"], ["/a/b"]),
        ("^/api/x$", PathKind.EXACT, ["/api/x"], ["/api/xy"]),
        (r"^/api/x\.json$", PathKind.EXACT, ["/api/x.json"], ["/api/x-json"]),
        ("^/api/.*$", PathKind.PREFIX, ["/api/x"], ["/api"]),
        ("^/(?i:API)$", PathKind.REGEXP, ["/Api"], ["/apis"]),
        ("/é", PathKind.EXACT, ["/é"], ["/e"]),
        ("/a*", PathKind.REGEXP, ["/", "/aa"], ["/b"]),
    ],
)
def test_a_path_pattern_takes_these_paths(pattern, kind, matching, other):
    path = read_path_pattern(pattern)
    emitted = python_regexp(path.regexp)
    assert path.kind is kind
    assert path.regexp.isascii()
    for text in matching:
        assert path.matches(text), text
        assert emitted.search(text), text
    for text in other:
        assert not path.matches(text), text
        assert not emitted.search(text), text
    assert path.matches(path.example)


@pytest.mark.parametrize(
    "pattern",
    ["/a%20b", "/a//b", "/a/../b", "/a/.", "/a;b", "/a/\x00", "/a//*", "^api/.*$", "/\ud800", r"/v[0-9]%2F"],
)
def test_a_path_that_aperture_cleans_or_decodes_away_matches_nothing(pattern):
    with pytest.raises(UnmatchableError):
        read_path_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "warning"),
    [
        ("/api/*/x", "repeats the slash"),
        ("/api/v[0-9]/*", "read literally"),
        ("^/v[0-9]", "one side only"),
        (r"/v[0-9]\\$", "one side only"),
        (r"/v[0-9]\$", None),
        ("/v[0-9]", None),
        ("^/v[0-9]$", None),
    ],
)
def test_patterns_that_hardly_say_what_was_meant_are_remarked_on(pattern, warning):
    found = read_path_pattern(pattern).warning
    assert (found is None) if warning is None else (warning in str(found))


_PATHS = st.sampled_from(
    [
        "/",
        "/a",
        "/a/*",
        "/a/b",
        "/a/b/*",
        "/a/.*",
        "/[ab]/b",
        "/(?i:A)/b",
        "/A/b",
        "/.*b",
        "/a/b?",
        "^/a/.+$",
        "/b",
    ]
)
_HOSTS = st.sampled_from(
    [
        "*",
        "a.com",
        "b.com",
        "*.com",
        "a.*",
        "a.com:443",
        "a.com:8443",
        r"(a|b)\.com",
        r".*\.com",
        "x.a.com",
        "*.a.com",
    ]
)
_SOME_PATHS = ["/", "/a", "/A/b", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b", "/b/b", "/a/x", "/ab"]
_SOME_HOSTS = ["a.com", "b.com", "a.com:443", "a.com:8443", "x.a.com", "a.org", "c.com:1", "A.COM", "a.com."]


@given(_PATHS, _PATHS)
def test_paths_are_compared_as_they_match(one, other):
    first, second = read_path_pattern(one), read_path_pattern(other)
    both = [path for path in _SOME_PATHS if first.matches(path) and second.matches(path)]
    common = first.common_path(second)
    if common is None:
        assert not both
    elif common:
        assert first.matches(common)
        assert second.matches(common)
    if first.covers(second):
        assert both == [path for path in _SOME_PATHS if second.matches(path)]


@given(_HOSTS, _HOSTS)
@settings(max_examples=100)
def test_hosts_are_compared_as_they_match(one, other):
    first, second = read_host_pattern(one), read_host_pattern(other)
    both = [host for host in _SOME_HOSTS if first.matches(host) and second.matches(host)]
    common = first.common_host(second)
    if common is None:
        assert not both
    elif common:
        assert first.matches(common)
        assert second.matches(common)
    if first.covers(second):
        assert both == [host for host in _SOME_HOSTS if second.matches(host)]


@given(st.one_of(_PATHS, st.text("ab/*.[]+", max_size=8)), st.text("ab/.\n", max_size=6))
@settings(max_examples=150)
def test_the_emitted_regexp_is_the_pattern(pattern, rest):
    try:
        path = read_path_pattern(pattern)
    except (PatternError, UnmatchableError):
        return
    assert path.matches("/" + rest) == bool(python_regexp(path.regexp).search("/" + rest))
