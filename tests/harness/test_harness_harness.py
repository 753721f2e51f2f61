"""One harness is shared by all parts of a system, each with a source of chance of its own."""

from __future__ import annotations

import httpx

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import Request, Response
from pytest_l402.harness.randomness import SeededRandomness


class Echo:
    def handle(self, request: Request) -> Response:
        return Response(200, (), request.host.encode())


def test_a_derived_harness_shares_everything_but_chance() -> None:
    harness = Harness(7)
    part = harness.derive("part")
    for name in ("clock", "faults", "journal", "network"):
        assert getattr(part, name) is getattr(harness, name)
    expected = SeededRandomness(7).derive("part").bytes(8, "x")
    assert part.randomness.bytes(8, "x") == expected
    assert harness.derive("part").randomness.bytes(8, "x") == expected
    assert harness.randomness.bytes(8, "x") != expected


def test_a_row_is_noted_at_the_next_moment() -> None:
    harness = Harness()
    before = harness.clock.now_ms()
    harness.note("things", {"a": 1})
    harness.derive("part").note("things", {"a": 2})
    assert harness.journal.rows("things") == ({"a": 1, "atMs": before + 1}, {"a": 2, "atMs": before + 2})


def test_a_request_id_that_cannot_stand_in_a_log_is_replaced() -> None:
    harness = Harness()
    given = [
        harness.id_of(Request("GET", "h", headers=(("x-oa-request-id", text),)), "p", "id")
        for text in ("mine", "two words", "")
    ]
    assert given[0] == "mine"
    assert given[1].startswith("p-")
    assert given[1] != given[2]


def test_hosts_are_reached_in_process_and_on_ports() -> None:
    harness = Harness()
    for host in ("a.test", "b.test"):
        harness.network.mount(host, Echo())
    with harness.online():
        assert httpx.get("https://a.test", verify=False).text == "a.test"
    with harness.serving("a.test", "b.test") as urls:
        assert [httpx.get(url).text for url in urls] == ["a.test", "b.test"]
