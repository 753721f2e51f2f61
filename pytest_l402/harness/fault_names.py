"""Which fault is meant by a name and its values, as a file or a command line has them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from pytest_l402.boundary import quoted
from pytest_l402.harness.faults import Fault


class FaultNameError(ValueError):
    """A name or a value that no fault has; one line."""


class FaultNames:
    """The faults of one system by their names."""

    def __init__(self, kinds: Mapping[str, type[Fault]]) -> None:
        self._kinds = kinds

    def fault_named(self, name: str, values: Mapping[str, Any]) -> Fault:
        """Return the fault of this name; `values` are its fields, as JSON has them.

        Raises:
            FaultNameError: no such fault or field, or a value that the field does not take.
        """
        kind = self._kinds.get(name)
        if kind is None:
            close = difflib.get_close_matches(name, self._kinds, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the faults are {', '.join(self._kinds)}"
            raise FaultNameError(f"unknown fault {quoted(name)}; {hint}")
        types = {field.name: field.type for field in dataclasses.fields(kind)}
        given: dict[str, Any] = {}
        for key, value in values.items():
            if key not in types:
                known = ", ".join(types) or "nothing"
                raise FaultNameError(f"{name} takes {known}, saw {quoted(key)}")
            given[key] = _checked(f"{name}.{key}", str(types[key]), value)
        try:
            return kind(**given)
        except ValueError as error:
            raise FaultNameError(str(error)) from None

    def fault_of(self, text: str) -> Fault:
        """Return the fault that `NAME` or `NAME:VALUE` means; the value is that of its first field.

        Raises:
            FaultNameError: as `fault_named`, or a value for a fault that takes none.
        """
        name, colon, value = text.partition(":")
        fields = dataclasses.fields(self._kinds[name]) if name in self._kinds else ()
        if colon and name in self._kinds and not fields:
            raise FaultNameError(f"expected {name} alone, saw {quoted(text)}; it takes no value")
        return self.fault_named(name, {field.name: _value(value) for field in fields[:1] if colon})


def _value(text: str) -> bool | int | str:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text


def _checked(where: str, kind: str, value: Any) -> Any:
    fits = {
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
    }.get(kind, isinstance(value, str))
    if not fits:
        wanted = kind if kind in ("bool", "int") else "text"
        raise FaultNameError(f"{where}: expected {wanted}, saw {quoted(value)}")
    return value
