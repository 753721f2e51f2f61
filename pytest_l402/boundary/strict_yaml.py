"""Decides which YAML is accepted: one safe document of bounded size, without a key that is given twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pytest_l402.boundary.bounded_yaml import DEEPEST, UNREADABLE, BoundedLoader, TooDeeplyNestedError
from pytest_l402.boundary.cleaning import clean_text

LIMIT = 1_048_576
"""How many bytes a hand-written YAML file may have."""


class YamlError(ValueError):
    """A place in a YAML file and what is wrong there; callers turn it into their own error."""


class _Loader(BoundedLoader):
    """Safe loading that refuses a second value for the same key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(getattr(key_node, "value", ""))
            if key in seen:
                mark = key_node.start_mark
                raise YamlError(f"line {mark.line + 1}: expected each key once, saw {key!r} again")
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
        return yaml.load(data.decode("utf-8"), Loader=_Loader), data  # noqa: S506 (a SafeLoader)
    except UnicodeDecodeError as error:
        raise YamlError(f"expected UTF-8, saw another byte at offset {error.start}") from error
    except TooDeeplyNestedError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"{where}expected at most {DEEPEST} levels of nesting, saw more") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(
            f"{where}expected YAML, saw: {clean_text(error.problem or 'nothing parsable')}"
        ) from error
    except yaml.YAMLError as error:
        raise YamlError(f"expected YAML, saw: {clean_text(' '.join(str(error).split()))}") from error
    except UNREADABLE as error:
        if isinstance(error, YamlError):
            raise
        raise YamlError(f"expected YAML of plain values, saw: {clean_text(str(error))}") from error
