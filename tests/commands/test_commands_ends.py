"""However a command ends, by a signal, a full disk or a reader that has gone, it says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_runs import Run

from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out
from pytest_l402.harness.interruption import Interrupted, undoing_when_interrupted

COMMAND = "import sys; from pytest_l402.cli import main; sys.exit(main(sys.argv[1:]))"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", COMMAND, *arguments]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_undone_told_and_shows_in_the_exit_code(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    undone = []

    def work() -> Outcome:
        try:
            os.kill(os.getpid(), number)
            raise AssertionError("the signal had no effect")
        finally:
            # A second one does not cut the undoing off.
            os.kill(os.getpid(), number)
            undone.append(True)

    before = signal.getsignal(number)
    assert carry_out("smoke:compile", work, as_json=True) == 128 + number
    assert undone == [True]
    assert signal.getsignal(number) is before
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["ok"], document["failureCode"]) == (False, "interrupted")
    assert number.name in document["error"]
    assert captured.err == ""


def test_who_started_us_with_nohup_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with undoing_when_interrupted(lambda _: None):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupted_full_flow_leaves_its_files_and_no_pause(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_l402.stack.control.control_plane import ControlPlane

    paused = []
    original = ControlPlane.create_task

    def interrupt(self: ControlPlane, *arguments: object) -> object:
        if self.global_pause():
            paused.append(self)
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ControlPlane, "create_task", interrupt)
    told = run("smoke:full-flow", "--json")
    assert (told.code, told.document["failureCode"]) == (143, "interrupted")
    assert len(paused) == 1
    assert not paused[0].global_pause()
    (summary,) = Path("output").rglob("full-flow/*/summary.json")
    document = json.loads(summary.read_text())
    assert document["ok"] is False
    assert "policy_deny" in document["coverage"]["failedChecks"]
    assert json.loads(Path("output/l402-hosted-full-flow-summary.json").read_text()) == document


def test_an_interrupted_reconcile_is_rolled_back_and_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_l402.ops.reconcile.gateway_probes import PayingProbes

    original = PayingProbes.challenge
    asked = []

    def interrupt(self: PayingProbes, target: object, *, request_id: str) -> object:
        if request_id == "smoke:staging" and not asked:
            asked.append(request_id)
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, target, request_id=request_id)  # type: ignore[arg-type]

    monkeypatch.setattr(PayingProbes, "challenge", interrupt)
    told = run("smoke:staging", "--json", "--state-dir", "state")
    assert (told.code, told.document["failureCode"]) == (143, "interrupted")
    summary = json.loads(Path("output/lightning-ops/staging/smoke_staging/summary.json").read_text())
    assert (summary["ok"], summary["deploymentStatus"]) == (False, "rolled_back")
    assert (summary["failureCode"], summary["failureReason"]) == ("challenge_check_failed", "interrupted")
    assert summary["rolledBackFrom"] == summary["previousConfigHash"]


def test_two_reconciles_do_not_interleave(run: Run, tmp_path: Path) -> None:
    from pytest_l402.ops.reconcile.lock import ReconcileLock

    (tmp_path / "state").mkdir()
    with ReconcileLock(tmp_path / "state" / "reconcile.lock").held("another"):
        told = run("reconcile", "--json", "--state-dir", "state")
    assert (told.code, told.document["failureCode"]) == (2, "reconcile_busy")
    assert "another" in told.document["error"]
    assert run("reconcile", "--json", "--state-dir", "state").code == 0


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command(*arguments), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_a_reader_that_has_gone_is_no_pass_and_no_traceback(tmp_path: Path) -> None:
    with started("smoke:compile", "--json", cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1
        process.stdout = None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_answer_that_cannot_be_written_is_no_pass(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        answer = subprocess.run(
            command("smoke:compile", "--json"),
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert answer.returncode == 1
    assert b"standard output: expected to write the answer there" in answer.stderr
    assert b"Traceback" not in answer.stderr


def test_without_standard_output_the_exit_code_still_tells(tmp_path: Path) -> None:
    line = " ".join(("exec", sys.executable, "-c", f"'{COMMAND}'", "smoke:compile", "--json", ">&-"))
    answer = subprocess.run(
        ["/bin/sh", "-c", line], cwd=tmp_path, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert answer.returncode == 1
    assert b"standard output is closed" in answer.stderr
    assert b"Traceback" not in answer.stderr


def test_the_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    arguments = ("smoke:staging", "--json", "--fault", "DeployedUnhealthy")
    answer = subprocess.run(command(*arguments), cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["failureCode"] == "health_check_failed"


def test_no_command_imports_what_it_does_not_need(tmp_path: Path) -> None:
    heavy = (
        "respx",
        "freezegun",
        "pytest",
        "asyncio",
        "unittest.mock",
        "_pytest",
        "http.server",
        "pytest_l402.live",
    )
    code = (
        "import sys; before = set(sys.modules); from pytest_l402.cli import main\n"
        "assert main(['smoke:full-flow', '--json']) == 0\n"
        f"print(sorted(set({heavy!r}) & (set(sys.modules) - before)), file=sys.stderr)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert answer.stderr.decode().splitlines() == ["[]"]


def test_interrupted_names_the_signal() -> None:
    assert str(Interrupted(signal.SIGTERM)) == "interrupted by SIGTERM"
