from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import freezegun
import pytest

import pytest_l402
from pytest_l402.harness.child_process import ChildProcess, ChildProcessFailed, Ended

ENV = {"PATH": os.environ["PATH"]}
PATIENCE_S = 10.0

READY = "import os, sys; print('{\"pid\": %d}' % os.getpid(), flush=True)\n"
UNTIL_EOF = READY + "sys.stdin.read()\n"
FOREVER = READY + "import signal\nwhile True: signal.pause()\n"


def python(code: str, *arguments: str, env: Mapping[str, str] = ENV, **kwargs: Any) -> ChildProcess:
    return ChildProcess([sys.executable, "-I", "-S", "-c", code, *arguments], env=env, **kwargs)


@contextlib.contextmanager
def pidfd_of(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def has_ended(pidfd: int, wait_s: float = PATIENCE_S) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(wait_s * 1000))


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_worker_says_that_it_is_ready_and_ends_when_its_stdin_does() -> None:
    with python(UNTIL_EOF) as child:
        assert child.ready(PATIENCE_S) == {"pid": child.pid}
        assert child.ended is None
        pid = child.pid
    assert child.ended == Ended(exit_code=0)
    assert not is_there(pid)
    assert child.stop() == Ended(exit_code=0)


def test_it_leads_a_session_of_its_own_with_the_environment_it_was_given_and_nothing_else() -> None:
    show = (
        "import json, os, signal, sys\n"
        "blocked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))\n"
        "print(json.dumps([os.getsid(0) == os.getpid() == os.getpgid(0), sorted(os.environ), blocked,"
        " sorted(map(int, os.listdir('/proc/self/fd')))[:-1], os.getcwd()]), flush=True)\n"
    )
    here = Path(__file__).parent
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    try:
        with python(show, env={"A": "1=2", "B": ""}, cwd=here) as child:
            line = child.line(PATIENCE_S)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # LC_CTYPE is what Python itself adds at its start.
    assert line.replace(', "LC_CTYPE"', "") == f'[true, ["A", "B"], [], [0, 1, 2], "{here}"]'


def test_a_command_that_is_not_python_and_reads_no_stdin_is_asked_by_a_signal() -> None:
    with ChildProcess(["sleep", "600"], env=ENV, stop_signal=signal.SIGTERM) as child:
        assert child.stop(PATIENCE_S) == Ended(signal_name="SIGTERM")


def test_what_heeds_neither_its_stdin_nor_a_signal_is_killed() -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
    with python(deaf, stop_signal=signal.SIGTERM) as child:
        child.ready(PATIENCE_S)
        assert child.stop(0.05) == Ended(signal_name="SIGKILL")


def test_output_that_nobody_read_does_not_hold_up_the_end() -> None:
    with python(UNTIL_EOF + "print('x' * (1 << 20), end='')\n") as child:
        child.ready(PATIENCE_S)
        assert child.stop(PATIENCE_S) == Ended(exit_code=0)


START_TWO = (
    "import subprocess, sys, json\n"
    "sleep = [sys.executable, '-I', '-S', '-c', 'import signal; signal.pause()']\n"
    "quiet = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.DEVNULL}\n"
    "near = subprocess.Popen(sleep, **quiet)\n"
    "far = subprocess.Popen(sleep, start_new_session=True, **quiet)\n"
    "print(json.dumps({'near': near.pid, 'far': far.pid}), flush=True)\n"
    "sys.stdin.read()\n"
)


def test_the_folder_of_a_command_goes_when_all_that_it_started_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    (folder / "inner").mkdir(parents=True)
    with python(START_TWO, folder=folder) as child:
        child.ready(PATIENCE_S)
        assert (folder / "inner").is_dir()
    assert not folder.exists()


@pytest.mark.parametrize("killed_first", [False, True])
def test_what_it_started_is_gone_after_stop_also_in_another_session(killed_first: bool) -> None:
    with python(START_TWO) as child, contextlib.ExitStack() as pidfds:
        started = child.ready(PATIENCE_S)
        grandchildren = [pidfds.enter_context(pidfd_of(pid)) for pid in started.values()]
        if killed_first:
            child.sigkill()
        assert not any(has_ended(pidfd, 0) for pidfd in grandchildren)
        child.stop()
        assert all(has_ended(pidfd, 0) for pidfd in grandchildren)
        assert not any(is_there(pid) for pid in started.values())


PARENT = f"""
import json, os, sys, threading
from pytest_l402.harness.child_process import ChildProcess
def start():
    global child
    child = ChildProcess([sys.executable, "-I", "-S", "-c", {START_TWO!r}], env={{}}).start()
if sys.argv[1] == "thread":
    starter = threading.Thread(target=start)
    starter.start()
    starter.join()
else:
    start()
if sys.argv[1] == "fork" and os.fork() == 0:
    # Holds all that its parent had open, until the test ends.
    os.read(0, 1)
    os._exit(0)
print(json.dumps({{"child": child.pid, **child.ready(30)}}), flush=True)
os.read(0, 1)
if sys.argv[1] == "exit":
    os._exit(0)
"""


@pytest.mark.parametrize("how", ["main", "thread", "fork", "exit"])
def test_all_are_gone_when_the_process_that_started_them_is_killed(how: str) -> None:
    env = ENV | {"PYTHONPATH": str(Path(pytest_l402.__file__).parents[1])}
    command = [sys.executable, "-P", "-c", PARENT, how]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as parent,
        contextlib.ExitStack() as keep,
    ):
        assert parent.stdout is not None
        assert parent.stdin is not None
        pids = json.loads(parent.stdout.readline()).values()
        pidfds = [keep.enter_context(pidfd_of(pid)) for pid in pids]
        # In particular, they do not end with the thread that started them.
        assert not any(has_ended(pidfd, 0) for pidfd in pidfds)
        if how == "exit":
            parent.stdin.write(b".")
            parent.stdin.flush()
        else:
            parent.kill()
        assert [has_ended(pidfd) for pidfd in pidfds] == [True, True, True]


def test_who_kills_all_that_has_the_name_of_the_product_leaves_the_watcher_to_do_its_work() -> None:
    with python(START_TWO, "pytest_l402") as child, contextlib.ExitStack() as pidfds:
        started = child.ready(PATIENCE_S)
        watcher = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert b"pytest" in Path(f"/proc/{child.pid}/cmdline").read_bytes()
        assert b"pytest" not in Path(f"/proc/{watcher}/cmdline").read_bytes()
        grandchildren = [pidfds.enter_context(pidfd_of(pid)) for pid in started.values()]
        child.sigkill()
        child.stop()
        assert all(has_ended(pidfd, 0) for pidfd in grandchildren)


def test_the_command_ends_when_its_watcher_is_killed() -> None:
    child = python(UNTIL_EOF).start()
    try:
        child.ready(PATIENCE_S)
        watcher = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
        with pidfd_of(child.pid) as pidfd:
            os.kill(watcher, signal.SIGKILL)
            assert has_ended(pidfd)
    finally:
        with pytest.raises(ChildProcessFailed, match="to see how it ends, saw it without its watcher"):
            child.stop(0)
        assert child.ended is None


def test_a_command_that_ends_before_it_is_ready_is_told_with_what_it_wrote() -> None:
    with ChildProcess(["sh", "-c", "echo 'no such folder' >&2; exit 3"], env=ENV, name="cache") as child:
        with pytest.raises(ChildProcessFailed) as failed:
            child.ready(PATIENCE_S)
        pid = child.pid
    assert str(failed.value) == (
        f"child process (cache, pid {pid}): expected a line on its stdout within 10 s, saw it ended with "
        f"exit code 3; on its stderr 'no such folder'; see what holds it up"
    )


def test_a_ready_line_that_never_comes_is_waited_for_until_the_deadline() -> None:
    code = "import sys\nprint('one', flush=True); print('tw', end='', flush=True); sys.stdin.read()"
    with freezegun.freeze_time("2030-01-01"), python(code, name="worker") as child:
        assert child.line(PATIENCE_S) == "one"
        with pytest.raises(ChildProcessFailed) as failed:
            child.ready(0.2)
        pid = child.pid
    where = f"child process (worker, pid {pid})"
    assert str(failed.value).startswith(
        f"{where}: expected a line on its stdout within 0.2 s, saw it running;"
    )


@pytest.mark.parametrize("line", ["hello", "[1]", "1", "{", "", "\x1b[31m{}", "[" * 100_000])
def test_a_ready_line_that_is_no_json_object_is_refused_on_one_plain_line(line: str) -> None:
    with (
        python("import sys\nprint(sys.argv[1])", line) as child,
        pytest.raises(
            ChildProcessFailed, match="expected a JSON object as ready line, saw the line "
        ) as failed,
    ):
        child.ready(PATIENCE_S)
    assert str(failed.value).isprintable()
    assert len(str(failed.value)) < 1500


def test_a_line_without_end_is_not_read_for_ever() -> None:
    with python("while True: print('x' * 65536, end='', flush=True)") as child:
        assert (1 << 20) < len(child.line(PATIENCE_S)) <= (1 << 20) + (1 << 16)
        child.stop(0)


def test_lines_come_one_by_one_and_the_last_one_needs_no_end() -> None:
    with python("print('one\\r\\ntwo\\xe9\\nthree', end='')", env={"LC_ALL": "C.UTF-8"}) as child:
        assert [child.line(PATIENCE_S) for _ in range(3)] == ["one", "two\xe9", "three"]
        with pytest.raises(ChildProcessFailed, match="saw it ended with exit code 0"):
            child.line(PATIENCE_S)


def test_a_command_that_cannot_start_is_told_on_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    open_before = open_descriptors()
    for command, cwd, why in (
        (["no-such-program"], None, "No such file or directory"),
        ([tmp_path], None, "Permission denied"),
        (["true"], tmp_path / "gone", "No such file or directory"),
    ):
        with pytest.raises(ChildProcessFailed, match=f"expected to start it, saw .*{why}.*; see that it"):
            ChildProcess(command, env=ENV, cwd=cwd).start()
    assert open_descriptors() == open_before
    for command, env in ((["true"], {"A": "\0"}), (["\0"], {}), (["true"], {"A=": ""}), ([], {})):
        with pytest.raises(ValueError, match="expected a program, no NUL, no name with '=', saw one"):
            ChildProcess(command, env=env)


def test_a_kill_is_evidenced() -> None:
    with python(FOREVER) as child:
        child.ready(PATIENCE_S)
        assert child.sigkill() == {"pid": child.pid, "signal": "SIGKILL", "exitSignal": "SIGKILL"}
        assert child.ended == Ended(signal_name="SIGKILL")
        assert str(child.ended) == "signal SIGKILL"
        # Not reaped yet, so that no other process can have its id.
        assert is_there(child.pid)
    assert child.stop() == Ended(signal_name="SIGKILL")


def test_a_kill_of_what_has_ended_is_no_kill() -> None:
    with ChildProcess(["sh", "-c", "kill -KILL $$"], env=ENV) as child:
        with pidfd_of(child.pid) as pidfd:
            assert has_ended(pidfd)
        # Although it did end by that signal: somebody else sent it.
        with pytest.raises(ChildProcessFailed, match="to be there when SIGKILL is sent, saw it ended with"):
            child.sigkill()
        with pytest.raises(ChildProcessFailed, match="when SIGSTOP is sent"):
            child.sigstop()
    with pytest.raises(ChildProcessFailed, match="ended with signal SIGKILL"):
        child.sigkill()


def test_an_end_that_came_before_the_signal_is_no_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    with python(READY + "sys.stdin.read()\nsys.exit(7)") as child:
        child.ready(PATIENCE_S)

        def too_late(pidfd: int, number: int) -> None:
            child._stdin.close()
            assert has_ended(pidfd)

        monkeypatch.setattr(signal, "pidfd_send_signal", too_late)
        with pytest.raises(
            ChildProcessFailed, match="signal SIGKILL after SIGKILL, saw it ended with exit code 7"
        ):
            child.sigkill()


def test_a_frozen_command_does_nothing_until_it_goes_on() -> None:
    with python(UNTIL_EOF) as child:
        child.ready(PATIENCE_S)
        status = Path(f"/proc/{child.pid}/stat")
        for _ in range(2):
            assert child.sigstop() == {"pid": child.pid, "signal": "SIGSTOP", "state": "stopped"}
            assert status.read_text().rpartition(")")[2].split()[0] == "T"
            assert child.ended is None
            with pytest.raises(ChildProcessFailed, match="saw it stopped"):
                child.line(0)
            assert child.sigcont() == {"pid": child.pid, "signal": "SIGCONT", "state": "running"}
            assert status.read_text().rpartition(")")[2].split()[0] != "T"
        assert child.stop(PATIENCE_S) == Ended(exit_code=0)


def test_a_frozen_command_is_killed_at_once() -> None:
    with python(UNTIL_EOF) as child:
        child.ready(PATIENCE_S)
        child.sigstop()
        # With a wait of an hour a test that waits for it never ends.
        assert child.stop(3600) == Ended(signal_name="SIGKILL")


def test_a_child_process_runs_once() -> None:
    child = python(UNTIL_EOF)
    with pytest.raises(RuntimeError, match="has no pid before start"):
        child.stop()
    with child, pytest.raises(RuntimeError, match="was started before"):
        child.start()
    with pytest.raises(RuntimeError, match="was started before"):
        child.start()


def test_no_thread_and_no_descriptor_is_left() -> None:
    threads, descriptors = threading.active_count(), open_descriptors()
    with python(UNTIL_EOF) as child:
        child.ready(PATIENCE_S)
        assert threading.active_count() == threads
    assert open_descriptors() == descriptors


def test_another_system_is_told_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(ChildProcessFailed, match="expected to start it, saw no pidfd on linux"):
        python(UNTIL_EOF).start()
