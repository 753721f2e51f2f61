"""Decides which rules can match the same request, without comparing every rule with every other.

Two paths can only be the same when one rule's literal beginning is the beginning of the other's, and two
hosts when one's literal end is the end of the other's. So each rule asks an index for the rules whose
literal is a part of its own: the work grows with the rules and with the overlaps that there are. Only rules
with wildcards are ever compared in full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pytest_l402.ops.compile.host_patterns import HostPattern
from pytest_l402.ops.compile.path_patterns import PathKind, PathPattern
from pytest_l402.ops.compile.rules import Placed


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two places in the order that match the same request; `example` is one, as host and path."""

    earlier: int
    later: int
    example: str


def find_overlaps(placed: Sequence[Placed]) -> list[Overlap]:
    """Return every two of `placed` that can match the same request, in the order of their places."""
    groups = _group_by_host(placed)
    found: dict[tuple[int, int], str] = {}
    for one, other, host in _meeting_hosts(groups):
        pairs = one.own_pairs() if one is other else one.pairs_with(other)
        for a, b in pairs:
            pair = (a, b) if a < b else (b, a)
            if pair in found:
                continue
            path = placed[a].path.common_path(placed[b].path)
            if path is not None:
                found[pair] = (one.host.example if host is None else host) + path
    return [Overlap(earlier, later, found[earlier, later]) for earlier, later in sorted(found)]


@dataclass(slots=True)
class _HostGroup:
    """The places of one host pattern, found by the literal beginning of their paths."""

    host: HostPattern
    members: list[tuple[int, PathPattern]] = field(default_factory=list)
    exact: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    open: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    lengths: set[int] = field(default_factory=set)

    def add(self, place: int, path: PathPattern) -> None:
        self.members.append((place, path))
        if path.kind is PathKind.EXACT:
            self.exact[path.prefix].append(place)
        else:
            self.open[path.prefix].append(place)
            self.lengths.add(len(path.prefix))

    def candidates(self, path: PathPattern) -> Iterator[int]:
        """Return the places whose literal beginning is a part of this path's, or its very path."""
        if path.kind is PathKind.EXACT:
            yield from self.exact.get(path.prefix, ())
        for length in self.lengths:
            if length <= len(path.prefix):
                yield from self.open.get(path.prefix[:length], ())

    def own_pairs(self) -> Iterator[tuple[int, int]]:
        for place, path in self.members:
            for candidate in self.candidates(path):
                if candidate != place:
                    yield place, candidate

    def pairs_with(self, other: _HostGroup) -> Iterator[tuple[int, int]]:
        for one, another in ((self, other), (other, self)):
            for place, path in one.members:
                for candidate in another.candidates(path):
                    yield place, candidate


def _group_by_host(placed: Sequence[Placed]) -> list[_HostGroup]:
    groups: dict[str, _HostGroup] = {}
    for place, item in enumerate(placed):
        group = groups.get(item.host.text)
        if group is None:
            group = groups[item.host.text] = _HostGroup(item.host)
        group.add(place, item.path)
    return list(groups.values())


def _meeting_hosts(groups: Sequence[_HostGroup]) -> Iterator[tuple[_HostGroup, _HostGroup, str | None]]:
    """Return the groups that share a host, and such a host; each with itself too, without naming one."""
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    by_suffix: defaultdict[str, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        if group.host.name is not None:
            by_name[group.host.name].append(number)
        else:
            by_suffix[group.host.suffix].append(number)
    lengths = sorted({len(suffix) for suffix in by_suffix})
    seen: set[tuple[int, int]] = set()
    for number, group in enumerate(groups):
        yield group, group, None
        for candidate in _host_candidates(group.host, by_name, by_suffix, lengths):
            pair = (min(number, candidate), max(number, candidate))
            if candidate == number or pair in seen:
                continue
            seen.add(pair)
            host = group.host.common_host(groups[candidate].host)
            if host is not None:
                yield group, groups[candidate], host


def _host_candidates(
    host: HostPattern,
    by_name: defaultdict[str, list[int]],
    by_suffix: defaultdict[str, list[int]],
    lengths: Iterable[int],
) -> Iterator[int]:
    ending = host.suffix if host.name is None else host.name
    if host.name is not None:
        yield from by_name[host.name]
    for length in lengths:
        if length <= len(ending):
            yield from by_suffix.get(ending[len(ending) - length :], ())
