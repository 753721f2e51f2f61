"""Decides what a GitHub Actions run shows of a sign-off: at most ten annotations and a summary that is
never dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_l402.boundary.cleaning import flat
from pytest_l402.signoff.document_entries import RehearsalEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import Verdict
from pytest_l402.signoff.markdown import render_markdown
from pytest_l402.signoff.wording import VERDICT_WORDS, narrowed_elsewhere, sentence, told_of_the_run

MAX_ANNOTATIONS: Final = 10
"""GitHub shows ten errors per step and drops the rest without a word."""

SUMMARY_LIMIT: Final = 65_536
"""Bytes of UTF-8 that the report may add to a step summary, far below the 1 MiB at which GitHub drops it."""


def annotation_lines(document: SignOffDocument) -> tuple[str, ...]:
    """Return workflow command lines: ten errors at most, the last one counting those left out.

    A sign-off has none. A drill has one notice, and errors only for what it ran.
    """
    errors = list(_errors(document))
    if len(errors) > MAX_ANNOTATIONS:
        left_out = len(errors) - MAX_ANNOTATIONS + 1
        last = error_line(f"and {left_out} more, see the sign-off report")
        errors = [*errors[: MAX_ANNOTATIONS - 1], last]
    if document.verdict is Verdict.DRILL:
        # Who asked for everything, and got less, is to see it.
        kind = "warning" if narrowed_elsewhere(document) else "notice"
        return (_command(kind, sentence(document), title=VERDICT_WORDS[document.verdict]), *errors)
    return tuple(errors)


def error_line(text: str) -> str:
    """Return the workflow command line of one error that is about no file."""
    return _command("error", text, title="l402 sign-off")


def append_step_summary(path: Path, document: SignOffDocument) -> None:
    """Append the Markdown report, capped, to the file that `$GITHUB_STEP_SUMMARY` names; raises `OSError`."""
    # Not blocking: nobody may read from what is no file.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(render_markdown(document, limit=SUMMARY_LIMIT))


def _errors(document: SignOffDocument) -> Iterator[str]:
    for entry in document.rehearsals:
        if not entry.nodes and (document.verdict is Verdict.DRILL or entry.need == "optional"):
            continue
        file, line = _place(entry)
        for reason in entry.reasons:
            if reason.waived_by is None:
                yield _command("error", reason.text, title=f"{entry.id} {entry.state}", file=file, line=line)
    for reason in told_of_the_run(document):
        yield _command("error", reason.text, title=f"l402 sign-off {reason.code}")


def _place(entry: RehearsalEntry) -> tuple[str | None, int | None]:
    for node in entry.nodes:
        if node.file is not None and "failed" in node.phases.values():
            return node.file, node.line
    return next(((node.file, node.line) for node in entry.nodes if node.file is not None), (None, None))


def _command(name: str, message: str, *, title: str, file: str | None = None, line: int | None = None) -> str:
    properties = []
    if file is not None:
        properties.append(f"file={_property(file)}")
        if line is not None:
            properties.append(f"line={line}")
    properties.append(f"title={_property(title)}")
    return f"::{name} {','.join(properties)}::{_data(flat(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(flat(text)).replace(":", "%3A").replace(",", "%2C")
