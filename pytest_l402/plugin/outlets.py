"""Decides who is told of the verdict: the terminal, GitHub Actions, JUnit reports, pytest-json-report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_l402.plugin.run import Run

if TYPE_CHECKING:
    from pytest_l402.signoff.document_model import SignOffDocument
    from pytest_l402.signoff.files import RunFiles
    from pytest_l402.signoff.judged import SignOff

TITLE: Final = "l402 sign-off"

_MARKUP: Final[dict[str, dict[str, bool]]] = {
    "good": {"green": True},
    "bad": {"red": True},
    "warn": {"yellow": True},
    "plain": {},
}


def say(
    config: pytest.Config, document: SignOffDocument, files: RunFiles, environ: Mapping[str, str] = os.environ
) -> None:
    """Tell the verdict, after pytest's own last line: only then is it final.

    With `-q` the terminal shows a line for each failed test, the verdict and the path alone.
    """
    from pytest_l402.signoff.github import annotation_lines, append_step_summary
    from pytest_l402.signoff.terminal import terminal_lines

    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        quiet = config.get_verbosity() < 0
        if not quiet:
            terminal.write_sep("=", TITLE)
        lines = terminal_lines(
            document,
            width=config.get_terminal_writer().fullwidth,
            path=shown_path(config, files.document),
            brief=quiet,
        )
        for line in lines:
            terminal.write_line(line.text, **_MARKUP[line.tone])
        if environ.get("GITHUB_ACTIONS") == "true":
            for text in annotation_lines(document):
                terminal.write_line(text)
    summary = environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            append_step_summary(Path(summary), document)
        except OSError as error:
            _warn(config, f"GITHUB_STEP_SUMMARY could not be written: {error}")


def say_removed(config: pytest.Config, runs: int, kept: int, *, drill: bool) -> None:
    """Say how many earlier runs were removed, if any were."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and runs:
        noun = ("drill" if drill else "run") + ("" if runs == 1 else "s")
        rest = (
            f"the last {kept} are kept"
            if drill
            else f"of those moved aside the last {kept} are kept, and the last one that was signed off"
        )
        terminal.write_line(f"{TITLE}: removed {runs} earlier {noun}; {rest}")


def say_unwritten(
    config: pytest.Config,
    run: Run,
    trouble: str,
    document: SignOffDocument | None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Say that there is no document of this run, so that nobody looks for one; and what was wrong besides."""
    told = [reason.text for reason in document.reasons] if document is not None else []
    if not any(trouble in text for text in told):
        told.append(trouble)
    texts = [f"NOT SIGNED OFF: no document was written to {run.folder}", *told]
    for text in texts:
        _warn(config, f"{TITLE}: {text}")
    if environ.get("GITHUB_ACTIONS") == "true":
        from pytest_l402.signoff.github import error_line

        _warn(config, error_line("; ".join(texts[:2])))


def attach_to_json_report(json_report: dict[str, Any], judged: SignOff, run: Run) -> None:
    """Put what is known of the verdict under `l402`; that file is written before the exit status is final."""
    json_report["l402"] = {
        "run_id": run.run_id,
        "provisional_verdict": str(judged.verdict),
        "final_document": str(run.folder),
        "rehearsals": {outcome.rehearsal.id: str(outcome.state) for outcome in judged.outcomes},
    }


def attach_to_junit(config: pytest.Config, judged: SignOff, run: Run) -> None:
    """Put the same into the properties of the suite, where a JUnit report is written."""
    states = Counter(outcome.state for outcome in judged.outcomes)
    told = {
        "l402_run": run.run_id,
        "l402_provisional_verdict": str(judged.verdict),
        "l402_final_document": str(run.folder),
        "l402_rehearsals": ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
    }
    for plugin in config.pluginmanager.get_plugins():
        # What writes the report; there is no public way to ask for it outside of a test.
        add = getattr(plugin, "add_global_property", None)
        if add is not None:
            for name, value in told.items():
                add(name, value)


def shown_path(config: pytest.Config, path: Path) -> str:
    """Return a path as it can be pasted into the shell that pytest was started from."""
    here = config.invocation_params.dir
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _warn(config: pytest.Config, text: str) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(text, red=True)
