"""Whatever behaviour of the stack is broken, its rehearsal is red, and the message names the runbook line."""

from __future__ import annotations

import re

import pytest
from breakages import BREAKAGES, Breakage
from breakages_of_operations import BREAKAGES as OF_OPERATIONS
from rehearsed_project import RUNBOOK, Rehearsed, RehearsedProject, catalogue_of
from tiers import sampled

WHOLE = {
    "settlement records name another amount": "hosted-success",
    "the local artifact forgets blocked flows": "local-node-success",
    "the wallet pays twice": "cache-reuse",
    "the denial comes after the payment": "policy-block",
    "a fault stays in": "settlement-failure",
    "the buyer pays anew while a payment is pending": "interrupted-purchase",
    "heartbeats are ignored": "executor-offline",
}
"""One breakage of each rehearsal, shown to refuse the sign-off of a whole run."""


_PROVEN_BY: dict[tuple[str, ...], dict[str, set[str]]] = {}
"""Which tests prove each line, as a run of the unbroken stack tells; one run a process, for all breakages."""


def nodes_that_prove(rehearsals: RehearsedProject, lines: tuple[str, ...]) -> list[str]:
    if rehearsals.runbooks not in _PROVEN_BY:
        proven = _PROVEN_BY[rehearsals.runbooks] = dict[str, set[str]]()
        for entry in rehearsals.run("--l402-no-teeth").document["rehearsals"]:
            for node in entry["nodes"]:
                for check in node["checks"]:
                    if check["line"]:
                        proven.setdefault(check["line"]["id"], set()).add(node["nodeid"])
    return sorted(set().union(*(_PROVEN_BY[rehearsals.runbooks][line] for line in lines)))


def named(broken: Breakage) -> str:
    return broken.name.replace(" ", "-")


def assert_told(broken: Breakage, run: Rehearsed) -> None:
    violated = {
        reason["line"]
        for rehearsal in run.document["rehearsals"]
        for reason in rehearsal["reasons"]
        if reason["code"] == "check-violated"
    }
    assert set(broken.lines) <= violated, f"{sorted(map(str, violated))}\n{run.output}"
    for line in broken.lines:
        assert f"({line})" in run.output
    assert "INTERNALERROR" not in run.output
    assert_readable(run)


def assert_readable(run: Rehearsed) -> None:
    """Nothing that is told is wider than a screen, but for a path, and each row that it names is there."""
    told = run.output.partition("= FAILURES =")[2].partition("= short test summary")[0]
    assert [line for line in told.splitlines() if len(line) > 100 and "/evidence/" not in line] == []
    for failure in re.split(r"(?m)^_{3,} .* _{3,}$", told)[1:]:
        words = " ".join(failure.split())
        assert re.search(r" verify [\w/]+\.py:\d+ evidence output/signoff/", words), failure
        place = re.search(r"output/signoff/[^/]+/(evidence/\S+)/", words)
        assert place is not None
        for table, numbers in re.findall(r"(\w+)\.jsonl lines? (\d+(?:, \d+)*)", words):
            files = [
                run.folder / place[1] / f"{table}.jsonl",
                *(run.folder / place[1]).glob(f"*/{table}.jsonl"),
            ]
            rows = max(len(file.read_bytes().splitlines()) for file in files if file.is_file())
            assert max(map(int, numbers.split(", "))) <= rows, f"{table}: {numbers}\n{failure}"
        named = re.search(r"what has changed since is in (.*?) as it was", words)
        for moment in named[1].split(" and ") if named else ():
            assert any((run.folder / place[1] / moment).glob("*.jsonl")), f"{moment}\n{failure}"
        assert "table table" not in words


@pytest.mark.parametrize("broken", sampled(BREAKAGES, 14, "breakages"), ids=named)
def test_the_rehearsal_of_a_broken_line_is_red(
    rehearsals: RehearsedProject, monkeypatch: pytest.MonkeyPatch, broken: Breakage
) -> None:
    nodes = nodes_that_prove(rehearsals, broken.lines)
    broken.apply(monkeypatch)
    # A check that is violated on what was recorded is not asked about its mutants.
    run = rehearsals.run("--l402-no-teeth", *nodes)
    assert_told(broken, run)
    assert (run.verdict, run.exit) == ("DRILL", 1)


@pytest.mark.parametrize("broken", sampled(OF_OPERATIONS, 3, "breakages of operations"), ids=named)
def test_the_rehearsal_of_a_broken_operation_is_red(
    rehearsals_of_operations: RehearsedProject, monkeypatch: pytest.MonkeyPatch, broken: Breakage
) -> None:
    nodes = nodes_that_prove(rehearsals_of_operations, broken.lines)
    broken.apply(monkeypatch)
    run = rehearsals_of_operations.run("--l402-no-teeth", *nodes)
    assert_told(broken, run)
    assert (run.verdict, run.exit) == ("DRILL", 1)


@pytest.mark.slow
@pytest.mark.parametrize("broken", [broken for broken in BREAKAGES if broken.name in WHOLE], ids=named)
def test_a_broken_stack_is_not_signed_off(
    rehearsals: RehearsedProject, monkeypatch: pytest.MonkeyPatch, broken: Breakage
) -> None:
    broken.apply(monkeypatch)
    run = rehearsals.run()
    assert_told(broken, run)
    assert (run.verdict, run.exit) == ("NOT_SIGNED_OFF", 1)
    assert run.rehearsal(WHOLE[broken.name])["state"] == "FAILED"


def test_a_cap_that_nobody_enforces_is_one_cause(
    rehearsals: RehearsedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    (broken,) = (each for each in BREAKAGES if each.name == "the cap is not looked at")
    broken.apply(monkeypatch)
    run = rehearsals.run("-k", "over_cap")
    assert_readable(run)
    # On a machine of CI pytest tells the whole message in its summary once more.
    told, _, _ = run.output.partition("= short test summary info =")
    assert told.count(" is violated\n") == 1
    assert "5 checks do not hold, for one cause" in run.output
    assert "\n4.before-payment: expected no payment for the purchase, saw 250000 msats" in run.output


LOSES_ITS_CREDENTIALS = """\
import pytest

@pytest.fixture
def l402_executor(l402_executor, monkeypatch):
    buy = l402_executor.buy
    monkeypatch.setattr(l402_executor, "buy", lambda path, **how: buy(path, **how | {"new_credential": True}))
    return l402_executor
"""


def test_a_buyer_that_loses_its_credentials_is_told_once_in_each_test(rehearsals: RehearsedProject) -> None:
    rehearsals.write("conftest.py", LOSES_ITS_CREDENTIALS)
    run = rehearsals.run("-k", "same_request_twice or told_401", "--l402-no-teeth")
    assert_readable(run)
    told = run.output.partition("= FAILURES =")[2].partition("= short test summary")[0]
    assert told.count(" is violated\n") == 2
    words = " ".join(told.split())
    assert "4 checks do not hold, for one cause" in words
    assert "cached_request(first purchase, second purchase) is violated" in words
    assert "seen no credential presented, status 402; then a credential accepted, status 200" in words
    assert words.count("do the client sent no credential: see whether it kept the one it bought") == 1
    for line in ("3.cache-hit", "3.paid-once", "3.idempotent-replay", "3.no-second-payment"):
        assert f"({line}): " in words
    for false in ("challenged a credential that was good", "cache key", "a plane tells another story"):
        assert false not in words
    ids = re.findall(r"desktop-[0-9a-f-]{36}", told)
    assert len(ids) == len(set(ids)) == 4


@pytest.mark.slow
def test_the_stack_as_it_is_is_signed_off(rehearsals: RehearsedProject) -> None:
    run = rehearsals.run()
    assert (run.verdict, run.exit) == ("SIGNED_OFF", 0), run.output


def test_every_line_of_the_runbook_has_a_breakage() -> None:
    entries = catalogue_of(RUNBOOK)["rehearsals"]
    rehearsed = {line for entry in entries for line in entry["proves"]}
    assert rehearsed == {line for broken in BREAKAGES for line in broken.lines}
    assert len({broken.name for broken in BREAKAGES}) == len(BREAKAGES) >= 140
    assert len({broken.name for broken in OF_OPERATIONS}) == len(OF_OPERATIONS) > 25
    assert [*WHOLE.values()] == [entry["id"] for entry in entries]
    assert WHOLE.keys() <= {broken.name for broken in BREAKAGES}


def test_a_fault_that_nobody_meets_proves_nothing(rehearsals: RehearsedProject) -> None:
    place = "rehearsals/observability/test_5_interrupted_purchase.py"
    text = (rehearsals.root / place).read_text()
    injected = "inject(PaymentLate(long_enough_ms))"
    assert injected in text
    rehearsals.write(place, text.replace(injected, 'inject(PaymentLate(long_enough_ms), "nobody")'))
    run = rehearsals.run("-k", "late_settlement")
    assert run.exit == 1
    assert "expected PaymentLate to fire for request nobody" in " ".join(run.output.split())
