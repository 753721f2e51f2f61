"""Decides whether writers in processes of their own, killed or overtaken at random, keep what they promised.

`python -m pytest_l402.billing.log.soak takeovers 1000` or `kills 1000`: prints one line of JSON. When it is
killed, its writers end and its folder is gone.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pytest_l402.billing.log.law import broken_laws
from pytest_l402.billing.log.reader import chain_of
from pytest_l402.billing.log.store import Folder
from pytest_l402.billing.log.writer import Fenced, LogWriter

__all__ = ["soak"]

_FENCED: Final = 3
_LONGEST_S: Final = 0.004
_LONGEST_SOAK_S: Final = 86_400.0


def soak(kind: str, times: int, seed: int = 5, within: Path | None = None) -> dict[str, Any]:
    """Overtake a writer so often (`takeovers`: frozen and live in turn), or kill one so often (`kills`).

    Returns how many records were acknowledged, how many laws were broken, how many writers were refused. All
    is written into a folder of its own, `within` another.
    """
    draw = random.Random(seed)  # noqa: S311 - moments, not secrets
    told: dict[str, Any] = {
        "kind": kind,
        "times": times,
        "acknowledged": 0,
        "broken": 0,
        "refused": 0,
        "first": None,
    }
    done = 0
    while done < times:
        with tempfile.TemporaryDirectory(prefix="l402-soak-", dir=within) as name:
            turns = min(10, times - done)
            folder, acks = Path(name), Path(name) / "acks"
            told["refused"] += _round(kind, turns, folder, acks, draw)
            acknowledged = acks.read_bytes().splitlines()
            broken = broken_laws(Folder(folder), acknowledged)
            chain_of(Folder(folder))
            told["acknowledged"] += len(acknowledged)
            told["broken"] += len(broken)
            told["first"] = told["first"] or (broken[0] if broken else None)
            done += turns
    return told


def _round(kind: str, turns: int, folder: Path, acks: Path, draw: random.Random) -> int:
    refused = 0
    writer = _writer(folder, acks)
    for turn in range(turns):
        # Not waiting for anything: the moment is what is drawn.
        time.sleep(draw.uniform(0, _LONGEST_S))
        if kind == "kills":
            writer.kill()
            writer.wait()
            writer = _writer(folder, acks)
            continue
        is_frozen = turn % 2 == 0
        if is_frozen:
            writer.send_signal(signal.SIGSTOP)
        following = _writer(folder, acks)
        if is_frozen:
            writer.send_signal(signal.SIGCONT)
        refused += writer.wait() == _FENCED
        writer = following
    writer.kill()
    writer.wait()
    return refused


def _writer(folder: Path, acks: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-S", "-m", "pytest_l402.billing.log.soak", "write", str(folder), str(acks)]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.defpath}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    with process.stdout:
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"a writer on {folder}: expected ready, saw its end with {process.wait()}")
    return process


def _write(folder: Path, acks: Path) -> int:
    descriptor = os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with LogWriter(Folder(folder), f"pid {os.getpid()}") as writer:
        os.write(1, b"ready\n")
        number = 0
        while True:
            body = f"{writer.epoch}-{number}".encode()
            try:
                writer.append(body)
            except Fenced:
                return _FENCED
            os.write(descriptor, body + b"\n")
            number += 1


def main(arguments: Sequence[str]) -> int:
    """Run one soak under a watcher, or what that runs: the soak in a folder, or one of its writers."""
    if arguments[0] == "write":
        return _write(Path(arguments[1]), Path(arguments[2]))
    if arguments[0] == "in":
        print(json.dumps(soak(arguments[2], int(arguments[3]), within=Path(arguments[1]))), flush=True)
        return 0
    # Not needed by a writer, of which there are thousands.
    from pytest_l402.harness.child_process import ChildProcess

    folder = Path(tempfile.gettempdir()).resolve() / f"l402-soak-{secrets.token_hex(4)}"
    command = [sys.executable, "-S", "-m", "pytest_l402.billing.log.soak", "in", str(folder), *arguments]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.defpath}
    with ChildProcess(command, env=environment, name="soak", folder=folder) as process:
        folder.mkdir(mode=0o700)
        found = process.ready(_LONGEST_SOAK_S)
    print(json.dumps(found))
    return int(found["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
