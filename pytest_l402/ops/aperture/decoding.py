"""How Aperture decodes a YAML file: by the shape of its settings, leniently, with every place kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from pytest_l402.boundary.cleaning import flat
from pytest_l402.boundary.strict_yaml import DEEPEST
from pytest_l402.ops.aperture.scalars import scalar_of, seconds_of

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""What takes YAML apart, before anything is read as what it stands for."""
_LARGEST: Final = 2**63 - 1


class Kind(Enum):
    """What a setting holds."""

    TEXT = "text"
    LEVEL = "text in quotes"
    WHOLE = "a whole number"
    FLAG = "true or false"
    DURATION = "a duration such as 30s"
    TEXTS = "a list of texts"
    TEXT_BY_NAME = "texts by name"
    ANYTHING = "what is not looked at here"


class ListOf(NamedTuple):
    """A setting that holds a list of mappings of one shape."""

    entry: Mapping[str, Shape]


Shape: TypeAlias = "Kind | Mapping[str, Shape] | ListOf"


class Place(NamedTuple):
    """Where in a file something stands; both count from 1."""

    line: int
    column: int


class Unread(NamedTuple):
    """A key that Aperture reads over, and the keys that it would read there."""

    key: str
    place: Place
    known: tuple[str, ...]
    section: str


class Refused(NamedTuple):
    """Why a file cannot be decoded: Aperture ends with code 1, or panics with code 2."""

    place: Place
    reason: str
    code: int = 1


@dataclass(frozen=True)
class Section:
    """A mapping as decoded: what was written under the keys that are read, and where."""

    place: Place
    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    """How a number is spelled in the file."""

    def text(self, key: str) -> str:
        """Return a text, empty when there is none."""
        return str(self.values.get(key) or "")

    def whole(self, key: str) -> int:
        """Return a number, 0 when there is none."""
        return int(self.values.get(key) or 0)

    def flag(self, key: str) -> bool:
        """Return a flag, false when there is none."""
        return bool(self.values.get(key))

    def seconds(self, key: str) -> float:
        """Return a duration in seconds, 0 when there is none."""
        return float(self.values.get(key) or 0)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(self.values.get(key) or ())

    def text_by_name(self, key: str) -> Mapping[str, str]:
        """Return texts by their names."""
        return self.values.get(key) or {}

    def section(self, key: str) -> Section:
        """Return a mapping within this one, an empty one when there is none."""
        return self.values.get(key) or Section(self.at(key))

    def sections(self, key: str) -> tuple[Section, ...]:
        """Return a list of mappings."""
        return tuple(self.values.get(key) or ())

    def at(self, key: str) -> Place:
        """Return where a key's value, or `key[number]`, stands; the mapping's own place when nowhere."""
        return self.places.get(key, self.place)


@dataclass(frozen=True)
class Decoded:
    """A file as decoded: its settings, the keys that were read over, and what prevents it."""

    root: Section
    unread: tuple[Unread, ...]
    refused: tuple[Refused, ...]


def decode(text: str, shape: Mapping[str, Shape]) -> Decoded:
    """Return a file as Aperture decodes it; what is wrong in it is told, never raised."""
    start = Place(1, 1)
    try:
        node = yaml.compose(text, Loader=LOADER)
        decoder = _Decoder()
        root = decoder.section(node, shape, "") if node is not None else Section(start)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else start
        problem = "a text that is no YAML" if error.problem is None else flat(error.problem)
        return Decoded(Section(start), (), (Refused(place, problem),))
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        return Decoded(Section(start), (), (Refused(start, flat(str(error)) or "nested too deeply"),))
    return Decoded(root, tuple(decoder.unread), tuple(decoder.refused))


class _Decoder:
    def __init__(self) -> None:
        self.unread: list[Unread] = []
        self.refused: list[Refused] = []

    def section(self, node: yaml.Node, shape: Mapping[str, Shape], name: str, depth: int = 0) -> Section:
        place = _place(node)
        if depth > DEEPEST:
            raise RecursionError
        if not isinstance(node, yaml.MappingNode):
            if not _is_null(node):
                self.refused.append(Refused(place, f"{_named(node)} was used where a mapping is expected"))
            return Section(place)
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        written: dict[str, str] = {}
        for key, child in self._entries(node):
            if key not in shape:
                self.unread.append(Unread(key, _key_place(node, key, child), tuple(shape), name))
                continue
            places[key] = _place(child)
            if isinstance(child, yaml.ScalarNode):
                written[key] = child.value if not child.style else f'"{child.value}"'
            values[key] = self._value(child, shape[key], f"{name}.{key}".lstrip("."), depth)
            if isinstance(child, yaml.SequenceNode):
                places.update({f"{key}[{at}]": _place(item) for at, item in enumerate(child.value)})
        return Section(place, values, places, written)

    def _entries(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
        seen: dict[str, Place] = {}
        merged: list[tuple[str, yaml.Node]] = []
        for key_node, child in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if key_node.tag == "tag:yaml.org,2002:merge":
                for source in child.value if isinstance(child, yaml.SequenceNode) else [child]:
                    if isinstance(source, yaml.MappingNode):
                        merged += [(str(name.value), value) for name, value in source.value]
                continue
            if key in seen:
                line, column = seen[key]
                reason = f'the key "{key}" is already defined at line {line}, column {column}'
                self.refused.append(Refused(_place(key_node), reason))
                continue
            seen[key] = _place(key_node)
            yield key, child
        yield from ((key, child) for key, child in dict(merged).items() if key not in seen)

    def _value(self, node: yaml.Node, shape: Shape, name: str, depth: int) -> Any:
        if _is_null(node) or shape is Kind.ANYTHING:
            return None
        if isinstance(shape, ListOf):
            items = self._items(node, name)
            return [
                self.section(item, shape.entry, f"{name}[{at}]", depth + 1) for at, item in enumerate(items)
            ]
        if not isinstance(shape, Kind):
            return self.section(node, shape, name, depth + 1)
        if shape is Kind.TEXTS:
            return [self._text(item, name) for item in self._items(node, name)]
        if shape is Kind.TEXT_BY_NAME:
            if isinstance(node, yaml.MappingNode):
                return {key: self._text(child, f"{name}.{key}") for key, child in self._entries(node)}
            return self._refuse(node, f"{name}: {_named(node)} was used where a mapping is expected")
        if not isinstance(node, yaml.ScalarNode):
            return self._refuse(node, f"{name} is {_named(node)}, and {shape.value} is expected")
        return self._scalar(node, shape, name)

    def _items(self, node: yaml.Node, name: str) -> list[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self._refuse(node, f"{name}: {_named(node)} was used where a list is expected")
        return []

    def _text(self, node: yaml.Node, name: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(node, f"{name} is {_named(node)}, and text is expected")
            return ""
        value = _scalar(node)
        return "" if value is None else _as_text(value)

    def _scalar(self, node: yaml.ScalarNode, kind: Kind, name: str) -> Any:
        value = _scalar(node)
        if kind is Kind.TEXT:
            return _as_text(value)
        if kind is Kind.LEVEL:
            if isinstance(value, str):
                return value
            reason = f"{name} is {_named(node)} and has to be text: write it in quotes"
            return self._refuse(node, reason, code=2)
        if kind is Kind.FLAG:
            return value if isinstance(value, bool) else self._mistyped(node, kind, name)
        if kind is Kind.DURATION:
            seconds = seconds_of(value) if isinstance(value, str) else None
            return self._mistyped(node, kind, name) if seconds is None else seconds
        whole = _whole(value)
        return self._mistyped(node, kind, name) if whole is None else whole

    def _mistyped(self, node: yaml.ScalarNode, kind: Kind, name: str) -> None:
        return self._refuse(node, f"{name} is {_named(node)}, and {kind.value} is expected")

    def _refuse(self, node: yaml.Node, reason: str, code: int = 1) -> None:
        self.refused.append(Refused(_place(node), reason, code))


def _whole(value: object) -> int | None:
    """What a whole number is decoded from: a fraction loses what is behind the point, a text is read."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value.replace("_", "x"))
        except ValueError:
            return None
        if value < 0:
            return None
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return int(value)
    return None


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    return scalar_of(node.value) if not node.style else str(node.value)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and _scalar(node) is None


def _named(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        value = _scalar(node)
        kind = {bool: "the flag", int: "the number", float: "the number"}.get(type(value), "the text")
        return f"{kind} {node.value[:60] or 'of no characters'}"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _key_place(node: yaml.MappingNode, key: str, child: yaml.Node) -> Place:
    named = (_place(name) for name, value in node.value if value is child and name.value == key)
    return next(named, _place(child))
