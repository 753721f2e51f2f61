"""Decides whether the parts that were put into a system are really the ones that were tested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_l402.evidence.parts import Part
from pytest_l402.evidence.system import AttachedSystem
from pytest_l402.signoff.results import NodeResult


@dataclass
class _Role:
    """Who played one role of one system, in which tests."""

    put_in: dict[Part, list[int]] = field(default_factory=dict)
    with_it: dict[str, None] = field(default_factory=dict)
    without_it: dict[str, Part] = field(default_factory=dict)


def by_part(systems: Iterable[AttachedSystem]) -> Mapping[Part, list[int | None]]:
    """Return each part with the requests that it was asked in each test, None where nobody counted."""
    found: dict[Part, list[int | None]] = {}
    for part in (part for system in systems for part in system.parts):
        found.setdefault(replace(part, requests=None), []).append(part.requests)
    return found


def total(asked: Iterable[int | None]) -> int | None:
    """Return how often a part was asked in all; None where nobody counted."""
    counts = [count for count in asked if count is not None]
    return sum(counts) if counts else None


def parts_not_under_test(nodes: Sequence[NodeResult]) -> Iterator[str]:
    """Yield one line for each part that somebody put in and that was not tested, or not in every test.

    A part is known to be put in where its system counts what it is asked. One that was asked nothing in the
    whole run was not tested; where another one of its role played, that one was.
    """
    for (system, role), seen in _roles(nodes).items():
        for part, asked in seen.put_in.items():
            if not sum(asked):
                tests = f"{len(asked)} test" + ("" if len(asked) == 1 else "s")
                yield f"{role}: {_named(part)} was put in, and 0 requests reached it in {tests} of {system}"
        if seen.put_in and seen.without_it:
            names = " and ".join(map(_named, seen.put_in))
            (node, other), *_ = seen.without_it.items()
            missed, of = len(seen.without_it), len({*seen.with_it, *seen.without_it})
            yield (
                f"{role}: {names} was put in, and was not what was tested in {missed} of {of} tests of "
                f"{system}: {_named(other)} played in {node}; put it in where all of them see it"
            )


def _roles(nodes: Sequence[NodeResult]) -> Mapping[tuple[str, str], _Role]:
    found: dict[tuple[str, str], _Role] = {}
    for node in nodes:
        for system in node.systems:
            for part in (part for part in system.parts if part.held_by is None):
                seen = found.setdefault((system.name, part.role), _Role())
                if part.ours:
                    seen.without_it[node.nodeid] = part
                elif part.requests is not None:
                    seen.put_in.setdefault(replace(part, requests=None), []).append(part.requests)
                    seen.with_it[node.nodeid] = None
    return found


def _named(part: Part) -> str:
    if part.distribution is not None:
        return f"{part.name} of {part.distribution} {part.version}"
    return part.name if part.file is None else f"{part.name} ({part.file})"
