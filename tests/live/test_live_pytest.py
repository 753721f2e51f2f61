"""`pytest --l402-mode=live`: what runs live does, the rest says why not, and the system is as it was."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from served_platform import START_S, Platform
from tiers import sampled

from pytest_l402.live import STATE_FOLDER, LiveError

TOP = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


def rehearse(
    platform: Platform, output: Path, *arguments: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run all rehearsals of the project live, and return what was said and the document of the verdict."""
    ran = subprocess.run(
        [
            *(*RUN, "-m", "rehearsal", f"--rootdir={TOP}", str(TOP / "rehearsals")),
            *("--l402-mode=live", f"--l402-artifact-dir={output}", *arguments),
        ],
        env={**os.environ, **platform.environment, **environment},
        capture_output=True,
        text=True,
        timeout=10 * START_S,
    )
    kinds = ("signoff", "refusal", "drill")
    documents = [path for kind in kinds for path in (output / "signoff").glob(f"2*/{kind}.json")]
    assert len(documents) == 1, ran.stdout + ran.stderr
    return ran, json.loads(documents[0].read_text())


def states(document: dict[str, Any]) -> dict[str, str]:
    return {entry["id"]: entry["state"] for entry in document["rehearsals"]}


def reasons(document: dict[str, Any], rehearsal: str) -> str:
    return json.dumps([entry["reasons"] for entry in document["rehearsals"] if entry["id"] == rehearsal])


@pytest.mark.slow
def test_a_read_only_run_is_incomplete_and_says_why(platform: Platform, state: Path, tmp_path: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        assert live.reconcile("deployed").ok
        active = live.gateway.active(request_id="look")
    before = len(platform.changes())
    ran, document = rehearse(platform, tmp_path / "output")
    assert ran.returncode == 1
    assert document["verdict"] == "INCOMPLETE"
    assert document["run"]["mode"] == "live"
    (system,) = document["systems"]
    hosts = [urlsplit(url).netloc for url in (live.gateway.url, live.control_plane.url)]
    assert active is not None
    assert system["name"] == f"L402 platform at {hosts[0]}"
    assert system["version"] == f"configHash {active.config_hash}"
    assert (system["digest"], system["pinned"]) == (active.image_digest, "by-digest")
    assert [(part["role"], part["name"]) for part in system["parts"]] == [
        ("gateway", hosts[0]),
        ("control plane", hosts[1]),
    ]
    found = states(document)
    assert found["staging-inspected"] == "PASSED"
    assert set(found.values()) <= {"PASSED", "NOT_RUN", "INCOMPLETE"}
    assert [name for name, state in found.items() if state == "PASSED"] == ["staging-inspected"]
    assert found["compile"] == "NOT_RUN"
    assert "touches nothing that is deployed" in reasons(document, "compile")
    assert found["reconcile-applied"] == "NOT_RUN"
    assert "--l402-allow-live-changes" in reasons(document, "reconcile-applied")
    assert found["cache-reuse"] == "NOT_RUN"
    assert "stand-in stack only" in reasons(document, "cache-reuse")
    assert len(platform.changes()) == before
    for secret in platform.secrets:
        assert secret not in ran.stdout + ran.stderr
        for path in (tmp_path / "output").rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes()


@pytest.mark.slow
def test_a_run_with_permission_deploys_and_brings_back_what_ran(
    platform: Platform, state: Path, tmp_path: Path
) -> None:
    with platform.live(state) as live:
        before = live.gateway.active(request_id="look")
    ran, document = rehearse(platform, tmp_path / "output", "--l402-allow-live-changes")
    found = states(document)
    assert found["reconcile-applied"] == "PASSED", ran.stdout
    assert "live change at gateway" in ran.stderr
    assert "what runs now runs again afterwards" in ran.stderr
    deployed = [row for row in platform.changes() if row["path"] == "/ops/deploy"]
    assert deployed
    with platform.live(state) as live:
        after = live.gateway.active(request_id="look")
        assert after is not None
        assert before is not None
        assert after.config_hash == before.config_hash
        assert live.probes.health(request_id="look").ok


@pytest.mark.slow
def test_the_second_run_does_not_return_the_outcome_of_the_first(platform: Platform, tmp_path: Path) -> None:
    arguments = ("--l402-allow-live-changes", "--l402-required=staging-reconcile")
    counts = []
    for _ in range(2):
        rehearse(platform, tmp_path / "output", *arguments)
        counts.append(sum(row["path"] == "/ops/deploy" for row in platform.changes()))
    assert 0 < counts[0] < counts[1]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    sampled(
        [
            ("SECRET", "", "expected a value, saw it blank"),
            ("API_BASE_URL", "plane", "expected an http or https URL"),
            ("GATEWAY_HEALTH_PATH", "healthz", "expected a path"),
        ],
        0,
        "variables",
    ),
)
def test_a_variable_that_cannot_be_used_ends_the_run_before_it_begins(
    name: str, value: str, text: str, shared: Platform, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [
            *(*RUN, "-m", "rehearsal", f"--rootdir={TOP}", str(TOP / "rehearsals")),
            *("--l402-mode=live", f"--l402-artifact-dir={tmp_path / 'output'}"),
        ],
        env={**os.environ, **shared.environment, f"OA_LIGHTNING_OPS_{name}": value},
        capture_output=True,
        text=True,
        timeout=START_S,
    )
    assert ran.returncode == 4
    assert f"--l402-mode=live: OA_LIGHTNING_OPS_{name}: {text}" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "output").exists()


def project(folder: Path, *tests: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "test_own.py").write_text("import os, signal\n\n" + "\n\n".join(tests) + "\n")
    return folder


def own_run(platform: Platform, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *RUN,
            f"--rootdir={folder}",
            *arguments,
            "--l402-mode=live",
            "--l402-allow-live-changes",
            str(folder),
        ],
        env={**os.environ, **platform.environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=5 * START_S,
    )


LIVE = ("--l402-mode=live", "--l402-allow-live-changes")


@pytest.fixture
def run_here(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, shared: Platform
) -> Callable[..., pytest.RunResult]:
    """Run the tests of a folder in this process, where none of them ends it."""

    def run(folder: Path, *arguments: str, **environment: str) -> pytest.RunResult:
        for name, value in {**shared.environment, **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)
        return pytester.runpytest_inprocess(
            *("-q", "-p", "no:cacheprovider", f"--rootdir={folder}", *arguments, str(folder))
        )

    return run


@pytest.mark.parametrize("name", sampled(["SIGINT", "SIGTERM", "SIGKILL"], 0, "live runs"))
def test_a_run_that_is_interrupted_brings_back_what_ran(
    name: str, platform: Platform, state: Path, tmp_path: Path
) -> None:
    with platform.live(state) as live:
        before = live.gateway.active(request_id="look")
        assert before is not None
    folder = project(
        tmp_path / "own",
        f"""def test_cut(l402_reconcile):
    assert l402_reconcile("cut").ok
    os.kill(os.getpid(), signal.{name})
    raise AssertionError("the signal did not come")""",
    )
    ran = own_run(platform, folder)
    assert ran.returncode == (-signal.SIGKILL if name == "SIGKILL" else 2), ran.stdout + ran.stderr
    assert "the signal did not come" not in ran.stdout
    kept = folder / "output" / STATE_FOLDER
    if name == "SIGKILL":
        with pytest.raises(LiveError, match="deploy for the rehearsal cut") as caught, platform.live(kept):
            pass
        assert caught.value.code == "leftovers"
        project(folder, "def test_next(l402_live):\n    pass")
        after = own_run(platform, folder)
        assert after.returncode == 0, after.stdout
        assert "undo what an earlier run left" in after.stderr
    with platform.live(kept) as live:
        active = live.gateway.active(request_id="look")
        assert active is not None
        assert active.config_hash == before.config_hash


@pytest.mark.slow
def test_rehearsals_on_two_workers_take_turns(platform: Platform, tmp_path: Path) -> None:
    tests = [
        f"def test_{number}(l402_reconcile):\n    assert l402_reconcile('turn-{number}').ok"
        for number in range(3)
    ]
    ran = own_run(platform, project(tmp_path / "own", *tests), "-n", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    order = [row["requestId"].partition(":")[0] for row in platform.changes() if "/ops/" in row["path"]]
    assert sorted(set(order)) == ["turn-0", "turn-1", "turn-2"]
    # Deploy and rollback of one before those of the next.
    assert order == [name for name in dict.fromkeys(order) for _ in range(order.count(name))]


@pytest.mark.parametrize(
    "test",
    ["def test_it(l402_inspect):\n    l402_inspect('x')", "def test_it(l402_probed_price_msats):\n    pass"],
    ids=["inspection", "price"],
)
def test_trouble_with_the_system_fails_the_test_with_its_one_line(
    test: str, tmp_path: Path, run_here: Callable[..., pytest.RunResult]
) -> None:
    folder = project(tmp_path / "own", test)
    ran = run_here(folder, *LIVE, OA_LIGHTNING_OPS_SECRET="not-the-secret")
    said = str(ran.stdout)
    assert ran.ret == 1
    assert "saw 401 invalid_ops_secret; check OA_LIGHTNING_OPS_SECRET" in said
    assert "Traceback" not in said
    assert "fixtures/live.py" not in said


def test_notes_that_cannot_be_read_are_one_line_and_stay(
    tmp_path: Path, run_here: Callable[..., pytest.RunResult]
) -> None:
    folder = project(tmp_path / "own", "def test_it(l402_live):\n    pass")
    assert run_here(folder, *LIVE).ret == 0
    (lock,) = (folder / "output" / STATE_FOLDER).glob("*/live-changes.lock")
    notes = lock.with_name("live-changes.json")
    notes.write_text("{")
    ran = run_here(folder, *LIVE)
    assert ran.ret == 1
    assert "live-changes.json" in str(ran.stdout)
    assert "fixtures/live.py" not in str(ran.stdout)
    assert notes.read_text() == "{"


def test_in_mock_mode_the_deployed_system_is_not_asked_for(
    shared: Platform, tmp_path: Path, run_here: Callable[..., pytest.RunResult]
) -> None:
    folder = project(tmp_path / "own", "def test_it(l402_live):\n    pass")
    before = shared.requests()
    ran = run_here(folder, "-rs")
    assert "rehearsed on a deployed system only (--l402-mode=live)" in str(ran.stdout)
    assert shared.requests() == before
