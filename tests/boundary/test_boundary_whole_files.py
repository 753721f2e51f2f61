"""A file is there whole, or as it was before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_l402.boundary import write_whole
from pytest_l402.boundary.whole_files import flush_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_makes_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_whole(path, b"one")
    write_whole(path, b"two")

    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["b.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_was_there_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.json"
    write_whole(path, b"one")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"two")

    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["b.json"]


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path: Path) -> None:
    flush_folder(tmp_path / "none")
