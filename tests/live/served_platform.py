"""A deployed platform for the tests: `pytest-l402 serve` in another process, reached over real HTTP."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_l402.live import Bounds, LiveSystem, open_live_system

START_S = 120
"""The longest wait for a line of another process; nothing depends on how long it really takes."""
ENTRY = [sys.executable, "-c", "import sys; from pytest_l402.cli import main; sys.exit(main())"]
NEW_STATE = {"faults": []}


class Platform:
    """A served platform: its environment, its scenario, and the record of every request it was sent."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, told: Mapping[str, Any]) -> None:
        self.process = process
        self.folder = folder
        self.told = told
        self.environment: dict[str, str] = dict(told["environment"])
        self.ended = False
        self._price = 30_000

    @property
    def secrets(self) -> tuple[str, ...]:
        named = ("SECRET", "GATEWAY_OPS_TOKEN", "PROXY_AUTHORIZATION_HEADER", "CRED_SETTLEMENT_READ")
        return tuple(self.environment[f"OA_LIGHTNING_OPS_{name}"] for name in named)

    def play(self, *faults: Mapping[str, Any], price_msats: int | None = None) -> None:
        """Let these faults, and no others, be active from the next request on."""
        self._price = price_msats or self._price
        scenario = {"faults": list(faults), "prices": {"pw_premium": self._price}}
        temporary = self.folder / "scenario.part"
        temporary.write_text(json.dumps(scenario))
        temporary.replace(self.folder / "scenario.json")

    def change_price(self) -> int:
        """Let the control plane want another price, so that there is something new to deploy."""
        self.play(price_msats=self._price + 1_000)
        return self._price

    def requests(self) -> list[dict[str, Any]]:
        """Return every request that was answered so far."""
        path = self.folder / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def changes(self) -> list[dict[str, Any]]:
        return [row for row in self.requests() if row["kind"] == "change"]

    def told_of(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return every write of a deployment that the control plane accepted, in order."""
        rows = [row["arguments"] for row in self.requests() if row["arguments"] and row["status"] == 200]
        return [row for row in rows if "status" in row and row["deploymentId"] == deployment_id]

    def last_told(self) -> dict[str, str]:
        """Return the last status of each deployment that the control plane accepted."""
        rows = [row["arguments"] for row in self.requests() if row["arguments"] and row["status"] == 200]
        return {row["deploymentId"]: row["status"] for row in rows if "status" in row}

    def live(
        self,
        state: Path,
        *,
        allow_changes: bool = False,
        said: list[str] | None = None,
        bounds: Bounds | None = None,
        **environment: str,
    ) -> LiveSystem:
        """Return the live adapters for this platform."""
        return open_live_system(
            {**self.environment, **environment},
            folder=state,
            allow_changes=allow_changes,
            announce=(said if said is not None else []).append,
            bounds=bounds or Bounds(pauses_s=()),
        )

    def end(self) -> int:
        """Close its standard input, upon which it ends, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(START_S)


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Platform]:
    """Serve a platform in another process inside the block; it ends cleanly, or the test fails."""
    process = subprocess.Popen(
        [
            *(*ENTRY, "serve", "--json", "--until-eof"),
            f"--scenario={folder / 'scenario.json'}",
            f"--record={folder / 'requests.jsonl'}",
            *arguments,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        platform = Platform(process, folder, json.loads(first_line(process)))
        yield platform
        assert platform.ended or platform.end() == 0, process.stderr and process.stderr.read()
    finally:
        if process.poll() is None:
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait(START_S)


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line that a process prints, or fail with what it complained of."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        if not ready.select(START_S):
            raise AssertionError("no line came from the process")
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.stderr and process.stderr.read())
    return line


def run_client(
    platform: Platform, state: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `live_client.py` against the platform to its end."""
    with started_client(platform, state, *arguments, **environment) as process:
        out, err = process.communicate(timeout=START_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def started_client(
    platform: Platform, state: Path, *arguments: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Start `live_client.py` against the platform inside the block."""
    program: Sequence[str] = [sys.executable, str(Path(__file__).with_name("live_client.py")), str(state)]
    with subprocess.Popen(
        [*program, *arguments],
        env={**os.environ, **platform.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
