"""Decides whether a `rehearsal` mark is usable: a known id, with the runbook and section of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from pytest_l402.signoff.catalogue import Catalogue

MARKER: Final = "rehearsal"

DESCRIPTION: Final = (
    "rehearsal(id, *, runbook, section): this test is a rehearsal of the catalogue; "
    "its evidence is judged, kept, and counts towards the L402 sign-off"
)

_FORM: Final = 'rehearsal("<id>", runbook="<runbook>", section="<section>")'


class RehearsalMark(NamedTuple):
    """What a test says about itself: the rehearsal it is part of, and where that stands in which runbook."""

    rehearsal: str
    runbook: str
    section: str


MARK: Final[pytest.StashKey[RehearsalMark]] = pytest.StashKey()
"""On an item: which rehearsal it belongs to."""


def is_rehearsal(item: pytest.Item) -> bool:
    """Whether the item is marked at all, well or badly."""
    return item.get_closest_marker(MARKER) is not None


def read_mark(item: pytest.Item, catalogue: Catalogue) -> RehearsalMark:
    """Return the item's mark; raises `pytest.UsageError` with one line that names the item and the fault."""
    marks = {_parse(item, mark) for mark in item.iter_markers(MARKER)}
    if len(marks) > 1:
        named = " and ".join(sorted(repr(mark.rehearsal) for mark in marks))
        raise _refuse(item, "one rehearsal for each test", f"marks for {named}", "keep one of them")
    (mark,) = marks
    entry = catalogue.rehearsal(mark.rehearsal)
    if entry is None:
        nearest = catalogue.closest(mark.rehearsal)
        hint = f"did you mean {nearest!r}?" if nearest else f"add it to {catalogue.source}"
        raise _refuse(item, f"a rehearsal id of {catalogue.source}", repr(mark.rehearsal), hint)
    for name, expected, seen in (
        ("runbook", entry.runbook, mark.runbook),
        ("section", entry.section, mark.section),
    ):
        if expected != seen:
            remedy = f"change the mark, or {catalogue.source}"
            raise _refuse(item, f"{name} {expected!r} for rehearsal {entry.id!r}", repr(seen), remedy)
    return mark


def check_one_module_each(items: list[pytest.Item], marks: list[RehearsalMark]) -> None:
    """Raise `pytest.UsageError` if two modules hold nodes of the same rehearsal."""
    homes: dict[str, str] = {}
    for item, mark in zip(items, marks, strict=True):
        module = item.nodeid.partition("::")[0]
        home = homes.setdefault(mark.rehearsal, module)
        if home != module:
            raise _refuse(
                item,
                f"rehearsal {mark.rehearsal!r} in one module",
                f"it is in {home} too",
                "merge them, or rename one",
            )


def _parse(item: pytest.Item, mark: pytest.Mark) -> RehearsalMark:
    values: dict[str, Any] = {"rehearsal": mark.args[0] if len(mark.args) == 1 else None, **mark.kwargs}
    given = {name for name, value in values.items() if isinstance(value, str) and value.strip()}
    if given != {"rehearsal", "runbook", "section"} or set(values) != given:
        arguments = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
        raise _refuse(item, _FORM, f"rehearsal({', '.join(arguments)})", "give the three names")
    return RehearsalMark(values["rehearsal"], values["runbook"], values["section"])


def _refuse(item: pytest.Item, expected: str, seen: str, remedy: str) -> pytest.UsageError:
    return pytest.UsageError(f"{item.nodeid}: expected {expected}, saw {seen}; {remedy}")
