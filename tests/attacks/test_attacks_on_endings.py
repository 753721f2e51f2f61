"""Ways to end a run so that exit code, terminal and disk disagree on whether it is signed off."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from plugin_project import PREVIOUS, End, Project
from signoff_samples import document
from tiers import sampled

from pytest_l402.signoff.files import write_run
from pytest_l402.signoff.folder import contradictions
from pytest_l402.signoff.views import VIEWS

ALPHA = "rehearsals/test_alpha.py"
BETA = "rehearsals/test_beta.py"
DRILL = 'drill(l402_evidence, "1.free")'
MARKED = ("-m", "rehearsal")


def agree(end: End, signoff: Path) -> None:
    """See that what was told, what was left and what the shell sees are one verdict."""
    said = set(re.findall(r"(?m)^(?:l402 sign-off: )?((?:NOT |INCOMPLETE, NOT )?SIGNED OFF)\b", end.output))
    files = [file for file in signoff.rglob("*") if file.is_file() and "previous" not in file.parts]
    documents = [file for file in files if file.name == "signoff.json"]
    signed = re.compile(rb'<title>SIGNED OFF |: SIGNED OFF|"signed off|"SIGNED_OFF"')
    pages = [file for file in files if file.name in VIEWS and signed.search(file.read_bytes())]
    if documents:
        assert (end.exit, end.verdict, said) == (0, "SIGNED_OFF", {"SIGNED OFF"}), end.output
        assert end.folder is not None
        assert contradictions(end.folder) == ()
        return
    assert end.exit != 0, end.output
    assert "SIGNED OFF" not in said
    assert said, end.output
    assert pages == []
    if end.verdict is not None:
        assert end.document["run"]["exit_status"] == end.exit
        assert end.folder is not None
        assert not [fault for fault in contradictions(end.folder) if fault.startswith("refusal.")]
    assert [file for file in files if file.suffix == ".part"] == []


ARTIFACTS = {
    "link": 'os.symlink("/etc/hostname", folder / "link")',
    "link that leads nowhere": 'os.symlink("nowhere", folder / "link")',
    "link to a folder": 'os.symlink("/", folder / "link")',
    "pipe": 'os.mkfifo(folder / "pipe")',
    "socket": 'import socket; os.chdir(folder); socket.socket(socket.AF_UNIX).bind("s"); os.chdir("/")',
    "pipe in a folder": '(folder / "a").mkdir(); os.mkfifo(folder / "a" / "pipe")',
    "folder in place of a result": '(folder.parent / "node.json").mkdir()',
    "folder in place of a table": '(folder.parent / "records.jsonl").mkdir()',
    "no text in its name": 'open(bytes(folder) + b"/a\\xff.txt", "w").close()',
    "where the document lies": '(folder.parents[3] / "signoff.json").mkdir()',
    "where the page lies": '(folder.parents[3] / "signoff.html").mkdir()',
    "where the manifest lies": 'os.mkfifo(folder.parents[3] / "SHA256SUMS")',
    "beside the evidence": 'os.mkfifo(folder.parents[3] / "pipe")',
    "a folder a file is to be copied over": (
        '(folder / "taken").write_text("x"); (folder.parents[5] / "taken").mkdir()'
    ),
    "a file a folder is to be copied over": (
        '(folder / "taken").mkdir(); (folder / "taken" / "a").write_text("x");'
        ' (folder.parents[5] / "taken").write_text("x")'
    ),
}


def leaving(project: Project, statement: str) -> None:
    project.replace(
        ALPHA,
        DRILL,
        f"import os\n    folder = l402_evidence.artifact_dir\n    folder.mkdir(parents=True, exist_ok=True)\n"
        f"    {DRILL}\n    {statement}",
    )


@pytest.mark.parametrize("way", sampled(list(ARTIFACTS), 7, "artifacts"))
def test_a_test_leaves_what_nobody_could_verify(project: Project, way: str) -> None:
    leaving(project, ARTIFACTS[way])
    end = project.run(*MARKED)
    assert end.exit != 0
    agree(end, project.signoff)
    if end.verdict is not None and "in place of" not in way:
        # A refusal that is true holds, whatever it was that could not be kept.
        assert end.folder is not None
        assert contradictions(end.folder) == ()


NAMES = {
    "backslash": "a\\b.txt",
    "newline": "a\nb.txt",
    "carriage return": "a\rb.txt",
    "leading dash": "-rf",
    "blanks": "  two  blanks  ",
    "not normalised": "e\u0301.txt",
    "right to left": "a\u202etxt.exe",
    "escape": "a\x1b[31m.txt",
    "255 bytes": "n" * 255,
    "255 bytes of letters with accents": "\u00e9" * 127,
    "that of the manifest": "SHA256SUMS",
    "that of the document": "signoff.json",
    "that of a result": "node.json",
    "hidden": ".hidden",
}


@pytest.mark.parametrize("way", sampled(list(NAMES), 6, "names"))
def test_a_file_may_have_any_name(project: Project, way: str) -> None:
    leaving(project, f"(folder / {NAMES[way]!r}).write_text('x')")
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    agree(end, project.signoff)
    named = [
        file["path"]
        for entry in end.document["rehearsals"]
        for node in entry["nodes"]
        for file in node["evidence"]
    ]
    assert any(path.endswith(f"/artifacts/{NAMES[way]}") for path in named)


FULL = OSError(errno.ENOSPC, "No space left on device")


class Failing:
    """Lets the n-th call of those that write, and if so every later one, fail in one way."""

    def __init__(self, number: int, failure: BaseException | Callable[[], object], *, lasting: bool) -> None:
        self.number = number
        self.failure = failure
        self.lasting = lasting
        self.calls = 0

    def __call__(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.number or (self.lasting and self.calls > self.number):
                if isinstance(self.failure, BaseException):
                    raise self.failure
                self.failure()
            return original(*args, **named)

        return call


@contextmanager
def failing(how: Failing) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("fsync", "replace", "chmod", "sync"):
            patched.setattr(os, name, how(getattr(os, name)))
        yield


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize(
    "failure",
    [FULL, OSError(errno.EROFS, "Read-only file system"), KeyboardInterrupt(), MemoryError()],
    ids=["full", "read-only", "interrupted", "no memory"],
)
def test_the_nth_call_that_writes_a_run_fails(tmp_path: Path, failure: BaseException, lasting: bool) -> None:
    for number in range(1, 100):
        how = Failing(number, failure, lasting=lasting)
        folder = tmp_path / str(number)
        with failing(how):
            try:
                write_run(folder, document())
            except (OSError, KeyboardInterrupt, MemoryError):
                assert [file.name for file in folder.iterdir()] == []
        if how.calls < number:
            break
    assert number > 8


ENDING = """
    import errno, os, signal, pytest

    calls = 0

    def failing(original):
        def call(*args, **named):
            global calls
            calls += 1
            if {when}:
                {failure}
            return original(*args, **named)
        return call

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish():
        for name in ("fsync", "replace", "chmod", "sync"):
            originals[name] = getattr(os, name)
            setattr(os, name, failing(getattr(os, name)))

    originals = {{}}

    def pytest_unconfigure():
        for name, original in originals.items():
            setattr(os, name, original)
"""

FAILURES = {
    "full": 'raise OSError(errno.ENOSPC, "No space left on device")',
    "interrupted": "raise KeyboardInterrupt",
    "a defect": 'raise RuntimeError("a defect of ours")',
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(
    "when", sampled(["calls == 1", "calls >= 1", "calls == 5", "calls >= 7", "calls == 11"], 2, "calls")
)
def test_the_nth_call_at_the_end_fails(project: Project, when: str, failure: str) -> None:
    project.pytester.makeconftest(ENDING.format(when=when, failure=FAILURES[failure]))
    end = project.run(*MARKED)
    agree(end, project.signoff)


@pytest.mark.parametrize("number", [1, 4, 8, 11])
def test_a_signal_comes_at_the_end(project: Project, number: int) -> None:
    project.pytester.makeconftest(
        ENDING.format(when=f"calls == {number}", failure="os.kill(os.getpid(), signal.SIGINT)")
    )
    agree(project.run(*MARKED), project.signoff)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("number", [1, 8, 11])
def test_a_signal_that_ends_a_process_comes_at_the_end(project: Project, number: int, name: str) -> None:
    project.pytester.makeconftest(
        ENDING.format(when=f"calls == {number}", failure=f"os.kill(os.getpid(), signal.{name})")
    )
    agree(project.run_process(*MARKED), project.signoff)


FOLDERS = {
    "removed": "shutil.rmtree(folder)",
    "replaced by a file": "shutil.rmtree(folder); folder.write_text('x')",
    "replaced by a link": "folder.rename(folder.parent.parent / 'away'); folder.symlink_to('../away')",
    "replaced by a pipe": "shutil.rmtree(folder); os.mkfifo(folder)",
    "without its evidence": "shutil.rmtree(folder / 'evidence')",
    "with a link in place of its evidence": (
        "(folder / 'evidence').rename(folder / 'away'); (folder / 'evidence').symlink_to('away')"
    ),
    "with a pipe in place of a result": (
        "file = next(folder.rglob('node.json')); file.unlink(); os.mkfifo(file)"
    ),
    "with a pipe in place of evidence": (
        "file = next(folder.rglob('records.jsonl')); file.unlink(); os.mkfifo(file)"
    ),
}


@pytest.mark.parametrize("way", sampled(list(FOLDERS), 4, "folders"))
def test_the_folder_of_the_run_is_meddled_with(project: Project, way: str) -> None:
    project.pytester.makeconftest(f"""
        import os, shutil

        def pytest_sessionfinish(session):
            (folder,) = (session.config.rootpath / "output/signoff").glob("2*Z-*")
            {FOLDERS[way]}
    """)
    end = project.run(*MARKED)
    assert end.exit != 0
    agree(end, project.signoff)


@pytest.mark.slow
@pytest.mark.parametrize("size", [4_000, 12_000, 20_000, 28_000, 44_000])
def test_no_file_may_be_larger(project: Project, size: int) -> None:
    """As on a full disk: each file that grows beyond it is cut off there."""
    project.pytester.makeconftest(f"""
        import resource

        def pytest_sessionfinish():
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, hard))
    """)
    agree(project.run_process(*MARKED), project.signoff)


NARROWED_ELSEWHERE = {
    "PYTEST_ADDOPTS with -k": ("-k alpha", "", "-k alpha (from PYTEST_ADDOPTS)"),
    "PYTEST_ADDOPTS with -kexpression": ("-kalpha", "", "-k alpha (from PYTEST_ADDOPTS)"),
    "PYTEST_ADDOPTS with quotes": ("-k 'alpha or none'", "", "-k alpha or none (from PYTEST_ADDOPTS)"),
    "PYTEST_ADDOPTS with --deselect": (
        f"--deselect={ALPHA}",
        "",
        f"--deselect {ALPHA} (from PYTEST_ADDOPTS)",
    ),
    "PYTEST_ADDOPTS with a path": (ALPHA, "", f"{ALPHA} (from PYTEST_ADDOPTS)"),
    "PYTEST_ADDOPTS with --ignore": (f"--ignore={ALPHA}", "", f"--ignore {ALPHA} (from PYTEST_ADDOPTS)"),
    "addopts with -k": ("", '"-k", "alpha",', "-k alpha (from addopts of pyproject.toml)"),
    "addopts with --deselect": (
        "",
        f'"--deselect={ALPHA}",',
        f"--deselect {ALPHA} (from addopts of pyproject.toml)",
    ),
}


@pytest.mark.parametrize("way", sampled(list(NARROWED_ELSEWHERE), 3, "narrowed"))
def test_a_full_run_that_is_narrowed_elsewhere_says_by_what(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    variable, addopts, words = NARROWED_ELSEWHERE[way]
    if variable:
        monkeypatch.setenv("PYTEST_ADDOPTS", variable)
    project.replace("pyproject.toml", '"-p", "no:respx"', f'{addopts} "-p", "no:respx"')
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    end = project.run("-m", "rehearsal", "-q")
    where = words.partition("(from ")[2].removesuffix(")")

    assert (end.exit, end.verdict) == (0, "DRILL"), end.output
    assert words in end.document["run"]["narrowed_by"]
    assert words in end.document["reasons"][0]["text"]
    assert f"It was narrowed by {where}, not by its command line." in " ".join(end.output.split())
    (warning,) = [line for line in end.output.splitlines() if line.startswith("::warning")]
    assert where in warning
    assert f"It was narrowed by {where}" in summary.read_text()


def test_a_drill_that_was_asked_for_is_none_of_this(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("PYTEST_ADDOPTS", f"--deselect={BETA}::test_beta[one]")
    end = project.run("-m", "rehearsal", "-k", "alpha")
    assert end.document["run"]["narrowed_by"][0] == "-k alpha"
    assert "It was narrowed by" not in end.output
    assert "::notice" in end.output


SUMMARIES = {
    "a pipe that nobody reads": lambda place: os.mkfifo(place),
    "a folder": lambda place: place.mkdir(),
    "in a folder that is not there": lambda place: None,
}


@pytest.mark.parametrize("way", SUMMARIES)
def test_a_step_summary_that_cannot_be_written_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    place = tmp_path / ("none/summary" if "not there" in way else "summary")
    SUMMARIES[way](place)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
    end = project.run(*MARKED)
    assert "GITHUB_STEP_SUMMARY could not be written" in end.output
    agree(end, project.signoff)


TERMINALS = {
    "is gone": 'raise BrokenPipeError(32, "Broken pipe")',
    "is closed": 'raise ValueError("I/O operation on closed file")',
    "cannot show a character": 'raise UnicodeEncodeError("ascii", "\u00e9", 0, 1, "ordinal not in range")',
}


@pytest.mark.parametrize("way", TERMINALS)
def test_a_terminal_that_cannot_be_written_to_changes_no_verdict(project: Project, way: str) -> None:
    project.pytester.makeconftest(f"""
        import pytest

        def pytest_sessionfinish(session):
            terminal = session.config.pluginmanager.get_plugin("terminalreporter")
            write_sep = terminal.write_sep

            def broken(sep, title=None, **markup):
                if title == "l402 sign-off":
                    {TERMINALS[way]}
                write_sep(sep, title, **markup)

            terminal.write_sep = broken
    """)
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert end.folder is not None
    assert contradictions(end.folder) == ()


def test_an_earlier_run_that_cannot_be_moved_at_the_end_is_a_reason(project: Project) -> None:
    project.pytester.makeconftest("""
        import os, pathlib

        rename = pathlib.Path.rename

        def pytest_sessionfinish(session):
            late = session.config.rootpath / "output/signoff/20200102T000000Z-00000000"
            late.mkdir()
            (late / "drill.json").write_text("{}")
            pathlib.Path.rename = lambda self, target: os.rename("/none", "/none")

        def pytest_unconfigure():
            pathlib.Path.rename = rename
    """)
    project.pytester.runpytest_inprocess(*MARKED, no_reraise_ctrlc=True)
    (folder,) = [place for place in project.run_folders() if not place.name.startswith("2020")]
    document = project.document(folder)
    assert (document["verdict"], document["run"]["exit_status"]) == ("NOT_SIGNED_OFF", 1)
    assert "expected to move earlier runs aside" in document["reasons"][0]["text"]


RETURNED = {
    "a wrapper that returns 0": ("yield", "return 0"),
    "a wrapper that exits with 0": ("yield", "raise SystemExit(0)"),
    "a wrapper that exits with nothing": ("yield", "raise SystemExit"),
    "a wrapper that swallows what was raised": (
        "try:\n                yield\n            except BaseException:\n                pass",
        "return 0",
    ),
}


@pytest.mark.parametrize("way", RETURNED)
def test_what_pytest_returns_is_no_zero_where_a_run_was_refused(project: Project, way: str) -> None:
    run, end_with = RETURNED[way]
    project.pytester.makeconftest(f"""
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_cmdline_main(config):
            {run}
            {end_with}
    """)
    project.replace(ALPHA, DRILL, f"{DRILL}\n    assert False")
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    agree(end, project.signoff)


def test_what_pytest_returns_is_left_alone_where_nothing_was_refused(project: Project) -> None:
    project.pytester.makeconftest("""
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_cmdline_main(config):
            return 7 * (yield)
    """)
    assert project.run(*MARKED).exit == 0
    project.replace(ALPHA, DRILL, f"{DRILL}\n    assert False")
    assert project.run(*MARKED).exit == 7


def _died(project: Project, number: int) -> Path:
    folder = project.signoff / f"2026010{number}T000000Z-00000000"
    (folder / "evidence" / "alpha").mkdir(parents=True)
    (folder / "evidence" / "alpha" / "big").write_text("x")
    return folder


KEEP_ONE = "--l402-keep-previous=1"


def test_runs_that_died_do_not_pile_up(project: Project) -> None:
    died = [_died(project, number) for number in (1, 2, 3)]
    foreign = project.signoff / "20260101-notes"
    foreign.mkdir()
    held = os.open(died[1], os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    try:
        project.pytester.runpytest_inprocess(*MARKED, KEEP_ONE)
    finally:
        os.close(held)
    assert [folder.is_dir() for folder in (*died, foreign)] == [False, True, True, True]


def test_a_run_that_goes_on_is_held(project: Project) -> None:
    leaving(project, "from pytest_l402.signoff.files import _is_held; assert _is_held(folder.parents[3])")
    assert project.run(*MARKED).verdict == "SIGNED_OFF"


def test_drills_do_not_pile_up(project: Project) -> None:
    drills = [_died(project, number) for number in (1, 2, 3)]
    for folder in drills:
        (folder / "drill.json").write_text("{}")
    died = [_died(project, number) for number in (4, 5)]
    signed = _died(project, 6)
    (signed / "signoff.json").write_text("{}")
    project.pytester.runpytest_inprocess(*MARKED, "-k", "alpha", KEEP_ONE)
    assert [folder.is_dir() for folder in drills] == [False, False, True]
    assert [folder.is_dir() for folder in died] == [False, True]
    assert (signed / "signoff.json").is_file()
    assert (project.signoff / PREVIOUS).is_dir() or (project.signoff / "previous" / PREVIOUS).is_dir()


@pytest.mark.parametrize("name", ["artifacts", "verify-1", "standing", "previous", "evidence", "signoff"])
def test_a_rehearsal_may_have_the_name_of_a_folder(project: Project, name: str) -> None:
    leaving(project, '(folder / "mine.txt").write_text("x")')
    project.replace(ALPHA, '"alpha"', f'"{name}"')
    project.replace("rehearsals/catalogue.yaml", "id: alpha", f"id: {name}")
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    agree(end, project.signoff)
    copied = [path.name for path in (project.root / "output").rglob("*") if path.parent.name != "signoff"]
    beside = {path.name for path in (project.root / "output").iterdir()}
    assert beside == {"signoff", "mine.txt"}, copied


def test_a_test_may_have_the_name_of_a_folder(project: Project) -> None:
    project.replace(ALPHA, "def test_alpha", "def artifacts")
    project.replace(
        "pyproject.toml", "[tool.pytest]", '[tool.pytest]\npython_functions = ["test_*", "artifacts"]'
    )
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert {path.name for path in (project.root / "output").iterdir()} == {"signoff"}


@pytest.mark.parametrize("name", ["..", ".", "previous/x", "a..b"])
def test_no_rehearsal_has_the_name_of_a_path(project: Project, name: str) -> None:
    project.replace("rehearsals/catalogue.yaml", "id: alpha", f'id: "{name}"')
    end = project.run(*MARKED)
    assert end.exit == 4
    assert "lower-case words joined by" in end.output
