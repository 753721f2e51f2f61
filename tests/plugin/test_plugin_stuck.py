"""A client that holds the interpreter ends the run, with a message that is not captured."""

from __future__ import annotations

import pytest

HOLDS = """
import ctypes

def test_it(l402_stack):
    with l402_stack.serve(stuck_after_s=0.5):
        ctypes.PyDLL(None).sleep(60)
"""


def test_a_run_that_is_stuck_ends_with_a_message(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HOLDS)
    ended = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=60)
    assert ended.ret != 0
    told = "\n".join([*ended.outlines, *ended.errlines])
    assert "saw the interpreter held" in told
    assert "in test_it" in told
