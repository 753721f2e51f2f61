"""Values of any type and size in any document of a run folder: `verify` answers, and raises nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kept_run import KeptRun, make_run

from pytest_l402.evidence import EvidenceError
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.signoff.finding import Answer
from pytest_l402.signoff.manifest import MANIFEST, manifest_bytes
from pytest_l402.signoff.verification import Verification, verify_folder


def deep(levels: int) -> Any:
    made: Any = []
    for _ in range(levels):
        made = [made]
    return made


ODD: dict[str, Any] = {
    "null": None,
    "true": True,
    "less than nothing": -1,
    "a year that no calendar has": 10**30,
    "long before any calendar": -(10**30),
    "more than 64 bits": 2**64,
    "a number that is not whole": 1.5,
    "a very large number": 1e300,
    "an empty text": "",
    "half of a surrogate pair": "\ud800",
    "a text of many lines": "a\nb\x00\x1b[31m",
    "a digit that is not of ASCII": "\uff11",
    "a path that leads out": "../../../../etc/hostname",
    "an absolute path": "/etc/hostname",
    "a long text": "x" * 20_000,
    "an empty list": [],
    "an empty object": {},
    "a list of null": [None],
    "an object in an object": {"a": {"b": {}}},
    "nesting": deep(90),
    "deep nesting": deep(600),
    "nesting without end": deep(900),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptRun:
    return make_run(tmp_path_factory.mktemp("odd"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each place in a document, the document itself first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """The document with another value in one place."""
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(copy[path[0]], path[1:], odd)
    return copy


def verified(
    kept: KeptRun, parent: Path, file: str, line: int, path: tuple[Any, ...], odd: Any
) -> Verification:
    """What is answered when the author of a folder puts a value into one of its files and seals it again."""
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(parents=True)
    folder = kept.copied_to(parent).folder
    target = folder / file
    text = target.read_text()
    lines = text.splitlines() if file.endswith(".jsonl") else [text]
    lines[line] = json.dumps(put(json.loads(lines[line]), path, odd))
    target.write_text("\n".join(lines) + "\n")
    (folder / MANIFEST).write_bytes(manifest_bytes(folder))
    return verify_folder(folder)


@pytest.mark.parametrize("odd", ["a year that no calendar has", "long before any calendar", "deep nesting"])
@pytest.mark.parametrize("name", ["started_at_ms", "finished_at_ms", "exit_status"])
def test_a_number_of_the_run_may_be_any(kept: KeptRun, tmp_path: Path, name: str, odd: str) -> None:
    found = verified(kept, tmp_path / "run", "signoff.json", 0, ("run", name), ODD[odd])
    assert found.answer is Answer.CONTRADICTED


@pytest.mark.parametrize("odd", ["nesting", "deep nesting", "nesting without end"])
def test_a_row_may_be_nested_as_deeply_as_json_can(kept: KeptRun, tmp_path: Path, odd: str) -> None:
    file = f"{kept.nodes['reuse'].folder}/records.jsonl"
    found = verified(kept, tmp_path / "run", file, 0, ("denyReason",), ODD[odd])
    assert found.answer is Answer.CONTRADICTED
    assert any("levels" in text or "nesting" in text for text in found.differences)


def mutated(kept: KeptRun, parent: Path, data: st.DataObject) -> Verification:
    files = sorted(
        path.relative_to(kept.folder).as_posix()
        for path in kept.folder.rglob("*")
        if path.suffix in (".json", ".jsonl") and path.stat().st_size
    )
    # The document is one file of many, and holds most of what is read.
    file = data.draw(st.one_of(st.just("signoff.json"), st.sampled_from(files)), label="file")
    text = (kept.folder / file).read_text()
    lines = text.splitlines() if file.endswith(".jsonl") else [text]
    line = data.draw(st.integers(0, len(lines) - 1), label="line")
    path = data.draw(st.sampled_from(list(places(json.loads(lines[line])))), label="place")
    odd = data.draw(st.sampled_from(sorted(ODD)), label="odd value")
    return verified(kept, parent, file, line, path, ODD[odd])


WITHOUT_HURRY = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@settings(WITHOUT_HURRY, max_examples=8)
@given(data=st.data())
def test_nothing_is_raised_for_what_a_folder_holds(
    kept: KeptRun, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    mutated(kept, tmp_path_factory.getbasetemp() / "mutated", data)


@pytest.mark.slow
@settings(WITHOUT_HURRY, max_examples=200)
@given(data=st.data())
def test_nothing_is_raised_for_many_a_folder(
    kept: KeptRun, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    mutated(kept, tmp_path_factory.getbasetemp() / "mutated-often", data)


@pytest.mark.parametrize("levels", [80, 400, 900, 5000])
def test_a_row_that_is_nested_deeply_is_refused_in_one_line(tmp_path: Path, levels: int) -> None:
    collector = EvidenceCollector(title="a test", seed="00", artifact_dir=tmp_path)
    with pytest.raises(EvidenceError, match=r"mine\[0\]: expected at most 64 levels"):
        collector.record("mine", {"n": deep(levels)})


@pytest.mark.parametrize("levels", [80, 400, 900, 5000])
def test_a_system_with_such_a_row_is_refused_in_one_line(tmp_path: Path, levels: int) -> None:
    class Deep:
        name, version, digest = "deep", "1", None

        def parts(self) -> tuple[()]:
            return ()

        def tables(self) -> dict[str, Any]:
            return {"mine": [{"n": deep(levels)}]}

        def steady_state(self, when: str) -> tuple[()]:
            return ()

        def standing_checks(self) -> tuple[()]:
            return ()

    collector = EvidenceCollector(title="a test", seed="00", artifact_dir=tmp_path)
    collector.attach(Deep())
    with pytest.raises(EvidenceError, match="levels"):
        collector.collect()
