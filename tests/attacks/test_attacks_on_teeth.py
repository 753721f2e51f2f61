"""Checks that lie: none of them may end as trusted, nor hide from another check what it would have found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import count
from typing import Any

import pytest
from plugin_project import Project

from pytest_l402.evidence import Check, Evidence, Finding, Mutant, Subject, run_check
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.mutants import insert_row, remove_rows, set_value
from pytest_l402.evidence.telling import tell_results

pytest_plugins = ["pytester"]

Judge = Callable[[Evidence], Any]

PAID = set_value("payments", "status", "succeeded")
OPEN = {"status": "open", "amountMsats": 21_000, "settled": True, "route": {"hops": ["a", "b"], "fee": 1}}


def books(*payments: dict[str, Any]) -> Evidence:
    """Wallet and store; by default nothing was paid."""
    rows = payments or ({**OPEN, "paymentHash": "aa"}, {**OPEN, "paymentHash": "bb"})
    return Evidence({"payments": rows, "settlements": [{"paymentHash": "cc", "amountMsats": 1}]})


def paid_books() -> Evidence:
    return books({**OPEN, "paymentHash": "aa"}, {**OPEN, "paymentHash": "bb", "status": "succeeded"})


def wrong(where: str = "payments.jsonl", seen: str = "one") -> Finding:
    return Finding("no payment", seen, where, "ask the wallet")


def honest(evidence: Evidence) -> Iterator[Finding]:
    for number, row in enumerate(evidence.table("payments"), start=1):
        if row["status"] == "succeeded":
            yield wrong(f"payments.jsonl line {number}")


def nothing_paid(judge: Judge = honest, *mutants: Mutant) -> Check:
    return Check("nothing_paid()", judge, mutants or (PAID,), ("payments",))


def trusted(result: CheckResult) -> bool:
    return result.passed and result.has_teeth


def test_an_honest_check_is_trusted_and_finds_what_is_wrong() -> None:
    assert trusted(run_check(nothing_paid(), books()))
    assert not trusted(run_check(nothing_paid(), paid_books()))


# --- Judges and mutants that edit what they were shown ---


def _first(evidence: Evidence) -> Any:
    return evidence.table("payments")[-1]


def _swallowed(evidence: Evidence) -> None:
    with contextlib.suppress(TypeError):
        _first(evidence)["status"] = "closed"


def _in_a_thread(evidence: Evidence) -> None:
    thread = threading.Thread(target=lambda: dict.update(_first(evidence), status="closed"))
    thread.start()
    thread.join()


def _reordered(evidence: Evidence) -> None:
    row = _first(evidence)
    row["status"] = row.pop("status") and "closed"


EDITS: dict[str, Callable[[Evidence], Any]] = {
    "assigns a value": lambda e: _first(e).__setitem__("status", "closed"),
    "update": lambda e: _first(e).update(status="closed"),
    "in-place or": lambda e: _first(e).__ior__({"status": "closed"}),
    "pop": lambda e: _first(e).pop("status"),
    "popitem": lambda e: _first(e).popitem(),
    "clear": lambda e: _first(e).clear(),
    "delete": lambda e: _first(e).__delitem__("status"),
    "setdefault": lambda e: _first(e).setdefault("checked", True),
    "nested mapping": lambda e: _first(e)["route"].update(fee=0),
    "nested list appended": lambda e: _first(e)["route"]["hops"].append("c"),
    "nested list sorted": lambda e: _first(e)["route"]["hops"].sort(reverse=True),
    "nested list popped": lambda e: _first(e)["route"]["hops"].pop(),
    "nested slice": lambda e: _first(e)["route"]["hops"].__setitem__(slice(None), []),
    "true to 1": lambda e: _first(e).update(settled=1),
    "1 to 1.0": lambda e: _first(e)["route"].update(fee=1.0),
    "keys in another order": _reordered,
    "error swallowed": _swallowed,
    "through the type": lambda e: dict.__setitem__(_first(e), "status", "closed"),
    "nested through the type": lambda e: list.clear(_first(e)["route"]["hops"]),
    "in a thread": _in_a_thread,
    "table replaced": lambda e: e._tables.__setitem__("payments", ()),
    "table taken away": lambda e: e._tables.pop("payments"),
    "table added": lambda e: e._tables.__setitem__("refunds", ({"status": "refunded"},)),
    "all tables replaced": lambda e: setattr(e, "_tables", {}),
    "all tables taken away": lambda e: setattr(e, "_tables", None),
    "all tables replaced through object": lambda e: object.__setattr__(e, "_tables", {}),
    "all emptied": lambda e: e._tables.clear(),
    "all tables deleted": lambda e: delattr(e, "_tables"),
    "something unwritable put in": lambda e: _first(e).update(status=object()),
    "itself put in": lambda e: _first(e).update(status=_first(e)),
}


@pytest.mark.parametrize("way", EDITS)
def test_a_judge_that_edits_rows_is_not_trusted_and_hides_nothing_from_the_next(way: str) -> None:
    def judge(evidence: Evidence) -> list[Finding]:
        EDITS[way](evidence)
        return [wrong()] if any("route" not in row for row in evidence.table("payments")) else []

    evidence = paid_books()
    liar = run_check(nothing_paid(judge), evidence)
    assert not trusted(liar)
    seen = run_check(nothing_paid(), evidence)
    assert [violation.seen for violation in seen.violations] == ["one"]
    assert evidence == paid_books()


@pytest.mark.parametrize("way", EDITS)
def test_a_mutant_that_edits_rows_is_not_trusted(way: str) -> None:
    def apply(evidence: Evidence) -> Evidence:
        EDITS[way](evidence)
        return PAID.apply(books())

    evidence = books()
    assert not trusted(run_check(nothing_paid(honest, Mutant("payments: paid", apply)), evidence))
    assert evidence == books()


@pytest.mark.parametrize("way", EDITS)
def test_a_judge_that_edits_only_when_it_finds_something_hides_nothing(way: str) -> None:
    """While it judges a mutant, rows that the mutant shares with the evidence are in its hands."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for row in evidence.table("payments"):
            if row["status"] == "succeeded":
                try:
                    yield wrong()
                finally:
                    with contextlib.suppress(
                        LookupError
                    ):  # what was taken away is not there to be taken again
                        EDITS[way](evidence)

    evidence = books()
    run_check(nothing_paid(judge), evidence)
    assert evidence == books()
    assert trusted(run_check(nothing_paid(), evidence))
    assert not run_check(nothing_paid(), paid_books()).passed


@pytest.mark.parametrize("slot", Evidence.__slots__)
@pytest.mark.parametrize("way", [setattr, lambda evidence, slot, _: delattr(evidence, slot)])
def test_a_judge_that_breaks_what_it_was_shown_breaks_nothing_else(
    way: Callable[..., None], slot: str
) -> None:
    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from honest(evidence)
        way(evidence, slot, None)

    assert not run_check(nothing_paid(judge), paid_books()).passed
    evidence = books()
    run_check(nothing_paid(judge), evidence)
    assert evidence == books()
    assert trusted(run_check(nothing_paid(), evidence))


def test_an_edit_is_told_in_four_parts() -> None:
    def judge(evidence: Evidence) -> list[Finding]:
        evidence.table("payments")[0]["status"] = "open, normalised"
        return []

    result = run_check(nothing_paid(judge), books())
    (violation,) = result.violations
    assert "nothing_paid() cannot be trusted" in tell_results([result])
    assert "evidence as it was recorded" in violation.expected
    assert "payments" in violation.seen
    assert violation.where == "check nothing_paid()"
    assert "copy" in violation.remedy


def test_rows_kept_from_one_check_cannot_be_edited_for_the_next() -> None:
    kept: list[Evidence] = []

    def keeping(evidence: Evidence) -> Iterator[Finding]:
        kept.append(evidence)
        yield from honest(evidence)

    def editing(evidence: Evidence) -> list[Finding]:
        for each in kept:
            each.table("payments")[-1]["status"] = "open"
        return []

    evidence = paid_books()
    run_check(nothing_paid(keeping), evidence)
    run_check(nothing_paid(editing), evidence)
    assert not run_check(nothing_paid(), evidence).passed


def test_a_thread_that_edits_later_edits_nobody_elses_rows() -> None:
    now, threads = threading.Event(), []

    def judge(evidence: Evidence) -> list[Finding]:
        def later() -> None:
            now.wait(10)
            for row in evidence.table("payments"):
                row["status"] = "open"

        threads.append(threading.Thread(target=later))
        threads[-1].start()
        return []

    evidence = paid_books()
    run_check(nothing_paid(judge), evidence)
    now.set()
    for thread in threads:
        thread.join()
    assert not run_check(nothing_paid(), evidence).passed


# --- Judges that remember, or look at something else than the evidence ---


def _remembers() -> Check:
    seen: set[str] = set()

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for row in evidence.table("payments"):
            if row["paymentHash"] in seen:
                yield wrong()
            seen.add(row["paymentHash"])

    return nothing_paid(judge)


def _remembers_the_first() -> Check:
    first: list[Any] = []

    def judge(evidence: Evidence) -> list[Finding]:
        shown = [dict(row) for row in evidence.table("payments")]
        first.append(shown)
        return [] if shown == first[0] else [wrong()]

    return nothing_paid(judge)


def _counting(finds: Callable[[int], bool]) -> Callable[[], Check]:
    def make() -> Check:
        calls = count(1)
        return nothing_paid(lambda evidence: [wrong()] if finds(next(calls)) else [])

    return make


def _by_identity_of_the_evidence() -> Check:
    known: list[Evidence] = []

    def judge(evidence: Evidence) -> list[Finding]:
        known.append(evidence)
        return [] if evidence is known[0] else [wrong()]

    return nothing_paid(judge)


def _by_identity_of_rows() -> Check:
    known: list[Any] = []

    def judge(evidence: Evidence) -> list[Finding]:
        known.append(evidence.table("payments")[0])
        return [] if known[-1] is known[0] else [wrong()]

    return nothing_paid(judge)


def _told_by_the_mutant(cleared: bool) -> Check:
    flags: list[bool] = []

    def apply(evidence: Evidence) -> Evidence:
        flags.append(True)
        return PAID.apply(evidence)

    def judge(evidence: Evidence) -> list[Finding]:
        found = [wrong()] if flags else []
        if cleared and flags:
            flags.pop()
        return found

    return nothing_paid(judge, *(Mutant(f"payments: paid {each}", apply) for each in range(4)))


def _accumulates() -> Check:
    found: list[Finding] = []

    def judge(evidence: Evidence) -> list[Finding]:
        found.extend(honest(evidence))
        return found

    return nothing_paid(judge)


def _one_generator() -> Check:
    shared = iter([wrong()])
    calls = count()
    return nothing_paid(lambda evidence: () if next(calls) < 1 else shared)


def _clock() -> Check:
    clock = count(0, 400)
    started = next(clock)
    return nothing_paid(lambda evidence: [wrong()] if next(clock) - started > 1_000 else [])


def _randomness(seed: int, often: float) -> Callable[[], Check]:
    def make() -> Check:
        dice = random.Random(seed)
        return nothing_paid(lambda evidence: [wrong()] if dice.random() < often else [])

    return make


def _cached() -> Check:
    last: list[Evidence] = []

    @lru_cache
    def first_answer(table: str) -> tuple[str, ...]:
        return tuple(row["status"] for row in last[-1].table(table))

    def judge(evidence: Evidence) -> list[Finding]:
        last.append(evidence)
        return [wrong()] if "succeeded" in first_answer("payments") else []

    return nothing_paid(judge)


def _environment() -> Check:
    def judge(evidence: Evidence) -> list[Finding]:
        found = [wrong()] if os.environ.get("PYTEST_L402_SEEN") else []
        os.environ["PYTEST_L402_SEEN"] = "1"
        return found

    return nothing_paid(judge)


def _other_text_each_time() -> Check:
    calls = count(1)
    return nothing_paid(
        lambda evidence: [wrong(seen=f"call {next(calls)}") for finding in honest(evidence) if finding]
    )


MEMORIES: dict[str, Callable[[], Check]] = {
    "a set one level too high": _remembers,
    "whatever it saw first is right": _remembers_the_first,
    "finds from the third call on": _counting(lambda call: call > 2),
    "finds from the second call on": _counting(lambda call: call > 1),
    "finds nothing at first and last": _counting(lambda call: 1 < call < 4),
    "finds every second time": _counting(lambda call: call % 2 == 0),
    "finds every second time, from the first": _counting(lambda call: call % 2 == 1),
    "finds two of three times": _counting(lambda call: call % 3 != 1),
    "the object itself": _by_identity_of_the_evidence,
    "the row itself": _by_identity_of_rows,
    "the mutant tells it": lambda: _told_by_the_mutant(cleared=False),
    "the mutant tells it, once each": lambda: _told_by_the_mutant(cleared=True),
    "findings of all calls": _accumulates,
    "one generator for all calls": _one_generator,
    "a clock": _clock,
    **{f"chance {seed}, {often}": _randomness(seed, often) for seed in range(8) for often in (0.3, 0.5, 0.7)},
    "a cache": _cached,
    "the environment": _environment,
    "another text each time": _other_text_each_time,
}


@pytest.mark.parametrize("way", MEMORIES)
def test_a_judge_with_memory_is_not_trusted(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_L402_SEEN", "")
    assert not trusted(run_check(MEMORIES[way](), books()))


# --- Judges that return what is no finding, or do not come back ---


def _endless(evidence: Evidence) -> Iterator[Finding]:
    while True:
        yield wrong()


def _endless_on_a_mutant(evidence: Evidence) -> Iterator[Finding]:
    while list(honest(evidence)):
        yield wrong("settlements.jsonl")


def _raising(error: BaseException) -> Judge:
    def judge(evidence: Evidence) -> Iterable[Finding]:
        raise error

    return judge


def _raising_when_wrong(error: BaseException) -> Judge:
    def judge(evidence: Evidence) -> Iterable[Finding]:
        if list(honest(evidence)):
            raise error
        return ()

    return judge


class _Falsy(list[Finding]):
    """An iterable that says it is empty."""

    def __iter__(self) -> Iterator[Finding]:
        raise StopIteration


ANSWERS: dict[str, Judge] = {
    "nothing at all": lambda evidence: None,
    "true": lambda evidence: True,
    "a text": lambda evidence: "wrong" if list(honest(evidence)) else "",
    "texts": lambda evidence: [finding.seen for finding in honest(evidence)],
    "mappings": lambda evidence: [{"where": finding.where} for finding in honest(evidence)],
    "the four parts alone": lambda evidence: [
        (f.expected, f.seen, f.where, f.remedy) for f in honest(evidence)
    ],
    "parts that are no text": lambda evidence: [
        Finding(None, 1, f.where, f.remedy)  # type: ignore[arg-type]
        for f in honest(evidence)
    ],
    "findings without an end": _endless,
    "findings without an end, of a mutant": _endless_on_a_mutant,
    "exit status 0": _raising(SystemExit(0)),
    "exit status 0 on a mutant": _raising_when_wrong(SystemExit(0)),
    "a skip": _raising(pytest.skip.Exception("not today")),
    "an expected failure": _raising(pytest.xfail.Exception("known")),
    "cancelled": _raising(asyncio.CancelledError()),
    "an error on the mutant": _raising_when_wrong(KeyError("status")),
    "a closed generator": _raising(GeneratorExit()),
    "an iterable that stops": lambda evidence: _Falsy([wrong()]) if list(honest(evidence)) else [],
}


@pytest.mark.parametrize("way", ANSWERS)
def test_what_is_no_finding_is_not_trusted_and_ends_nothing(way: str) -> None:
    result = run_check(nothing_paid(ANSWERS[way]), books())
    assert not trusted(result)
    assert result.violations or result.survivors


def test_the_interrupt_of_a_person_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_check(nothing_paid(_raising(KeyboardInterrupt())), books())


# --- Mutants that are killed for another reason than they were made for ---


def _elsewhere(evidence: Evidence) -> Iterator[Finding]:
    for _ in honest(evidence):
        yield wrong("settlements.jsonl line 1")


def _about(*concerns: str) -> Judge:
    def judge(evidence: Evidence) -> Iterator[Finding]:
        for finding in honest(evidence):
            pairs = (concern.partition(".") for concern in concerns)
            yield replace(finding, about=tuple(Subject(table, field or None) for table, _, field in pairs))

    return judge


def _anything_new(evidence: Evidence) -> Iterator[Finding]:
    if evidence != books():
        yield wrong()


def _any_new_field(evidence: Evidence) -> Iterator[Finding]:
    known = [set(row) for row in books().table("payments")]
    if [set(row) for row in evidence.table("payments")] != known or list(honest(evidence)):
        yield wrong()


def _any_new_table(evidence: Evidence) -> Iterator[Finding]:
    if evidence.names != books().names or list(honest(evidence)):
        yield wrong()


def _any_row_at_all(evidence: Evidence) -> Iterator[Finding]:
    if sum(len(evidence.table(name)) for name in evidence) > 3 or list(honest(evidence)):
        yield wrong()


def _at(where: str) -> Judge:
    return lambda evidence: [wrong(where) for _ in honest(evidence)]


REASONS: dict[str, Check] = {
    "a finding about another table": nothing_paid(_elsewhere),
    "a finding about another table, of two that are compared": replace(
        nothing_paid(_about("settlements.amountMsats")), tables=("payments", "settlements")
    ),
    "a finding about a third table, of two that are compared": replace(
        nothing_paid(_at("refunds.jsonl line 1")), tables=("payments", "settlements")
    ),
    "a finding about nothing": nothing_paid(_at("")),
    "a finding about the check": nothing_paid(_at("check nothing_paid()")),
    "a table whose name only begins alike": nothing_paid(_at("payments_archive.jsonl line 1")),
    "a table whose name only ends alike": nothing_paid(_at("refunded_payments, row 1")),
    "another field of the table": nothing_paid(_about("payments.amountMsats")),
    "a field whose name only begins alike": nothing_paid(_about("payments.statusText")),
    "the same field of another table": nothing_paid(_about("settlements.status")),
    "whatever differs from a copy": nothing_paid(_anything_new),
    "a field that nobody knows": nothing_paid(_any_new_field),
    "a table that nobody knows": nothing_paid(_any_new_table),
    "the number of all rows": nothing_paid(_any_row_at_all),
    "a mutant that says it is of another table": nothing_paid(
        honest, insert_row("settlements", {"paymentHash": "dd"}), PAID
    ),
    "a mutant that changes nothing": nothing_paid(honest, set_value("payments", "status", "open"), PAID),
    "a mutant of a table that is not there": nothing_paid(honest, remove_rows("refunds"), PAID),
    "a mutant that is no evidence": nothing_paid(honest, Mutant("none", lambda e: None), PAID),  # type: ignore[arg-type,return-value]
    "no mutant": Check("nothing_paid()", honest, (), ("payments",)),
    "no table": Check("nothing_paid()", honest, (PAID,), ()),
    "a table that is empty": Check("nothing_paid()", honest, (PAID,), ("payments", "refunds")),
}


HONEST_REASONS: dict[str, Check] = {
    "the table": nothing_paid(_about("payments")),
    "the field": nothing_paid(_about("payments.status")),
    "one of several": nothing_paid(_about("settlements", "payments.status")),
    "where, as a file": nothing_paid(_at("payments.jsonl line 1")),
    "where, as a word": nothing_paid(_at("row 1 of payments")),
    "where, with an index": nothing_paid(_at("payments[0]")),
    "where, of two that are compared": replace(
        nothing_paid(_at("settlements.jsonl line 1")), tables=("payments", "settlements")
    ),
    "a consequence that the mutant declares": nothing_paid(_elsewhere, PAID.concerning("settlements")),
    "a field as a consequence": nothing_paid(
        _about("settlements.amountMsats"), PAID.concerning("settlements.amountMsats")
    ),
}


@pytest.mark.parametrize("way", HONEST_REASONS)
def test_a_mutant_killed_for_what_it_alters_is_killed(way: str) -> None:
    assert trusted(run_check(HONEST_REASONS[way], books()))


@pytest.mark.parametrize("way", REASONS)
def test_a_mutant_killed_for_another_reason_is_not_killed(way: str) -> None:
    assert not trusted(run_check(REASONS[way], books()))


# --- Whole projects ---

LYING = """\
from dataclasses import replace
from itertools import count
from drilling import RECORD, nothing_paid
from pytest_l402.evidence import Check, Finding
from pytest_l402.evidence.mutants import set_value

def normalises():
    def judge(evidence):
        for row in evidence.table("records"):
            row["paidAmountMsats"] = None
            if row["endpoint"] is None:
                yield Finding("an endpoint", "none", "records", "look")
    return Check("normalises()", judge, (set_value("records", "endpoint", None),), ("records",))

def remembers():
    seen = set()
    def judge(evidence):
        for row in evidence.table("records"):
            if row["requestId"] in seen:
                yield Finding("no request twice", row["requestId"], "records", "look")
            seen.add(row["requestId"])
    return Check("remembers()", judge, (set_value("records", "endpoint", None),), ("records",))

def leaves(how):
    def judge(evidence):
        how()
    return Check("leaves()", judge, (set_value("records", "endpoint", None),), ("records",))

def elsewhere():
    def judge(evidence):
        for row in evidence.table("records"):
            if row["endpoint"] is None:
                yield Finding("an endpoint", "none", "settlements", "look")
    return Check("elsewhere()", judge, (set_value("records", "endpoint", None),), ("records",))

def snapshot():
    def judge(evidence):
        if len(evidence.names) > 1 or any(len(row) != 19 or not row["endpoint"] for row in
                                          evidence.table("records")):
            yield Finding("all as it was", "something", "records", "look")
    return Check("snapshot()", judge, (set_value("records", "endpoint", None),), ("records",))
"""

VERIFIED = {
    "normalises before the others": "normalises(), nothing_paid().proves('1.free')",
    "normalises before the others, for the line": "normalises().proves('1.free'), nothing_paid()",
    "remembers": "remembers().proves('1.free')",
    "remembers beside a check that holds": "remembers(), nothing_paid().proves('1.free')",
    "skips": "leaves(lambda: pytest.skip('later')).proves('1.free')",
    "ends the process": "leaves(lambda: exit(0)).proves('1.free')",
    "exits pytest": "leaves(lambda: pytest.exit('done', returncode=0)).proves('1.free')",
    "finds it elsewhere": "elsewhere().proves('1.free')",
    "finds whatever is new": "snapshot().proves('1.free')",
}


@pytest.mark.parametrize("way", VERIFIED)
def test_a_project_whose_check_lies_is_not_signed_off(project: Project, way: str) -> None:
    paid = 1 if way.startswith("normalises") else None
    project.write("lying.py", LYING)
    project.write(
        "rehearsals/test_alpha.py",
        "import pytest\n"
        "from lying import *\n"
        'pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")\n'
        "def test_alpha(l402_evidence):\n"
        f'    l402_evidence.record("records", {{**RECORD, "paidAmountMsats": {paid}}})\n'
        f"    l402_evidence.verify({VERIFIED[way]})\n",
    )
    end = project.run("-q", "-m", "rehearsal", "rehearsals/test_alpha.py", "--l402-required=first")
    assert end.verdict == "NOT_SIGNED_OFF", end.output
    assert end.exit == 1
    if paid:
        assert "nothing_paid() is violated" in end.output


def test_a_line_is_not_proven_while_another_check_of_it_is_violated(project: Project) -> None:
    project.write("lying.py", LYING)
    project.write(
        "rehearsals/test_alpha.py",
        "import pytest\n"
        "from lying import *\n"
        'pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")\n'
        '@pytest.mark.parametrize("paid", [None, 1])\n'
        "def test_alpha(l402_evidence, paid):\n"
        '    l402_evidence.record("records", {**RECORD, "paidAmountMsats": paid})\n'
        "    l402_evidence.verify(nothing_paid().proves('1.free'))\n",
    )
    end = project.run("-q", "-m", "rehearsal", "rehearsals/test_alpha.py", "--l402-required=first")
    lines = [line for each in end.document["rehearsals"] for line in each["lines"]]
    (line,) = (line for line in lines if line["id"] == "1.free")
    assert (line["state"], line["proven_by"]) == ("UNPROVEN", [])


WHERES = {
    "every table": ("payments settlements notes", False),
    "every table, each with a line": ("payments.jsonl line 1, settlements.jsonl line 1, notes.jsonl", False),
    "two tables": ("payments.jsonl line 1, settlements.jsonl line 1", True),
    "one table": ("payments.jsonl line 1", True),
}


@pytest.mark.parametrize("way", WHERES)
def test_a_finding_about_every_table_is_about_none(way: str) -> None:
    where, is_trusted = WHERES[way]
    evidence = books().with_table("notes", [{"paymentHash": "dd"}])

    def judge(evidence: Evidence) -> Iterator[Finding]:
        yield from (wrong(where) for _ in honest(evidence))

    assert trusted(run_check(nothing_paid(judge), evidence)) is is_trusted


PARTS: dict[str, Callable[[Evidence], Evidence]] = {
    "only one table": lambda evidence: evidence.only("payments"),
    "a table replaced": lambda evidence: evidence.with_table("notes", []),
    "a part of a part": lambda evidence: evidence.with_table("notes", []).only("payments"),
    "of what nobody declared": lambda evidence: evidence.whatever_was_declared(),
}


@pytest.mark.parametrize("way", PARTS)
def test_what_is_read_of_a_part_was_read(way: str) -> None:
    assert trusted(run_check(nothing_paid(lambda evidence: honest(PARTS[way](evidence))), books()))


@pytest.mark.parametrize("way", PARTS)
def test_rows_of_a_part_that_are_changed_were_changed(way: str) -> None:
    def judge(evidence: Evidence) -> Iterator[Finding]:
        PARTS[way](evidence).table("payments")[0]["changed"] = True
        yield from honest(evidence)

    assert not trusted(run_check(nothing_paid(judge), books()))
