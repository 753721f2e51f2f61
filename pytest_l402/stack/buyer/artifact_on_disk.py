"""Decides when the artifact of the local-node path is written anew: when it says something else."""

from __future__ import annotations

from pathlib import Path

from pytest_l402.boundary import read_json
from pytest_l402.contract import LocalFlow, LocalNodeArtifact
from pytest_l402.harness.journal import Row
from pytest_l402.stack.buyer.executor import Executor
from pytest_l402.stack.roles import KeepsLocalArtifact


class ArtifactOnDisk:
    """The artifact of whoever buys, read back from its path as evidence; without a path only ours has one.

    Evidence is collected several times a test: an artifact of the same flows stays as it is, with the time at
    which it was written first.
    """

    def __init__(self) -> None:
        self._flows: tuple[LocalFlow, ...] = ()

    def rows(self, executor: object, path: Path | None) -> list[Row]:
        """Return the one row of the table `local_artifact`, or none."""
        if isinstance(executor, Executor):
            flows = executor.local_artifact().flows
            if path is None or not flows:
                return [executor.local_artifact().to_row()] if flows else []
            if flows != self._flows or not path.is_file():
                executor.write_local_artifact(path)
                self._flows = flows
        elif path is None:
            return []
        elif isinstance(executor, KeepsLocalArtifact):
            before = path.read_bytes() if path.is_file() else None
            executor.write_local_artifact(path)
            flows = LocalNodeArtifact.decode(read_json(path)).flows
            if before is not None and flows == self._flows:
                path.write_bytes(before)
            self._flows = flows
        return [LocalNodeArtifact.decode(read_json(path)).to_row()] if path.is_file() else []
