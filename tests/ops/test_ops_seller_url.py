"""Upstream URLs: which are URLs at all, and which of them Aperture can forward to."""

import pytest

from pytest_l402.ops.compile.path_patterns import read_path_pattern
from pytest_l402.ops.compile.seller_url import (
    NotExpressibleError,
    SellerUrlError,
    parse_seller_url,
    rewrite_prefix,
    shown_url,
)


@pytest.mark.parametrize(
    ("text", "scheme", "address"),
    [
        ("https://h/p", "https", "h"),
        ("https:a", "https", "a"),
        ("https:/a", "https", "a"),
        ("HTTPS://A..B/", "https", "a..b"),
        ("https:\\\\h\\p", "https", "h"),
        (" https://h:443/ ", "https", "h"),
        ("http://h:443", "http", "h:443"),
        ("https://h:", "https", "h"),
        ("https://h:065535", "https", "h:65535"),
        ("https://1", "https", "0.0.0.1"),
        ("https://0x7f.1", "https", "127.0.0.1"),
        ("https://1.2.3.4.", "https", "1.2.3.4"),
        ("https://[::0:1]:8443/x", "https", "[::1]:8443"),
        ("https://%61.com", "https", "a.com"),
        ("ht\ntps://h", "https", "h"),
        ("ftp://h", "ftp", ""),
        ("mailto:x", "mailto", ""),
    ],
)
def test_a_browser_reads_it_so(text, scheme, address):
    url = parse_seller_url(text)
    assert (url.scheme, url.address) == (scheme, address)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "/path",
        "https://",
        "https://h:65536",
        "https://h:99999999999999999999999999",
        "https://h:x",
        "https://a b",
        "https://256.256.256.256",
        "https://1.2.3.4.5",
        "https://1.2.3.09",
        "https://a.0x",
        "https://%zz",
        "https://%ff",
        "https://a^b",
        "https://[::x]",
        "https://[::1%25eth0]",
        "https://[::1",
        "https://:80",
        "https://user@",
    ],
)
def test_a_browser_refuses_it(text):
    with pytest.raises(SellerUrlError):
        parse_seller_url(text)


@pytest.mark.parametrize(
    ("url", "path", "prefix"),
    [
        ("https://h", "/api/x", None),
        ("https://h/", "/api/x", None),
        ("https://h#part", "/api/x", None),
        ("https://h/api/x", "/api/x", None),
        ("https://h/v1/api/x", "/api/x", "/v1"),
        ("https://h/api/", "/api/*", None),
        ("https://h/api", "/api/*", None),
        ("https://h/v1/api/", "/api/*", "/v1"),
        ("https://h/v1", "/", "/v1"),
        ("https://h/v1/", "/*", "/v1"),
        ("https://h", "/v[0-9]", None),
    ],
)
def test_a_prefix_leads_there(url, path, prefix):
    route = read_path_pattern(path)
    found = rewrite_prefix(parse_seller_url(url), route)
    assert found == prefix
    # What Aperture forwards is the prefix and the request's own path.
    if prefix is not None:
        assert ((found or "") + route.prefix).rstrip("/") == parse_seller_url(url).path.rstrip("/")


@pytest.mark.parametrize(
    ("url", "path", "part"),
    [
        ("https://h/v1/premium", "/api/premium", "path"),
        ("https://h/v1", "/api/*", "path"),
        ("https://h/v1", "/v[0-9]", "path"),
        ("https://h/a/../api/x", "/api/x", "path"),
        ("https://h/v%2F1/x", "/x", "path"),
        ("https://h//v1/x", "/x", "path"),
        ("https://h/x?key=1", "/x", "query"),
        ("https://u:p@h/x", "/x", "userinfo"),
        ("https://bücher.de/x", "/x", "host"),
    ],
)
def test_no_prefix_leads_there(url, path, part):
    with pytest.raises(NotExpressibleError) as caught:
        rewrite_prefix(parse_seller_url(url), read_path_pattern(path))
    assert caught.value.part == part


@pytest.mark.parametrize(
    "text", ["https://u:CANARY@h/p", "https://h/p?key=CANARY#CANARY", "x:CANARY@h", "https:\\\\CANARY@h"]
)
def test_a_url_is_shown_without_what_may_be_secret(text):
    assert "CANARY" not in shown_url(text)
    assert "h" in shown_url(text)
