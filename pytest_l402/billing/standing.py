"""Decides what holds of everything that a billing drill leaves: the laws of the ledger and of its log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from pytest_l402.evidence import Check, Evidence, Finding, Row
from pytest_l402.evidence.checks.selecting import a_row, at, rows, shown
from pytest_l402.evidence.mutants import Mutant, insert_row
from pytest_l402.evidence.recipe import described

__all__ = [
    "known_in",
    "nothing_twice",
    "one_writer_an_epoch",
    "served_only_settled",
    "standing_checks",
    "zero_sum",
]

_FREEZE: Final = "freeze credits and x402, then read the record before and after it"
_IDS: Final = {
    "credit_mint": "transfer",
    "x402_settled": "payment",
    "billing_reserve": "entry",
    "billing_commit": "entry",
    "billing_release": "entry",
    "billing_finalize_ack": "entry",
    "billing_void": "entry",
}
"""The records of which there is at most one an id, and under which key that stands."""
# Every drill has a writer, and so a segment; other tables may be empty for good reasons.
_MAIN: Final = "log_segments"


def standing_checks() -> tuple[Check, ...]:
    """Return what holds of everything that a drill leaves, whatever it verifies besides."""
    return (
        zero_sum(),
        nobody_in_the_red(),
        nothing_twice(),
        promises_kept(),
        one_writer_an_epoch(),
        log_is_whole(),
        ends_agree_with_backend(),
        served_only_settled(),
        guard_not_bypassed(),
        times_only_grow(),
        metrics_agree(),
    )


@described
def zero_sum() -> Check:
    """The postings of each record sum to zero: nothing is minted, nothing is lost."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("log_records")):
            if row["sumMsats"] != 0:
                yield Finding(
                    "sumMsats 0",
                    shown(row["sumMsats"]),
                    at("log_records", index),
                    f"{_FREEZE}: {row['type']}",
                )

    mutants = (_more("log_records", "a record that mints", type="credit_mint", sumMsats=-4_999_500),)
    return Check("zero_sum()", judge, mutants, (_MAIN,))


@described
def nobody_in_the_red() -> Check:
    """No account has less than nothing, available or held."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("balances")):
            kind, amount = str(row["account"]).partition(":")[0], row["logMsats"]
            if kind in ("available", "held") and isinstance(amount, int) and amount < 0:
                yield Finding("logMsats from 0", shown(amount), at("balances", index), _FREEZE)

    mutants = (
        _more("balances", "an account in the red", account="available:bob", logMsats=-1, cacheMsats=-1),
    )
    return Check("nobody_in_the_red()", judge, mutants, (_MAIN,))


@described
def nothing_twice() -> Check:
    """Each transfer is minted, payment settled, entry reserved and ended, effect had at most once."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for kind, key in _IDS.items():
            found = rows(evidence, "log_records", type=kind)
            for name, count in Counter(row[key] for _, row in found).items():
                if count > 1:
                    where = at("log_records", *(index for index, row in found if row[key] == name))
                    yield Finding(f"one {kind} of {key} {shown(name)}", f"{count}", where, _FREEZE)
        effects = rows(evidence, "backend_calls", effect=True)
        for name, count in Counter(row["id"] for _, row in effects).items():
            if count > 1:
                where = at("backend_calls", *(index for index, row in effects if row["id"] == name))
                yield Finding(f"effect once for id {shown(name)}", f"{count} times", where, "ask the backend")

    mutants = (
        *(_twice("log_records", type=kind, **{key: "forged"}, sumMsats=0) for kind, key in _IDS.items()),
        _twice("backend_calls", id="forged", effect=True),
    )
    return Check("nothing_twice()", judge, mutants, (_MAIN,))


@described
def promises_kept() -> Check:
    """What was answered 200 is in the log under its id; and no payment was served twice."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        known = known_in(evidence.table("log_records"))
        served = Counter(row["id"] for _, row in rows(evidence, "acknowledged", type="x402_settled"))
        for index, row in enumerate(evidence.table("acknowledged")):
            if (row["type"], row["id"]) not in known:
                expected = f"a record {row['type']} of {shown(row['id'])}, which was acknowledged"
                yield Finding(expected, "none", at("acknowledged", index), _FREEZE)
            if row["type"] == "x402_settled" and served[row["id"]] > 1:
                expected = f"payment {shown(row['id'])} served once"
                yield Finding(expected, f"{served[row['id']]} times", at("acknowledged", index), _FREEZE)

    def served_again(evidence: Evidence) -> Evidence:
        record = a_row(evidence, "log_records", type="x402_settled", payment="forged", sumMsats=0)
        more = evidence.with_table("log_records", [*evidence.table("log_records"), record])
        row = a_row(evidence, "acknowledged", type="x402_settled", id="forged")
        return more.with_table("acknowledged", [*evidence.table("acknowledged"), row, row])

    mutants = (
        *(_more("acknowledged", f"a lost {kind}", type=kind, id="forged") for kind in _IDS),
        Mutant("acknowledged: a payment is served twice", served_again),
    )
    return Check("promises_kept()", judge, mutants, (_MAIN,))


def known_in(records: Iterable[Row]) -> set[tuple[str, str]]:
    """What the log has, as type and id, of what is acknowledged to somebody."""
    return {(row["type"], row[_IDS[row["type"]]]) for row in records if row["type"] in _IDS}


@described
def one_writer_an_epoch() -> Check:
    """Sequence numbers only grow, epochs never decrease, and each has one writer (SW7)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        writers = Counter(row["epoch"] for row in evidence.table("log_segments"))
        for epoch, count in writers.items():
            if count > 1:
                yield Finding(
                    f"one writer of epoch {epoch}", f"{count}", at("log_segments"), "stop all but one"
                )
        last = (-1, 0)
        for index, row in enumerate(evidence.table("log_records")):
            if row["sequence"] <= last[0] or row["epoch"] < last[1] or row["epoch"] not in writers:
                yield Finding(
                    f"sequence above {last[0]}, epoch {last[1]} or a later one with a writer",
                    f"sequence {row['sequence']}, epoch {row['epoch']}",
                    at("log_records", index),
                    "stop every writer, and keep a copy of the log",
                )
            last = (row["sequence"], row["epoch"])

    mutants = (
        _more("log_records", "a record of an earlier epoch", sequence=1 << 40, epoch=0, sumMsats=0),
        _more("log_records", "a record of an earlier place", sequence=-1, epoch=1 << 40, sumMsats=0),
        _twice("log_segments", epoch=1 << 40, writer="forged"),
    )
    return Check("one_writer_an_epoch() [SW7]", judge, mutants, (_MAIN,))


@described
def log_is_whole() -> Check:
    """A reader finds nothing in the log that no crash leaves."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("log")):
            if row["problem"] is not None:
                yield Finding(
                    "problem null", shown(row["problem"]), at("log", index), "start no writer on it"
                )

    mutants = (_more("log", "a damaged log", records=0, problem="record 3 is damaged"),)
    return Check("log_is_whole()", judge, mutants, (_MAIN,))


@described
def ends_agree_with_backend() -> Check:
    """The backend has each entry that is acknowledged, and none that is void (DQ4)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        done = {row["id"] for _, row in rows(evidence, "backend_calls", effect=True)}
        for index, row in enumerate(evidence.table("entries")):
            wanted = {"FINALIZE_ACKED": True, "VOIDED": False}.get(row["state"])
            if wanted is not None and (row["entry"] in done) is not wanted:
                yield Finding(
                    f"an effect for {row['state']} entry {shown(row['entry'])}: {shown(wanted)}",
                    shown(not wanted),
                    f"{at('entries', index)} and table backend_calls",
                    "ask the backend for the entry, and resolve it by hand",
                )

    def void_and_done(evidence: Evidence) -> Evidence:
        entry = a_row(evidence, "entries", entry="forged", state="VOIDED")
        call = a_row(evidence, "backend_calls", id="forged", effect=True)
        more = evidence.with_table("entries", [*evidence.table("entries"), entry])
        return more.with_table("backend_calls", [*more.table("backend_calls"), call])

    mutants = (
        _more("entries", "an entry that nobody finalized", entry="forged", state="FINALIZE_ACKED"),
        Mutant("entries: one is void and done", void_and_done),
    )
    return Check("ends_agree_with_backend() [DQ4]", judge, mutants, (_MAIN,))


@described
def served_only_settled() -> Check:
    """No more payments were answered 200 than were settled, and none is settled that the backend did not."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        served = rows(evidence, "calls", path="/api/v1/x402/pay", status=200)
        settled = rows(evidence, "log_records", type="x402_settled")
        done = {row["id"] for _, row in rows(evidence, "backend_calls", effect=True)}
        if len(served) > len(settled):
            yield Finding(
                f"at most {len(settled)} payments served, as many as were settled",
                f"{len(served)}",
                f"{served.where} and table log_records",
                "disable x402: proofs are taken that nobody settled",
            )
        for index, row in settled:
            if row["payment"] not in done:
                where = f"{at('log_records', index)} and table backend_calls"
                yield Finding("an effect for the payment", "none", where, "disable x402, and ask the backend")

    def many_served(evidence: Evidence) -> Evidence:
        row = a_row(evidence, "calls", path="/api/v1/x402/pay", status=200, code=None)
        return evidence.with_table("calls", [*evidence.table("calls"), *[row] * 1000])

    mutants = (
        Mutant("calls: payments served that nobody settled", many_served),
        _more("log_records", "a settlement of nobody", type="x402_settled", payment="forged", sumMsats=0),
    )
    return Check("served_only_settled() [RF7]", judge, mutants, (_MAIN,))


@described
def guard_not_bypassed() -> Check:
    """At no moment did the guard let evaluators out (CG6): a run with a bypass needs a waiver with a name."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, _ in rows(evidence, "readiness", guard="bypassed"):
            where = at("readiness", index)
            yield Finding("guard ready or degraded", "bypassed", where, "start it without EVALUATOR_BYPASS")

    mutants = (_more("readiness", "a service with a bypass", when="forged", guard="bypassed"),)
    return Check("guard_not_bypassed() [CG6]", judge, mutants, (_MAIN,))


@described
def times_only_grow() -> Check:
    """No record is of an earlier time than the one before, or an audit of a span would leave it out (TC7)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        last = 0
        for index, row in enumerate(evidence.table("log_records")):
            if row["atMs"] < last:
                where = at("log_records", index)
                yield Finding(
                    f"atMs from {last}", f"{row['atMs']}", where, "correct the clock, and audit all"
                )
            last = max(last, row["atMs"])

    mutants = (_more("log_records", "a record of long ago", sequence=1 << 40, atMs=-1, sumMsats=0),)
    return Check("times_only_grow() [TC7]", judge, mutants, (_MAIN,))


@described
def metrics_agree() -> Check:
    """What the metrics said at a moment is what the log said then: an alarm is made of them (DQ4)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("metrics")):
            if row["logValue"] is not None and row["value"] != row["logValue"]:
                yield Finding(
                    f"{row['name']} {row['logValue']} {row['when']}, as the log has it",
                    shown(row["value"]),
                    at("metrics", index),
                    "believe the log, and mend what the alarm is made of",
                )

    mutants = (_more("metrics", "a gauge that lies", when="forged", name="forged", value=0, logValue=3),)
    return Check("metrics_agree() [DQ4]", judge, mutants, (_MAIN,))


def _more(table: str, what: str, **fields: object) -> Mutant:
    return insert_row(table, lambda evidence: a_row(evidence, table, **fields), what)


def _twice(table: str, **fields: object) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        row: Row = a_row(evidence, table, **fields)
        return evidence.with_table(table, [*evidence.table(table), row, row])

    return Mutant(f"{table}: {', '.join(map(str, fields.values()))} is there twice", apply)
