"""`--l402-gateway`: a program plays the gateway, or one line says why it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from plugin_project import Project

from pytest_l402.plugin.options import OPTIONS, read_settings
from pytest_l402.stack.aperture import gateway_process

MARKED = ("-m", "rehearsal")
SOLD = """\
import pytest
from pytest_l402.evidence import paid_exactly_once

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")

def test_alpha(l402_stack, l402_evidence):
    bought = l402_stack.forger().buy("/premium")
    l402_evidence.verify(paid_exactly_once(bought).proves("1.free"))
"""
GATEWAY = f'#!/bin/sh\nexec {sys.executable} -m pytest_l402 gateway "$@"\n'
ENDS = '#!/bin/sh\necho starting\necho "unable to start aperture: no such key" >&2\necho bye\nexit 7\n'
SAYS_NOTHING = "#!/bin/sh\nexit 0\n"
NEVER_LISTENS = "#!/bin/sh\necho ready\nexec sleep 600\n"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


def program(folder: Path, text: str, mode: int = 0o755) -> Path:
    path = folder / "aperture"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_program_is_named_on_the_command_line_in_a_variable_or_in_the_ini_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(project.root, GATEWAY)
    given = project.pytester.parseconfig("--l402-gateway=aperture:aperture")
    assert read_settings(given, {}).gateway_program == path
    named = {"PYTEST_L402_GATEWAY": f"aperture:{path}", "PYTEST_L402_GATEWAY_INVOICES": "wavelength"}
    settings = read_settings(project.pytester.parseconfig(), named)
    assert (settings.gateway_program, settings.gateway_invoices) == (path, "wavelength")
    monkeypatch.setenv("PATH", str(project.root))
    project.replace("pyproject.toml", "[tool.pytest]", '[tool.pytest]\nl402_gateway = "aperture"')
    settings = read_settings(project.pytester.parseconfig(), {})
    assert settings.gateway_program == path
    assert settings.from_wire(settings.to_wire()) == settings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--l402-gateway=nginx"], "aperture, or aperture:PATH, saw 'nginx'; name the program that"),
        (["--l402-gateway=aperture:"], "aperture, or aperture:PATH, saw 'aperture:'"),
        (["--l402-gateway=aperture"], "a program aperture in PATH, saw 'aperture'; install it, or write"),
        (["--l402-gateway=aperture:none"], "a program that is there, saw 'aperture:none'; correct the path"),
        (["--l402-gateway=aperture:tests"], "a program that is there, saw 'aperture:tests'"),
        (
            ["--l402-gateway=aperture:drilling.py"],
            "a program that may be run, saw 'aperture:drilling.py'; make",
        ),
        (["--l402-gateway=aperture:good", "--l402-clock=2026-01-01T00:00:00Z"], "expected now, or nothing"),
        (["--l402-gateway=aperture:good", "--l402-mode=live"], "expected nothing beside --l402-mode=live"),
        (["--l402-gateway-invoices=cln"], "one of: lnd, wavelength, saw 'cln'"),
    ],
)
def test_what_is_no_program_costs_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    program(project.root, GATEWAY).rename(project.root / "good")
    end = project.run(*MARKED, *options)
    assert (end.exit, end.verdict, end.moved) == (4, None, False)
    [line] = [line for line in end.output.splitlines() if line.startswith("ERROR: ")]
    assert said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENDS, "saw exit code 7, and its line 'unable to start aperture: no such key'; start it by hand"),
        (SAYS_NOTHING, "expected it to start, saw exit code 0, and not a word of why; start it by hand"),
        (NEVER_LISTENS, "within 0.3 s, and its line 'ready'; name a program that is an Aperture"),
        ("no program", "expected it to start, saw Exec format error"),
    ],
    ids=["ends", "says nothing", "never listens", "no program"],
)
def test_a_program_that_does_not_start_costs_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setattr(gateway_process, "_STARTS_WITHIN_S", 0.3)
    project.write("rehearsals/test_alpha.py", SOLD)
    path = program(project.root, text)
    end = project.run(*MARKED, f"--l402-gateway=aperture:{path}", "--l402-gateway-invoices=wavelength")
    assert (end.exit, end.verdict) == (4, None)
    [line] = [line for line in end.output.splitlines() if line.startswith("ERROR: ")]
    assert line.startswith("ERROR: gateway aperture: expected it to ")
    assert said in line


def test_a_run_without_the_stack_starts_no_program(project: Project) -> None:
    path = program(project.root, ENDS)
    assert project.run(*MARKED, f"--l402-gateway=aperture:{path}").exit == 0


@pytest.mark.slow
def test_a_program_plays_the_gateway_and_is_named(project: Project) -> None:
    project.write("rehearsals/test_alpha.py", SOLD)
    path = program(project.root, GATEWAY)
    end = project.run(*MARKED, f"--l402-gateway=aperture:{path}", "--l402-gateway-invoices=wavelength")
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF")
    [system] = [system for system in end.document["systems"] if system["tests"] == 1]
    played, file = (part["name"] for part in system["parts"] if part["role"].startswith("gateway"))
    assert played.startswith("program aperture, sha256:")
    assert file.startswith("aperture.yaml, sha256:")
    assert end.folder is not None
    kept = {table.name: table.read_text() for table in end.folder.rglob("gateway_*.jsonl")}
    assert "GET /premium status=402" in kept["gateway_log.jsonl"]
    assert file.removeprefix("aperture.yaml, ") in kept["gateway_runs.jsonl"]
