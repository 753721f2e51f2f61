"""Decides in which declared ways evidence can be altered to prove that a check is able to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from pytest_l402.evidence.tables import Evidence, Row

Where: TypeAlias = Callable[[Row], bool] | Mapping[str, Any] | None


Altered: TypeAlias = tuple[str, str | None]
"""A table and a dotted field of it; None stands for rows that came or went."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """Evidence altered in one declared way; `apply` returns equal evidence when there is nothing to alter.

    A finding about it must concern what it alters, or something that follows from that: `follows`.
    """

    name: str
    apply: Callable[[Evidence], Evidence] = field(repr=False)
    follows: tuple[Altered, ...] = ()

    def named(self, name: str) -> Mutant:
        """The same alteration, told in other words."""
        return replace(self, name=name)

    def concerning(self, *subjects: str) -> Mutant:
        """The same alteration, which shows in these as well: "table", or "table.field"."""
        pairs = (subject.partition(".") for subject in subjects)
        return replace(self, follows=(*self.follows, *((table, key or None) for table, _, key in pairs)))


def changed_rows(before: Evidence, after: Evidence) -> Iterator[tuple[str, Row | None, Row | None]]:
    """Each row that is not the same in two evidences: its table, as it was and as it is.

    Where rows came or went, each that came as it is alone, and once neither.
    """
    for table in before.replaced_in(after):
        old, new = before.table(table), after.table(table)
        if len(old) == len(new):
            yield from [(table, was, row) for was, row in zip(old, new, strict=True) if was is not row]
        else:
            known = set(map(id, old))
            yield table, None, None
            yield from [
                (table, None, row) for row, key in zip(new, map(id, new), strict=True) if key not in known
            ]


def alterations(changed: Iterable[tuple[str, Row | None, Row | None]]) -> tuple[Altered, ...]:
    """What is not the same in two evidences: each table with its fields, or the table alone."""
    found: dict[Altered, None] = {}
    for table, was, row in changed:
        if was is None or row is None:
            found[table, None] = None
        else:
            found |= dict.fromkeys([(table, path) for path in _apart(was, row)])
    return tuple(found)


def _apart(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The dotted paths at which two values differ; to Python True == 1 == 1.0, and here it is not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            here = f"{path}.{key}" if path else key
            if key not in old or key not in new:
                yield here
            elif old[key] is not new[key]:
                yield from _apart(old[key], new[key], here)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        # Of a list it is the whole that differs: which item it is depends on all those before it.
        if any(True for pair in zip(old, new, strict=True) for _ in _apart(*pair, path)):
            yield path
    elif type(old) is not type(new) or old != new:
        yield path


def drop_key(table: str, key: str, where: Where = None, *, every: bool = False) -> Mutant:
    """The key is missing from the first matching row (or from every one). Dotted keys reach into a row."""

    def change(row: Row) -> Row:
        copy, holders, last = _copied(row, key)
        for holder in holders:
            if isinstance(holder, dict):
                holder.pop(last, None)
        return copy

    return _rewriting(f"{table}: {key} is missing{_of(where)}", table, where, every, change)


def set_value(table: str, key: str, value: Any, where: Where = None, *, every: bool = False) -> Mutant:
    """The key holds another value in the first matching row; a callable value is given the row."""

    def change(row: Row) -> Row:
        copy, holders, last = _copied(row, key)
        put = value(row) if callable(value) else value
        for holder in holders:
            if isinstance(holder, dict):
                holder[last] = put
            elif last.isdigit() and int(last) < len(holder):
                holder[int(last)] = put
        return copy

    shown = "another value" if callable(value) else repr(value)
    return _rewriting(f"{table}: {key} is {shown}{_of(where)}", table, where, every, change)


def null_value(table: str, key: str, where: Where = None, *, every: bool = False) -> Mutant:
    """The key is null in the first matching row."""
    return set_value(table, key, None, where, every=every).named(f"{table}: {key} is null{_of(where)}")


def remove_rows(table: str, where: Where = None) -> Mutant:
    """Every matching row is gone."""

    def apply(evidence: Evidence) -> Evidence:
        return evidence.with_table(table, [row for row in evidence.table(table) if not _matches(row, where)])

    return Mutant(f"{table}: rows are gone{_of(where)}", apply)


def duplicate_row(table: str, where: Where = None, **changes: Any) -> Mutant:
    """The first matching row is there twice, the second one with the given changes."""

    def apply(evidence: Evidence) -> Evidence:
        rows = list(evidence.table(table))
        for row in rows:
            if _matches(row, where):
                return evidence.with_table(table, [*rows, {**row, **changes}])
        return evidence

    changed = f" with another {', '.join(changes)}" if changes else ""
    return Mutant(f"{table}: a row is there twice{changed}{_of(where)}", apply)


def insert_row(
    table: str, row: Row | Callable[[Evidence], Row | None], what: str = "a row nobody caused"
) -> Mutant:
    """One row more; a callable makes it from the evidence at hand, or returns None when it cannot."""

    def apply(evidence: Evidence) -> Evidence:
        made = row(evidence) if callable(row) else row
        return evidence if made is None else evidence.with_table(table, [*evidence.table(table), made])

    return Mutant(f"{table}: {what}", apply)


def change_proof(table: str = "records", where: Where = None, *, every: bool = False) -> Mutant:
    """A proof reference names another preimage; rows without one are left alone."""
    key = "paymentProofRef"

    def has_proof(row: Row) -> bool:
        return _matches(row, where) and isinstance(row.get(key), str)

    mutant = set_value(table, key, lambda row: other_proof(row[key]), has_proof, every=every)
    return mutant.named(f"{table}: {key} names another preimage{_of(where)}")


def holds(row: Row, fields: Row) -> bool:
    """Whether a row has every one of these values, of the same type; dotted keys reach into it.

    A list holds a value where one of its items does.
    """
    for key, value in fields.items():
        seen = row.get(key, _ABSENT)
        if seen is _ABSENT and "." in key:
            if not any(type(each) is type(value) and each == value for each in _reached(row, key.split("."))):
                return False
        elif type(seen) is not type(value) or seen != value:
            return False
    return True


_ABSENT: Final = object()


def _reached(value: Any, steps: list[str]) -> Iterator[Any]:
    if not steps:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _reached(item, steps)
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _reached(value[steps[0]], steps[1:])


def with_values(row: Row, fields: Row) -> Row:
    """The row with these values instead of its own; dotted keys reach into it."""
    for key, value in fields.items():
        row = {**row, key: value} if key in row else _put(row, key.split("."), value)
    return row


def _put(value: Any, steps: list[str], new: Any) -> Any:
    if not steps:
        return new
    if isinstance(value, list):
        return [_put(value[0] if value else None, steps, new), *value[1:]]
    held = value if isinstance(value, Mapping) else {}
    return {**held, steps[0]: _put(held.get(steps[0]), steps[1:], new)}


def other_proof(reference: str) -> str:
    """A reference of the same form and length to another preimage."""
    form, colon, digits = reference.rpartition(":")
    flipped = ("0" if digits[:1] != "0" else "1") + digits[1:]
    return f"{form}{colon}{flipped}"


def _rewriting(name: str, table: str, where: Where, every: bool, change: Callable[[Row], Row]) -> Mutant:
    def apply(evidence: Evidence) -> Evidence:
        rows: list[Row] = []
        done = False
        for row in evidence.table(table):
            if _matches(row, where) and (every or not done):
                altered = change(row)
                done = done or altered != row
                rows.append(altered)
            else:
                rows.append(row)
        return evidence.with_table(table, rows)

    return Mutant(name, apply)


def _matches(row: Row, where: Where) -> bool:
    if where is None:
        return True
    if callable(where):
        return where(row)
    return holds(row, where)


def _of(where: Where) -> str:
    if isinstance(where, Mapping) and where:
        return " where " + ", ".join(f"{key}={value}" for key, value in where.items())
    return ""


def _copied(row: Row, key: str) -> tuple[Row, list[Any], str]:
    """A copy of the row as far as a dotted key leads, what holds the last step there, and that step.

    A step that is no number leads into every item of a list.
    """
    copy: Any = dict(row)
    if key in row:
        return copy, [copy], key
    *path, last = key.split(".")
    holders: list[Any] = [copy]
    for step in path:
        holders = [inner for holder in holders for inner in _copied_into(holder, step)]
    if not last.isdigit():
        holders = [item for holder in holders for item in _copied_items(holder)]
    return copy, holders, last


def _copied_into(holder: Any, step: str) -> Iterator[Any]:
    """What is at one step of a path, copied, as it is written to."""
    if isinstance(holder, list) and not step.isdigit():
        for item in _copied_items(holder):
            yield from _copied_into(item, step)
        return
    place = int(step) if isinstance(holder, list) else step
    try:
        inner = holder[place]
    except LookupError:
        return
    if isinstance(inner, dict | list):
        holder[place] = inner.copy()
        yield holder[place]


def _copied_items(holder: Any) -> Iterator[Any]:
    if not isinstance(holder, list):
        yield holder
        return
    for place, item in enumerate(holder):
        if isinstance(item, dict | list):
            holder[place] = item.copy()
            yield from _copied_items(holder[place])
