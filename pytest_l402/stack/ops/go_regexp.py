"""Decides whether Go's regexp engine takes a pattern, and what the pattern says.

Aperture refuses to start when a pattern does not compile, so every pattern is read here first, by the
syntax of Go's regexp package (RE2): no lookaround, no backreferences, no possessive or atomic groups,
counts up to 1000.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .character_sets import (
    ANY,
    ANY_BUT_NEWLINE,
    CharSet,
    char_set,
    class_named,
    fold_case,
    general_category,
    invert,
    perl_class,
    union,
)
from .regexp_nodes import Assertion, Chain, Chars, Choice, Node, PatternError, Repeat, Text

_QUOTED = {ord(sign): "\\" + sign for sign in "\\.+*?()|[]{}^$"}
_MAX_COUNT = 1000
_MAX_DEPTH = 200
_COUNT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_PLAIN_RUN = re.compile(r"[A-Za-z0-9_/-]+")
_REPETITION_SIGNS = ("*", "+", "?", "{")
_GROUP_NAME = re.compile(r"\?P?<([A-Za-z0-9_]+)>")
_FLAGS = re.compile(r"\?([imsU]*)(?:-([imsU]+))?([:)])")
_HEX_BRACED = re.compile(r"x\{([0-9A-Fa-f]+)\}")
_HEX_TWO = re.compile(r"x([0-9A-Fa-f]{2})")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}")
_CONTROLS = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}


def parse_go_regexp(pattern: str, *, ignore_case: bool = False) -> Node:
    """Return what `pattern` says. Source: Go regexp/syntax with Perl flags, as `regexp.Compile` uses it.

    Raises:
        PatternError: for what Go refuses, and for what only this compiler does not read: `\\Q`, named
        scripts.
    """
    return _Parser(pattern).parse(_Flags(ignore_case=ignore_case))


def quote_go(text: str) -> str:
    """Return the regexp in ASCII that matches exactly `text`. Source: Go `regexp.QuoteMeta`."""
    return ascii_pattern(text.translate(_QUOTED))


def ascii_pattern(pattern: str) -> str:
    """Return a pattern that Go reads the same, with every character outside printable ASCII as its code."""
    if pattern.isascii() and pattern.isprintable():
        return pattern
    return "".join(char if " " <= char <= "~" else f"\\x{{{ord(char):x}}}" for char in pattern)


@dataclass(slots=True)
class _Flags:
    ignore_case: bool = False
    dot_all: bool = False
    multi_line: bool = False

    def copy(self) -> _Flags:
        return _Flags(self.ignore_case, self.dot_all, self.multi_line)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._names: set[str] = set()

    def parse(self, flags: _Flags) -> Node:
        node = self._choice(flags, 0)
        if self._at < len(self._text):
            raise PatternError("a closing parenthesis without an opening one", self._at)
        _check_counts(node, _MAX_COUNT)
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self, flags: _Flags, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise PatternError("groups nested too deeply", self._at)
        options = [self._sequence(flags, depth)]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence(flags, depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self, flags: _Flags, depth: int) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            if not flags.ignore_case and (run := self._plain_run()):
                parts.append(Text(run))
                continue
            atom = self._atom(flags, depth)
            if atom is not None:
                parts.append(self._repeated(atom))
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def _plain_run(self) -> str:
        """Read characters that stand for themselves, without the last one if that is repeated."""
        found = _PLAIN_RUN.match(self._text, self._at)
        if found is None:
            return ""
        repeated = self._text[found.end() : found.end() + 1] in _REPETITION_SIGNS
        self._at = found.end() - repeated
        return found[0][:-1] if repeated else found[0]

    def _atom(self, flags: _Flags, depth: int) -> Node | None:
        start, char = self._at, self._peek()
        if char in "*+?" or (char == "{" and _COUNT.match(self._text, start)):
            raise PatternError("a repetition of nothing", start)
        self._at += 1
        match char:
            case "(":
                return self._group(flags, depth)
            case "[":
                return Chars(self._class(flags))
            case ".":
                return Chars(ANY if flags.dot_all else ANY_BUT_NEWLINE)
            case "^" | "$":
                return Assertion(("m" if flags.multi_line else "") + char)
            case "\\":
                return self._escape(flags)
            case _:
                return Chars(self._folded(char_set(char), flags))

    @staticmethod
    def _folded(chars: CharSet, flags: _Flags) -> CharSet:
        return fold_case(chars) if flags.ignore_case else chars

    def _group(self, flags: _Flags, depth: int) -> Node | None:
        start = self._at - 1
        inner = flags.copy()
        if self._peek() == "?":
            if name := _GROUP_NAME.match(self._text, self._at):
                if name[1] in self._names:
                    raise PatternError(f"a second group named {name[1]}", start)
                self._names.add(name[1])
                self._at = name.end()
            elif set_flags := _FLAGS.match(self._text, self._at):
                self._at = set_flags.end()
                if set_flags[3] == ")":
                    if not set_flags[1] and not set_flags[2]:
                        raise PatternError("an empty group of flags", start)
                    _apply(flags, set_flags)
                    return None
                _apply(inner, set_flags)
            else:
                raise PatternError(_group_reason(self._text[self._at :]), start)
        node = self._choice(inner, depth + 1)
        if self._peek() != ")":
            raise PatternError("an opening parenthesis without a closing one", start)
        self._at += 1
        return node

    def _repeated(self, atom: Node) -> Node:
        start = self._at
        low, high = 1, None
        if (char := self._peek()) and char in "*+?":
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
            self._at += 1
        elif count := _COUNT.match(self._text, start):
            low = int(count[1])
            high = low if count[2] is None else int(count[3]) if count[3] else None
            if low > _MAX_COUNT or (high is not None and (high > _MAX_COUNT or high < low)):
                raise PatternError(f"a count that is not 0 to {_MAX_COUNT} in rising order", start)
            self._at = count.end()
        else:
            return atom
        if self._peek() == "?":
            self._at += 1
        rest = self._peek()
        if rest and (rest in "*+?" or (rest == "{" and _COUNT.match(self._text, self._at))):
            raise PatternError("a repetition of a repetition (possessive, or doubled by mistake)", start)
        return Repeat(atom, low, high)

    def _escape(self, flags: _Flags) -> Node:
        start, char = self._at - 1, self._peek()
        if char in ("A", "z", "b", "B"):
            self._at += 1
            return Assertion({"A": "^", "z": "$"}.get(char, "\\" + char))
        if char == "Q":
            raise PatternError("\\Q, which is not read here: escape the characters one by one", start)
        return Chars(self._folded(self._escaped_set(start), flags))

    def _escaped_set(self, start: int) -> CharSet:
        """Read what follows a backslash, in a class or outside: one character or a class of them."""
        char = self._peek()
        if not char:
            raise PatternError("a backslash at the end", start)
        if (named := perl_class(char)) is not None:
            self._at += 1
            return named
        if char in "pP":
            return self._unicode_class(start)
        return char_set(self._escaped_char(start))

    def _escaped_char(self, start: int) -> str:
        char = self._peek()
        for form, base in ((_HEX_BRACED, 16), (_HEX_TWO, 16), (_OCTAL, 8)):
            if found := form.match(self._text, self._at):
                self._at = found.end()
                code = int(found[1] if base == 16 else found[0], base)
                if code > 0x10FFFF:
                    raise PatternError("a code beyond the last character", start)
                return chr(code)
        self._at += 1
        if char in _CONTROLS:
            return chr(_CONTROLS[char])
        if char.isascii() and not char.isalnum():
            return char
        if char.isdigit() and char.isascii():
            raise PatternError("a backreference", start)
        raise PatternError(f"an escape \\{char} that Go does not know", start)

    def _unicode_class(self, start: int) -> CharSet:
        found = re.compile(r"([pP])(?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))").match(self._text, self._at)
        chars = general_category(found[3] or found[4]) if found else None
        if found is None or chars is None:
            raise PatternError("a Unicode class other than a general category such as \\p{Lu}", start)
        self._at = found.end()
        return invert(chars) if (found[1] == "P") != bool(found[2]) else chars

    def _class(self, flags: _Flags) -> CharSet:
        start = self._at - 1
        negated = self._peek() == "^"
        self._at += negated
        chars: CharSet = ()
        first = True
        while first or self._peek() != "]":
            if not self._peek():
                raise PatternError("a [ without its ]", start)
            chars = union(chars, self._class_item())
            first = False
        self._at += 1
        chars = self._folded(chars, flags)
        return invert(chars) if negated else chars

    def _class_item(self) -> CharSet:
        start = self._at
        if self._text.startswith("[:", start) and (end := self._text.find(":]", start)) > 0:
            chars = class_named(self._text[start + 2 : end])
            if chars is None:
                raise PatternError("a character class with an unknown name", start)
            self._at = end + 2
            return chars
        if self._peek() == "\\":
            self._at += 1
            if self._peek() in ("p", "P") or perl_class(self._peek()) is not None:
                return self._escaped_set(start)
            low = self._class_char(start)
        else:
            low = self._peek()
            self._at += 1
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("", "]"):
            return char_set(low)
        self._at += 1
        high_start = self._at
        high = self._peek()
        self._at += 1
        if high == "\\":
            high = self._class_char(high_start)
        if high < low:
            raise PatternError("a range of characters that runs backwards", start)
        return ((ord(low), ord(high)),)

    def _class_char(self, start: int) -> str:
        if not self._peek():
            raise PatternError("a backslash at the end", start)
        return self._escaped_char(start)


def _apply(flags: _Flags, found: re.Match[str]) -> None:
    for letters, value in ((found[1], True), (found[2] or "", False)):
        flags.ignore_case = value if "i" in letters else flags.ignore_case
        flags.dot_all = value if "s" in letters else flags.dot_all
        flags.multi_line = value if "m" in letters else flags.multi_line


def _group_reason(rest: str) -> str:
    if rest.startswith(("?=", "?!", "?<=", "?<!")):
        return "a lookahead or lookbehind"
    if rest.startswith("?>"):
        return "an atomic group"
    if rest.startswith("?P="):
        return "a backreference"
    return "a group that Go does not know"


def _check_counts(node: Node, budget: int) -> None:
    """Refuse counted repetitions that multiply beyond 1000, as Go does."""
    match node:
        case Repeat(part, low, high):
            times = low if high is None else high
            counted = high not in (None, 1) or low > 1
            if counted and times > budget:
                raise PatternError(f"nested counts that multiply beyond {_MAX_COUNT}", 0)
            _check_counts(part, budget // times if counted and times else budget)
        case Chain(parts):
            for part in parts:
                _check_counts(part, budget)
        case Choice(options):
            for option in options:
                _check_counts(option, budget)
        case _:
            return
