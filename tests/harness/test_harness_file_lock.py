from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path

import freezegun
import pytest

import pytest_l402
from pytest_l402.harness.child_process import ChildProcess
from pytest_l402.harness.file_lock import FileLock, LockBusy, LockFileRefused, LockLost

PATIENCE_S = 10.0

HOLDER = """
import os, sys
from pathlib import Path
from pytest_l402.harness.file_lock import FileLock
lock = FileLock(Path(sys.argv[1])).acquire(note=sys.argv[2])
if len(sys.argv) > 3 and os.fork() == 0:
    lock.release() if sys.argv[3] == "release" else None
    print('{"forked": %d}' % os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
elif len(sys.argv) <= 3:
    print("{}", flush=True)
sys.stdin.read()
"""


def holder(path: Path, note: str = "", *forked: str) -> ChildProcess:
    env = {"PYTHONPATH": str(Path(pytest_l402.__file__).parents[1])}
    return ChildProcess([sys.executable, "-P", "-c", HOLDER, path, note, *forked], env=env)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writer.lock"


def test_a_second_holder_is_refused_and_told_who_holds_it(path: Path) -> None:
    with holder(path, "request r1") as other:
        other.ready(PATIENCE_S)
        with pytest.raises(LockBusy) as busy:
            FileLock(path).acquire()
        pid = other.pid
    assert busy.value.holder == f"pid {pid}, request r1"
    assert str(busy.value) == (
        f"lock ({path}): expected to be the only holder, saw pid {pid}, request r1 at work; wait for it to "
        f"end and run again"
    )


def test_it_is_free_as_soon_as_its_holder_is_killed(path: Path) -> None:
    with holder(path) as other:
        other.ready(PATIENCE_S)
        other.sigkill()
        with FileLock(path):
            assert path.read_text() == f"pid {os.getpid()}\n"


def test_a_frozen_holder_keeps_it(path: Path) -> None:
    with holder(path) as other:
        other.ready(PATIENCE_S)
        other.sigstop()
        with pytest.raises(LockBusy):
            FileLock(path).acquire()


def test_who_waits_gets_it_when_it_is_freed(path: Path) -> None:
    first, taken = FileLock(path), threading.Event()

    def wait_for_it() -> None:
        with FileLock(path).held(PATIENCE_S):
            taken.set()

    waiter = threading.Thread(target=wait_for_it)
    with first:
        waiter.start()
        # It cannot have it, however long it waits.
        assert not taken.wait(0.05)
    waiter.join(PATIENCE_S)
    assert taken.is_set()


@pytest.mark.parametrize("wait_s", [-1.0, 0.0, 0.05])
def test_a_wait_ends_also_when_time_is_frozen(path: Path, wait_s: float) -> None:
    with (
        freezegun.freeze_time("2030-01-01"),
        FileLock(path),
        pytest.raises(LockBusy, match=f"saw pid {os.getpid()} at"),
    ):
        FileLock(path).acquire(wait_s)


def test_one_object_is_held_once_and_can_be_used_again(path: Path) -> None:
    lock = FileLock(path)
    for _ in range(2):
        with lock.held(note="once"):
            assert path.read_text() == f"pid {os.getpid()}, once\n"
            with pytest.raises(LockBusy, match="once"):
                lock.acquire()
        assert path.read_text() == ""
    lock.release()


def test_an_error_in_the_block_frees_it(path: Path) -> None:
    with pytest.raises(KeyError), FileLock(path).held():
        raise KeyError
    FileLock(path).acquire().release()


def test_a_fork_of_the_holder_shares_it_and_cannot_free_it(path: Path) -> None:
    with holder(path, "", "release") as other:
        other.ready(PATIENCE_S)
        with pytest.raises(LockBusy):
            FileLock(path).acquire()
    with holder(path, "", "keep") as other:
        other.ready(PATIENCE_S)
        other.sigkill()
        with pytest.raises(LockBusy):
            FileLock(path).acquire()


def test_release_frees_it_although_a_fork_has_the_file_open(path: Path) -> None:
    lock = FileLock(path).acquire()
    copy = os.dup(lock._descriptor or -1)
    try:
        lock.release()
        FileLock(path).acquire().release()
    finally:
        os.close(copy)


def test_a_command_that_the_holder_starts_does_not_share_it(path: Path) -> None:
    with (
        FileLock(path),
        ChildProcess(["sleep", "600"], env={"PATH": os.environ["PATH"]}, stop_signal=signal.SIGTERM),
    ):
        pass
    lock = FileLock(path).acquire()
    assert not os.get_inheritable(lock._descriptor or -1)
    lock.release()


def test_only_a_plain_file_is_locked(tmp_path: Path, path: Path) -> None:
    target, pipe = tmp_path / "target", tmp_path / "pipe"
    target.write_text("precious")
    path.symlink_to(target)
    os.mkfifo(pipe)
    cases = {
        path: "Too many levels of symbolic links",
        tmp_path: "Is a directory",
        pipe: "something else",
        tmp_path / "gone" / "x": "No such file or directory",
        target / "x": "Not a directory",
    }
    for wrong, why in cases.items():
        with pytest.raises(
            LockFileRefused, match=f"^lock file .{re.escape(str(wrong))}.: expected a plain .*, saw {why}; "
        ):
            FileLock(wrong).acquire(PATIENCE_S)
    assert target.read_text() == "precious"


def test_a_file_that_was_removed_in_between_is_not_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, opened = FileLock(path), FileLock._open

    def open_and_lose(self: FileLock) -> int:
        descriptor = opened(self)
        monkeypatch.undo()
        path.unlink()
        return descriptor

    monkeypatch.setattr(FileLock, "_open", open_and_lose)
    with lock.held(PATIENCE_S), pytest.raises(LockBusy):
        FileLock(path).acquire()


def take_away(path: Path, how: str) -> None:
    if how == "folder":
        path.parent.rename(path.parent.with_name(f"moved-{path.stat().st_ino}"))
        path.parent.mkdir()
    elif how == "renamed":
        path.rename(path.with_name("other"))
    else:
        path.unlink()
    if how == "replaced":
        # Nothing keeps this one out, and it has lost nothing.
        with FileLock(path):
            pass


@pytest.mark.parametrize("is_waiting", [False, True])
@pytest.mark.parametrize("how", ["removed", "renamed", "replaced", "folder"])
def test_a_holder_is_told_in_the_end_that_its_file_was_taken_away(
    tmp_path: Path, how: str, is_waiting: bool
) -> None:
    path = tmp_path / "locks" / "writer.lock"
    path.parent.mkdir()
    lock = FileLock(path)
    with pytest.raises(LockLost) as lost, lock.held() if is_waiting else lock:
        take_away(path, how)
    assert str(lost.value) == (
        f"lock file ({path}): expected to be held to the end, saw it taken away; see what another did "
        f"meanwhile, and leave the file where it is"
    )
    with lock:
        pass


def remove_and_fail(path: Path) -> None:
    path.unlink()
    raise KeyError


def test_the_error_of_a_block_is_not_hidden_by_a_lost_file(path: Path) -> None:
    with pytest.raises(KeyError), FileLock(path).held():
        remove_and_fail(path)


def test_what_the_file_says_is_shown_on_one_plain_line(path: Path) -> None:
    with FileLock(path).held(note="a\n\x1b[31mb" + "c" * 500), pytest.raises(LockBusy) as busy:
        FileLock(path).acquire()
    assert str(busy.value).isprintable()
    assert len(busy.value.holder) <= 200
