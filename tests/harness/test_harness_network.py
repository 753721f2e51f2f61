"""A request reaches the app of its host, or nobody."""

import pytest

from pytest_l402.harness.faults import Faults
from pytest_l402.harness.network import Network, NetworkUnreachable, Request, Response
from pytest_l402.stack.faults import GatewayDown


class Echo:
    def handle(self, request):
        return Response(200, (("X-A", "1"), ("x-a", "2")), request.host.encode())


def test_hosts_are_matched_whatever_their_case():
    network = Network()
    network.mount("Api.Test", Echo())
    assert network.dispatch(Request("GET", "API.test")).body == b"API.test"
    assert network.hosts == ("api.test",)


def test_an_unknown_host_is_unreachable():
    network = Network()
    network.mount("api.test", Echo())
    with pytest.raises(NetworkUnreachable, match=r"other\.test: no such host; mounted are api\.test"):
        network.dispatch(Request("GET", "other.test"))


def test_a_host_taken_down_answers_nothing_until_it_is_up():
    network = Network()
    network.mount("api.test", Echo())
    network.take_down("API.test")
    assert network.hosts_down() == ("api.test",)
    with pytest.raises(NetworkUnreachable, match="refused"):
        network.dispatch(Request("GET", "api.test"))
    network.bring_up("api.test")
    assert network.hosts_down() == ()
    assert network.dispatch(Request("GET", "api.test")).status == 200


def test_a_fault_takes_down_the_hosts_that_were_mounted_for_it_and_only_for_its_request():
    faults = Faults()
    network = Network(faults)
    network.mount("gateway.test", Echo(), down_when=GatewayDown)
    network.mount("other.test", Echo())
    mine = Request("GET", "gateway.test", headers=(("X-OA-Request-Id", "req-1"),))
    with faults.inject(GatewayDown(), "req-1"):
        with pytest.raises(NetworkUnreachable, match="GatewayDown"):
            network.dispatch(mine)
        assert network.dispatch(Request("GET", "gateway.test")).status == 200
        assert network.dispatch(Request("GET", "other.test")).status == 200
    assert network.dispatch(mine).status == 200


@pytest.mark.parametrize("change", ["take_down", "bring_up"])
def test_only_mounted_hosts_can_be_taken_down(change):
    with pytest.raises(ValueError, match="not mounted"):
        getattr(Network(), change)("api.test")


def test_a_host_is_mounted_once():
    network = Network()
    network.mount("api.test", Echo())
    with pytest.raises(ValueError, match="already mounted"):
        network.mount("API.test", Echo())


def test_headers_are_found_whatever_their_case_and_the_repr_hides_them():
    request = Request(
        "GET", "h", headers=(("Authorization", "L402 secret"), ("A", "1"), ("a", "2")), body=b"sec"
    )
    assert request.header("AUTHORIZATION") == "L402 secret"
    assert request.header("b") is None
    assert request.headers_of("A") == ("1", "2")
    assert "sec" not in repr(request)
    response = Response(200, (("X", "secret"),), b"secret")
    assert response.header("x") == "secret"
    assert "secret" not in repr(response)
