"""Decides what of a failed test's report may be shown: its own values, never those of others' frames.

With `--tb=long` or `-l` pytest prints the arguments and locals of every frame between the test and the error.
Inside the stack and inside any HTTP client those hold credentials.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def clean_report(report: pytest.TestReport, item: pytest.Item) -> None:
    """Take secrets out of a report before any other plugin sees it: traceback, message, captured output."""
    from pytest_l402.boundary import redact_text

    report.sections = [(name, redact_text(text)) for name, text in report.sections]
    longrepr = report.longrepr
    if isinstance(longrepr, str):
        report.longrepr = redact_text(longrepr)
        return
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = redact_text(crash.message)
    own = item.config.rootpath
    for traceback in _tracebacks(longrepr):
        for entry in traceback.reprentries:
            # Source lines are indented and show names; what was raised is not, and shows values.
            entry.lines = [line if line[:1] in (" ", ">") else redact_text(line) for line in entry.lines]
            if hasattr(entry, "reprlocals"):
                _clean_values(entry, own)


def _tracebacks(longrepr: object) -> list[Any]:
    chain = getattr(longrepr, "chain", None)
    if chain is not None:
        return [traceback for traceback, _, _ in chain]
    single = getattr(longrepr, "reprtraceback", None)
    return [] if single is None else [single]


def _clean_values(entry: Any, root: Path) -> None:
    from pytest_l402.boundary import redact_text

    if entry.reprfileloc is None or not _is_a_test(Path(entry.reprfileloc.path), root):
        entry.reprfuncargs = entry.reprlocals = None
        return
    if entry.reprlocals is not None:
        entry.reprlocals.lines = [redact_text(line) for line in entry.reprlocals.lines]
    if entry.reprfuncargs is not None:
        shown = (redact_text(f"{name}={value}").partition("=") for name, value in entry.reprfuncargs.args)
        entry.reprfuncargs.args = [(name, value) for name, _, value in shown]


def _is_a_test(path: Path, root: Path) -> bool:
    """Whether a frame is of a test module or conftest of the project; what cannot be told is not."""
    try:
        path = path.resolve()
    except OSError:
        return False
    return path.is_relative_to(root) and (path.name == "conftest.py" or path.name.startswith("test_"))
