"""The GitHub Action: its steps as they stand in action.yml, run by a shell, beside a GitHub that listens."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from signoff_samples import GREEN, document, facts, failed_node

from pytest_l402.signoff.comment import MARKER
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.files import write_run

ACTION: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())
STEPS: dict[str, Any] = {step["id"]: step for step in ACTION["runs"]["steps"] if "id" in step}

# Whatever is asked of it is written down; the list of comments is what lies beside it.
LISTENER = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$HEARD"
case "$*" in *--paginate*) cat "$COMMENTS" ;; esac
"""
# In the place of an interpreter: it tells its arguments, one a line, and exits as it is told.
INTERPRETER = """\
#!/bin/sh
printf '%s\\n' "$@" >"$HEARD"
exit "$STATUS"
"""


class Runner:
    """Runs the shell of one step, and reads what it puts into the file of outputs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heard = root / "heard"
        self.heard.touch()
        (root / "bin").mkdir()

    def program(self, name: str, text: str) -> Path:
        file = self.root / "bin" / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def step(self, name: str, **environ: str) -> tuple[int, dict[str, str]]:
        outputs = self.root / f"outputs of {name}"
        outputs.touch()
        known = {
            "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_REPOSITORY": "you/shop",
            "HEARD": str(self.heard),
        }
        # As GitHub starts a step of a composite action whose shell is bash.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
        ended = subprocess.run(
            command, cwd=self.root, env=known | environ, capture_output=True, text=True, check=False
        )
        told = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        return ended.returncode, told


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def left(root: Path, built: SignOffDocument, run: str = "20261121T120000Z-0123abcd") -> str:
    folder = root / "output" / "signoff" / run
    folder.mkdir(parents=True)
    write_run(folder, built)
    return str(folder.relative_to(root))


def refused() -> SignOffDocument:
    nodes = (failed_node("success"), GREEN[1])
    return document(nodes, facts(nodes, exit_status=1))


def test_no_expression_is_pasted_into_a_script() -> None:
    assert [step for step in STEPS.values() if "${{" in step.get("run", "")] == []
    assert all(step["shell"] == "bash" for step in STEPS.values())


@pytest.mark.parametrize("status", [0, 1, 4])
def test_arguments_are_words_and_no_code(runner: Runner, status: int) -> None:
    python = runner.program("interpreter", INTERPRETER)
    code, told = runner.step(
        "rehearse",
        L402_PYTHON=str(python),
        L402_ARGUMENTS="--l402-seed 7 $(touch pwned) `touch pwned` ;touch pwned *",
        STATUS=str(status),
    )
    # A red run goes on to the steps that keep what it left.
    assert (code, told) == (0, {"status": str(status)})
    assert runner.heard.read_text().split("\n")[:5] == ["-m", "pytest", "-m", "rehearsal", "--l402-seed"]
    assert not (runner.root / "pwned").exists()


def test_the_verdict_is_that_of_the_last_run(runner: Runner) -> None:
    left(runner.root, document(), "20250101T000000Z-00000000")
    folder = left(runner.root, refused())
    assert runner.step("verdict") == (0, {"folder": folder, "verdict": "NOT_SIGNED_OFF"})


def test_a_run_that_left_nothing_has_no_verdict(runner: Runner) -> None:
    assert runner.step("verdict") == (0, {"folder": "", "verdict": "NONE"})


@pytest.mark.parametrize(
    ("status", "verdict", "code"),
    [
        ("0", "SIGNED_OFF", 0),
        ("1", "SIGNED_OFF", 1),
        ("", "SIGNED_OFF", 1),
        ("0", "DRILL", 1),
        ("0", "NONE", 1),
    ],
)
def test_the_gate_is_red_without_a_sign_off(runner: Runner, status: str, verdict: str, code: int) -> None:
    folder = left(runner.root, document())
    assert runner.step("gate", L402_STATUS=status, L402_VERDICT=verdict, L402_FOLDER=folder)[0] == code


def test_the_gate_asks_for_the_document(runner: Runner) -> None:
    folder = left(runner.root, refused())
    assert runner.step("gate", L402_STATUS="0", L402_VERDICT="SIGNED_OFF", L402_FOLDER=folder)[0] == 1


@pytest.mark.parametrize(
    ("comments", "asked"),
    [
        pytest.param([], "--method POST repos/you/shop/issues/7/comments", id="first"),
        pytest.param(
            [{"id": 3, "body": f"I quote {MARKER}"}, {"id": 5, "body": f"{MARKER}\n# old"}],
            "--method PATCH repos/you/shop/issues/comments/5",
            id="again",
        ),
    ],
)
def test_a_pull_request_has_one_comment(runner: Runner, comments: list[dict[str, Any]], asked: str) -> None:
    runner.program("gh", LISTENER)
    (runner.root / "comments.json").write_text(json.dumps(comments))
    comment = f"{left(runner.root, document())}/comment.md"
    code, _ = runner.step(
        "comment",
        L402_COMMENT=comment,
        L402_NUMBER="7",
        COMMENTS=str(runner.root / "comments.json"),
        GH_TOKEN="x",
    )
    assert code == 0
    assert runner.heard.read_text().splitlines()[-1] == f"api {asked} -F body=@{comment}"


def test_everything_that_a_step_takes_is_given_to_it() -> None:
    for step in STEPS.values():
        used = set(re.findall(r"\$\{?(L402_\w+)", step["run"]))
        assert used <= set(step.get("env", {})), step["id"]
