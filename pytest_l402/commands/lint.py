"""`lint`: say what Aperture does with its file that the operator did not mean."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_l402.commands.outcome import complain, say, say_document

if TYPE_CHECKING:
    from pytest_l402.ops.aperture.finding import Finding

_EXIT_CODES: Final = """\
exit codes:
  0  no error; warnings may be told
  1  an error: the file gives something away, loses money, or Aperture does not start with it
  2  a file cannot be read, or the arguments cannot be used; what could be read is judged all the same
"""


class _Linted(NamedTuple):
    file: str
    findings: tuple[Finding, ...]
    problem: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Say of each file of Aperture's what a real Aperture does with it that its operator did not\n"
        "mean: where, what happens, and what to write instead. Aperture itself says nothing of most.\n"
        "A file with `services` alone is a fragment, and is judged as one."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument("files", nargs="+", metavar="FILE", help="an aperture.yaml, or - for standard input")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    shape.add_argument("--github", action="store_true", help="print annotations for GitHub's checks")


def run(given: argparse.Namespace) -> int:
    """Print the findings and return the exit code."""
    linted = [_lint(name) for name in given.files]
    if given.json:
        say_document("lint", _document(linted))
    elif given.github:
        say("\n".join(_annotations(linted)))
    else:
        say("\n".join(_lines(linted)))
    for one in linted:
        if one.problem is not None and not given.json:
            complain("lint", one.problem)
    if any(one.problem is not None for one in linted):
        return 2
    return int(any(_errors(one.findings) for one in linted))


def _lint(name: str) -> _Linted:
    # Imported here: --help must not wait for an engine of regular expressions.
    from pytest_l402.boundary.input_error import InputError
    from pytest_l402.boundary.input_files import read_text
    from pytest_l402.ops.aperture.lint import lint

    try:
        text = sys.stdin.buffer.read().decode("utf-8") if name == "-" else read_text(name)
    except UnicodeDecodeError as error:
        return _Linted("<stdin>", (), f"<stdin>: expected UTF-8, saw another byte at offset {error.start}")
    except InputError as error:
        return _Linted(name, (), str(error))
    path = None if name == "-" else Path(name)
    return _Linted("<stdin>" if name == "-" else name, lint(text, path))


def _errors(findings: Iterable[Finding]) -> int:
    return sum(finding.severity == "error" for finding in findings)


def _lines(linted: list[_Linted]) -> list[str]:
    lines: list[str] = []
    for file, findings, problem in linted:
        for finding in findings:
            line, column = finding.place
            lines.append(f"{file}:{line}:{column}: {finding.severity}: {finding.code}: {finding.says}")
            lines.append(f"    instead: {finding.remedy}")
        if problem is None:
            lines.append(f"{file}: {_summary(findings)}")
    return lines


def _summary(findings: tuple[Finding, ...]) -> str:
    errors = _errors(findings)
    warnings = len(findings) - errors
    if not findings:
        return "sound"
    return f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"


def _annotations(linted: list[_Linted]) -> list[str]:
    lines = []
    for file, findings, _ in linted:
        for finding in findings:
            line, column = finding.place
            where = f"file={_property(file)},line={line},col={column},title={_property(finding.code)}"
            lines.append(
                f"::{finding.severity} {where}::{_data(f'{finding.says}; instead: {finding.remedy}')}"
            )
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _document(linted: list[_Linted]) -> dict[str, Any]:
    return {
        "ok": all(one.problem is None and not _errors(one.findings) for one in linted),
        "files": [
            {
                "file": one.file,
                "problem": one.problem,
                "findings": [
                    {
                        "code": finding.code,
                        "severity": finding.severity,
                        "line": finding.place.line,
                        "column": finding.place.column,
                        "says": finding.says,
                        "remedy": finding.remedy,
                    }
                    for finding in one.findings
                ],
            }
            for one in linted
        ],
    }
