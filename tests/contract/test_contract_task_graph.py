from itertools import product

import pytest

from pytest_l402.contract import TRANSITIONS, UNFINISHED, TaskStatus, is_allowed

ALLOWED = """
queued approved running blocked failed completed
approved running blocked failed completed
running paid cached blocked failed completed
paid completed failed cached
cached completed running failed
blocked queued failed
failed queued
completed
"""


def test_graph_is_the_original_one():
    expected = {line.split()[0]: set(line.split()[1:]) for line in ALLOWED.strip().splitlines()}
    assert {
        status.value: {following.value for following in after} for status, after in TRANSITIONS.items()
    } == (expected)


@pytest.mark.parametrize(("current", "following"), list(product(TaskStatus, TaskStatus)))
def test_staying_or_following_an_edge_is_allowed_and_nothing_else(current, following):
    assert is_allowed(current, following) == (current is following or following in TRANSITIONS[current])


def test_paid_task_cannot_be_blocked_any_more():
    assert not is_allowed(TaskStatus.PAID, TaskStatus.BLOCKED)


def test_finished_states_owe_no_progress():
    assert set(TaskStatus) - UNFINISHED == {TaskStatus.COMPLETED, TaskStatus.BLOCKED, TaskStatus.FAILED}
