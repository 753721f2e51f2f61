"""Where a paid request goes: which texts are URLs of a seller, and which of them Aperture can forward to."""

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
    ("text", "scheme", "address", "path"),
    [
        ("https://h/p", "https", "h", "/p"),
        ("HTTPS://A-b.C_d.~/", "https", "a-b.c_d.~", "/"),
        (" https://h:443/ ", "https", "h", "/"),
        ("http://h:80", "http", "h", ""),
        ("http://h:443", "http", "h:443", ""),
        ("https://h:08443/x", "https", "h:8443", "/x"),
        ("https://127.0.0.1:8443", "https", "127.0.0.1:8443", ""),
        ("https://1.2.3.4.", "https", "1.2.3.4.", ""),
        ("https://[::1]:8443/x", "https", "[::1]:8443", "/x"),
        ("https://u:p@h/x?k=v#f", "https", "h", "/x"),
        ("https://bücher.de/x", "https", "bücher.de", "/x"),
        ("ftp://h/x", "ftp", "h", "/x"),
    ],
)
def test_a_url_in_parts(text, scheme, address, path):
    url = parse_seller_url(text)
    assert (url.scheme, url.address, url.path) == (scheme, address, path)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "/path",
        "mailto:x",
        "https:a",
        "https:/a",
        "https:\\\\h\\p",
        "https://",
        "https://:80",
        "https://h:",
        "https://h:65536",
        "https://h:99999999999999999999999999",
        "https://h:x",
        "https://a b",
        "https://h/a b",
        "https://h/a\\b",
        "ht\ntps://h",
        "https://1",
        "https://0x7f.1",
        "https://256.256.256.256",
        "https://1.2.3.4.5",
        "https://1.2.3.09",
        "https://a.0x",
        "https://%61.com",
        "https://a^b",
        "https://[::x]",
        "https://[::1%25eth0]",
        "https://[::1",
        "https://user@",
        "https://a@b@h",
    ],
)
def test_what_is_no_url_of_a_seller(text):
    with pytest.raises(SellerUrlError):
        parse_seller_url(text)


@pytest.mark.parametrize(
    ("url", "path", "prefix"),
    [
        ("https://h", "/api/x", None),
        ("https://h/", "/api/x", None),
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
        ("https://h/x#part", "/x", "fragment"),
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
