from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_runs import Run, Told

from pytest_l402.cli import main


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the person who runs the tests may send a command to a deployed system."""
    for name in [name for name in os.environ if name.startswith("OA_LIGHTNING_OPS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Told:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        captured = capsys.readouterr()
        return Told(code, captured.out, captured.err)

    return run
