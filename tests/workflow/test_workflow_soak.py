"""A soak kills in windows that its seed decides, and tells what was paid; chaos kills at any moment."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_l402.workflow import EngineFault, chaos, soak


def test_every_window_comes_up_in_three_rounds(workflows: Any) -> None:
    with workflows() as (workflow, _):
        told = soak(workflow, 3, "a seed")
        killed = [row for row in workflow.tables()["process_events"] if row["event"] == "killed"]
    assert told == {
        "rounds": 3,
        "kills": 3,
        "windows": {"before-effect": 1, "after-effect": 1, "after-checkpoint": 1},
        "receipts": 3,
        "walletCalls": 4,
    }
    assert [row["exitSignal"] for row in killed] == ["SIGKILL"] * 3


@pytest.mark.slow
def test_without_a_key_on_the_root_a_soak_pays_twice(workflows: Any) -> None:
    with workflows(EngineFault.EFFECT_REPEATED) as (workflow, _):
        told = soak(workflow, 3, "a seed")
    assert told["receipts"] > 3


@pytest.mark.slow
def test_chaos_pays_each_run_once(workflows: Any) -> None:
    with workflows() as (workflow, _):
        told = chaos(workflow, 5, 2, "a seed")
    assert (told["kills"], told["runs"], told["receipts"]) == (5, 10, 10)
