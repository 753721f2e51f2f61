"""Puts the gateway into the drills: each request of a buyer comes to its `handle`."""

from dataclasses import replace
from functools import partial

import pytest
from starter_gateway import StarterGateway

from pytest_l402.stack.gateway.services import match_service


@pytest.fixture
def l402_gateway(l402_stack):
    def ask_seller(request):
        return l402_stack.seller_api.handle(replace(request, host="seller.l402.test"))

    # What the stack sells, its node and its seller: see the page "Rehearse your own client".
    find = partial(match_service, l402_stack.gateway.services)
    return StarterGateway(find, l402_stack.node, ask_seller, l402_stack.clock)
