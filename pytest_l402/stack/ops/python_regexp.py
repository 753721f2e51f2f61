"""Decides by which pattern of Python's a regexp of Go's is matched, so that both take the same texts."""

from __future__ import annotations

from functools import lru_cache

from .character_sets import CharSet
from .go_regexp import parse_go_regexp
from .regexp_nodes import Assertion, Chain, Chars, Choice, Node, Text

_ASSERTIONS = {
    "^": r"\A",
    "$": r"\Z",
    "m^": "(?m:^)",
    "m$": "(?m:$)",
    "\\b": r"(?a:\b)",
    "\\B": r"(?a:\B)",
}


@lru_cache(maxsize=4096)
def python_pattern(pattern: str) -> str:
    """Return the pattern for `re` that finds something in a text exactly if Go finds something.

    Raises:
        PatternError: when Go refuses it.
    """
    return _pattern(parse_go_regexp(pattern))


def _pattern(node: Node) -> str:
    if isinstance(node, Assertion):
        return _ASSERTIONS[node.sign]
    if isinstance(node, Text):
        return "".join(map(_code, map(ord, node.text)))
    if isinstance(node, Chars):
        return _char_class(node.set)
    if isinstance(node, Chain):
        return "".join(_pattern(part) for part in node.parts)
    if isinstance(node, Choice):
        return f"(?:{'|'.join(_pattern(option) for option in node.options)})"
    return f"(?:{_pattern(node.part)}){{{node.low},{'' if node.high is None else node.high}}}"


def _char_class(chars: CharSet) -> str:
    if not chars:
        return "(?!)"
    return f"[{''.join(f'{_code(low)}-{_code(high)}' for low, high in chars)}]"


def _code(point: int) -> str:
    return f"\\U{point:08x}"
