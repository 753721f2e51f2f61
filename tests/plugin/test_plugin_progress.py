"""What a run says of a rehearsal that takes long, while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from plugin_project import Project

from pytest_l402.plugin.progress import PROGRESS, Progress

TEST = "rehearsals/test_alpha.py::test_alpha[one]"

# A test that goes on only when somebody has read of it.
WAITING = """\
import pytest
from drilling import drill

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")

def test_alpha(l402_evidence):
    drill(l402_evidence, "1.free")
    with open("gate") as gate:
        assert gate.read() == "on"
"""


class Clock:
    """A clock that stands still, in ms."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Iterator[Progress]:
    progress = Progress(lambda line: None, 10_000, clock)
    yield progress
    progress.stop()


def test_nothing_is_told_of_what_is_short(progress: Progress, clock: Clock) -> None:
    progress.begin(TEST, "alpha")
    clock.now = 9_999
    assert progress.due() == []
    progress.end(TEST)
    clock.now = 100_000
    assert progress.due() == []


def test_it_is_told_again_when_its_time_has_doubled(progress: Progress, clock: Clock) -> None:
    progress.begin(TEST, "alpha")
    told = []
    for clock.now in range(0, 100_001, 1_000):
        told += [(clock.now, line) for line in progress.due()]
    assert [now for now, _ in told] == [10_000, 20_000, 40_000, 80_000]
    assert told[0][1] == "l402: alpha, 10 s: its fixtures, test_alpha[one]"


def test_it_says_at_which_step_a_test_is(progress: Progress, clock: Clock) -> None:
    progress.begin(TEST, "alpha")
    verified = []
    steps = []
    for clock.now, change in (
        (10_000, lambda: progress.reach(TEST, "call", lambda: len(verified))),
        (20_000, lambda: verified.append(1)),
        (40_000, lambda: progress.reach(TEST, "teardown")),
    ):
        change()
        steps += [line.split(": ")[2].split(",")[0] for line in progress.due()]
    assert steps == ["the procedure", "verified 1 time", "keeping the evidence"]


def test_a_line_fits_in_80_columns_and_steers_nothing(progress: Progress, clock: Clock) -> None:
    progress.begin(f"x.py::test_it[\x1b[31m\u202e::error::{'a' * 200}]", "alpha")
    clock.now = 10_000
    (line,) = progress.due()
    assert len(line) <= 80
    assert line.isprintable()


def test_a_fork_finds_no_thread_and_the_next_test_has_one(progress: Progress) -> None:
    def waiting() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == PROGRESS]

    before = waiting()
    progress.begin(TEST, "alpha")
    assert len(waiting()) == len(before) + 1
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert waiting() == []
    progress.begin(TEST, "alpha")
    assert len(waiting()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((), "l402: alpha, 0 s: verified 1 time, test_alpha\n", id="in-process"),
        pytest.param(
            ("-n", "1"),
            "l402: alpha, 0 s: the procedure, test_alpha\n",
            id="on-a-worker",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_tells_of_the_test_that_it_is_at(
    project: Project, arguments: tuple[str, ...], said: str
) -> None:
    os.mkfifo(project.root / "gate")
    project.write("rehearsals/test_alpha.py", WAITING)
    command = [sys.executable, "-m", "pytest", "-m", "rehearsal", "--l402-progress=0.05", *arguments]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        lines = iter(run.stdout)
        assert any(line == said for line in lines)
        (project.root / "gate").write_text("on")
        assert "SIGNED OFF: 2 of 2 required rehearsals passed" in "".join(lines)
    assert run.returncode == 0


@pytest.mark.parametrize("way", [("-q",), ("--l402-progress=0",)])
def test_nobody_is_told_who_did_not_ask(project: Project, way: tuple[str, ...]) -> None:
    project.replace(
        "rehearsals/test_alpha.py",
        "def test_alpha(l402_evidence):\n",
        "def test_alpha(l402_evidence, request):\n"
        f"    assert not request.config.pluginmanager.hasplugin({PROGRESS!r})\n",
    )
    assert project.run("-m", "rehearsal", *way).verdict == "SIGNED_OFF"


@pytest.mark.parametrize("value", ["soon", "-1", "1e3", "", "nan"])
def test_a_wrong_time_is_refused(project: Project, value: str) -> None:
    end = project.run("-m", "rehearsal", f"--l402-progress={value}")
    assert end.exit == 4
    assert "--l402-progress: expected" in end.output
