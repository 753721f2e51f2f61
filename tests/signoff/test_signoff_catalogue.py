"""The catalogue: the project's own is sound, and every way of writing it wrong is named on one line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.signoff.catalogue import Catalogue, CatalogueError

OWN = Path(__file__).parents[2] / "rehearsals" / "catalogue.yaml"

GOOD = """\
version: 1
runbooks:
  observability:
    title: Observability
    lines:
      - {id: "1.ok", section: "1", source: runbook, text: "ok=true"}
      - {id: "2.hit", section: "2", source: project, text: "a hit"}
rehearsals:
  - {id: success, runbook: observability, family: observability, section: "1", title: Success, kind: scenario,
     proves: ["1.ok"]}
  - {id: reuse, runbook: observability, family: caching, section: "2", title: Reuse, kind: drill,
     proves: ["2.hit", "1.ok"], required: false}
"""


def load(tmp_path: Path, text: str) -> Catalogue:
    path = tmp_path / "catalogue.yaml"
    path.write_text(text, encoding="utf-8")
    return Catalogue.load(path)


def test_the_catalogue_of_this_project_is_sound() -> None:
    catalogue = Catalogue.load(OWN)

    assert [rehearsal.id for rehearsal in catalogue.required(("observability",))] == [
        "hosted-success",
        "local-node-success",
        "cache-reuse",
        "policy-block",
        "settlement-failure",
        "interrupted-purchase",
        "executor-offline",
    ]
    assert catalogue.sha256 == hashlib.sha256(OWN.read_bytes()).hexdigest()
    line = catalogue.line("observability", "3.paid-once")
    assert line is not None
    assert line.section == "3"
    assert line.source == "project"
    assert "3.paid-once" in str(line.cited)


def test_the_local_artifact_waiver_names_a_line_of_this_project() -> None:
    from pytest_l402.signoff.waivers import LOCAL_ARTIFACT_LINE

    runbook, line = LOCAL_ARTIFACT_LINE.split("/")

    assert Catalogue.load(OWN).line(runbook, line) is not None


def test_a_good_catalogue_is_read_as_written(tmp_path: Path) -> None:
    catalogue = load(tmp_path, GOOD)

    assert catalogue.families == ("observability", "caching")
    assert [entry.id for entry in catalogue.required()] == ["success"]
    assert catalogue.required(("caching",)) == ()
    reuse = catalogue.rehearsal("reuse")
    assert reuse is not None
    assert reuse.proves == ("2.hit", "1.ok")
    assert not reuse.required
    assert catalogue.rehearsal("nothing") is None
    assert catalogue.line("nothing", "1.ok") is None
    assert catalogue.closest("succes") == "success"
    assert catalogue.closest("zzzz") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 1", "version: 2", "version: expected 1, saw 2"),
        ("version: 1", "version: true", "version: expected 1, saw true"),
        ("version: 1\n", "", "the file: expected the key 'version', saw none"),
        ("version: 1", "version: 1\nverison: 1", "saw \"verison\"; did you mean 'version'?"),
        ("version: 1", "version: 1\nversion: 1", "line 2: expected each key once, saw 'version' again"),
        (GOOD, "", "the file: expected a mapping, saw null"),
        (GOOD, "- 1", "the file: expected a mapping, saw an array of 1"),
        (GOOD, "a: [", "expected YAML, saw:"),
        (GOOD, "!!python/object:os.system {}", "expected YAML, saw:"),
        (GOOD, "--- 1\n--- 2", "expected YAML, saw:"),
        (GOOD, "[" * 5000, "at most 100 levels of nesting"),
        (GOOD, "a: 2026-13-45", "expected YAML of plain values"),
        (GOOD, "a: \x00", "expected YAML, saw:"),
        (GOOD, "a: !!bool perhaps", "expected YAML of plain values"),
        (GOOD, "a: !!float ''", "expected YAML of plain values"),
        (GOOD, "a: !!timestamp soon", "expected YAML of plain values"),
        ("title: Observability", "title: [a]", "runbooks.observability.title: expected a text on one line"),
        ("title: Observability", "title: ''", "runbooks.observability.title: expected a text on one line"),
        ('id: "1.ok"', "id: 1.1", "runbooks.observability.lines[0].id: expected a text on one line"),
        ('id: "1.ok"', 'id: "1/ok"', "expected letters and digits joined"),
        ('{id: "2.hit"', '{id: "1.ok"', "lines[1].id: expected an id of its own, saw '1.ok' again"),
        ("source: project", "source: projct", "saw \"projct\"; did you mean 'project'?"),
        ("source: project, ", "", "lines[1] (2.hit): expected the key 'source', saw none"),
        ("id: success", "id: Success", "rehearsals[0].id: expected a name of lower-case words"),
        ("id: success", "id: ../x", "rehearsals[0].id: expected a name of lower-case words"),
        ("id: success", "id: reuse", "rehearsals[1].id: expected an id of its own, saw 'reuse' again"),
        (
            "id: success, runbook: observability",
            "id: success, runbook: observabilty",
            'rehearsals[0] (success).runbook: expected one of observability, saw "observabilty"; '
            "did you mean 'observability'?",
        ),
        ('["1.ok"]', '["1.okk"]', "rehearsals[0] (success).proves[0]: expected one of 1.ok, 2.hit"),
        ('["1.ok"]', "[]", "rehearsals[0] (success).proves: expected a list with entries, saw an array of 0"),
        ('["1.ok"]', '["1.ok", "1.ok"]', "proves[1]: expected each line once, saw '1.ok' again"),
        (
            '["2.hit", "1.ok"]',
            '["1.ok"]',
            "expected a rehearsal that proves every line, saw none for '2.hit'",
        ),
        ("kind: drill", "kind: dril", "saw \"dril\"; did you mean 'drill'?"),
        ("required: false", "required: maybe", "rehearsals[1] (reuse).required: expected true or false"),
        ("required: false", "need: false", 'saw "need"'),
        ("runbooks:\n", "runbooks: {}\nrest:\n", "the file: expected only version, runbooks, rehearsals"),
    ],
)
def test_a_wrong_catalogue_is_named_on_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))

    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "catalogue.yaml"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_without_end_is_named(tmp_path: Path, opening: str) -> None:
    with pytest.raises(CatalogueError, match=r"line \d+: expected at most 100 levels of nesting, saw more"):
        load(tmp_path, opening * 100_000)


def test_runbooks_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogueError, match="runbooks: expected a mapping of runbook ids, saw an object of 0 keys"
    ):
        load(tmp_path, "version: 1\nrunbooks: {}\nrehearsals: [1]\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="No such file"):
        Catalogue.load(tmp_path / "none.yaml")
    with pytest.raises(CatalogueError, match="Is a directory"):
        Catalogue.load(tmp_path)
    big = tmp_path / "big.yaml"
    big.write_bytes(b"# \n" * 400_000)
    with pytest.raises(CatalogueError, match="at most 1048576 bytes"):
        Catalogue.load(big)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("version: é".encode("latin-1"))
    with pytest.raises(CatalogueError, match="expected UTF-8"):
        Catalogue.load(latin)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_file_gives_anything_but_a_catalogue_error(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(CatalogueError) as caught:
        Catalogue.load(path)

    assert len(str(caught.value).splitlines()) == 1
