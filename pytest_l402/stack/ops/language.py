"""Decides whether two patterns can match the same text, and whether one matches all that the other does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from .character_sets import CharSet, char_set, contains, intersection, invert, sample, single_char
from .regexp_nodes import Assertion, Chain, Chars, Choice, Node, PatternError, Repeat, Text

_MAX_STATES = 20_000
_MAX_STEPS = 100_000


class Language:
    """The texts that a pattern matches as a whole, as a nondeterministic automaton.

    Conditions such as word boundaries are honoured by `matches`; comparisons take them as always true,
    which can only make two patterns overlap that do not, never hide an overlap. `exact` says that there are
    none.

    Raises:
        PatternError: when the pattern is too large to compare.
    """

    def __init__(self, node: Node) -> None:
        check_size(node)
        self._edges: list[list[tuple[CharSet, int]]] = []
        self._free: list[list[tuple[str, int]]] = []
        self.exact = True
        start = self._state()
        self._start, self._end = start, self._build(_without_edge_anchors(node), start)

    def matches(self, text: str) -> bool:
        """Return whether the pattern matches the whole of `text`."""
        states = self._closure((self._start,), lambda sign: _holds(sign, text, 0))
        for position, char in enumerate(text, 1):
            reached = [to for state in states for chars, to in self._edges[state] if contains(chars, char)]
            states = self._closure(reached, lambda sign, at=position: _holds(sign, text, at))  # type: ignore[misc]
            if not states:
                return False
        return self._end in states

    def common_text(self, other: Language) -> str | None:
        """Return the shortest text that both match, or None when there is none.

        A comparison that would take too long counts as a common text, shown as the empty one.
        """
        first = [(a, b) for a in self._reach(self._start) for b in other._reach(other._start)]
        came_from: dict[tuple[int, int], tuple[tuple[int, int] | None, str]] = dict.fromkeys(
            first, (None, "")
        )
        queue = deque(first)
        while queue:
            pair = queue.popleft()
            if pair == (self._end, other._end):
                return _spell(came_from, pair)
            for chars, to in self._edges[pair[0]]:
                for other_chars, other_to in other._edges[pair[1]]:
                    both = intersection(chars, other_chars)
                    if not both:
                        continue
                    for a in self._reach(to):
                        for b in other._reach(other_to):
                            if (a, b) not in came_from:
                                came_from[a, b] = (pair, sample(both))
                                queue.append((a, b))
            if len(came_from) > _MAX_STEPS:
                return ""
        return None

    def covers(self, other: Language) -> bool:
        """Return whether this matches every text that `other` matches; False where that cannot be told."""
        if not self.exact:
            return False
        first = [(state, frozenset(self._reach(self._start))) for state in other._reach(other._start)]
        seen = set(first)
        queue = deque(first)
        while queue:
            theirs, ours = queue.popleft()
            if theirs == other._end and self._end not in ours:
                return False
            for chars, to in other._edges[theirs]:
                for targets in self._split(ours, chars):
                    for state in other._reach(to):
                        if (state, targets) not in seen:
                            seen.add((state, targets))
                            queue.append((state, targets))
            if len(seen) > _MAX_STEPS:
                return False
        return True

    def _split(self, states: frozenset[int], chars: CharSet) -> set[frozenset[int]]:
        """Return the sets of states that characters of `chars` lead to, one for each kind of character."""
        parts: list[tuple[CharSet, frozenset[int]]] = [(chars, frozenset())]
        for state in states:
            for edge_chars, to in self._edges[state]:
                reached = self._reach(to)
                outside = invert(edge_chars)
                parts = [
                    (part, targets | add)
                    for current, targets in parts
                    for part, add in (
                        (intersection(current, edge_chars), frozenset(reached)),
                        (intersection(current, outside), frozenset[int]()),
                    )
                    if part
                ]
        return {targets for _, targets in parts}

    def _reach(self, state: int) -> tuple[int, ...]:
        return self._closure((state,), lambda _: True)

    def _closure(self, states: Iterable[int], holds: Callable[[str], bool]) -> tuple[int, ...]:
        found = dict.fromkeys(states)
        stack = list(found)
        while stack:
            for sign, to in self._free[stack.pop()]:
                if to not in found and (not sign or holds(sign)):
                    found[to] = None
                    stack.append(to)
        return tuple(found)

    def _state(self) -> int:
        self._edges.append([])
        self._free.append([])
        return len(self._edges) - 1

    def _build(self, node: Node, start: int) -> int:
        match node:
            case Text(text):
                for char in text:
                    end = self._state()
                    self._edges[start].append((char_set(char), end))
                    start = end
                return start
            case Chars(chars):
                end = self._state()
                self._edges[start].append((chars, end))
                return end
            case Assertion(sign):
                end = self._state()
                self._free[start].append((sign, end))
                self.exact = False
                return end
            case Chain(parts):
                for part in parts:
                    start = self._build(part, start)
                return start
            case Choice(options):
                end = self._state()
                for option in options:
                    inner = self._state()
                    self._free[start].append(("", inner))
                    self._free[self._build(option, inner)].append(("", end))
                return end
            case Repeat(part, low, high):
                return self._repeat(part, low, high, start)

    def _repeat(self, part: Node, low: int, high: int | None, start: int) -> int:
        for _ in range(low):
            start = self._build(part, start)
        end = self._state()
        if high is None:
            loop = self._state()
            self._free[start].append(("", loop))
            self._free[self._build(part, loop)].append(("", loop))
            self._free[loop].append(("", end))
            return end
        for _ in range(high - low):
            self._free[start].append(("", end))
            start = self._build(part, start)
        self._free[start].append(("", end))
        return end


def check_size(node: Node) -> None:
    """Raise `PatternError` when a pattern is too large to compare with others."""
    if _states(node) > _MAX_STATES:
        raise PatternError("a pattern too large to compare with others", 0)


def _states(node: Node) -> int:
    match node:
        case Text(text):
            return len(text)
        case Chain(parts):
            return sum(_states(part) for part in parts)
        case Choice(options):
            return 1 + sum(1 + _states(option) for option in options)
        case Repeat(part, low, high):
            return _states(part) * max(low + 1 if high is None else high, 1) + 2
        case _:
            return 1


def literal_prefix(node: Node, *, any_case: bool = False) -> str:
    """Return the text that every match begins with, as far as the pattern spells it out.

    With `any_case` a letter that matches in both its cases is spelled out in lower case; here and below.
    """
    return _literal(_without_edge_anchors(node), any_case, forward=True)[0]


def literal_suffix(node: Node, *, any_case: bool = False) -> str:
    """Return the text that every match ends with, as far as the pattern spells it out."""
    return _literal(_without_edge_anchors(node), any_case, forward=False)[0][::-1]


def literal_text(node: Node, *, any_case: bool = False) -> str | None:
    """Return the one text that the pattern matches, or None when it matches another number of texts."""
    text, whole = _literal(_without_edge_anchors(node), any_case, forward=True)
    return text if whole else None


def _literal(node: Node, any_case: bool, *, forward: bool) -> tuple[str, bool]:
    """Return the literal run from one side, reversed from the end, and whether it is the whole node."""
    match node:
        case Text(text):
            return (text if forward else text[::-1]), True
        case Chars(chars):
            char = single_char(chars, any_case=any_case)
            return (char, True) if char is not None else ("", False)
        case Chain(parts):
            text = ""
            for part in parts if forward else reversed(parts):
                run, whole = _literal(part, any_case, forward=forward)
                text += run
                if not whole:
                    return text, False
            return text, True
        case Repeat(part, low, _) if low > 0:
            return _literal(part, any_case, forward=forward)[0], False
        case _:
            return "", False


def _without_edge_anchors(node: Node) -> Node:
    """Return the node without the `^` it begins and the `$` it ends with: matching the whole implies them."""
    return _trim(_trim(node, "^", 0), "$", -1)


def _trim(node: Node, sign: str, side: int) -> Node:
    match node:
        case Chain(parts) if parts:
            if parts[side] == Assertion(sign):
                return _trim(Chain(parts[1:] if side == 0 else parts[:-1]), sign, side)
            inner = _trim(parts[side], sign, side)
            return Chain((inner, *parts[1:]) if side == 0 else (*parts[:-1], inner))
        case Choice(options):
            return Choice(tuple(_trim(option, sign, side) for option in options))
        case Assertion(found) if found == sign:
            return Chain(())
        case _:
            return node


def _holds(sign: str, text: str, at: int) -> bool:
    match sign:
        case "^":
            return at == 0
        case "$":
            return at == len(text)
        case "m^":
            return at == 0 or text[at - 1] == "\n"
        case "m$":
            return at == len(text) or text[at] == "\n"
        case _:
            boundary = _is_word(text, at - 1) != _is_word(text, at)
            return boundary == (sign == "\\b")


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isascii() and (text[at].isalnum() or text[at] == "_")


def _spell(
    came_from: dict[tuple[int, int], tuple[tuple[int, int] | None, str]], pair: tuple[int, int] | None
) -> str:
    chars: list[str] = []
    while pair is not None:
        pair, char = came_from[pair]
        chars.append(char)
    return "".join(reversed(chars))
