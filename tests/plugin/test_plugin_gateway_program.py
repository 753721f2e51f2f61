"""`--l402-gateway`: a program plays the gateway, or one line says why it cannot."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
from plugin_project import Project

from pytest_l402.harness.deadline import Deadline
from pytest_l402.plugin.options import OPTIONS, read_settings
from pytest_l402.stack.aperture import gateway_process

FAULTY = Path(__file__).parents[1] / "stack" / "faulty_gateway.py"
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


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("ends in the middle", "expected it to sell until it is told to end, saw exit code 3, and "),
        ("does not stop", "expected it to end by SIGTERM, saw it run on for 0.2 s, so that it was killed"),
    ],
)
@pytest.mark.slow
def test_a_program_that_does_not_end_as_it_should_is_not_signed_off(
    project: Project, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setattr(gateway_process, "_STOPS_WITHIN_S", 0.2)
    project.write("rehearsals/test_alpha.py", SOLD)
    path = program(project.root, f'#!/bin/sh\nexec {sys.executable} {FAULTY} "{fault}" "$@"\n')
    end = project.run(*MARKED, f"--l402-gateway=aperture:{path}", "--l402-gateway-invoices=wavelength")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF")
    assert f"gateway aperture: {said}" in " ".join(end.output.split())


@pytest.mark.slow
def test_nothing_of_a_program_outlives_a_run_that_is_killed(project: Project) -> None:
    project.write(
        "rehearsals/test_alpha.py", SOLD.replace("    bought", "    os.kill(os.getpid(), 9)\n    bought")
    )
    project.replace("rehearsals/test_alpha.py", "import pytest", "import os\nimport pytest")
    path = program(project.root, f'#!/bin/sh\necho "$$ $PWD" > {project.root}/where\n' + GATEWAY[10:])
    options = (f"--l402-gateway=aperture:{path}", "--l402-gateway-invoices=wavelength")
    assert project.run_process(*MARKED, *options).verdict is None
    pid, folder = (project.root / "where").read_text().split()
    deadline = Deadline(30)
    while Path(folder).exists() and not deadline.over:
        deadline.pause(0.02)
    assert not Path(folder).exists()
    assert not Path(f"/proc/{pid}").exists()


def test_without_room_for_its_files_one_line_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("rehearsals/test_alpha.py", SOLD)
    path = program(project.root, GATEWAY)
    # It is put back when the test ends; pytest itself has its files by then.
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    hook = "def pytest_collection_modifyitems():\n    tempfile.tempdir = '/nowhere'\n"
    project.write("conftest.py", f"import tempfile\n\n{hook}")
    end = project.run(*MARKED, f"--l402-gateway=aperture:{path}", "--l402-gateway-invoices=wavelength")
    assert (end.exit, end.verdict) == (4, None)
    [line] = [line for line in end.output.splitlines() if line.startswith("ERROR: ")]
    assert "--l402-gateway: expected room for the program's files, saw" in line
    assert line.endswith("; let TMPDIR name a folder with room")


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
