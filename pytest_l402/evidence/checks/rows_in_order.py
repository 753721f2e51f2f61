"""Decides whether rows can be relied on: whole, in the order of time, each task where it was led."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin

from pytest_l402.contract.tables import ROW_FORMS
from pytest_l402.contract.task_graph import TaskStatus, is_allowed
from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import at, capped, complete_record, derived, listed, shown
from pytest_l402.evidence.fields import annotations_of, misfit
from pytest_l402.evidence.mutants import Mutant, drop_key, insert_row, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.tables import Evidence, Row

_HELD_ELSEWHERE: Final = frozenset(
    {
        *("records", "local_artifact", "flow_events", "flow_summary"),
        *("expected_faults", "secret_scan", "shortfalls", "steady_state"),
    }
)
"""Documents of the contract, which have checks of their own, and what a rehearsal itself writes."""
_PLAIN: Final = frozenset({int, str, bool, NoneType})
_DENIED: Final = frozenset({TaskStatus.BLOCKED.value, TaskStatus.FAILED.value})
_WRITER: Final = "mend the writer of this row: whoever joins or orders by it is led astray"


@described
def rows_in_order() -> Check:
    """Each row has every field of its table, no text that is empty; each table has its order of time.

    Each task is where it was led: its last transition says its status, its error and when it was changed, and
    each step is one that the task graph has.
    """

    def judge(evidence: Evidence) -> Iterator[Finding]:
        return capped(_findings(evidence))

    late = insert_row("records", _earlier_record, "a record of an earlier time")
    mutants = (
        late,
        _of_some_table("a field is missing", late, lambda table, key: drop_key(table, key)),
        _of_some_table("a field holds what it cannot", late, lambda table, key: set_value(table, key, [[]])),
        set_value("records", "endpoint", ""),
        _of_tasks("status", "running", late),
        _of_tasks("lastErrorCode", "another_code", late),
    )
    return Check("rows_in_order()", judge, mutants, ("records",))


def _earlier_record(evidence: Evidence) -> Row | None:
    return complete_record("request-forged", "ui") if evidence.table("records") else None


def _of_some_table(what: str, otherwise: Mutant, make: Callable[[str, str], Mutant]) -> Mutant:
    def find(evidence: Evidence) -> Mutant:
        known = [table for table in ("exchanges", "logs", "transitions", "controls") if evidence.table(table)]
        return make(known[0], next(iter(evidence.table(known[0])[0]))) if known else otherwise

    return derived(f"rows: {what}", find).concerning("records.observedAtMs")


def _of_tasks(key: str, value: str, otherwise: Mutant) -> Mutant:
    def find(evidence: Evidence) -> Mutant:
        settled = [row for row in evidence.table("tasks") if row.get(key) != value]
        return set_value("tasks", key, value, lambda row: row.get(key) != value) if settled else otherwise

    return derived(f"tasks: {key} is another", find).concerning("records.observedAtMs")


def _findings(evidence: Evidence) -> Iterator[Finding]:
    for table in evidence.names:
        form = _form(evidence, table)
        if form and table not in _HELD_ELSEWHERE:
            for index, row in enumerate(evidence.table(table)):
                yield from _unlike(table, index, row, form)
        if form:
            yield from _empty(evidence, table)
        yield from _out_of_order(evidence, table)
    yield from _led_elsewhere(evidence)


def _form(evidence: Evidence, table: str) -> Mapping[str, Any]:
    forms = evidence.declared.get(table, ()) or ([ROW_FORMS[table]] if table in ROW_FORMS else [])
    return {key: each for form in forms for key, each in annotations_of(form).items()}


def _unlike(table: str, index: int, row: Row, form: Mapping[str, Any]) -> Iterator[Finding]:
    for key, annotation in form.items():
        if key not in row:
            expected = "a value, or null where that may be" if type(None) in _types(annotation) else "a value"
        elif type(row[key]) in _types(annotation):
            continue
        else:
            expected = misfit(annotation, row[key]) or ""
        if expected:
            seen = shown(row[key]) if key in row else "no such field"
            about = (Subject(table, key, rows=(index,)),)
            yield Finding(f"{table}.{key}: {expected}", seen, at(table, index), _WRITER, about)


def _empty(evidence: Evidence, table: str) -> Iterator[Finding]:
    for index, row in enumerate(evidence.table(table)):
        for key, value in row.items():
            if value == "":
                about = (Subject(table, key, rows=(index,)),)
                expected = f"{table}.{key}: a text that says something, or null"
                yield Finding(expected, "an empty text", at(table, index), _WRITER, about)


@cache
def _types(annotation: Any) -> frozenset[Any]:
    """The plain types that an annotation is made of, empty if it is made of anything else besides."""
    parts = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    found = frozenset(NoneType if part is None else part for part in parts)
    return found if found <= _PLAIN else frozenset()


def _out_of_order(evidence: Evidence, table: str) -> Iterator[Finding]:
    key = "observedAtMs" if table == "records" else "atMs"
    latest = 0
    for index, row in enumerate(evidence.table(table)):
        time = row.get(key)
        if type(time) is not int:
            continue
        if time < latest:
            about = (Subject(table, key, rows=(index,)),)
            yield Finding(f"{table}.{key} not before {latest}", shown(time), at(table, index), _WRITER, about)
        latest = max(latest, time)


def _led_elsewhere(evidence: Evidence) -> Iterator[Finding]:
    steps: dict[Any, list[tuple[int, Row]]] = {}
    for index, row in enumerate(evidence.table("transitions")):
        steps.setdefault(row.get("taskId"), []).append((index, row))
    for index, task in enumerate(evidence.table("tasks")):
        known = steps.get(task.get("taskId"), [])
        if not known:
            yield _apart("tasks", index, "taskId", "a task that transitions name", task.get("taskId"))
            continue
        last = known[-1][1]
        denied = last.get("toStatus") in _DENIED
        owed = {
            "status": last.get("toStatus"),
            "updatedAtMs": last.get("atMs"),
            "lastErrorCode": last.get("reasonCode") if denied else None,
            "requestId": known[0][1].get("requestId"),
        }
        for key, wanted in owed.items():
            if task.get(key) != wanted:
                yield _apart(
                    "tasks", index, key, f"{shown(wanted)}, as its last transition says", task.get(key)
                )
    for led in steps.values():
        before: str | None = None
        for index, step in led:
            if step.get("fromStatus") != before or not _is_step(step):
                wanted = f"a step of the task graph from {shown(before)}"
                seen = listed([f"{shown(step.get('fromStatus'))} to {shown(step.get('toStatus'))}"])
                about = tuple(
                    Subject("transitions", key, rows=(index,)) for key in ("fromStatus", "toStatus")
                )
                yield Finding(wanted, seen, at("transitions", index), _WRITER, about)
            before = step.get("toStatus")


def _is_step(row: Row) -> bool:
    try:
        was, now = row.get("fromStatus"), TaskStatus(str(row.get("toStatus")))
        return was is None or is_allowed(TaskStatus(str(was)), now)
    except ValueError:
        return False


def _apart(table: str, index: int, key: str, expected: str, seen: Any) -> Finding:
    about = (Subject(table, key, rows=(index,)),)
    return Finding(f"{table}.{key} {expected}", shown(seen), at(table, index), _WRITER, about)
