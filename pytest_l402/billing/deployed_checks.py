"""Decides whether what a deployed billing service answered keeps what runbook 5 wants of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from pytest_l402.billing.checks import measured
from pytest_l402.evidence import Check, Evidence, Finding, some_row
from pytest_l402.evidence.checks.selecting import at, rows, shown
from pytest_l402.evidence.mutants import remove_rows, set_value
from pytest_l402.evidence.recipe import described

__all__ = [
    "accepted_some",
    "alive_and_ready",
    "flags_are_told",
    "frozen",
    "had_once",
    "metric_is_well",
    "strangers_refused",
]

_WELL: Final = {
    "conservation_guard_state": (1, "see runbook 5 section 3"),
    "billing_pending_reconciliation_alarm": (0, "see runbook 5 section 2"),
    "billing_circuit_open": (0, "see runbook 5 section 2"),
    "ecs_desired_count_drift": (0, "see runbook 5 section 6: stop all instances but one"),
}
"""What each of these metrics is when all is well, and else where to look."""
_ALARM_ABOVE: Final = {"billing_pending_reconciliation_count": 10.0}


@described
def alive_and_ready() -> Check:
    """Liveness and readiness both answered 200."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for probe in ("live", "ready"):
            found = rows(evidence, "probes", when="now", probe=probe)
            yield from found.expect_some(f"a probe of {probe}", "look()")
            yield from found.expect("status", [200], "see what the service says of itself")

    mutants = tuple(
        mutant
        for probe in ("live", "ready")
        for mutant in (
            set_value("probes", "status", 503, {"probe": probe}),
            remove_rows("probes", {"probe": probe}),
        )
    )
    return Check("alive_and_ready()", judge, mutants, ("probes",))


@described
def strangers_refused() -> Check:
    """Whoever has no token is told no flags (TC3)."""
    mine = {"probe": "flags without a token"}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "probes", **mine)
        yield from found.expect_some("a probe of the flags without a token", "look()")
        yield from found.expect("status", [401, 403], "close the admin API: whoever finds it turns flags")

    mutants = (set_value("probes", "status", 200, mine), remove_rows("probes", mine))
    return Check("strangers_refused() [TC3]", judge, mutants, ("probes",))


@described
def flags_are_told() -> Check:
    """The service tells each flag of the mapping, on or off."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "deployed_flags", when="now")
        yield from found.expect_some("a flag", "look()")
        for index, row in found:
            if not isinstance(row["enabled"], bool):
                yield Finding(
                    f"flag {row['flag']} on or off",
                    shown(row["enabled"]),
                    at("deployed_flags", index),
                    "correct its name in the mapping, or mount the admin API",
                )

    mutants = (
        set_value("deployed_flags", "enabled", None, {"when": "now"}),
        remove_rows("deployed_flags", {"when": "now"}),
    )
    return Check("flags_are_told() [GR2]", judge, mutants, ("deployed_flags",))


@described
def metric_is_well(name: str) -> Check:
    """A metric of the runbook is there, a number, and what it is when all is well."""
    most = _ALARM_ABOVE.get(name)
    wanted, remedy = _WELL.get(name, (None, "see runbook 5 section 2"))

    def is_well(value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return value == wanted if wanted is not None else value >= 0 and (most is None or value <= most)

    told = f"{wanted}" if wanted is not None else "from 0" if most is None else f"from 0 to {most:.0f}"

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "deployed_metrics", name=name)
        yield from found.expect_one(f"one value of {name}", "name it in the mapping")
        for index, row in found:
            if not is_well(row["value"]):
                yield Finding(f"{name} {told}", shown(row["value"]), at("deployed_metrics", index), remedy)

    mutants = (
        set_value("deployed_metrics", "value", -1, {"name": name}),
        set_value("deployed_metrics", "value", None, {"name": name}),
        remove_rows("deployed_metrics", {"name": name}),
    )
    return Check(f"metric_is_well({name})", judge, mutants, ("deployed_metrics",))


@described
def had_once(effect: str) -> Check:
    """By the books of its owner, each effect that was asked for was had once."""
    mine = {"effect": effect}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "effects", **mine)
        yield from found.expect_some(f"an effect {effect}", "ask for one")
        for index, row in found:
            if row["counted"] != 1:
                yield Finding(
                    f"id {shown(row['id'])} had its effect once, by your own count",
                    f"{row['counted']} times",
                    at("effects", index),
                    "freeze what has it, and compare your books for this id",
                )

    mutants = (
        set_value("effects", "counted", 2, mine),
        set_value("effects", "counted", 0, mine),
        remove_rows("effects", mine),
    )
    return Check(f"had_once({effect})", judge, mutants, ("effects",))


@described
def accepted_some(effect: str) -> Check:
    """Of what was asked for again and again under one id, something was accepted."""
    mine = {"effect": effect}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "effects", **mine)
        yield from found.expect_some(f"an effect {effect}", "ask for one")
        for index, row in found:
            if row["accepted"] < 1:
                where = at("effects", index)
                yield Finding(f"one of {row['asked']} answered 2xx", "none", where, "correct the body")

    mutants = (set_value("effects", "accepted", 0, mine), remove_rows("effects", mine))
    return Check(f"accepted_some({effect})", judge, mutants, ("effects",))


def frozen(flag: str, others: Collection[str]) -> tuple[Check, ...]:
    """What holds when a flag was turned off and on: it is obeyed in time, and nothing else is touched."""
    return (
        answered_by(flag, "before", is_frozen=False),
        some_row("deployed_flags", when="frozen", flag=flag, enabled=False),
        answered_by(flag, "frozen", is_frozen=True),
        *(answered_by(other, "frozen", is_frozen=False) for other in others),
        some_row("deployed_flags", when="after", flag=flag, enabled=True),
        answered_by(flag, "after", is_frozen=False),
        measured(f"freeze {flag}", "contain"),
    )


@described
def answered_by(flag: str, when: str, is_frozen: bool) -> Check:
    """What a flag turns off is answered 503 while it is frozen, and 2xx else (TC1, GR1)."""
    mine = {"when": when, "probe": flag}
    told = "status 503" if is_frozen else "status 2xx"

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "probes", **mine)
        yield from found.expect_some(f"a probe of {flag} {when}", "freeze it")
        for index, row in found:
            if (row["status"] == 503) is not is_frozen or not (is_frozen or 200 <= row["status"] < 300):
                yield Finding(
                    f"{told} of what {flag} turns off, {when}",
                    f"status {row['status']}",
                    at("probes", index),
                    "see who reads the flag: one without a consumer turns nothing off",
                )

    mutants = (
        set_value("probes", "status", 200 if is_frozen else 503, mine),
        set_value("probes", "status", 500, mine),
        remove_rows("probes", mine),
    )
    return Check(f"answered_by({flag} {when}: {'503' if is_frozen else '2xx'})", judge, mutants, ("probes",))
