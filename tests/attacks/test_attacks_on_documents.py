"""Ways to a run folder, a page, an exit code or an output that says more than the run has shown."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plugin_project import Project
from signoff_samples import PROJECT, judge, node

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.ops.earlier_artifacts import move_earlier_aside
from pytest_l402.signoff.document import build_document, installed_versions
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.files import remove_oldest, write_run
from pytest_l402.signoff.folder import contradictions
from pytest_l402.signoff.manifest import MANIFEST, file_digest, manifest_bytes
from pytest_l402.signoff.results import NodeResult, RecordedFile

RUN = "20261121T120000Z-0123abcd"
STARTED_AT_MS = 1_795_262_400_000
SUCCESS, REUSE = "evidence/success/test_it", "evidence/reuse/test_it"


def kept(folder: Path, rehearsal: str) -> NodeResult:
    """A test of a rehearsal that left its evidence in a run folder."""
    place = folder / "evidence" / rehearsal / "test_it"
    place.mkdir(parents=True)
    (place / "records.jsonl").write_text(f'{{"requestId":"req-{rehearsal}"}}\n' * 3)
    recorded = f"evidence/{rehearsal}/test_it/records.jsonl"
    file = RecordedFile(recorded, *file_digest(folder / recorded), rows=3)
    result = node(rehearsal, evidence_files=(file,), folder=f"evidence/{rehearsal}/test_it")
    (place / "node.json").write_text(result.to_json())
    return result


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder that is signed off and holds together."""
    folder = tmp_path / RUN
    write_run(folder, signed(folder))
    assert contradictions(folder) == ()
    return folder


def signed(folder: Path) -> SignOffDocument:
    nodes = (kept(folder, "success"), kept(folder, "reuse"))
    return build_document(judge(nodes), project=PROJECT, versions=installed_versions())


def listed_again(folder: Path) -> None:
    """Make the manifest that of the folder as it is now, as its own author could."""
    (folder / MANIFEST).write_bytes(manifest_bytes(folder))


def altered(folder: Path, alter: Callable[[dict[str, Any]], object], *, page_too: bool = True) -> None:
    """Alter the document, and let page and manifest follow."""
    from pytest_l402.boundary import InputError
    from pytest_l402.signoff import read_signoff
    from pytest_l402.signoff.views import views_of

    file = folder / "signoff.json"
    value = json.loads(file.read_text())
    alter(value)
    file.write_text(json.dumps(value, indent=2) + "\n")
    if page_too:
        # A document that no longer agrees with itself has no page.
        with contextlib.suppress(InputError):
            for name, view in views_of(read_signoff(file), folder).items():
                (folder / name).write_bytes(view)
    listed_again(folder)


def drop_rehearsal(value: dict[str, Any]) -> None:
    gone = value["rehearsals"].pop(1)
    value["counts"]["rehearsals"]["PASSED"] -= 1
    for key in ("checks", "mutants_killed"):
        value["counts"][key] = sum(
            1 if key == "checks" else len(check["mutants_killed"])
            for entry in value["rehearsals"]
            for each in entry["nodes"]
            for check in each["checks"]
        )
    value["counts"]["evidence_files"] -= 1
    value["counts"]["evidence_bytes"] -= gone["nodes"][0]["evidence"][0]["bytes"]
    for system in value["systems"]:
        system["tests"] -= 1
        for part in system["parts"]:
            part["tests"] -= 1


def first_node(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = value["rehearsals"][0]["nodes"][0]
    return found


def rename_in_document(value: dict[str, Any]) -> None:
    first_node(value)["nodeid"] = "rehearsals/test_other.py::test_it"


def claim_twice(value: dict[str, Any]) -> None:
    value["rehearsals"][1]["nodes"][0]["evidence"] = first_node(value)["evidence"]
    value["counts"]["evidence_bytes"] = 2 * first_node(value)["evidence"][0]["bytes"]


def more_rows(value: dict[str, Any]) -> None:
    first_node(value)["checks"][0]["rows"] = 3000


def one_more_mutant(value: dict[str, Any]) -> None:
    first_node(value)["checks"][0]["mutants_killed"].append("one that was never tried")
    value["counts"]["mutants_killed"] += 1


def forget_a_check(value: dict[str, Any]) -> None:
    gone = first_node(value)["checks"].pop()
    value["counts"]["checks"] -= 1
    value["counts"]["mutants_killed"] -= len(gone["mutants_killed"])


def pin(value: dict[str, Any]) -> None:
    value["systems"][0] |= {"digest": f"sha256:{'1' * 64}", "pinned": "by-digest"}


ENDED_WAIVER = {
    "target": "check",
    "name": "check 2.hit",
    "owner": "ada",
    "reason": "ticket 12",
    "until": "2026-11-20",
    "source": "waivers.yaml",
    "effect": "unused",
}


def setting(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def alter(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return alter


ALTERED_DOCUMENTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a rehearsal is taken out": drop_rehearsal,
    "a rehearsal is there twice": lambda value: value["rehearsals"].append(value["rehearsals"][2]),
    "a test has another name": rename_in_document,
    "two tests claim one file": claim_twice,
    "a check looked at more rows": more_rows,
    "a check killed one mutant more": one_more_mutant,
    "a check is forgotten": forget_a_check,
    "the system is pinned after all": pin,
    "the system was in more tests": setting("systems", 0, "tests", to=30),
    "nobody else's part played": setting("systems", 0, "parts", to=[]),
    "the run has another id": setting("run", "id", to="20261122T120000Z-0123abcd"),
    "the run ends before it starts": setting("run", "finished_at_ms", to=STARTED_AT_MS - 1),
    "the run starts at another time than its id": setting(
        "run", "started_at_ms", to=STARTED_AT_MS - 86_400_000
    ),
    "a full run was narrowed": setting("run", "narrowed_by", to=["-k success"]),
    "another family is required": setting("catalogue", "families", to=["observability", "billing"]),
    "what is required is no family's": setting("catalogue", "families", to=[]),
    "the runbook is not there": setting("catalogue", "runbooks", to={}),
    "the cited line has another text": setting(
        "rehearsals", 0, "nodes", 0, "checks", 0, "line", "text", to="whatever"
    ),
    "the digest of a file is another": setting(
        "rehearsals", 0, "nodes", 0, "evidence", 0, "sha256", to="1" * 64
    ),
    "the requests are others": setting("rehearsals", 0, "nodes", 0, "request_ids", to=["req-of-last-year"]),
    "the verdict is a refusal": setting("verdict", to="NOT_SIGNED_OFF"),
    "evidence lies elsewhere": setting("rehearsals", 0, "nodes", 0, "evidence", 0, "path", to="signoff.md"),
    "a waiver had ended": lambda value: value["waivers"].append(ENDED_WAIVER),
    "the counts are others": setting("counts", "checks", to=99),
}


@pytest.mark.parametrize("way", ALTERED_DOCUMENTS)
def test_a_document_is_altered_and_everything_else_follows(run: Path, way: str) -> None:
    altered(run, ALTERED_DOCUMENTS[way])
    assert contradictions(run) != ()


def append(path: str, data: bytes = b"{}\n") -> Callable[[Path], None]:
    def alter(folder: Path) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(file.read_bytes() + data if file.is_file() else data)

    return alter


def write(path: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / path).write_bytes(data) and None


def as_drill(folder: Path) -> None:
    (folder / "signoff.json").rename(folder / "drill.json")
    (folder / "signoff.md").rename(folder / "drill.md")
    (folder / "signoff.html").rename(folder / "drill.html")


def swapped(folder: Path) -> None:
    (folder / SUCCESS / "node.json").write_bytes((folder / REUSE / "node.json").read_bytes())


def result_of_another(folder: Path) -> None:
    text = (folder / SUCCESS / "node.json").read_text()
    (folder / SUCCESS / "node.json").write_text(text.replace('"rehearsal":"success"', '"rehearsal":"reuse"'))


def failed_result(folder: Path) -> None:
    file = folder / SUCCESS / "node.json"
    result = replace(NodeResult.from_json(file.read_text()), phases={"call": "failed"})
    file.write_text(result.to_json())


def _say_more(page: Path) -> None:
    page.write_text(page.read_text().replace("mock: no deployed system was touched", "production"))


ALTERED_FOLDERS: dict[str, Callable[[Path], object]] = {
    "evidence is altered": append(f"{SUCCESS}/records.jsonl"),
    "evidence is emptied": write(f"{SUCCESS}/records.jsonl", b""),
    "evidence is removed": lambda folder: (folder / SUCCESS / "records.jsonl").unlink(),
    "evidence is added": append(f"{SUCCESS}/payments.jsonl"),
    "evidence of a rehearsal that is in no document": append("evidence/other/test_it/records.jsonl"),
    "a result is emptied": write(f"{SUCCESS}/node.json", b""),
    "a result is an empty object": write(f"{SUCCESS}/node.json", b"{}"),
    "a result is removed": lambda folder: (folder / SUCCESS / "node.json").unlink(),
    "a result is that of another test": swapped,
    "a result is of another rehearsal": result_of_another,
    "a result says that the test failed": failed_result,
    "the page is rewritten": append("signoff.html", b"<p>Approved by the release manager."),
    "the page says more": lambda folder: _say_more(folder / "signoff.html"),
    "the page is removed": lambda folder: (folder / "signoff.html").unlink(),
    "the comment is rewritten": append("comment.md", b"Approved.\n"),
    "the badge is rewritten": write("badge.json", b"{}"),
    "the report for tools is rewritten": write("ctrf.json", b"{}"),
    "the first screen is rewritten": append("signoff.md", b"Approved by the release manager.\n"),
    "the first screen is emptied": write("signoff.md", b""),
    "the first screen is removed": lambda folder: (folder / "signoff.md").unlink(),
    "a second page is added": append("refusal.html"),
    "a second document is added": append("drill.json"),
    "the sign-off is called a drill": as_drill,
    "a file is added": append("notes.txt"),
    "a nested manifest is added": append(f"{SUCCESS}/SHA256SUMS"),
}


@pytest.mark.parametrize("way", ALTERED_FOLDERS)
def test_a_folder_is_altered_and_its_manifest_follows(run: Path, way: str) -> None:
    ALTERED_FOLDERS[way](run)
    listed_again(run)
    assert contradictions(run) != ()


def with_socket(folder: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket may hold a hundred bytes
    try:
        listening.bind("socket")
    finally:
        os.chdir(here)
        listening.close()


def as_link(path: str) -> Callable[[Path], None]:
    def alter(folder: Path) -> None:
        elsewhere = folder.parent / f".elsewhere-{path.replace('/', '-')}"
        (folder / path).rename(elsewhere)
        (folder / path).symlink_to(elsewhere)

    return alter


def as_pipe(folder: Path) -> None:
    (folder / SUCCESS / "records.jsonl").unlink()
    os.mkfifo(folder / SUCCESS / "records.jsonl")


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a link is added": lambda folder: (folder / "link").symlink_to("/etc/hostname"),
    "a link that leads nowhere is added": lambda folder: (folder / "link").symlink_to("nowhere"),
    "a link to a folder is added": lambda folder: (folder / "link").symlink_to("/etc"),
    "a pipe is added": lambda folder: os.mkfifo(folder / SUCCESS / "pipe"),
    "a socket is added": with_socket,
    "evidence is a link to the same bytes": as_link(f"{SUCCESS}/records.jsonl"),
    "evidence is a pipe": as_pipe,
    "the folder of evidence is a link": as_link("evidence"),
    "the document is a link": as_link("signoff.json"),
    "the manifest is a link": as_link(MANIFEST),
    "a name that is no text": lambda folder: (folder / os.fsdecode(b"a\xff.txt")).write_bytes(b"x"),
}


@pytest.mark.parametrize("way", SPECIAL)
def test_what_is_no_file_is_noticed(run: Path, way: str) -> None:
    SPECIAL[way](run)
    assert contradictions(run) != ()


def test_the_folder_has_another_name(run: Path) -> None:
    moved = run.rename(run.parent / "20261122T120000Z-0123abcd")
    assert any("expected the run of its folder" in fault for fault in contradictions(moved))


def test_a_folder_that_was_moved_aside_is_itself_still(run: Path) -> None:
    assert contradictions(run.rename(run.parent / f"{RUN}.2")) == ()


OLD = '{"ok": true, "requestId": "smoke:full-flow:1"}'
REFUSED_COMMANDS = {
    "an argument that does not exist": ("smoke:full-flow", "--allow-nothing"),
    "an argument without its value": ("smoke:full-flow", "--local-artifact"),
    "a mode that does not exist": ("smoke:full-flow", "--mode", "dry"),
    "a live system that is not named": ("smoke:full-flow", "--mode", "live"),
    "a fault that does not exist": ("smoke:full-flow", "--fault", "Rain"),
    "a local artifact that cannot be read": ("smoke:full-flow", "--local-artifact", "old.json"),
    "a security drill of no system": ("smoke:security", "--mode", "live"),
    "books of no system": ("smoke:settlement", "--mode", "live"),
    "a compilation for no system": ("smoke:compile", "--mode", "live"),
    "a deploy to no system": ("reconcile", "--mode", "live"),
    "a deploy to no system, by its other name": ("reconcile:convex",),
    "a look at no system": ("smoke:observability", "--mode", "live"),
    "a look at no deployment": ("smoke:staging", "--mode", "live"),
}


@pytest.mark.parametrize("named", [False, True], ids=["in output", "in a named folder"])
@pytest.mark.parametrize("way", REFUSED_COMMANDS)
def test_a_command_that_is_refused_leaves_nothing_of_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, named: bool
) -> None:
    from pytest_l402.cli import main

    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("OA_")]:
        monkeypatch.delenv(variable)
    command, *others = REFUSED_COMMANDS[way]
    output = Path("named" if named else "output")
    kind = command.removeprefix("smoke:").removesuffix(":convex")
    places = [output / "lightning-ops" / kind / "smoke_earlier" / "summary.json"]
    if kind == "full-flow":
        places.append(output / "l402-hosted-full-flow-summary.json")
        places += [output / "summary.json"] if named else []
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(OLD)
    Path("old.json").write_text("no JSON")
    arguments = [command, *(["--artifact-dir", "named"] if named else []), *others]
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]

    assert code == 2
    assert [place for place in places if place.exists()] == []
    kept = sorted(file.name for file in output.rglob("*.json"))
    assert len(kept) == len(places)


@pytest.mark.parametrize("arguments", [("--help",), ("smoke:full-flow", "--help"), ("smoke:full-flw",)])
def test_who_only_asks_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    from pytest_l402.cli import main

    monkeypatch.chdir(tmp_path)
    place = Path("output/l402-hosted-full-flow-summary.json")
    place.parent.mkdir()
    place.write_text(OLD)
    with pytest.raises(SystemExit):
        main(arguments)
    assert place.read_text() == OLD


OUTPUTS = (
    "output/l402-hosted-full-flow-summary.json",
    "output/lightning-ops/full-flow/smoke_full-flow_1/summary.json",
)
ENDS: dict[str, tuple[str, ...]] = {
    "a required rehearsal fails": (),
    "a module cannot be imported": (),
    "nothing is collected": ("rehearsals", "-p", "no:python"),
    "it stops before its first test": (),
    "a module cannot be imported, and nobody asked for rehearsals": ("-m", ""),
}


@pytest.mark.parametrize("way", ENDS)
def test_a_full_run_leaves_nothing_of_an_earlier_one(project: Project, way: str) -> None:
    for output in OUTPUTS:
        project.write(output, OLD)
    if way == "a required rehearsal fails":
        project.replace("rehearsals/test_alpha.py", "def test_alpha(l402_evidence):", "def test_alpha():")
    if way.startswith("a module cannot be imported"):
        project.replace("rehearsals/test_alpha.py", "import pytest\n", "import pytest, nothing\n")
    if way == "it stops before its first test":
        project.pytester.makeconftest("""
            def pytest_collection_finish():
                raise KeyboardInterrupt
        """)
    end = project.run("-m", "rehearsal", *ENDS[way])
    assert end.exit != 0
    assert [output for output in OUTPUTS if (project.root / output).exists()] == []
    assert len(list((project.root / "output/lightning-ops/previous").rglob("*.json"))) == len(OUTPUTS)


def test_what_an_earlier_run_left_in_the_artifact_folder_goes_with_it(project: Project) -> None:
    project.replace(
        "rehearsals/test_alpha.py",
        'drill(l402_evidence, "1.free")',
        'drill(l402_evidence, "1.free")\n    l402_evidence.artifact_dir.mkdir(parents=True)\n'
        '    (l402_evidence.artifact_dir / "answer.json").write_text("{}")',
    )
    first = project.run("-m", "rehearsal")
    assert first.verdict == "SIGNED_OFF"
    assert (project.root / "output/answer.json").is_file()
    project.write("output/mine.json", "{}")
    project.replace("rehearsals/test_alpha.py", "import pytest\n", "import pytest, nothing\n")
    project.pytester.runpytest_inprocess("-m", "rehearsal")

    assert not (project.root / "output/answer.json").exists()
    assert (project.root / "output/mine.json").is_file()
    assert len(list((project.signoff / "previous").rglob("answer.json"))) == 1


def test_a_file_that_was_altered_since_is_nobody_elses_to_remove(project: Project) -> None:
    project.replace(
        "rehearsals/test_alpha.py",
        'drill(l402_evidence, "1.free")',
        'drill(l402_evidence, "1.free")\n    l402_evidence.artifact_dir.mkdir(parents=True)\n'
        '    (l402_evidence.artifact_dir / "answer.json").write_text("{}")',
    )
    assert project.run("-m", "rehearsal").verdict == "SIGNED_OFF"
    project.write("output/answer.json", "mine now")
    project.replace("rehearsals/test_alpha.py", "import pytest\n", "import pytest, nothing\n")
    project.pytester.runpytest_inprocess("-m", "rehearsal")

    assert (project.root / "output/answer.json").read_text() == "mine now"


def ended(folder: Path, number: int, kind: str = "refusal") -> Path:
    run = folder / f"202611{number:02}T120000Z-0123abcd"
    run.mkdir(parents=True)
    (run / f"{kind}.json").write_text("{}")
    return run


def test_of_earlier_runs_the_last_ones_are_kept_and_the_last_sign_off(tmp_path: Path) -> None:
    previous = tmp_path / "previous"
    signed_off = [ended(previous, number, "signoff") for number in (1, 2)]
    refused = [ended(previous, number) for number in range(3, 20)]
    for name in ("notes", "20261101T120000Z-0123abcd-mine", "20261101T120000Z-0000abcd"):
        (previous / name).mkdir()
    (previous / "20261102T120000Z-0000abcd").symlink_to(tmp_path)

    assert set(remove_oldest(tmp_path, keep=10)) == {signed_off[0], *refused[:7]}
    assert not any(run.exists() for run in (signed_off[0], *refused[:7]))
    assert all(run.is_dir() for run in (signed_off[1], *refused[7:]))
    assert len(list(previous.iterdir())) == 11 + 4
    assert remove_oldest(tmp_path, keep=10) == ()


def test_a_run_says_what_it_removed_and_only_then(project: Project) -> None:
    first = project.run("-m", "rehearsal", "--l402-keep-previous=3")
    assert "removed" not in first.output
    for number in range(1, 6):
        ended(project.signoff / "previous", number)
    second = project.end_of_second(first, "-m", "rehearsal", "--l402-keep-previous=3")
    assert second.exit == 0
    assert "removed 2 earlier runs" in second.output


@pytest.mark.parametrize("value", ["-1", "ten", "1.5", ""])
def test_how_many_are_kept_is_a_whole_number(project: Project, value: str) -> None:
    end = project.run("-m", "rehearsal", f"--l402-keep-previous={value}")
    assert (end.exit, end.verdict) == (4, None)
    assert "--l402-keep-previous: expected" in end.output


PAIRS = [
    ("a/b", "a_b"),
    ("a:b", "a_b"),
    ("a b", "a/b"),
    ("A", "a"),
    ("smoke:staging:1", "smoke_staging_1"),
    ("..", "_."),
    ("x" * 300, "x" * 301),
    ("e\u0301", "\u00e9"),
    ("a\0b", "a_b"),
    ("\ud800", "\ud801"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[f"pair {number}" for number in range(len(PAIRS))])
def test_two_requests_never_erase_each_other(tmp_path: Path, one: str, other: str) -> None:
    for request_id in (one, other):
        ArtifactFolder(tmp_path, "reconcile", request_id).leave({"ok": True, "size": len(request_id)})
    summaries = list((tmp_path / "lightning-ops" / "reconcile").glob("*/summary.json"))
    assert len({str(summary).lower() for summary in summaries}) == 2


def test_moving_aside_touches_nothing_that_is_not_ours(tmp_path: Path) -> None:
    kind = tmp_path / "lightning-ops" / "staging"
    (kind / "notes").mkdir(parents=True)
    (kind / "notes" / "mine.txt").write_text("mine")
    (kind / "going-on").mkdir()
    (kind / "going-on" / "records.jsonl").write_text("{}\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "summary.json").write_text(OLD)
    (kind / "linked").symlink_to(tmp_path / "elsewhere")
    for number in range(14):
        run = kind / f"run-{number:02}"
        run.mkdir()
        (run / "summary.json").write_text(OLD)
        move_earlier_aside(tmp_path, "staging")

    assert sorted(place.name for place in kind.iterdir()) == ["going-on", "linked", "notes"]
    kept = sorted(place.name for place in (kind.parent / "previous" / "staging").iterdir())
    assert kept == [f"run-{number:02}" for number in range(4, 14)]
