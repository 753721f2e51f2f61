"""The same seed leaves the same bytes: run again, run by several processes, run in another order."""

from __future__ import annotations

import pytest
from rehearsed_project import Rehearsed, RehearsedProject

pytestmark = pytest.mark.slow

BACKWARDS = """\
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.reverse()
"""


@pytest.fixture
def first(rehearsals: RehearsedProject) -> Rehearsed:
    """A run whose evidence every other one is compared with; it is out of the way of the next."""
    run = rehearsals.run("--l402-seed=7")
    assert run.verdict == "SIGNED_OFF", run.output
    assert len(run.evidence()) > 250
    return run


def order_of(run: Rehearsed) -> list[str]:
    return [line.partition("::")[2].split()[0] for line in run.output.splitlines() if " PASSED " in line]


def told_apart(one: Rehearsed, other: Rehearsed) -> list[str]:
    """The files of evidence in which two runs differ."""
    left, right = one.evidence(), other.evidence()
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def test_a_second_run_leaves_the_same_bytes(rehearsals: RehearsedProject, first: Rehearsed) -> None:
    again = rehearsals.run("--l402-seed=7")
    assert told_apart(first, again) == []
    assert [hashes(entry) for entry in first.document["rehearsals"]] == [
        hashes(entry) for entry in again.document["rehearsals"]
    ]


def test_two_processes_leave_the_same_bytes(rehearsals: RehearsedProject, first: Rehearsed) -> None:
    distributed = rehearsals.run("--l402-seed=7", workers=2)
    assert distributed.verdict == "SIGNED_OFF", distributed.output
    assert told_apart(first, distributed) == []


def test_another_order_leaves_the_same_bytes(rehearsals: RehearsedProject) -> None:
    forwards = rehearsals.run("--l402-seed=7", "-v")
    rehearsals.write("conftest.py", BACKWARDS)
    backwards = rehearsals.run("--l402-seed=7", "-v")
    assert order_of(backwards) == order_of(forwards)[::-1]
    assert len(order_of(forwards)) > 25
    assert told_apart(forwards, backwards) == []


def test_another_seed_leaves_other_bytes_in_every_test(
    rehearsals: RehearsedProject, first: Rehearsed
) -> None:
    other = rehearsals.run("--l402-seed=8")
    assert other.verdict == "SIGNED_OFF", other.output
    assert first.evidence().keys() == other.evidence().keys()
    different = {folder_of(name) for name in told_apart(first, other) if name.endswith("records.jsonl")}
    assert different == {folder_of(name) for name in first.evidence() if name.endswith("node.json")}


def folder_of(name: str) -> str:
    """The folder of a test's evidence; what an earlier moment left lies in one below it."""
    return "/".join(name.split("/")[:2])


def hashes(entry: dict[str, object]) -> list[object]:
    return [node["evidence"] for node in entry["nodes"]]  # type: ignore[attr-defined]
