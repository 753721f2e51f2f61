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
    "had_none",
    "had_once",
    "metric_is_well",
    "strangers_refused",
]

_WELL: Final = {
    "conservation_guard_state": (1, 1, "see runbook 5 section 3"),
    "billing_pending_reconciliation_count": (0, 10, "see runbook 5 section 2"),
    "billing_pending_reconciliation_alarm": (0, 0, "see runbook 5 section 2"),
    "billing_circuit_open": (0, 0, "see runbook 5 section 2"),
    "ecs_desired_count_drift": (0, 0, "see runbook 5 section 6: stop all instances but one"),
}
"""From where to where each metric is when all is well, and else where to look."""


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
def strangers_refused(probe: str) -> Check:
    """Whoever has no token, or one of nobody, is told no flags and sets none (TC3)."""
    mine = {"probe": probe}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "probes", **mine)
        yield from found.expect_some(f"a probe of the {probe}", "look(), or freeze a flag")
        yield from found.expect("status", [401, 403], "close the admin API: whoever finds it turns flags")

    mutants = (set_value("probes", "status", 200, mine), remove_rows("probes", mine))
    return Check(f"strangers_refused({probe}) [TC3]", judge, mutants, ("probes",))


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
    least, most, remedy = _WELL[name]
    told = f"{least}" if least == most else f"from {least} to {most}"

    def is_well(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "deployed_metrics", name=name)
        yield from found.expect_some(f"a value of {name}", "name it in the mapping")
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
    remedy = "freeze what has it, and compare your books for this id"
    return _counted(f"had_once({effect})", effect, 1, "had its effect once", remedy)


@described
def had_none(effect: str) -> Check:
    """By the books of its owner, what nobody asked for, or what was asked in a freeze, had no effect."""
    remedy = "see whether your count tells one id from another, and what is done that is answered 503"
    return _counted(f"had_none({effect})", effect, 0, "had no effect", remedy)


def _counted(name: str, effect: str, times: int, wanted: str, remedy: str) -> Check:
    mine = {"effect": effect}

    def judge(evidence: Evidence) -> Iterator[Finding]:
        found = rows(evidence, "effects", **mine)
        yield from found.expect_some(f"an effect {effect}", "ask for one")
        for index, row in found:
            if row["counted"] != times:
                expected = f"id {shown(row['id'])} {wanted}, by your own count"
                yield Finding(expected, f"{row['counted']} times", at("effects", index), remedy)

    mutants = (
        set_value("effects", "counted", 2, mine),
        set_value("effects", "counted", 1 - times, mine),
        remove_rows("effects", mine),
    )
    return Check(name, judge, mutants, ("effects",))


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
        *(answered_by(each, f"before {flag}", is_frozen=False) for each in (flag, *others)),
        some_row("deployed_flags", when=f"{flag} frozen", flag=flag, enabled=False),
        answered_by(flag, f"{flag} frozen", is_frozen=True),
        *(answered_by(other, f"{flag} frozen", is_frozen=False) for other in others),
        some_row("deployed_flags", when=f"after {flag}", flag=flag, enabled=True),
        *(answered_by(each, f"after {flag}", is_frozen=False) for each in (flag, *others)),
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
    return Check(f"answered_by({flag}, {when}: {'503' if is_frozen else '2xx'})", judge, mutants, ("probes",))
