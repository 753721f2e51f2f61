"""Decides which YAML is accepted: one safe document, not nested too deeply, each key once."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_l402.boundary.cleaning import flat

LIMIT: Final = 1_048_576
"""How many bytes a hand-written YAML file may have."""

DEEPEST: Final = 100
"""How many levels of nesting a document may have."""

# libyaml's where there is one, as in PyYAML's wheels: it takes a twentieth of the time.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """A place in a YAML text and what is wrong there; callers turn it into their own error."""


class _Loader(_SafeLoader):  # type: ignore[misc]
    """A safe loader that refuses a second value for the same key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            merges = key_node.tag == "tag:yaml.org,2002:merge"
            key = key_node.value if merges else self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    line = key_node.start_mark.line + 1
                    raise YamlError(f"line {line}: expected each key once, saw {key!r} again")
                seen.add(key)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def read_yaml(path: Path) -> tuple[Any, bytes]:
    """Return the document and the bytes it came from; raises `YamlError` for whatever prevents that."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LIMIT + 1)
    except OSError as error:
        raise YamlError(f"expected a readable file, saw: {error.strerror or error}") from error
    if len(data) > LIMIT:
        raise YamlError(f"expected at most {LIMIT} bytes, saw more")
    try:
        return parse_yaml(data.decode("utf-8")), data
    except UnicodeDecodeError as error:
        raise YamlError(f"expected UTF-8, saw another byte at offset {error.start}") from error


def parse_yaml(text: str) -> Any:
    """Return the one document of a text, in plain values; raises `YamlError` for whatever prevents that."""
    try:
        _check_depth(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except YamlError:
        raise
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, error.problem or "nothing parsable"
        if "nesting" in problem:
            # Since 6.0.4 PyYAML has a bound of its own, which reading ahead may meet before ours.
            raise _too_deep(mark.line if mark else 0) from error
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(f"{where}expected YAML, saw: {flat(problem)}") from error
    except yaml.YAMLError as error:
        raise YamlError(f"expected YAML, saw: {flat(str(error))}") from error
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # PyYAML lets through what `!!bool perhaps` fails with.
        raise YamlError(f"expected YAML of plain values, saw: {flat(str(error))}") from error


def _check_depth(text: str) -> None:
    """Refuse a text that is nested too deeply before it is built: PyYAML up to 6.0.3 may end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _too_deep(event.start_mark.line if event.start_mark else 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _too_deep(line: int) -> YamlError:
    return YamlError(f"line {line + 1}: expected at most {DEEPEST} levels of nesting, saw more")
