"""Decides what of a report may be shown: a test's own values without secrets, none of others' frames.

With `--tb=long` or `-l` pytest prints the arguments and locals of every frame between the test and the error.
Inside the stack and inside any HTTP client those hold credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_l402.boundary import redact_text, redact_values
from pytest_l402.boundary.text_safety import steerless

_MAPPED: Final = ("user_properties", "keywords", "wasxfail", "_json_report_extra")
_DEPTH: Final = 20


def clean_report(report: pytest.TestReport | pytest.CollectReport, root: Path) -> None:
    """Take secrets out of all that a report shows, whatever pytest or a plugin has put in it.

    `root` is where the tests of the project are. Applying it twice changes nothing more.
    """
    report.sections = [(redact_text(name), redact_text(text)) for name, text in report.sections]
    if report.longrepr is not None:
        report.longrepr = clean_shown(report.longrepr, root)
    for name in _MAPPED:
        if hasattr(report, name):
            setattr(report, name, _paired(redact_values(getattr(report, name))))
    if isinstance(report, pytest.SubtestReport):
        # Frozen, and what makes a new one shows each value as text once more.
        object.__setattr__(report.context, "msg", redact_values(report.context.msg))
        object.__setattr__(report.context, "kwargs", redact_values(report.context.kwargs))


def clean_shown(shown: Any, root: Path) -> Any:
    """Return what pytest shows of a failure with every text in it cleaned; objects are changed in place."""
    return _Cleaning(root).clean(shown)


class _Cleaning:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: set[int] = set()

    def clean(self, shown: Any, depth: int = _DEPTH) -> Any:
        if isinstance(shown, str):
            return _clean_text(shown)
        if isinstance(shown, list | tuple):
            if shown and all(isinstance(item, str) for item in shown):
                return _of_kind(shown, self._lines(shown))
            return _of_kind(shown, [self.clean(item, depth - 1) for item in shown])
        if depth and hasattr(shown, "__dict__") and id(shown) not in self._seen:
            self._seen.add(id(shown))
            self._clean_object(shown, depth)
        return shown

    def _clean_object(self, shown: Any, depth: int) -> None:
        # Arguments are names and values side by side: `preimage`, `'…'`.
        arguments = getattr(shown, "args", None)
        if isinstance(arguments, list):
            shown.args = [_argument(str(name), value) for name, value in arguments]
            return
        if hasattr(shown, "reprlocals") and not self._is_of_a_test(shown):
            shown.reprfuncargs = shown.reprlocals = None
        for name, value in vars(shown).items():
            if not isinstance(value, int | float | type(None)):
                setattr(shown, name, self.clean(value, depth - 1))

    def _lines(self, lines: Any) -> list[str]:
        """Clean lines as the one text that they are: a value may be broken over two of them."""
        if any(line.endswith("\n") for line in lines[:-1]):
            return _clean_text("".join(lines)).splitlines(keepends=True)
        return _clean_text("\n".join(lines)).split("\n")

    def _is_of_a_test(self, entry: Any) -> bool:
        """Whether a frame is of a test module or conftest of the project; what cannot be told is not."""
        location = entry.reprfileloc
        if location is None:
            return False
        try:
            path = Path(location.path).resolve()
        except OSError:
            return False
        return path.is_relative_to(self._root) and (
            path.name == "conftest.py" or path.name.startswith("test_")
        )


def _clean_text(text: str) -> str:
    return steerless(redact_text(text))


def _argument(name: str, value: object) -> tuple[str, str]:
    name, _, shown = redact_text(f"{name}={value}").partition("=")
    return name, steerless(shown)


def _of_kind(shown: Any, items: list[Any]) -> Any:
    make: Callable[[list[Any]], Any] = tuple if isinstance(shown, tuple) else list
    return make(items)


def _paired(values: Any) -> Any:
    # The properties of a report are pairs, which JSON would make lists.
    return (
        [tuple(value) if isinstance(value, list) else value for value in values]
        if isinstance(values, list)
        else values
    )
