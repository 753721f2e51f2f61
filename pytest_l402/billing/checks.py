"""Decides whether the rows that a billing drill has left keep the criteria of runbook 5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pytest_l402.evidence import Check, Evidence, Finding, Row
from pytest_l402.evidence.checks.selecting import a_row, at, rows, shown
from pytest_l402.evidence.mutants import Mutant, insert_row, remove_rows, set_value
from pytest_l402.evidence.recipe import described

__all__ = [
    "agrees",
    "answered",
    "answered_within",
    "as_fast_as",
    "balance",
    "cache_is_log",
    "counted",
    "finalized_in_time",
    "logged",
    "lost_at_most",
    "measured",
    "only_refusals",
    "same_state",
    "tokens_once",
]

_READ: Final = "read the calls of this step in order, and what the instance told in service_events"


@described
def answered(
    step: str, status: int, code: str | None = None, times: int | None = None, path: str = ""
) -> Check:
    """Each call of a step (and path) has this status and code, and there are so many of them, or some."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "calls", step=step).only(lambda row: path in str(row["path"]), "path")
        wanted = f"{'some' if times is None else times} calls of step {step}{' to ' + path if path else ''}"
        if not found or (times is not None and len(found) != times):
            yield Finding(wanted, f"{len(found)}", found.where, _READ)
        for index, row in found:
            if (row["status"], row["code"]) != (status, code):
                yield Finding(
                    f"status {status}, code {shown(code)} for {row['path']} in step {step}",
                    f"status {row['status']}, code {shown(row['code'])}",
                    at("calls", index),
                    _READ,
                )

    def mine(row: Row) -> bool:
        return row["step"] == step and path in str(row["path"])

    mutants = (
        set_value("calls", "status", 500 if status != 500 else 200, mine),
        set_value("calls", "code", "OTHER", mine),
        remove_rows("calls", mine),
    )
    name = f"answered({step}{path}: {status}{'' if code is None else ' ' + code})"
    return Check(name, judge, mutants, ("calls",))


@described
def counted(table: str, times: int, **fields: Any) -> Check:
    """A table has so many rows with these values, no more and no fewer."""
    wanted = ", ".join(f"{key} {shown(value)}" for key, value in fields.items())

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, table, **fields)
        if len(found) != times:
            yield Finding(
                f"{times} rows with {wanted}", f"{len(found)}", found.where, f"read {table} around them"
            )

    more = insert_row(table, lambda evidence: a_row(evidence, table, **fields), "one more of them")
    mutants: tuple[Mutant, ...] = (more, remove_rows(table, fields)) if times else (more,)
    name = f"counted({table}: {times} {', '.join(map(shown, fields.values()))})"
    return Check(name, judge, mutants, (table if times else "calls",))


def logged(times: int, type: str, **fields: Any) -> Check:
    """The log has so many records of a type with these values, no more and no fewer."""
    return counted("log_records", times, type=type, **fields)


@described
def agrees(table: str, expected: str, seen: str, times: int) -> Check:
    """A table of the drill has so many rows, and in each of them what was seen is what was expected."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = list(enumerate(evidence.table(table)))
        if len(found) != times:
            yield Finding(f"{times} rows", f"{len(found)}", at(table), "run every case")
        for index, row in found:
            if row.get(seen) != row.get(expected) or expected not in row:
                yield Finding(
                    f"{seen} {shown(row.get(expected))}",
                    shown(row.get(seen)),
                    at(table, index),
                    "run the case alone",
                )

    mutants = (set_value(table, seen, "other"), set_value(table, expected, "other"), remove_rows(table))
    return Check(f"agrees({table}: {times})", judge, mutants, (table,))


@described
def only_refusals(*codes: str) -> Check:
    """Each call was answered, and each 5xx was 503 with one of these codes: the service failed no other."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("calls")):
            has_failed = row["status"] == 0 or row["status"] >= 500
            if has_failed and (row["status"] != 503 or row["code"] not in codes):
                yield Finding(
                    f"status 503 with code {', '.join(codes)}, or none of 5xx",
                    f"status {row['status']}, code {shown(row['code'])} for {row['path']}",
                    at("calls", index),
                    _READ,
                )

    mutants = (
        set_value("calls", "status", 500),
        set_value("calls", "status", 0),
        insert_row(
            "calls", lambda evidence: a_row(evidence, "calls", status=503, code="OTHER"), "another refusal"
        ),
    )
    return Check(f"only_refusals({', '.join(codes)})", judge, mutants, ("calls",))


@described
def answered_within(step: str, most_ms: float) -> Check:
    """Each call of a step was answered within so many milliseconds."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "calls", step=step)
        yield from found.expect_some(f"calls of step {step}", _READ)
        for index, row in found:
            if row["elapsedMs"] > most_ms:
                yield Finding(
                    f"elapsedMs up to {most_ms:.0f} for {row['path']} in step {step}",
                    f"{row['elapsedMs']:.0f}",
                    at("calls", index),
                    "give the client of the cache a shorter time-out",
                )

    mutants = (set_value("calls", "elapsedMs", 1e9, {"step": step}), remove_rows("calls", {"step": step}))
    return Check(f"answered_within({step}: {most_ms:.0f} ms)", judge, mutants, ("calls",))


@described
def tokens_once() -> Check:
    """No two writers were given the same fencing token, and each a greater one than those before (SW6)."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        holders: dict[int, set[tuple[str, int]]] = {}
        mine = rows(evidence, "readiness", writer=True)
        for _, row in mine:
            holders.setdefault(row["token"], set()).add((row["instance"], row["epoch"]))
        if len(holders) < 2:
            yield Finding("tokens of two writers", f"{len(holders)}", at("readiness"), "take over once")
        last = 0
        for epoch, token in sorted({(row["epoch"], row["token"]) for _, row in mine}):
            if token < last:
                expected = f"a token above {last} in epoch {epoch}"
                yield Finding(expected, f"{token}", at("readiness"), "take the token from the log")
            last = max(last, token)
        for token, found in holders.items():
            if len(found) > 1:
                told = ", ".join(name for name, _ in sorted(found))
                yield Finding(
                    f"token {token} given once",
                    f"given to {told}",
                    at("readiness"),
                    "take the token from the log",
                )

    def the_same(evidence: Evidence) -> Evidence:
        altered = [{**row, "token": 7} for row in evidence.table("readiness")]
        return evidence.with_table("readiness", altered)

    def falling(evidence: Evidence) -> Evidence:
        altered = [{**row, "token": 1_000_000 - row["epoch"]} for row in evidence.table("readiness")]
        return evidence.with_table("readiness", altered)

    mutants = (
        Mutant("readiness: every token is the same", the_same),
        Mutant("readiness: each token is below the one before", falling),
        remove_rows("readiness"),
    )
    return Check("tokens_once() [SW6]", judge, mutants, ("readiness",))


@described
def balance(account: str, msats: int) -> Check:
    """An account has so many msats, in the log and in the cache."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "balances", account=account)
        yield from found.expect_one(f"one account {account}", "see who credited it")
        for key in ("logMsats", "cacheMsats"):
            yield from found.expect(key, [msats], "compare the postings of the account, record by record")

    mutants = (
        set_value("balances", "logMsats", msats + 1, {"account": account}),
        set_value("balances", "cacheMsats", msats + 1, {"account": account}),
        remove_rows("balances", {"account": account}),
    )
    return Check(f"balance({account}: {msats})", judge, mutants, ("balances",))


@described
def cache_is_log() -> Check:
    """The cache has each account as the log has it, and no other."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for index, row in enumerate(evidence.table("balances")):
            if row["logMsats"] != row["cacheMsats"]:
                where = at("balances", index)
                yield Finding(
                    f"cacheMsats {shown(row['logMsats'])} of account {row['account']}, as logMsats",
                    shown(row["cacheMsats"]),
                    where,
                    "the log is right: reconcile",
                )

    mutants = (
        set_value("balances", "cacheMsats", -5),
        set_value("balances", "logMsats", -5),
        insert_row(
            "balances", {"account": "x", "logMsats": None, "cacheMsats": 7}, "an account of the cache alone"
        ),
    )
    return Check("cache_is_log()", judge, mutants, ("balances",))


@described
def same_state(*moments: str) -> Check:
    """At these moments the service was in one and the same state, byte for byte, and said so when ready."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        first = None
        for moment in moments:
            found = rows(evidence, "readiness", when=moment)
            yield from found.expect_one(f"one readiness {moment}", "observe it once")
            for _, row in found:
                first = row["state"] if first is None else first
            yield from found.expect("status", [200], "wait until it is ready")
            yield from found.expect("state", [first], "replay both logs, and compare record by record")

    last = {"when": moments[-1]}
    mutants = (
        set_value("readiness", "state", "sha256:other", last),
        set_value("readiness", "status", 503, last),
        remove_rows("readiness", last),
    )
    return Check(f"same_state({', '.join(moments)})", judge, mutants, ("readiness",))


@described
def measured(procedure: str, what: str) -> Check:
    """It was measured, it took some time, and no more than the runbook declares."""
    mine = {"procedure": procedure, "what": what}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "times", **mine)
        yield from found.expect_one(f"one time to {what} of procedure {procedure}", "measure it once")
        for index, row in found:
            if not 0 < row["elapsedMs"] <= row["declaredMs"]:
                yield Finding(
                    f"elapsedMs above 0 and up to declaredMs {row['declaredMs']:.0f}",
                    f"{row['elapsedMs']:.0f}",
                    at("times", index),
                    f"see what held up the time to {what}, or declare another",
                )

    mutants = (
        set_value("times", "elapsedMs", 0.0, mine),
        set_value("times", "elapsedMs", 1e12, mine),
        set_value("times", "declaredMs", 0.0, mine),
        remove_rows("times", mine),
    )
    return Check(f"measured({procedure}: {what})", judge, mutants, ("times",))


@described
def lost_at_most(procedure: str) -> Check:
    """It was counted what was lost of what was acknowledged, and it is no more than is declared (RPO)."""
    mine = {"procedure": procedure}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "losses", **mine)
        yield from found.expect_one(f"one count of losses of procedure {procedure}", "count them once")
        for index, row in found:
            if row["acknowledged"] < 1 or not 0 <= row["lost"] <= row["declared"]:
                known = max(row["acknowledged"], 1)
                yield Finding(
                    f"lost up to {row['declared']} of {known} acknowledged {row['what']}",
                    f"{row['lost']} of {row['acknowledged']}",
                    at("losses", index),
                    "replay the log, and compare it with what was answered",
                )

    mutants = (
        set_value("losses", "lost", 1 << 20, mine),
        set_value("losses", "acknowledged", 0, mine),
        remove_rows("losses", mine),
    )
    return Check(f"lost_at_most({procedure})", judge, mutants, ("losses",))


@described
def as_fast_as(step: str, baseline: str, late_ms: float) -> Check:
    """Of a step the slowest call but 1 % took at most twice as long as that of another, and `late_ms`."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = {name: rows(evidence, "calls", step=name) for name in (baseline, step)}
        for name, calls in found.items():
            yield from calls.expect_some(f"calls of step {name}", _READ)
        if all(found.values()):
            usual, seen = (_percentile(row["elapsedMs"] for _, row in calls) for calls in found.values())
            if seen > 2 * usual + late_ms:
                yield Finding(
                    f"elapsedMs of step {step} up to {2 * usual + late_ms:.0f}, twice that of {baseline}",
                    f"{seen:.0f}",
                    found[step].where,
                    "see what the second instance holds up: it should read no more than the lock",
                )

    mutants = (
        set_value("calls", "elapsedMs", 1e9, {"step": step}),
        remove_rows("calls", {"step": step}),
        remove_rows("calls", {"step": baseline}),
    )
    return Check(f"as_fast_as({step}: {baseline})", judge, mutants, ("calls",))


def _percentile(values: Iterable[float]) -> float:
    """The 99th percentile: of fewer than a hundred it is the greatest."""
    ordered = sorted(values)
    return ordered[(len(ordered) * 99 + 99) // 100 - 1]


@described
def finalized_in_time(entry: str, calls: int, gaps_ms: list[float], late_ms: float) -> Check:
    """The backend was called so often for an entry, after the declared waits and at most 20 % and `late_ms`.

    `gaps_ms` are the waits between two calls; none may be shorter than 80 %.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "backend_calls", id=entry)
        if len(found) != calls:
            yield Finding(
                f"{calls} calls for id {entry}", f"{len(found)}", found.where, "see the dead-letter queue"
            )
        times = [row["atMs"] for _, row in found]
        for number, (wait, before, after) in enumerate(zip(gaps_ms, times, times[1:], strict=False), start=1):
            if not 0.8 * wait <= after - before <= 1.2 * wait + late_ms:
                yield Finding(
                    f"atMs of call {number + 1} {wait:.0f} ms after the one before",
                    f"{after - before:.0f} ms",
                    at("backend_calls", found[number][0]),
                    "see what the queue waited for",
                )

    mine = {"id": entry}
    mutants = (
        insert_row(
            "backend_calls", lambda evidence: a_row(evidence, "backend_calls", **mine), "one call more"
        ),
        set_value("backend_calls", "atMs", 0.0, mine),
        remove_rows("backend_calls", mine),
    )
    return Check(f"finalized_in_time({entry}: {calls})", judge, mutants, ("backend_calls",))
