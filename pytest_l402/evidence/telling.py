"""Decides how results of checks are told to people: each cause once, by names, in lines that fit a screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from pytest_l402.boundary.cleaning import clean_text, flat
from pytest_l402.boundary.columns import WIDTH, in_columns
from pytest_l402.boundary.text_safety import printable
from pytest_l402.evidence.causes import Cause, causes, explains
from pytest_l402.evidence.check import AtFault, CheckResult, RunbookLine, Violation
from pytest_l402.evidence.request_names import RequestName, renamed

_TEXT: Final = 12
_MOST: Final = 12
"""How many further violations of one cause are told; the documents have them all."""

_LINES: Final = re.compile(r"(\w+\.jsonl) lines? (\d+(?:, \d+)*)")

_NAMELESS: Final = "a check without a name"

Clean: TypeAlias = Callable[[str], str]


def tell_results(
    results: Iterable[CheckResult],
    *,
    title: str = "",
    lines: Mapping[str, RunbookLine] | None = None,
    names: Mapping[str, RequestName] | None = None,
    places: Mapping[str, str] | None = None,
) -> str:
    """Return for people what is wrong with these results; empty if nothing is.

    The first line says by itself which line of the runbook is violated, and how. `lines` are the catalogue's
    entries by id, `names` what requests are called, by id, and `places` where to look further, by label.
    """
    known = names or {}
    wrong = [result for result in results if not result.passed]
    if not wrong:
        return ""

    def shown(text: str) -> str:
        # Cleaned before it is broken into lines: a secret in two halves is not recognised.
        return renamed(clean_text(text), known)

    found = [_shown(cause, shown) for cause in causes(wrong, known)]
    blind = [_without_teeth(result, shown) for result in wrong if result.survivors]
    apart = len(found) + len(blind)
    noun = "check does" if len(wrong) == 1 else "checks do"
    told = f"{title}: {len(wrong)} {noun} not hold"
    if apart < len(wrong):
        told += f", for {'one cause' if apart == 1 else f'{apart} causes'}"
    head = [*_wrapped(told, "")] if title else []
    for label, place in (places or {}).items():
        head += _place(label, place) if place else []
    head += _legend(wrong, known)
    blocks = [_headline(found, blind), "\n".join(head)]
    blocks += ["\n".join(_cause(cause, lines or {})) for cause in found]
    blocks += ["\n".join(_distrust(result)) for result in blind]
    return "\n\n".join(block for block in blocks if block)


def told_causes(results: Iterable[CheckResult], names: Mapping[str, RequestName]) -> tuple[str, ...]:
    """Return in one line each, in the order of `tell_results`, what these results have as causes."""
    wrong = [result for result in results if not result.passed]
    found = causes(wrong, names)
    told = [f"{_line(cause, found)}: {_said(cause.violations[0])}" for cause in found]
    told += [
        f"{result.line or result.name}: {result.name} cannot be trusted"
        for result in wrong
        if result.survivors
    ]
    return tuple(renamed(clean_text(text), names) for text in told)


def _headline(found: Sequence[Cause], blind: Sequence[CheckResult]) -> str:
    if found:
        first = found[0].violations[0]
        said = f"{_line(found[0], found)}: {_said(first)}"
    else:
        said = f"{blind[0].line or blind[0].name}: {blind[0].name} cannot be trusted"
    return printable(said, WIDTH)


def _line(cause: Cause, found: Iterable[Cause]) -> str:
    """The line that a cause violates; of what explains all others, theirs."""
    first = cause.violations[0]
    if first.line or not explains(first):
        return first.line or first.check
    return next((line for each in (cause, *found) for line in each.lines), first.check)


def _cause(cause: Cause, lines: Mapping[str, RunbookLine]) -> Iterator[str]:
    """The first violation in four parts, then what follows from the same cause, by line of the runbook."""
    first, *others = cause.violations
    ends = "cannot be trusted" if first.at_fault is AtFault.CHECK else "is violated"
    yield from _wrapped(f"{first.check} {ends}", "")
    yield from _part("expected", first.expected)
    yield from _continued(_source(first.line, lines))
    yield from _part("seen", first.seen)
    yield from _part("where", first.where)
    yield from _part("do", first.remedy)
    label, cited = "so also", first.line
    for line, also in _by_line(others).items():
        cited, new = line, line != cited
        if new and line is not None:
            yield from _part(label, _source(line, lines))
            label = ""
        named = "" if new else first.check
        for (check, said), where in list(also.items())[:_MOST]:
            if (said, [*where]) == (_said(first), [flat(first.where)]):
                yield from _part(label, f"{check} says the same")
            else:
                told = f"{said} ({_together(where)})"
                yield from _part(label, told if check == named else f"{check}: {told}")
            label, named = "", check
        if len(also) > _MOST:
            yield from _part(label, f"and {len(also) - _MOST} more")


def _by_line(
    violations: Iterable[Violation],
) -> dict[str | None, dict[tuple[str, str], dict[str, None]]]:
    """By line of the runbook, what each check says, once for all the places that fall short alike."""
    told: dict[str | None, dict[tuple[str, str], dict[str, None]]] = {}
    for each in violations:
        where = told.setdefault(each.line, {}).setdefault((each.check, _said(each)), {})
        where[flat(each.where)] = None
    return told


def _said(violation: Violation) -> str:
    return f"expected {flat(violation.expected)}, saw {flat(violation.seen)}"


def _together(places: Iterable[str]) -> str:
    """Places of one file as one: a list of its lines."""
    lines: dict[str, list[str]] = {}
    for place in places:
        found = _LINES.fullmatch(place)
        known = lines.setdefault(found[1] if found else place, [])
        known += found[2].split(", ") if found else []
    return "; ".join(
        f"{file} line{'s' if len(known) > 1 else ''} {', '.join(known)}" if known else file
        for file, known in lines.items()
    )


def _distrust(result: CheckResult) -> Iterator[str]:
    first, *others = result.survivors
    yield from _wrapped(f"{result.name} cannot be trusted", "")
    yield from _part("expected", f"it notices this altered evidence: {first.name}")
    yield from _part("seen", first.detail)
    yield from _part("where", f"the mutants of {result.name}")
    yield from _part("do", "give it evidence on which it can fail, or sharpen it")
    for number, mutant in enumerate(others[:_MOST]):
        yield from _part("" if number else "nor", f"{mutant.name}: {mutant.detail}")
    if len(others) > _MOST:
        yield from _part("", f"and {len(others) - _MOST} more")


def _legend(results: Sequence[CheckResult], names: Mapping[str, RequestName]) -> Iterator[str]:
    """Which request each name in these results stands for."""
    said = "\n".join(text for result in results for text in _texts(result))
    spoken = {id_: known for id_, known in names.items() if id_ in said or (known.payment or "\0") in said}
    width = max((len(known.name) for known in spoken.values()), default=0)
    for id_, known in spoken.items():
        told = [known.path, id_, known.payment and f"payment {known.payment}"]
        yield from _wrapped(", ".join(filter(None, told)), f"  {known.name:<{width}}  ")


def _texts(result: CheckResult) -> Iterator[str]:
    yield result.name
    for each in result.violations:
        yield from (each.expected, each.seen, each.where, each.remedy)
    for mutant in result.survivors:
        yield from (mutant.name, mutant.detail)


def _source(line: str | None, lines: Mapping[str, RunbookLine]) -> str:
    return "" if line is None else f"[{lines.get(line) or RunbookLine(line)}]"


def _part(label: str, text: str) -> Iterator[str]:
    first, *more = text.split("\n")
    yield from _wrapped(first, f"  {label:<{_TEXT - 3}} ")
    for line in more:
        yield from _continued(line)


def _place(label: str, place: str) -> list[str]:
    """A path is not broken, so that it can be copied."""
    path, *more = place.split("\n")
    told = f"  {label:<{_TEXT - 3}} {path}"
    first = [told] if len(told) <= WIDTH else [f"  {label}", f"  {path}"]
    return [*first, *(line for text in more for line in _continued(text))]


def _continued(text: str) -> list[str]:
    return _wrapped(text, " " * _TEXT) if text else []


def _wrapped(text: str, before: str) -> list[str]:
    return in_columns(text, before, hanging=max(4, min(len(before), _TEXT * 3)))


def _shown(cause: Cause, shown: Clean) -> Cause:
    return Cause(tuple(_violation_shown(each, shown) for each in cause.violations))


def _violation_shown(violation: Violation, shown: Clean) -> Violation:
    return replace(
        violation,
        check=shown(violation.check) or _NAMELESS,
        expected=shown(violation.expected),
        seen=shown(violation.seen),
        where=shown(violation.where),
        remedy=shown(violation.remedy),
    )


def _without_teeth(result: CheckResult, shown: Clean) -> CheckResult:
    mutants = tuple(
        replace(mutant, name=shown(mutant.name), detail=shown(mutant.detail)) for mutant in result.mutants
    )
    return replace(result, name=shown(result.name) or _NAMELESS, mutants=mutants)
