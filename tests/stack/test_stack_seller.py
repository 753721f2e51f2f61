"""The seller's API delivers the same document for the same path, and counts."""

import json

from stack_shop import Shop

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import Request
from pytest_l402.stack.faults import UpstreamFailure
from pytest_l402.stack.gateway.seller_api import SellerApi


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
