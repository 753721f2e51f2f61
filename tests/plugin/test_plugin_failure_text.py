"""What the report of a failed rehearsal shows: the test's own values without secrets, no other frame's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from plugin_project import ON_WORKERS_TOO, Project

from pytest_l402.plugin.failure_text import clean_report

SECRET = "c0ffee" * 10 + "beef"

OWN = f"""\
import logging
import warnings
import pytest
from drilling import drill

pytestmark = MARK

def pay(amount_msats, preimage):
    kept = {{"Authorization": f"L402 bWFjYXJvb24=:{{preimage}}", "amount": amount_msats}}
    raise ValueError(f"not paid with preimage={{preimage}}")

def test_alpha(l402_evidence):
    drill(l402_evidence, "1.free")
    print("preimage=" + "{SECRET}")
    logging.getLogger("client").warning("token=%s", "{SECRET}")
    warnings.warn("preimage=" + "{SECRET}")
    pay(21_000, "{SECRET}"[:])
"""

MARK = 'pytest.mark.rehearsal("alpha", runbook="book", section="1")'


@pytest.mark.parametrize("style", ["long", "short", "native", "line"])
@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_a_rehearsal_shows_its_values_without_its_secrets(project: Project, style: str, workers: int) -> None:
    project.write("rehearsals/test_alpha.py", OWN.replace("MARK", MARK))
    written = ("--junitxml=junit.xml", "--json-report", "--json-report-file=report.json")
    end = project.run("-m", "rehearsal", "-l", f"--tb={style}", *written, workers=workers)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF")
    assert "not paid with preimage=[redacted]" in end.output
    # The test's source has the secret in it, and source is shown as it is.
    shown = [line for line in end.output.splitlines() if not line.startswith((" ", ">")) and SECRET in line]
    assert shown == []
    if style == "long":
        assert "amount_msats = 21000" in end.output
    if style != "line":
        assert "preimage=[redacted]" in (project.root / "junit.xml").read_text()
    assert "UserWarning: preimage=[redacted]" in end.output
    report = json.loads((project.root / "report.json").read_text())
    (test,) = (test for test in report["tests"] if test["outcome"] == "failed")
    assert SECRET not in json.dumps([report["warnings"], test["call"]["stdout"], test["call"]["log"]])
    assert test["call"]["log"][0]["msg"] == "token=[redacted]"


def test_a_test_that_is_no_rehearsal_is_left_alone(project: Project) -> None:
    text = OWN.replace("MARK", "[]").replace("(l402_evidence)", "()")
    project.write("tests/test_own.py", text.replace('drill(l402_evidence, "1.free")', "pass"))
    end = project.run("tests/test_own.py", "--tb=short")
    assert f"not paid with preimage={SECRET}" in end.output


def test_a_report_in_plain_text() -> None:
    report = SimpleNamespace(
        longrepr=f"preimage={SECRET}", sections=[("Captured stdout call", f"token={SECRET}")]
    )
    clean_report(report, SimpleNamespace(config=SimpleNamespace(rootpath=Path.cwd())))  # type: ignore[arg-type]
    assert report.longrepr == "preimage=[redacted]"
    assert report.sections == [("Captured stdout call", "token=[redacted]")]


def test_a_report_of_a_test_that_passed() -> None:
    report = SimpleNamespace(longrepr=None, sections=[])
    clean_report(report, SimpleNamespace(config=SimpleNamespace(rootpath=Path.cwd())))  # type: ignore[arg-type]
    assert report.longrepr is None
