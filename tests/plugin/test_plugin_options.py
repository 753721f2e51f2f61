"""Every option under each of its names, which of them wins, and what a bad value costs: one line, exit 4."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from plugin_project import ON_WORKERS_TOO, PREVIOUS, Project

from pytest_l402.plugin.options import OPTIONS, read_settings
from pytest_l402.plugin.settings import Settings

MARKED = ("-m", "rehearsal")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


def settings_of(project: Project, *args: str, **environ: str) -> Settings:
    return read_settings(project.pytester.parseconfig(*args), environ)


def test_defaults(project: Project) -> None:
    assert settings_of(project) == Settings(
        mode="mock",
        artifact_dir=project.root / "output",
        local_artifact=None,
        allow_missing_local_artifact=False,
        required=(),
        required_at_hand=False,
        teeth=True,
        waivers=None,
        seed=402,
        catalogue=project.root / "rehearsals" / "catalogue.yaml",
    )


EVERYTHING = Settings(
    mode="mock",
    artifact_dir=Path("kept"),
    local_artifact=Path("artifact.json"),
    allow_missing_local_artifact=True,
    required=("first", "second"),
    required_at_hand=True,
    teeth=False,
    waivers=Path("waivers.yaml"),
    seed=7,
    catalogue=Path("other.yaml"),
)


def everything_in(folder: Path, *, at_hand: bool = True) -> dict[str, object]:
    plain = {**EVERYTHING.to_wire(), "required": EVERYTHING.required, "sold": (), "required_at_hand": at_hand}
    for name in ("artifact_dir", "local_artifact", "waivers", "catalogue"):
        plain[name] = folder / str(plain[name])
    return plain


def test_everything_on_the_command_line(project: Project) -> None:
    project.write("waivers.yaml", "")
    found = settings_of(
        project,
        "--l402-mode=mock",
        "--l402-artifact-dir=kept",
        "--l402-local-artifact=artifact.json",
        "--l402-allow-missing-local-artifact",
        "--l402-required=first",
        "--l402-required=second,first",
        "--l402-no-teeth",
        "--l402-waivers=waivers.yaml",
        "--l402-seed=7",
        "--l402-catalogue=other.yaml",
    )
    assert found == Settings(**everything_in(project.root))  # type: ignore[arg-type]


def test_everything_in_the_environment(project: Project) -> None:
    project.write("waivers.yaml", "")
    found = settings_of(
        project,
        PYTEST_L402_MODE="mock",
        PYTEST_L402_ARTIFACT_DIR="kept",
        PYTEST_L402_LOCAL_ARTIFACT="artifact.json",
        PYTEST_L402_ALLOW_MISSING_LOCAL_ARTIFACT="yes",
        PYTEST_L402_REQUIRED="first, second",
        PYTEST_L402_NO_TEETH="1",
        PYTEST_L402_WAIVERS="waivers.yaml",
        PYTEST_L402_SEED="7",
        PYTEST_L402_CATALOGUE="other.yaml",
    )
    assert found == Settings(**everything_in(project.root))  # type: ignore[arg-type]


def test_everything_in_the_ini_file(project: Project) -> None:
    project.write("waivers.yaml", "")
    project.replace(
        "pyproject.toml",
        "testpaths",
        'l402_mode = "mock"\nl402_artifact_dir = "kept"\nl402_local_artifact = "artifact.json"\n'
        "l402_allow_missing_local_artifact = true\nl402_no_teeth = true\n"
        'l402_required = ["first", "second"]\nl402_waivers = "waivers.yaml"\n'
        'l402_seed = "7"\nl402_catalogue = "other.yaml"\ntestpaths',
    )
    found = settings_of(project)
    assert found == Settings(**everything_in(project.root, at_hand=False))  # type: ignore[arg-type]


def test_ini_paths_start_at_the_ini_file_and_others_at_the_current_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.replace("pyproject.toml", "testpaths", 'l402_artifact_dir = "kept"\ntestpaths')
    monkeypatch.chdir(project.root / "rehearsals")
    assert settings_of(project).artifact_dir == project.root / "kept"
    assert (
        settings_of(project, "--l402-artifact-dir=here").artifact_dir == project.root / "rehearsals" / "here"
    )


def test_precedence(project: Project) -> None:
    project.replace("pyproject.toml", "testpaths", 'l402_seed = "1"\ntestpaths')
    assert settings_of(project).seed == 1
    assert settings_of(project, PYTEST_L402_SEED="2").seed == 2
    assert settings_of(project, "--l402-seed=3", PYTEST_L402_SEED="2").seed == 3


def test_no_in_the_environment_overrules_yes_in_the_ini_file(project: Project) -> None:
    project.replace("pyproject.toml", "testpaths", "l402_no_teeth = true\ntestpaths")
    assert not settings_of(project).teeth
    assert settings_of(project, PYTEST_L402_NO_TEETH="0").teeth


def test_settings_cross_the_wire_unchanged() -> None:
    wire = EVERYTHING.to_wire()
    assert {type(value) for value in wire.values()} <= {str, int, bool, list, type(None)}
    assert Settings.from_wire(wire) == EVERYTHING


BAD_VALUES = {
    "unknown mode": (
        ["--l402-mode=life"],
        "--l402-mode: expected one of: mock, live, saw 'life'; take one of them",
    ),
    "seed": (
        ["--l402-seed=1.5"],
        "--l402-seed: expected a whole number of at most 20 digits, saw '1.5'; "
        "take the seed of the run to repeat",
    ),
    "negative seed": (
        ["--l402-seed=-1"],
        "--l402-seed: expected a whole number of at most 20 digits, saw '-1'; "
        "take the seed of the run to repeat",
    ),
    **{
        f"clock {value}": (
            [f"--l402-clock={value}"],
            f"--l402-clock: expected now, or a time with its zone since 1970, saw '{value}'; "
            "write it as 2026-12-01T00:00:00Z",
        )
        for value in ("soon", "2026-12-01T00:00:00", "1960-01-01T00:00:00Z", "1735000000")
    },
    "blank": (["--l402-seed="], "--l402-seed: expected a value, saw a blank one; set it, or leave it out"),
    "waivers": (
        ["--l402-waivers=none.yaml"],
        "--l402-waivers: expected a file of waivers, saw 'none.yaml'; write it, or leave the option out",
    ),
    "local artifact": (
        ["--l402-local-artifact=none.json"],
        "--l402-local-artifact: expected an existing local-node artifact, saw 'none.json'; "
        "correct the path, or add --l402-allow-missing-local-artifact",
    ),
    "file for a folder": (
        ["--l402-artifact-dir=drilling.py/deep"],
        "--l402-artifact-dir: expected a folder, saw <root>/drilling.py, which is a file; "
        "name another folder",
    ),
    "family": (
        ["--l402-required=fisrt"],
        "<root>/rehearsals/catalogue.yaml: expected a family of this catalogue (first, second), saw 'fisrt'; "
        "did you mean 'first'?",
    ),
    "comma": (
        ["--l402-required=first,,second"],
        "--l402-required: expected family names between the commas, saw 'first,,second'; "
        "take the stray comma out",
    ),
    "path that cannot be": (
        ["--l402-artifact-dir=~nobody-of-that-name/x"],
        "--l402-artifact-dir: expected a path, saw '~nobody-of-that-name/x'; "
        "it cannot be one (Could not determine home directory.)",
    ),
    "catalogue": (
        ["--l402-catalogue=none.yaml"],
        "<root>/none.yaml: expected a readable file, saw: No such file or directory",
    ),
}


def assert_usage_error(project: Project, *args: str, message: str) -> None:
    before = sorted(project.root.rglob("*"))
    end = project.run_quietly(*args)
    assert (end.exit, end.verdict, end.moved) == (4, None, False), end.output
    errors = [line for line in end.output.splitlines() if line.startswith("ERROR")]
    assert errors == [f"ERROR: {message}"], end.output
    assert "Traceback" not in end.output
    assert (project.signoff / PREVIOUS / "signoff.json").read_text() == "{}"
    ours = {path for path in project.root.rglob("*") if "__pycache__" not in path.parts} - set(before)
    assert not ours


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_value_on_the_command_line(project: Project, case: str) -> None:
    args, message = BAD_VALUES[case]
    assert_usage_error(project, *MARKED, *args, message=message)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["unknown mode", "seed", "family"])
def test_bad_value_on_two_workers(project: Project, case: str) -> None:
    args, message = BAD_VALUES[case]
    assert_usage_error(project, *MARKED, *args, "-n", "2", message=message)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.variable)
def test_blank_variable(project: Project, monkeypatch: pytest.MonkeyPatch, option: object) -> None:
    variable = option.variable  # type: ignore[attr-defined]
    monkeypatch.setenv(variable, " ")
    assert_usage_error(
        project, *MARKED, message=f"{variable}: expected a value, saw a blank one; set it, or leave it out"
    )


def test_bad_switch_in_the_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_L402_NO_TEETH", "maybe")
    message = (
        "PYTEST_L402_NO_TEETH: expected 1 or 0 (true, false, yes, no, on, off), saw 'maybe'; "
        "set it, or leave it out"
    )
    assert_usage_error(project, *MARKED, message=message)


def test_bad_value_in_the_ini_file(project: Project) -> None:
    project.replace("pyproject.toml", "testpaths", 'l402_seed = "x"\ntestpaths')
    message = "ini option l402_seed: expected a whole number of at most 20 digits, saw 'x'; "
    assert_usage_error(project, *MARKED, message=message + "take the seed of the run to repeat")


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
@pytest.mark.parametrize("args", [MARKED, ()], ids=["-m rehearsal", "all"])
def test_what_only_a_run_with_rehearsals_reads(project: Project, args: tuple[str, ...], workers: int) -> None:
    project.replace("pyproject.toml", "testpaths", 'l402_required = ["secnd"]\ntestpaths')
    message = (
        "<root>/rehearsals/catalogue.yaml: expected a family of this catalogue (first, second), saw 'secnd'; "
        "did you mean 'second'?"
    )
    assert_usage_error(project, *args, f"-n{workers}", message=message)
    assert project.run_quietly("tests").exit == 0


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_waivers_that_cannot_be_used(project: Project, workers: int) -> None:
    project.write("waivers.yaml", "- {rehearsal: alfa, owner: o, reason: r, until: 2020-01-01}\n")
    message = (
        "<root>/waivers.yaml: [0].rehearsal: expected a rehearsal of <root>/rehearsals/catalogue.yaml, "
        "saw 'alfa'; did you mean 'alpha'?"
    )
    assert_usage_error(project, "--l402-waivers=waivers.yaml", f"-n{workers}", message=message)


@pytest.mark.parametrize("folder", ["/proc/l402", "/dev/null"])
def test_folder_that_cannot_be_written(project: Project, folder: str) -> None:
    before = sorted(project.root.rglob("*"))
    end = project.run_quietly(*MARKED, f"--l402-artifact-dir={folder}")
    assert (end.exit, end.verdict) == (4, None), end.output
    (error,) = [line for line in end.output.splitlines() if line.startswith("ERROR")]
    assert folder in error
    assert [path for path in sorted(project.root.rglob("*")) if "__pycache__" not in path.parts] == [
        path for path in before if "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_default_folder_is_a_file(project: Project, workers: int) -> None:
    project.signoff.parent.rename(project.root / "elsewhere")
    project.write("output", "a file")
    end = project.run_quietly(f"-n{workers}")
    assert end.exit == 4, end.output
    assert "ERROR: --l402-artifact-dir: expected a folder, saw <root>/output, which is a file" in end.output
    assert project.run_quietly("tests").exit == 0


def test_path_after_a_space_that_pytest_takes_for_its_root(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    end = project.run_quietly(*MARKED, "--l402-artifact-dir", str(elsewhere))
    assert end.exit == 4
    assert f"expected --l402-artifact-dir={elsewhere}, saw a space" in end.output
    assert project.run_quietly(*MARKED, f"--l402-artifact-dir={elsewhere}").exit == 0
    assert len(list((elsewhere / "signoff").glob("*/signoff.json"))) == 1


def test_live_changes_are_allowed_by_hand_only(project: Project) -> None:
    assert not settings_of(project).allow_live_changes
    assert settings_of(project, "--l402-allow-live-changes").allow_live_changes
    assert settings_of(project, PYTEST_L402_ALLOW_LIVE_CHANGES="1").allow_live_changes
    project.replace("pyproject.toml", "testpaths", "l402_allow_live_changes = true\ntestpaths")
    with pytest.raises(pytest.UsageError, match="give --l402-allow-live-changes by hand"):
        settings_of(project)


def test_the_clock_starts_now_or_at_a_time_once_for_the_whole_run(project: Project) -> None:
    assert settings_of(project).clock_start_ms is None
    at = settings_of(project, "--l402-clock=2026-12-01T01:00:00+01:00")
    assert at.clock_start_ms == 1_796_083_200_000
    now = settings_of(project, PYTEST_L402_CLOCK="now")
    assert now.clock_start_ms is not None
    assert abs(now.clock_start_ms - time.time() * 1000) < 600_000
    assert Settings.from_wire(now.to_wire()).clock_start_ms == now.clock_start_ms
