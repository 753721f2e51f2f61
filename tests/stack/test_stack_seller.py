"""The seller's API delivers the same document for the same path, and counts."""

import json

import pytest
from stack_shop import Shop

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import Request
from pytest_l402.stack.faults import UpstreamFailure
from pytest_l402.stack.gateway.seller_api import SellerApi, forwarded
from pytest_l402.stack.gateway.services import Service


def test_a_path_has_one_document():
    seller_api = SellerApi(Harness())
    first = seller_api.handle(Request("GET", "h", "/a"))
    assert first == seller_api.handle(Request("GET", "h", "/a"))
    assert json.loads(first.body)["path"] == "/a"
    assert first.body != seller_api.handle(Request("GET", "h", "/b")).body


def test_deliveries_are_counted_per_request_and_failures_are_none():
    shop = Shop()
    _, authorization, _ = shop.buy("/premium", ("x-oa-request-id", "req-1"))
    with shop.faults.inject(UpstreamFailure(500)):
        failed = shop.ask("/premium", ("Authorization", authorization), ("x-oa-request-id", "req-2"))
    assert failed.status == 500
    assert (shop.seller_api.deliveries("req-1"), shop.seller_api.deliveries("req-2")) == (1, 0)
    shop.ask("/premium", ("Authorization", authorization))
    assert shop.seller_api.deliveries() == 2


@pytest.mark.parametrize(
    ("prefix", "path", "asked"),
    [
        ("", "/pre//../x/", "/pre//../x/"),
        ("/v1/api", "/pre/x", "/v1/api/pre/x"),
        ("/v1/api", "/pre/x/", "/v1/api/pre/x/"),
        ("/v1/api", "/pre//x", "/v1/api/pre/x"),
        ("/v1/api", "/pre/./y", "/v1/api/pre/y"),
        ("/v1/api", "/pre/../x", "/v1/api/x"),
        ("/v1/api", "/../../x", "/x"),
        ("/v1/api", "/../../../x", "/x"),
        ("/v1/api", "/pre/a%2Fb", "/v1/api/pre/a%2Fb"),
        ("/v1/api", "/pre/%2e%2e/x", "/v1/api/pre/%2e%2e/x"),
        ("/v1/api", "/", "/v1/api/"),
        ("/v2/", "/pre2//y/", "/v2/pre2/y/"),
        ("/v2//a/../b", "/x", "/v2/b/x"),
        ("///v2", "/x", "/v2/x"),
        ("/a b%2Fc!", "/x!", "/a%20b/c%21/x!"),
        ("/%ff", "/x", "/%FF/x"),
        ("/", "/x", "/x"),
    ],
)
def test_a_prefix_is_joined_as_go_joins_it(prefix, path, asked):
    service = Service("s", address="seller.test", rewrite_prefix=prefix)
    request = forwarded(Request("GET", "shop.test", path, "q=1"), service, "r", None)
    assert (request.path, request.query) == (asked, "q=1")


@pytest.mark.parametrize(
    "prefix",
    ["v1", "/v1?x=1", "/v1?", "/v1#f", "/v1#", "//host/v1", "/%zz", "/a\tb", "https://h/v1", "?", " /v1"],
)
def test_a_prefix_that_is_no_path_is_refused(prefix):
    with pytest.raises(ValueError, match="a prefix is a path from /"):
        Service("s", rewrite_prefix=prefix)
