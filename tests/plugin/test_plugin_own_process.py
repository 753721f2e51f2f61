"""A test that asks for `l402_served` has its stack in a process of its own, from the beginning."""

from __future__ import annotations

import pytest

CONFTEST = """
import ctypes
import socket
from urllib.parse import urlsplit
import pytest
from pytest_l402.stack import Answer

class NativeClient:
    def __init__(self, served):
        self.address = urlsplit(served.gateway_url)

    def buy(self, path):
        with socket.create_connection((self.address.hostname, self.address.port)) as opened:
            opened.settimeout(None)
            opened.sendall(f"GET {path} HTTP/1.0\\r\\nHost: {self.address.netloc}\\r\\n\\r\\n".encode())
            # The interpreter is held until the answer is there.
            said = ctypes.create_string_buffer(65536)
            ctypes.PyDLL(None).recv(opened.fileno(), said, len(said), 0)
        assert said.raw.startswith(b"HTTP/1.1 200")
        return Answer()

@pytest.fixture
def l402_executor(l402_stack, l402_served):
    return l402_stack.attributed(NativeClient(l402_served))
"""
TESTS = """
def test_by_its_part(l402_stack, l402_evidence):
    bought = l402_stack.executor.buy("/status")
    assert bought.status == "free"
    assert l402_stack.__class__.__name__ == "StackInOwnProcess"

def test_the_clock_of_another_process(l402_served, l402_clock, l402_stack):
    before = l402_clock.now_ms()
    l402_clock.advance(1000)
    assert l402_stack.clock.now_ms() == before + 1000
"""
REFUSED = """
import pytest

@pytest.fixture
def l402_gateway(l402_stack):
    return object()

def test_a_gateway_of_ones_own(l402_served):
    pass
"""
UNDERWAY = """
def test_underway(l402_stack, request):
    request.getfixturevalue("l402_served")
"""


@pytest.mark.slow
def test_a_client_that_holds_the_interpreter_is_answered(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_part_that_would_have_to_answer_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(REFUSED)
    ended = pytester.runpytest("-p", "no:cacheprovider")
    ended.assert_outcomes(failed=1)
    ended.stdout.fnmatch_lines(["*saw the gateway of the test's process*do not ask for l402_served*"])


def test_it_cannot_be_asked_for_underway(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(UNDERWAY)
    ended = pytester.runpytest("-p", "no:cacheprovider")
    ended.assert_outcomes(failed=1)
    ended.stdout.fnmatch_lines(["*expected l402_served among the arguments*"])
