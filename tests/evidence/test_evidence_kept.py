"""The evidence of each moment is kept, each content of a table once, and reads back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_l402.boundary.input_error import InputError
from pytest_l402.evidence import Evidence
from pytest_l402.evidence.kept import (
    MAX_TABLE_BYTES,
    STANDING,
    folders_of,
    keep,
    read_kept,
    table_of,
    verification,
)

ONE, TWO = {"count": 1}, {"count": 2}
FIRST = Evidence({"counts": [ONE], "names": [{"name": "a"}], "empty": []})
SECOND = Evidence({"counts": [ONE, TWO], "names": [{"name": "a"}], "empty": []})
END = Evidence({"counts": [ONE, TWO], "names": [{"name": "a"}], "empty": [ONE], "late": [ONE]})
MOMENTS = {verification(1): FIRST, verification(2): SECOND, STANDING: END}


def files_in(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_what_differs_from_the_end_is_kept_for_its_moment(tmp_path: Path) -> None:
    files, moments = keep(END, MOMENTS, tmp_path)
    assert moments == {
        "verify-1": ("verify-1/counts.jsonl", "names.jsonl", "verify-1/empty.jsonl"),
        "verify-2": ("counts.jsonl", "names.jsonl", "verify-1/empty.jsonl"),
        "standing": ("counts.jsonl", "names.jsonl", "empty.jsonl", "late.jsonl"),
    }
    there = files_in(tmp_path)
    assert there["verify-1/counts.jsonl"] == '{"count":1}\n'
    assert there["verify-1/empty.jsonl"] == ""
    assert {file.path.relative_to(tmp_path).as_posix(): file.rows for file in files} == {
        name: text.count("\n") for name, text in there.items()
    }


def test_each_moment_reads_back_as_it_was(tmp_path: Path) -> None:
    _, moments = keep(END, MOMENTS, tmp_path)
    for name, evidence in MOMENTS.items():
        assert read_kept(tmp_path, moments[name]) == evidence


def test_values_that_python_takes_for_equal_are_kept_apart(tmp_path: Path) -> None:
    alike = {f"verify-{n}": Evidence({"values": [{"v": v}]}) for n, v in enumerate((1, True, 1.0, "1"), 1)}
    _, moments = keep(Evidence({"values": [{"v": 1}]}), alike, tmp_path)
    assert [paths[0] for paths in moments.values()] == [
        "values.jsonl",
        "verify-2/values.jsonl",
        "verify-3/values.jsonl",
        "verify-4/values.jsonl",
    ]


def test_a_state_that_returns_is_kept_once(tmp_path: Path) -> None:
    moments = {"verify-1": FIRST, "verify-2": SECOND, "verify-3": FIRST}
    _, told = keep(SECOND, moments, tmp_path)
    assert told["verify-3"] == told["verify-1"] == ("verify-1/counts.jsonl", "names.jsonl", "empty.jsonl")


def test_nothing_of_an_earlier_attempt_stays(tmp_path: Path) -> None:
    keep(END, MOMENTS, tmp_path)
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "events.jsonl").write_text("{}\n")
    keep(FIRST, {verification(1): FIRST}, tmp_path)
    assert set(files_in(tmp_path)) == {"counts.jsonl", "names.jsonl", "empty.jsonl", "artifacts/events.jsonl"}


def test_the_same_evidence_leaves_the_same_bytes(tmp_path: Path) -> None:
    keep(END, MOMENTS, tmp_path / "one")
    keep(END, MOMENTS, tmp_path / "two")
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")


@pytest.mark.parametrize(
    ("content", "seen"),
    [(b"[1]\n", "list"), (b"{}\n7\n", "int"), (b"{", "end in the middle"), (b"\xff\n", "0xff")],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, seen: str) -> None:
    (tmp_path / "counts.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=seen):
        read_kept(tmp_path, ["counts.jsonl"])


def test_a_table_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_kept(tmp_path, ["counts.jsonl"])
    with (tmp_path / "counts.jsonl").open("wb") as file:
        file.truncate(MAX_TABLE_BYTES + 1)
    with pytest.raises(InputError, match="at most"):
        read_kept(tmp_path, ["counts.jsonl"])


def test_a_file_is_called_by_its_table() -> None:
    assert table_of("evidence/a/verify-1/records.jsonl") == table_of("records.jsonl") == "records"


def test_a_folder_of_a_moment_is_named_only_where_one_is_written(tmp_path: Path) -> None:
    assert folders_of(END, MOMENTS, ["verify-1"]) == ("verify-1",)
    assert folders_of(END, MOMENTS, ["verify-2", STANDING, "verify-2"]) == ("verify-1",)
    assert folders_of(END, MOMENTS, [STANDING]) == ()
    keep(END, MOMENTS, tmp_path)
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == set(folders_of(END, MOMENTS, MOMENTS))
