"""Runs that are stopped, killed, crash or are meddled with: none of them leaves a sign-off behind."""

from __future__ import annotations

import json
import signal

import pytest
from plugin_project import ON_WORKERS_TOO, PREVIOUS, End, Project

ALPHA = "rehearsals/test_alpha.py"
BETA = "rehearsals/test_beta.py"
DRILL = 'drill(l402_evidence, "1.free")'
LAST = 'drill(l402_evidence, "2.free", requestId=f"req-{case}")'
MARKED = ("-m", "rehearsal")


def in_last_test(project: Project, statement: str) -> None:
    project.replace(BETA, LAST, f"{LAST}\n    if case == 'two':\n        {statement}")


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_ctrl_c(project: Project, workers: int) -> None:
    in_last_test(project, "raise KeyboardInterrupt")
    end = project.run(*MARKED, workers=workers)
    assert (end.exit, end.moved) == (2, True), end.output
    assert end.verdict in ("INCOMPLETE", "NOT_SIGNED_OFF")
    assert {"interrupted", "rehearsal-missing"} <= end.codes


def test_exit_with_0_in_the_last_test(project: Project) -> None:
    in_last_test(project, 'pytest.exit("enough", returncode=0)')
    end = project.run(*MARKED)
    assert end == End(1, "INCOMPLETE", moved=True, codes=frozenset({"interrupted", "rehearsal-missing"})), (
        end.output
    )


@pytest.mark.slow
def test_exit_with_0_in_the_last_test_of_a_worker(project: Project) -> None:
    in_last_test(project, 'pytest.exit("enough", returncode=0)')
    end = project.run(*MARKED, workers=2)
    assert end.exit != 0, end.output
    assert end.document["file"] == "refusal.json"
    assert "rehearsal-missing" in end.codes


@pytest.mark.parametrize(
    "hook", ["pytest_collection_modifyitems", "pytest_collection_finish", "pytest_sessionfinish"]
)
def test_exit_with_0_in_a_hook(project: Project, hook: str) -> None:
    project.pytester.makeconftest(f"""
        import pytest

        def {hook}():
            pytest.exit("enough", returncode=0)
    """)
    end = project.run(*MARKED)
    assert (end.exit, end.document["file"], end.moved) == (1, "refusal.json", True), end.output
    assert "interrupted" in end.codes


def test_another_plugin_breaks_at_the_end_of_the_session(project: Project) -> None:
    project.pytester.makeconftest("""
        def pytest_sessionfinish():
            raise RuntimeError("broken at the end")
    """)
    end = project.run_process(*MARKED)
    assert end.exit == 1, end.output
    assert end.document["file"] == "refusal.json"
    assert end.codes == {"internal-error"}


@pytest.mark.parametrize(
    ("statement", "code"),
    [("os._exit(0)", 0), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)],
    ids=["os._exit(0)", "SIGKILL"],
)
def test_process_dies_without_a_word(project: Project, statement: str, code: int) -> None:
    in_last_test(project, f"import os, signal; {statement}")
    end = project.run_process(*MARKED)
    # Nothing of ours runs any more. What shows it is that there is no sign-off: the old one has gone.
    assert end == End(code, None, moved=True), end.output
    assert end.folder is not None
    assert not list(end.folder.glob("*.json"))
    assert not (project.signoff / PREVIOUS).exists()


@pytest.mark.slow
def test_controller_is_killed_by_the_time_its_workers_run(project: Project) -> None:
    project.replace(ALPHA, DRILL, "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL)")
    end = project.run_process("-n", "2")
    assert (end.exit, end.verdict, end.moved) == (-signal.SIGKILL, None, True), end.output


def test_killed_while_collecting(project: Project) -> None:
    project.replace(ALPHA, "import pytest\n", "import pytest, os\nos._exit(0)\n")
    end = project.run_process(*MARKED)
    assert end == End(0, None, moved=True), end.output


@pytest.mark.parametrize(
    "args", [MARKED, pytest.param((), marks=pytest.mark.slow)], ids=["-m rehearsal", "all"]
)
def test_worker_crashes(project: Project, args: tuple[str, ...]) -> None:
    in_last_test(project, "import os; os._exit(0)")
    end = project.run(*args, "--max-worker-restart", "0", workers=2)
    assert (end.exit, end.document["file"], end.moved) == (1, "refusal.json", True), end.output
    assert "worker-crash" in end.codes


@pytest.mark.slow
def test_every_worker_crashes_before_it_collects(project: Project) -> None:
    project.pytester.makeconftest("""
        import os

        if "PYTEST_XDIST_WORKER" in os.environ:
            os._exit(0)
    """)
    end = project.run(*MARKED, "--max-worker-restart", "0", workers=2)
    assert end.exit != 0, end.output
    assert end.document["file"] == "refusal.json"
    assert {"worker-crash", "rehearsal-missing"} <= end.codes


@pytest.mark.slow
def test_worker_has_an_internal_error_that_pytest_itself_forgives(project: Project) -> None:
    # Only builtins pass the wire. The controller of xdist 3.8 exits with 0 after this.
    in_last_test(project, "import enum; l402_evidence.note = 1")
    project.replace(
        BETA, "l402_evidence.note = 1", "request.node.user_properties.append(('odd', enum.Enum('E', 'A').A))"
    )
    project.replace(BETA, "(l402_evidence, case)", "(l402_evidence, case, request)")
    end = project.run(*MARKED, workers=2)
    assert (end.exit, end.document["file"], end.moved) == (1, "refusal.json", True), end.output
    assert "internal-error" in end.codes


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_last_failed_is_a_drill(project: Project, workers: int) -> None:
    project.replace("pyproject.toml", '"-p", "no:cacheprovider",\n', "")
    project.replace(ALPHA, DRILL, "assert False")
    first = project.run(*MARKED)
    assert first.verdict == "NOT_SIGNED_OFF"
    project.replace(ALPHA, "assert False", DRILL)
    end = project.end_of_second(first, *MARKED, "--lf", workers=workers)
    assert end.exit == 0, end.output
    assert end.verdict == "DRILL"


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_last_failed_is_a_drill_also_with_a_case_of_every_rehearsal(project: Project, workers: int) -> None:
    project.replace("pyproject.toml", '"-p", "no:cacheprovider",\n', "")
    failed = {f"{ALPHA}::test_alpha": True, f"{BETA}::test_beta[one]": True}
    project.write(".pytest_cache/v/cache/lastfailed", json.dumps(failed))
    end = project.run(*MARKED, "--lf", workers=workers)
    assert (end.exit, end.verdict, end.codes) == (0, "DRILL", {"narrowed"}), end.output


def test_a_child_that_a_test_forks_has_no_say(project: Project) -> None:
    # It comes to the end of the session too, with a test that passed, after its parent has concluded.
    project.write("forked.py", "import os\n\nparent_ended, parent_runs = os.pipe()\nchild = None\n")
    project.pytester.makeconftest("""
        import os, forked

        def pytest_unconfigure():
            if forked.child:
                os.close(forked.parent_runs)
                os.waitpid(forked.child, 0)
    """)
    project.replace(
        ALPHA,
        DRILL,
        f"import os, forked\n    {DRILL}\n    forked.child = os.fork()\n"
        "    assert not forked.child\n    os.close(forked.parent_runs)\n    os.read(forked.parent_ended, 1)",
    )
    end = project.run_process(*MARKED)
    assert (end.exit, end.verdict, end.codes) == (1, "NOT_SIGNED_OFF", {"rehearsal-failed"}), end.output


@pytest.mark.parametrize(
    "args", [pytest.param(MARKED, id="-m rehearsal"), pytest.param((), id="all", marks=pytest.mark.slow)]
)
def test_dist_each_is_refused(project: Project, args: tuple[str, ...]) -> None:
    end = project.run(*args, "--dist=each", "--tx=2*popen")
    assert (end.exit, end.verdict) == (4, None), end.output
    assert "ERROR: --dist=each: expected every rehearsal to run once" in end.output


@pytest.mark.parametrize("name", ["warnings", "threadexception", "unraisableexception"])
def test_rehearsals_need_pytests_own_watchers(project: Project, name: str) -> None:
    end = project.run(*MARKED, "-p", f"no:{name}")
    assert (end.exit, end.verdict, end.moved) == (4, None, False), end.output
    assert f"ERROR: -p no:{name}: expected" in end.output


def test_evidence_changed_behind_the_back(project: Project) -> None:
    project.pytester.makeconftest("""
        import pathlib, pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_sessionfinish(session):
            for file in (session.config.rootpath / "output").rglob("records.jsonl"):
                file.write_bytes(file.read_bytes() + b"{}\\n")
            return (yield)
    """)
    end = project.run(*MARKED)
    assert end == End(1, "NOT_SIGNED_OFF", moved=True, codes=frozenset({"evidence-fault"})), end.output
    assert "saw other bytes" in end.output


def test_result_file_changed_behind_the_back(project: Project) -> None:
    project.pytester.makeconftest("""
        def pytest_sessionfinish(session):
            for file in (session.config.rootpath / "output").rglob("node.json"):
                file.write_text(file.read_text().replace("1.free", "2.free"))
    """)
    end = project.run(*MARKED)
    assert (end.exit, end.document["file"]) == (1, "refusal.json"), end.output
    assert "evidence-fault" in end.codes


def test_what_is_no_file_at_the_end_refuses_the_run_by_its_name(project: Project) -> None:
    project.pytester.makeconftest("""
        import os

        def pytest_sessionfinish(session):
            (folder,) = (session.config.rootpath / "output/signoff").glob("2*Z-*")
            os.symlink("/", folder / "evidence" / "link")
    """)
    project.replace(ALPHA, DRILL, "pytest.skip('not today')")
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert "evidence-fault" in end.codes
    assert "evidence/link: expected a file or a folder, saw a link" in end.output


def test_nothing_can_be_written_at_the_end(project: Project) -> None:
    project.pytester.makeconftest("""
        import shutil

        def pytest_sessionfinish(session):
            (folder,) = (session.config.rootpath / "output/signoff").glob("2*Z-*")
            shutil.rmtree(folder)
            folder.write_text("in the way")
    """)
    project.replace(ALPHA, DRILL, "pytest.skip('not today')")
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (1, None), end.output
    assert "l402 sign-off: NOT SIGNED OFF: no document was written to" in end.output
    assert "l402 sign-off: alpha did not run: rehearsals/test_alpha.py::test_alpha was skipped" in end.output


def test_plugin_switched_off(project: Project) -> None:
    project.replace("pyproject.toml", "testpaths", 'required_plugins = ["pytest-l402"]\ntestpaths')
    end = project.run(*MARKED, "-p", "no:pytest_l402")
    assert end == End(4, None, moved=False), end.output
    assert "Missing required plugins: pytest-l402" in end.output
