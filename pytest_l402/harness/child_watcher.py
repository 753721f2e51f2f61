"""Decides when a command that runs for another process ends: never later than that process.

A program of its own, run by `child_process` with the arguments CONTROL OWNER ENVIRONMENT COMMAND FOLDER:

    OWNER -- this watcher (session of its own) -- COMMAND (session of its own) -- whatever it starts

It reads from the socket CONTROL as many bytes as the last three say: pairs, words with NUL between them, and
the path of a folder, or none. It writes a line there whenever the state of the command changes: `failed
ERRNO` or `pid N`, then `running`, `stopped`, `exit CODE`, `signal NUMBER`. When CONTROL or the process OWNER
ends, it kills the command and all that came from it, and removes the folder. When it is killed itself, the
command ends too, but not what that started; so its command line names neither this package nor the command,
for who kills by such a name. It imports only what starts fast.
"""

from __future__ import annotations

# The public module imports enum, and takes as long as the whole interpreter to start.
import _signal as signal  # type: ignore[import-not-found]
import ctypes
import os
import select
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def _watch(control: int, owner_pid: int, sizes: list[int]) -> None:
    os.set_inheritable(control, False)
    # Not the end of a pipe: a fork of the owner would hold it open. Nor the parent-death signal: it comes
    # when the *thread* ends that started this process.
    owner = os.pidfd_open(owner_pid)
    if os.getppid() != owner_pid:
        return
    # All that a dead command leaves becomes a child of this process, whatever its group or session.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    changes = _child_changes()
    with open(control, "rb", closefd=False) as request:
        pairs, command, (folder,) = (request.read(size).split(b"\0") for size in sizes)
    pid, failed = _start(command, dict(pair.split(b"=", 1) for pair in pairs if pair))
    _say(control, f"failed {failed}" if failed else f"pid {pid}")
    poll = select.poll()
    for source in (control, owner, changes):
        poll.register(source, select.POLLIN)
    told, ready = "", set[int]()
    while not ready & {control, owner}:
        if (state := _state(pid, os.WNOHANG)) != told:
            _say(control, told := state)
        ready = {source for source, _ in poll.poll()}
        if changes in ready:
            os.read(changes, 4096)
    os.kill(pid, signal.SIGKILL)
    _say(control, _state(pid))
    _end_children()
    if folder:
        import shutil  # only now: it would double the time to start

        shutil.rmtree(folder, ignore_errors=True)


def _child_changes() -> int:
    """Return a descriptor that is readable whenever a child has ended, stopped or gone on."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    changes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return changes


def _start(command: list[bytes], environment: dict[bytes, bytes]) -> tuple[int, int]:
    """Run the command; return its pid, and 0 or the errno why it cannot run."""
    watcher = os.getpid()
    failed, fail = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            # For the case that this watcher is killed. It has one thread, so the signal is right here.
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == watcher:
                for number in (signal.SIGPIPE, signal.SIGXFSZ):
                    signal.signal(number, signal.SIG_DFL)
                os.execvpe(command[0], command, environment)  # noqa: S606
        except OSError as error:
            os.write(fail, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(fail)
    # Or the command could not see the end of its stdin, nor we the end of its stdout.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return pid, int(os.read(failed, 20) or 0)


def _state(pid: int, how: int = 0) -> str:
    """Return the state of the child, which is never reaped, so that nobody else can have its id."""
    changes = os.WEXITED if how == 0 else os.WEXITED | os.WSTOPPED | os.WCONTINUED
    seen = os.waitid(os.P_PID, pid, changes | how | os.WNOWAIT)
    if seen is None or seen.si_code == os.CLD_CONTINUED:
        return "running"
    if seen.si_code == os.CLD_STOPPED:
        return "stopped"
    return f"{'exit' if seen.si_code == os.CLD_EXITED else 'signal'} {seen.si_status}"


def _end_children() -> None:
    """Kill every child, and what becomes one by that, until there is none."""
    while True:
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
                if parent == os.getpid():
                    os.kill(int(name), signal.SIGKILL)
            except OSError:
                pass
        try:
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def _say(control: int, line: str) -> None:
    try:  # noqa: SIM105
        os.write(control, line.encode() + b"\n")
    except OSError:
        pass


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


if __name__ == "__main__":
    _control, _owner, *_sizes = map(int, sys.argv[-5:])
    _watch(_control, _owner, _sizes)
