"""Decides what crosses between two processes by value, and what is asked where it lives, by a handle."""

from __future__ import annotations

import copyreg
import datetime
import enum
import functools
import io
import pathlib
import pickle
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, NoneType
from typing import Any, Final, Protocol

__all__ = ["Handle", "KeepsObjects", "RaisedThere", "packed", "raisable", "unpacked"]

_PACKAGE: Final = __name__.partition(".")[0]
_PLAIN: Final = (
    NoneType,
    int,
    float,
    str,
    bytes,
    bytearray,
    tuple,
    list,
    dict,
    set,
    frozenset,
    type(...),
    enum.Enum,
    pathlib.PurePath,
    datetime.date,
    datetime.timedelta,
    datetime.tzinfo,
    BaseException,
    MappingProxyType,
    MethodType,
    BuiltinFunctionType,
    functools.partial,
)


class KeepsObjects(Protocol):
    """One end of the line between two processes."""

    def number_of(self, kept: object) -> int:
        """Keep an object of this process, and return the number by which the other one asks for it."""

    def object_of(self, number: int) -> object:
        """Return the object that is kept under a number."""

    def handle_of(self, number: int, kind: type) -> Handle:
        """Return the handle of an object that the other process keeps: always the same."""

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Ask the other process, and return its answer, or raise what it raised."""


class Handle:
    """Stands for an object of another process: its class, its attributes and its methods are asked there.

    To whoever looks it is the object, as far as `isinstance` goes. What its methods take and return crosses
    by value where it is one (a number, a text, a row, a frozen dataclass, an exception), else by a handle.
    """

    __slots__ = ("__weakref__", "_l402_kind", "_l402_line", "_l402_number")

    def __init__(self, line: KeepsObjects, number: int, kind: type) -> None:
        object.__setattr__(self, "_l402_line", line)
        object.__setattr__(self, "_l402_number", number)
        object.__setattr__(self, "_l402_kind", kind)

    @property
    def __class__(self) -> Any:
        return self._l402_kind

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        raise TypeError(f"an object of another process stays what it is, a {self._l402_kind.__name__}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # Asked for by whoever wants to know what kind of object this is: it is a handle.
            raise AttributeError(name)
        return self._l402_line.ask("get", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._l402_line.ask("set", self, name, value)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it there."""
        return self._l402_line.ask("call", self, None, arguments, named)

    def __enter__(self) -> Any:
        return _Method(self, "__enter__")()

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> Any:
        return self._l402_line.ask("leave", self, raised)

    def __iter__(self) -> Iterator[Any]:
        return iter(_Method(self, "__iter__")())

    def __next__(self) -> Any:
        return _Method(self, "__next__")()

    def __len__(self) -> Any:
        return _Method(self, "__len__")()

    def __getitem__(self, key: object) -> Any:
        return _Method(self, "__getitem__")(key)

    def __contains__(self, key: object) -> Any:
        return _Method(self, "__contains__")(key)

    def __bool__(self) -> bool:
        return bool(self._l402_line.ask("run", bool, (self,), {}))

    def __repr__(self) -> str:
        return f"<{self._l402_kind.__name__} of another process>"


class _Method:
    """A method of an object of another process; to have it costs no question."""

    def __init__(self, of: Handle, name: str) -> None:
        self.__self__, self.__name__ = of, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.__self__._l402_line.ask("call", self.__self__, self.__name__, arguments, named)

    def __reduce__(self) -> Any:
        return _method_of, (self.__self__, self.__name__)


class RaisedThere(Exception):  # noqa: N818 - it is none of ours
    """What somebody else's code has raised in the other process: `error` is a handle of it."""

    def __init__(self, shown: str, error: Any) -> None:
        super().__init__(shown, error)
        self.error: Any = error

    def __str__(self) -> str:
        return str(self.args[0])


def packed(line: KeepsObjects, message: object) -> bytes:
    """Return a message for the other end of the line."""
    buffer = io.BytesIO()
    _Packer(line, buffer).dump(message)
    return buffer.getvalue()


def unpacked(line: KeepsObjects, data: bytes) -> Any:
    """Return a message of the other end of the line."""
    return _Unpacker(line, io.BytesIO(data)).load()


class _Packer(pickle.Pickler):
    def __init__(self, line: KeepsObjects, buffer: io.BytesIO) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self._line = line

    def persistent_id(self, given: Any) -> Any:
        if type(given) is Handle:
            return "yours", given._l402_number
        if _is_value(given):
            return None
        kind = type(given)
        return "mine", self._line.number_of(given), kind if _is_known(kind) else object

    def reducer_override(self, given: Any) -> Any:
        if type(given) is MethodType:
            return _method_of, (given.__self__, given.__name__)
        if type(given) is MappingProxyType:
            return dict, (dict(given),)
        if isinstance(given, BaseException):
            # Not by its class and arguments alone: not every exception takes what it hands on.
            led_to_it = (_raisable(given.__cause__), _raisable(given.__context__))
            return _exception_of, (
                type(given),
                given.args,
                vars(given),
                *led_to_it,
                given.__suppress_context__,
            )
        return NotImplemented


class _Unpacker(pickle.Unpickler):
    def __init__(self, line: KeepsObjects, buffer: io.BytesIO) -> None:
        super().__init__(buffer)
        self._line = line

    def persistent_load(self, given: Any) -> Any:
        if given[0] == "yours":
            return self._line.object_of(given[1])
        return self._line.handle_of(*given[1:])


def raisable(error: BaseException) -> BaseException:
    """Return what the other process can raise in the place of an exception of this one."""
    return error if _is_value(error) else RaisedThere(f"{type(error).__name__}: {error}", error)


def _raisable(error: BaseException | None) -> BaseException | None:
    return None if error is None else raisable(error)


def _is_value(given: object) -> bool:
    if type(given) is _Method:
        return True
    if isinstance(given, type | FunctionType):
        return _is_known(given)
    kind = type(given)
    if kind in _PLAIN:
        return True
    if not _is_known(kind):
        return False
    return issubclass(kind, _PLAIN) or _is_frozen(kind) or hasattr(kind, "model_fields")


def _is_known(named: type | FunctionType) -> bool:
    """Whether the other process has the same under the same name: it knows nothing of anybody's tests."""
    top = str(named.__module__).partition(".")[0]
    if top != _PACKAGE and (top not in sys.stdlib_module_names or top == "__main__"):
        return False
    found: Any = sys.modules.get(named.__module__)
    for name in named.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is named


def _is_frozen(kind: type) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    return is_dataclass(kind) and parameters is not None and bool(parameters.frozen)


def _method_of(given: Any, name: str) -> Any:
    return _Method(given, name) if type(given) is Handle else getattr(given, name)


def _exception_of(
    kind: type[BaseException],
    arguments: tuple[Any, ...],
    attributes: dict[str, Any],
    cause: BaseException | None,
    context: BaseException | None,
    suppressed: bool,
) -> BaseException:
    error: BaseException = copyreg.__newobj__(kind, *arguments)  # type: ignore[attr-defined]
    vars(error).update(attributes)
    error.__cause__, error.__context__ = cause, context
    error.__suppress_context__ = suppressed
    return error
