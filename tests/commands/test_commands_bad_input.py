"""What cannot be used is refused in one line that names it, with exit code 2, before anything is begun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_runs import Run

from pytest_l402.commands.modes import MODE_VARIABLE

LOCAL = ("smoke:full-flow", "--local-artifact")
LIVE = ("smoke:staging", "--mode", "live")
BAD = {
    "unknown command": (["smoke:ful-flow"], "invalid_command", "did you mean smoke:full-flow?"),
    "command like no other": (["xyzzy"], "invalid_command", "smoke:compile"),
    "unknown mode": (
        ["smoke:staging", "--mode", "staging"],
        "unknown_mode",
        "mock, live, convex, khala, api",
    ),
    "mode in capitals": (["smoke:staging", "--mode", "MOCK"], "unknown_mode", "did you mean mock?"),
    "blank mode": (["smoke:staging", "--mode", ""], "unknown_mode", "a blank value"),
    "mode without a value": (["smoke:staging", "--mode"], "invalid_arguments", "--mode"),
    "mode against the name": (["reconcile:convex", "--mode", "mock"], "unknown_mode", "convex"),
    "unknown flag": (["smoke:compile", "--jsn"], "invalid_arguments", "--jsn"),
    "abbreviated flag": (["smoke:compile", "--allow"], "invalid_arguments", "--allow"),
    "flag of another command": (
        ["smoke:compile", "--local-artifact", "x"],
        "invalid_arguments",
        "--local-art",
    ),
    "argument too many": (["smoke:compile", "extra"], "invalid_arguments", "extra"),
    "blank artifact folder": (["smoke:compile", "--artifact-dir", " "], "bad_input", "--artifact-dir"),
    "file as artifact folder": (["smoke:compile", "--artifact-dir", "a-file"], "bad_input", "a-file"),
    "folder below a file": (["smoke:compile", "--artifact-dir", "a-file/x"], "bad_input", "a-file"),
    "NUL in a path": (["smoke:compile", "--artifact-dir", "a\0b"], "bad_input", "--artifact-dir"),
    "no such home": (["smoke:compile", "--artifact-dir", "~nobody-here/x"], "bad_input", "--artifact-dir"),
    "blank local artifact": (["smoke:full-flow", "--local-artifact="], "bad_input", "--local-artifact"),
    "local artifact is a folder": (
        ["smoke:full-flow", "--local-artifact", "."],
        "local_artifact_unreadable",
        ".",
    ),
    "torn local artifact": (
        ["smoke:full-flow", "--local-artifact", "torn"],
        "local_artifact_unreadable",
        "torn",
    ),
    "empty local artifact": (
        ["smoke:full-flow", "--local-artifact", "empty"],
        "local_artifact_unreadable",
        "empty",
    ),
    "local artifact is a list": (
        ["smoke:full-flow", "--local-artifact", "list"],
        "local_artifact_unreadable",
        "list",
    ),
    "unknown fault": (
        ["smoke:staging", "--fault", "DeployFailed"],
        "bad_fault",
        "did you mean DeployFailure?",
    ),
    "value for a plain fault": (["smoke:staging", "--fault", "GatewayDown:1"], "bad_fault", "no value"),
    "unknown value of a fault": (["smoke:staging", "--fault", "DeployFailure:x"], "bad_fault", "refused"),
    "number out of range": (["smoke:staging", "--fault", "UpstreamFailure:200"], "bad_fault", "400..599"),
    "fault in live mode": (
        ["smoke:staging", "--mode", "live", "--fault", "GatewayDown"],
        "bad_fault",
        "mock",
    ),
    "request id with a blank": (["reconcile", "--request-id", "a b"], "reconcile_refused", "request id"),
    "blank request id": (["reconcile", "--request-id", ""], "reconcile_refused", "request id"),
    "long request id": (["reconcile", "--request-id", "r" * 129], "reconcile_refused", "request id"),
    "image by its tag": (["reconcile", "--image-digest", "aperture:latest"], "reconcile_refused", "sha256:"),
    "state in a file": (["reconcile", "--state-dir", "a-file"], "bad_input", "--state-dir"),
    "waiting for ever": (["reconcile", "--wait", "inf"], "invalid_arguments", "--wait"),
    "waiting backwards": (["reconcile", "--wait=-1"], "invalid_arguments", "--wait"),
    "waiting for what": (["reconcile", "--wait", "soon"], "invalid_arguments", "--wait"),
    "live without variables": (
        ["smoke:staging", "--mode", "live"],
        "configuration",
        "OA_LIGHTNING_OPS_KHALA_URL",
    ),
    "khala without its URL": (["reconcile:convex"], "configuration", "OA_LIGHTNING_OPS_CONVEX_URL"),
}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("kept")
    (tmp_path / "torn").write_text('{"generatedAtMs": 1, ')
    (tmp_path / "empty").write_text("")
    (tmp_path / "list").write_text("[]")


@pytest.mark.parametrize(("arguments", "code", "named"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("as_json", [True, False])
def test_one_line_exit_code_2_and_nothing_begun(
    run: Run, tmp_path: Path, arguments: list[str], code: str, named: str, as_json: bool
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    told = run(*arguments, *(["--json"] if as_json else []))
    assert told.code == 2
    if as_json:
        document = told.document
        assert (document["ok"], document["failureCode"], told.err) == (False, code, "")
        assert named in document["error"]
    else:
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert told.err.startswith("pytest-l402")
        assert named in told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "a-file").read_text() == "kept"


def test_a_flag_that_takes_a_value_does_not_swallow_json(run: Run) -> None:
    told = run("smoke:staging", "--json", "--mode")
    assert told.document["failureCode"] == "invalid_arguments"


@pytest.mark.parametrize(
    ("value", "code", "named"),
    [
        ("", "unknown_mode", MODE_VARIABLE),
        ("tpyo", "unknown_mode", MODE_VARIABLE),
        ("api", "configuration", "API_BASE"),
    ],
)
def test_the_mode_of_the_environment_is_heeded_and_checked(
    run: Run, monkeypatch: pytest.MonkeyPatch, value: str, code: str, named: str
) -> None:
    monkeypatch.setenv(MODE_VARIABLE, value)
    told = run("smoke:compile", "--json")
    assert (told.code, told.document["failureCode"]) == (2, code)
    assert named in told.document["error"]
    assert run("smoke:compile", "--json", "--mode", "mock").code == 0
    monkeypatch.setenv(MODE_VARIABLE, " mock ")
    assert run("smoke:compile", "--json").code == 0


HOSTILE = "\x1b[31mred\u202e</script>\n\x9b2J"


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["smoke:compile", "--mode", HOSTILE],
        ["smoke:compile", "--artifact-dir", f"a-file/{HOSTILE}"],
        ["smoke:compile", HOSTILE],
        ["smoke:staging", "--fault", HOSTILE],
        ["smoke:full-flow", "--local-artifact", HOSTILE],
        ["reconcile", "--request-id", HOSTILE],
        ["reconcile", "--wait", HOSTILE],
        ["reconcile", "--image-digest", HOSTILE],
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_no_argument_can_colour_or_forge(run: Run, arguments: list[str], as_json: bool) -> None:
    told = run(*arguments, *(["--json"] if as_json else []))
    assert told.code in (1, 2)
    for text in (told.out, told.err):
        assert "\u202e" not in text
        assert all(line.isprintable() for line in text.splitlines())
    assert told.err.count("\n") == (1 if told.code == 2 and not as_json else 0)


def test_a_state_that_is_no_history_is_refused_and_kept(run: Run, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "deployments.sqlite3").write_text("no database at all, and long enough to be read as one" * 20)
    told = run("reconcile", "--json", "--state-dir", "state")
    assert (told.code, told.document["failureCode"]) == (2, "state_unusable")
    assert "deployments.sqlite3" in told.document["error"]
    assert (state / "deployments.sqlite3").read_text().startswith("no database")


def test_a_refusal_never_empties_the_artifacts_of_an_earlier_run(run: Run, tmp_path: Path) -> None:
    good = run("reconcile", "--json", "--request-id", "r1", "--state-dir", "state").document
    other = run(
        "reconcile",
        "--json",
        "--request-id",
        "r1",
        "--state-dir",
        "state",
        "--image-digest",
        "sha256:" + "0" * 64,
    )
    assert other.code == 2
    assert json.loads(Path(good["artifacts"]["summaryPath"]).read_text()) == good


NAMED = ["KHALA_URL", "CONVEX_URL", "API_BASE_URL", "SECRET"]
SMOKES = ["compile", "security", "settlement", "staging", "observability", "full-flow"]


@pytest.mark.parametrize("names", [*([name] for name in NAMED), ["KHALA_URL", "SECRET"]], ids="+".join)
def test_a_reconcile_of_nobody_knows_what_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    for name in names:
        monkeypatch.setenv(f"OA_LIGHTNING_OPS_{name}", "https://plane.example")
    told = run("reconcile", "--json")
    assert (told.code, told.document["failureCode"]) == (2, "mode_missing")
    for way in (f"OA_LIGHTNING_OPS_{names[0]}", "--mode live --allow-live-changes", "--mode mock"):
        assert way in told.document["error"]
    assert not list(Path().rglob("summary.json"))
    for how in (["--mode", "mock"], []):
        if not how:
            monkeypatch.setenv(MODE_VARIABLE, "mock")
        told = run("reconcile", "--json", *how)
        assert (told.code, told.document["mode"], told.err) == (0, "mock", "")


@pytest.mark.parametrize("smoke", SMOKES)
def test_a_smoke_says_that_nothing_deployed_was_touched(
    run: Run, monkeypatch: pytest.MonkeyPatch, smoke: str
) -> None:
    monkeypatch.setenv("OA_LIGHTNING_OPS_KHALA_URL", "https://plane.example")
    monkeypatch.setenv("OA_LIGHTNING_OPS_SECRET", "a-secret-that-nobody-may-see")
    told = run(f"smoke:{smoke}", "--json")
    assert (told.code, told.document["mode"]) == (0, "mock")
    (line,) = told.err.splitlines()
    assert line.startswith(f"pytest-l402 smoke:{smoke}: OA_LIGHTNING_OPS_KHALA_URL is set, but no --mode")
    assert "nothing deployed is touched" in line
    assert "nobody-may-see" not in told.out + told.err
    assert run(f"smoke:{smoke}", "--json", "--mode", "mock").err == ""
