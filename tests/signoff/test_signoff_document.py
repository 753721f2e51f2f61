"""signoff.json: what it lists, that it comes back the same, and that it cannot say more than it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from signoff_samples import (
    CATALOGUE,
    GREEN,
    PROJECT,
    SYSTEM,
    VERSIONS,
    document,
    facts,
    failed_node,
    held,
    judge,
    node,
    violated,
    violation,
    waiver,
)

from pytest_l402.boundary.strict_json import InputError
from pytest_l402.evidence.check import CheckResult, MutantResult, MutantVerdict
from pytest_l402.evidence.parts import Part
from pytest_l402.evidence.system import AttachedSystem
from pytest_l402.signoff import read_signoff
from pytest_l402.signoff.document import ProjectPin, build_document, document_bytes, installed_versions
from pytest_l402.signoff.results import RecordedFile
from pytest_l402.signoff.waivers import WaiverTarget
from pytest_l402.signoff.wording import standing


def plain(**changes: Any) -> Any:
    return json.loads(document_bytes(document(**changes)))


def write(tmp_path: Path, value: Any, name: str = "signoff.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_it_lists_what_the_verdict_rests_on() -> None:
    written = plain()
    reuse = next(entry for entry in written["rehearsals"] if entry["id"] == "reuse")
    (ran,) = reuse["nodes"]

    assert (written["schema_version"], written["kind"], written["verdict"]) == ("3", "signoff", "SIGNED_OFF")
    assert written["signature"] == "UNSIGNED"
    assert written["run"]["selection"] == "full"
    assert written["catalogue"]["sha256"] == "c" * 64
    assert written["versions"] == {"python": "3.x", "pytest-l402": "0"}
    assert reuse["state"] == "PASSED"
    assert reuse["need"] == "required"
    assert reuse["lines"] == [
        {
            "id": "2.hit",
            "section": "2",
            "text": "a record has cacheHit=true",
            "source": "runbook",
            "state": "PROVEN",
            "proven_by": ["check 2.hit"],
        }
    ]
    assert ran["request_ids"] == ["req-reuse"]
    file = {"path": "evidence/reuse/records.jsonl", "sha256": "a" * 64, "bytes": 10, "rows": 3}
    assert ran["evidence"] == [file]
    asked, standing = ran["checks"]
    assert asked == {
        "name": "check 2.hit",
        "scope": "asked",
        "line": {"id": "2.hit", "section": "2", "text": "a record has cacheHit=true"},
        "state": "HELD",
        "rows": 3,
        "moment": "verify-1",
        "read": {"evidence/reuse/records.jsonl": 3},
        "recipe": {"factory": "some_record", "arguments": [], "named": {"cacheHit": True}},
        "violations": [],
        "mutants_killed": ["key dropped", "row removed"],
        "mutants_wrong_reason": [],
        "mutants_survived": [],
        "mutants_not_applicable": [],
        "canaries": [],
    }
    assert (standing["scope"], standing["line"]) == ("standing", None)
    assert written["counts"]["mutants_killed"] == 10
    assert written["counts"]["rehearsals"] == {
        "PASSED": 2,
        "WAIVED": 0,
        "NOT_RUN": 1,
        "INCOMPLETE": 0,
        "FAILED": 0,
    }


def test_a_refusal_lists_violations_survivors_and_reasons() -> None:
    survivor = held(
        "sleepy", "1.ok", mutants=(MutantResult("key dropped", MutantVerdict.SURVIVED, "not noticed"),)
    )
    success = failed_node("success", checks=(violated("keys", "1.keys"), survivor))
    written = plain(nodes=(success, GREEN[1]), run=facts((success, GREEN[1]), exit_status=1))
    entry = written["rehearsals"][0]
    keys, sleepy = entry["nodes"][0]["checks"][:2]

    assert (written["kind"], written["verdict"]) == ("refusal", "NOT_SIGNED_OFF")
    assert [reason["code"] for reason in entry["reasons"]] == [
        "check-violated",
        "mutant-survived",
        "phase-failed",
    ]
    assert keys["state"] == "VIOLATED"
    assert keys["violations"] == [
        {
            "expected": "19 keys",
            "seen": "18 keys",
            "where": "records row 4",
            "remedy": "emit the key",
            "at_fault": "evidence",
        }
    ]
    assert sleepy["state"] == "TOOTHLESS"
    assert sleepy["mutants_survived"] == [{"name": "key dropped", "detail": "not noticed"}]
    assert [line["state"] for line in entry["lines"]] == ["UNPROVEN", "UNPROVEN"]


def test_waivers_show_with_their_effect() -> None:
    nodes = (node("success"), node("reuse", checks=(violated("hit", "2.hit"),)))
    used = waiver(WaiverTarget.CHECK, "hit")
    unused = waiver(WaiverTarget.LINE, "observability/1.ok")
    written = plain(nodes=nodes, waivers=(used, unused))
    reuse = written["rehearsals"][1]

    assert written["verdict"] == "SIGNED_OFF"
    assert [entry["effect"] for entry in written["waivers"]] == ["waived", "unused"]
    assert written["waivers"][0]["until"] == "2026-12-01"
    assert reuse["reasons"][0]["waived_by"] == "check hit"
    assert reuse["lines"][0]["state"] == "WAIVED"

    ended = waiver(WaiverTarget.CHECK, "hit", until=date(2026, 1, 1))
    assert plain(nodes=nodes, waivers=(ended,))["waivers"][0]["effect"] == "expired"


def test_an_unknown_line_of_a_check_is_cited_by_its_id_alone() -> None:
    written = plain(nodes=(node("success"), node("reuse", standing=(held("s", "x.y"),))))

    assert written["rehearsals"][1]["nodes"][0]["checks"][1]["line"] == {
        "id": "x.y",
        "section": "",
        "text": "",
    }


def test_no_layout_of_a_machine_is_in_it() -> None:
    absolute = replace(CATALOGUE, source="/home/ada/work/rehearsals/catalogue.yaml")
    built = build_document(judge(catalogue=absolute), project=PROJECT)

    assert built.catalogue.source == "rehearsals/catalogue.yaml"
    assert b"/home/ada" not in document_bytes(built)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert document_bytes(document()) == document_bytes(document())
    assert document_bytes(document()).endswith(b"}\n")


def test_no_secret_and_no_control_character_reaches_the_bytes() -> None:
    canary = "0123456789abcdef" * 4
    dirty = f"preimage={canary}\x1b[2J\u202e"
    check = CheckResult(
        f"check {dirty}",
        "1.ok",
        1,
        (violation(check=dirty, expected=dirty, seen=dirty, where=dirty, remedy=dirty),),
        (
            MutantResult(dirty, MutantVerdict.KILLED, dirty),
            MutantResult(dirty, MutantVerdict.SURVIVED, dirty),
        ),
    )
    bad = failed_node(
        "success",
        nodeid=dirty,
        case=dirty,
        checks=(check,),
        failure=f"{dirty}\n{dirty}",
        skipped=dirty,
        xfail=dirty,
        request_ids=(dirty,),
        systems=(AttachedSystem(dirty, dirty, dirty, (Part(*[dirty] * 4, True, dirty, dirty),), (dirty,)),),
        file=dirty,
    )
    run = facts(
        (bad,),
        seed=dirty,
        narrowed_by=(),
        collect_errors=(dirty,),
        worker_crashes=(dirty,),
        internal_errors=(dirty,),
        evidence_faults=(dirty,),
    )
    nasty = waiver(WaiverTarget.CHECK, f"check {dirty}")
    built = build_document(judge((bad,), run, (nasty,)), project=ProjectPin(None, dirty), versions={"x": "1"})
    data = document_bytes(built)

    assert canary.encode() not in data
    assert b"\x1b" not in data
    assert "\u202e".encode() not in data


def test_whatever_a_text_holds_is_written_and_read_back_alike(tmp_path: Path) -> None:
    nasty = "token=0123456789abcdef0123 \ud83d \x1b[2J\u202e" + "x" * 5000
    built = build_document(
        judge((failed_node("success", failure=f"{nasty}\n{nasty}", request_ids=(nasty,)), node("reuse"))),
        project=PROJECT,
        versions=VERSIONS,
    )
    (tmp_path / "refusal.json").write_bytes(document_bytes(built))

    assert "0123456789abcdef0123" not in built.model_dump_json()
    assert read_signoff(tmp_path) == built


IMAGE = f"sha256:{'d' * 64}"


def test_it_lists_every_system_and_part_with_the_tests_that_had_it() -> None:
    mine = Part("buyer", "MyClient", file="conftest.py")
    theirs = Part("buyer", "L402Client", "l402-requests", "0.9.0", held_by="MyClient")
    own = replace(SYSTEM, parts=(*SYSTEM.parts, mine, theirs))
    live = AttachedSystem("platform", "configHash x", IMAGE, (Part("gateway", "gw.example.org"),))
    nodes = (node("success", systems=(SYSTEM, live)), node("reuse", systems=(own,)))
    stack, platform = plain(nodes=nodes)["systems"]

    assert (stack["name"], stack["version"], stack["digest"], stack["pinned"], stack["tests"]) == (
        *("stack of the tests", "0", None, "no"),
        2,
    )
    assert stack["standing_checks"] == ["records_complete"]
    assert [(part["name"], part["ours"], part["tests"]) for part in stack["parts"]] == [
        ("Gateway", True, 2),
        ("MyClient", False, 1),
        ("L402Client", False, 1),
    ]
    assert stack["parts"][2] == {
        "role": "buyer",
        "name": "L402Client",
        "distribution": "l402-requests",
        "version": "0.9.0",
        "ours": False,
        "file": None,
        "held_by": "MyClient",
        "requests": None,
        "tests": 1,
    }
    assert (platform["digest"], platform["pinned"], platform["standing_checks"]) == (IMAGE, "by-digest", [])


def test_a_system_in_two_states_is_listed_in_both() -> None:
    nodes = (node("success", systems=(SYSTEM,)), node("reuse", systems=(replace(SYSTEM, digest=IMAGE),)))
    assert [(system["digest"], system["pinned"]) for system in plain(nodes=nodes)["systems"]] == [
        (None, "no"),
        (IMAGE, "by-digest"),
    ]


def test_a_digest_that_names_no_content_pins_nothing() -> None:
    nodes = (node("success", systems=(replace(SYSTEM, digest="latest"),)), node("reuse"))
    system = plain(nodes=nodes)["systems"][0]
    assert (system["digest"], system["pinned"]) == ("latest", "no")


def test_what_was_tested_is_told_in_words() -> None:
    own = replace(
        SYSTEM,
        digest=IMAGE,
        parts=(*SYSTEM.parts, Part("buyer", "MyClient", file="conftest.py"), Part("host", "gw.example.org")),
        standing_checks=(),
    )
    nodes = (node("success", systems=(own,)), node("reuse", systems=()))
    assert standing(document(nodes))[1:3] == (
        f"Tested system: stack of the tests 0, pinned by {IMAGE}; buyer: MyClient (conftest.py, in no "
        "installed package); host: gw.example.org; no standing checks.",
        "Rehearsals not pinned: no git commit holds them.",
    )
    assert standing(document((node("success", systems=()), node("reuse", systems=()))))[1] == (
        "Tested system: none was attached."
    )


def test_a_sign_off_of_version_1_is_still_read(tmp_path: Path) -> None:
    path = Path(__file__).parent / "vectors" / "signoff-version-1.json"
    old = json.loads(path.read_text())
    found = read_signoff(write(tmp_path, old))
    assert old["schema_version"] == "1"
    assert (found.verdict, found.run.id, len(found.rehearsals)) == (
        *("SIGNED_OFF", old["run"]["id"]),
        len(old["rehearsals"]),
    )
    (system,) = found.systems
    # What pinned it was the commit of the project.
    assert (system.name, system.version, system.digest, system.pinned) == (
        *("pytest-l402 stand-in stack", "0.1.0", None, "no"),
    )
    assert found.project.digest == old["system"]["digest"]
    assert old["system"]["digest"].startswith("git:")


def test_a_line_of_version_1_is_proven_only_if_every_check_of_it_held(tmp_path: Path) -> None:
    old = json.loads((Path(__file__).parent / "vectors" / "signoff-version-1.json").read_text())
    old.update(kind="refusal", verdict="NOT_SIGNED_OFF")
    old["reasons"] = [dict.fromkeys(("rehearsal", "check", "line", "waived_by"), None)]
    old["reasons"][0].update(code="exit-status", text="a test failed")
    entry = next(entry for entry in old["rehearsals"] if entry["lines"] and entry["lines"][0]["proven_by"])
    line, check = entry["lines"][0], entry["nodes"][0]["checks"][0]
    entry["state"] = "FAILED"
    check.update(state="TOOTHLESS", line={key: line[key] for key in ("id", "section", "text")})
    old["counts"]["rehearsals"].update(
        PASSED=old["counts"]["rehearsals"]["PASSED"] - 1, FAILED=old["counts"]["rehearsals"]["FAILED"] + 1
    )
    (tmp_path / "refusal.json").write_text(json.dumps(old))

    found = read_signoff(tmp_path / "refusal.json")
    (told,) = (each.lines[0] for each in found.rehearsals if each.id == entry["id"])
    assert (told.state, told.proven_by) == ("UNPROVEN", ())


@pytest.mark.parametrize(
    "change",
    [
        lambda old: old.pop("system"),
        lambda old: old["system"].update(more="x"),
        lambda old: old.update(system="x"),
        lambda old: old.update(systems=[]),
        lambda old: old.update(verdict="DRILL"),
    ],
    ids=["no-system", "more", "text", "both", "verdict"],
)
def test_a_bad_document_of_version_1_is_refused_on_one_line(
    tmp_path: Path, change: Callable[[Any], object]
) -> None:
    old = json.loads((Path(__file__).parent / "vectors" / "signoff-version-1.json").read_text())
    change(old)
    with pytest.raises(InputError) as caught:
        read_signoff(write(tmp_path, old))
    assert len(str(caught.value).splitlines()) == 1


def test_it_comes_back_from_the_file_and_from_the_folder(tmp_path: Path) -> None:
    built = document()
    (tmp_path / "signoff.json").write_bytes(document_bytes(built))

    assert read_signoff(tmp_path / "signoff.json") == built
    assert read_signoff(tmp_path) == built


def test_a_folder_must_hold_exactly_one_document(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of them"):
        read_signoff(tmp_path)
    (tmp_path / "signoff.json").write_bytes(document_bytes(document()))
    (tmp_path / "drill.json").write_bytes(b"{}")
    with pytest.raises(InputError, match=r"signoff\.json and drill\.json"):
        read_signoff(tmp_path)


def test_a_drill_renamed_to_signoff_is_refused(tmp_path: Path) -> None:
    drill = document(GREEN, facts(GREEN, narrowed_by=("-k reuse",)))
    (tmp_path / "signoff.json").write_bytes(document_bytes(drill))

    with pytest.raises(InputError, match=r"drill\.json"):
        read_signoff(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b"\xff", b'{"a": 1, "a": 1}', b'{"verdict": "SIGNED_OFF"}']
)
def test_what_is_no_document_is_refused_on_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "signoff.json"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_signoff(path)

    assert len(str(caught.value).splitlines()) == 1
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json"):
        read_signoff(tmp_path / "gone.json")


def _reuse(value: Any) -> Any:
    return value["rehearsals"][1]


def _check(value: Any) -> Any:
    return _reuse(value)["nodes"][0]["checks"][0]


_UNNOTICED = {"name": "a mutant", "detail": "told of something else"}
_CANARY = {"name": "noise", "due": "survives", "seen": "survives", "detail": ""}


def _drop_node(value: Any) -> None:
    _reuse(value)["nodes"] = []


_ENDS = ("killed", "wrong_reason", "survived", "not_applicable")


def _recount(value: Any) -> None:
    """Make the totals agree again, so that it is not they that give the change away."""
    checks = [check for entry in value["rehearsals"] for node in entry["nodes"] for check in node["checks"]]
    files = [file for entry in value["rehearsals"] for node in entry["nodes"] for file in node["evidence"]]
    states = [entry["state"] for entry in value["rehearsals"]]
    value["counts"] = {
        "rehearsals": {state: states.count(state) for state in value["counts"]["rehearsals"]},
        "checks": len(checks),
        "violations": 0,
        **{f"mutants_{each}": sum(len(check[f"mutants_{each}"]) for check in checks) for each in _ENDS},
        "canaries": sum(len(check["canaries"]) for check in checks),
        "evidence_files": len(files),
        "evidence_bytes": sum(file["bytes"] for file in files),
    }


TAMPERED: dict[str, Callable[[Any], object]] = {
    "verdict-only": lambda value: value.update(verdict="NOT_SIGNED_OFF"),
    "kind-only": lambda value: value.update(kind="drill"),
    "exit-status": lambda value: value["run"].update(exit_status=1),
    "teeth-off": lambda value: value["run"].update(teeth="off"),
    "narrowed": lambda value: value["run"].update(selection="narrowed"),
    "reason-kept": lambda value: value["reasons"].append(
        {
            "code": "interrupted",
            "text": "x",
            "rehearsal": None,
            "check": None,
            "line": None,
            "waived_by": None,
        }
    ),
    "state-failed": lambda value: _reuse(value).update(state="FAILED"),
    "state-not-run": lambda value: _reuse(value).update(state="NOT_RUN"),
    "waived-without-waiver": lambda value: _reuse(value).update(
        state="WAIVED",
        reasons=[
            {
                "code": "no-node",
                "text": "x",
                "rehearsal": None,
                "check": None,
                "line": None,
                "waived_by": None,
            }
        ],
    ),
    "nothing-required": lambda value: [entry.update(need="optional") for entry in value["rehearsals"]],
    "phase": lambda value: _reuse(value)["nodes"][0]["phases"].update(call="failed"),
    "no-phase": lambda value: _reuse(value)["nodes"][0]["phases"].pop("teardown"),
    "no-node": _drop_node,
    "no-rows": lambda value: _check(value).update(rows=0),
    "negative-rows": lambda value: _check(value).update(rows=-1),
    "check-violated": lambda value: _check(value).update(state="VIOLATED"),
    "no-mutants": lambda value: _check(value).update(mutants_killed=[]),
    "wrong-reason": lambda value: _check(value).update(mutants_wrong_reason=[_UNNOTICED]),
    "not-applicable": lambda value: _check(value).update(mutants_not_applicable=[_UNNOTICED]),
    "canary-died": lambda value: _check(value).update(canaries=[{**_CANARY, "seen": "dies"}]),
    "canary-lived": lambda value: _check(value).update(canaries=[{**_CANARY, "due": "dies"}]),
    "proven-in-spite": lambda value: (
        _reuse(value).update(state="FAILED", need="optional"),
        _check(value).update(state="VIOLATED"),
    ),
    "check-removed": lambda value: _reuse(value)["nodes"][0]["checks"].pop(0),
    "proven-by-nobody": lambda value: _reuse(value)["lines"][0].update(proven_by=[]),
    "proven-by-a-stranger": lambda value: _reuse(value)["lines"][0].update(proven_by=["someone"]),
    "line-unproven": lambda value: _reuse(value)["lines"][0].update(state="UNPROVEN"),
    "other-rows": lambda value: _check(value).update(rows=4),
    "other-rows-read": lambda value: _check(value)["read"].update({"evidence/reuse/records.jsonl": 4}),
    "read-elsewhere": lambda value: _check(value).update(read={"evidence/success/records.jsonl": 3}),
    "nothing-read": lambda value: _check(value).update(read={}),
    "other-moment": lambda value: _check(value).update(moment="verify-2"),
    "moment-removed": lambda value: _reuse(value)["nodes"][0]["moments"].pop("verify-1"),
    "moment-without-file": lambda value: _reuse(value)["nodes"][0]["moments"].update(standing=["x.jsonl"]),
    "moment-outside": lambda value: _reuse(value)["nodes"][0]["moments"].update(standing=["../x.jsonl"]),
    "counts": lambda value: value["counts"].update(checks=99),
    "waiver-expired": lambda value: value["waivers"].append(
        {
            "target": "check",
            "name": "x",
            "owner": "x",
            "reason": "x",
            "until": "2026-01-01",
            "source": "x",
            "effect": "expired",
        }
    ),
    "evidence-outside": lambda value: _reuse(value)["nodes"][0]["evidence"][0].update(path="../secrets"),
    "evidence-absolute": lambda value: _reuse(value)["nodes"][0]["evidence"][0].update(path="/etc/passwd"),
    "evidence-digest": lambda value: _reuse(value)["nodes"][0]["evidence"][0].update(sha256="A" * 64),
    "extra-key": lambda value: value.update(extra=1),
    "missing-key": lambda value: value.pop("signature"),
    "other-version": lambda value: value.update(schema_version="4"),
    "pinned-by-nothing": lambda value: value["systems"][0].update(pinned="by-digest"),
    "pinned-by-a-word": lambda value: value["systems"][0].update(pinned="by-digest", digest="latest"),
    "project-pinned-twice": lambda value: value["project"].update(digest="git:1"),
    "project-without-a-word": lambda value: value["project"].update(not_pinned_because=None),
    "number-as-text": lambda value: value["run"].update(exit_status="0"),
    "unknown-verdict": lambda value: value.update(verdict="FINE"),
}


FOUND = {
    "verdict-only": "kind signoff with verdict NOT_SIGNED_OFF",
    "kind-only": "kind drill with verdict SIGNED_OFF",
    "exit-status": "SIGNED_OFF with exit status 1",
    "teeth-off": "SIGNED_OFF with teeth off",
    "narrowed": "verdict SIGNED_OFF for a narrowed run",
    "reason-kept": "SIGNED_OFF in spite of: x",
    "state-failed": "SIGNED_OFF though reuse is FAILED",
    "state-not-run": "SIGNED_OFF though reuse is NOT_RUN",
    "waived-without-waiver": "a reason that no waiver covers",
    "nothing-required": "without a required rehearsal that passed",
    "phase": "did not pass setup, call and teardown",
    "no-phase": "did not pass setup, call and teardown",
    "no-node": "reuse is PASSED but no node ran",
    "no-rows": "is not HELD",
    "negative-rows": "rows",
    "check-violated": "is not HELD",
    "no-mutants": "is not HELD",
    "wrong-reason": "is not HELD",
    "not-applicable": "is not HELD",
    "canary-died": "is not HELD",
    "canary-lived": "is not HELD",
    "proven-in-spite": "line 2.hit of reuse is PROVEN although check 2.hit did not hold",
    "check-removed": "asked for no check",
    "proven-by-nobody": "line 2.hit is PROVEN, proven by nobody",
    "proven-by-a-stranger": "proven by someone, which did not run",
    "line-unproven": "line 2.hit is UNPROVEN",
    "other-rows": "check 2.hit judged 4 rows and read 3",
    "other-rows-read": "check 2.hit read other rows than those of the evidence",
    "read-elsewhere": "check 2.hit read what is not of verify-1",
    "nothing-read": "check 2.hit judged 3 rows and read 0",
    "other-moment": "check 2.hit read what is not of verify-2",
    "moment-removed": "check 2.hit read what is not of verify-1",
    "moment-without-file": "has no table evidence/reuse/x.jsonl of standing",
    "moment-outside": "below the run folder",
    "counts": "the counts are not those",
    "waiver-expired": "a waiver that has ended",
    "evidence-outside": "below the run folder",
    "evidence-absolute": "below the run folder",
    "evidence-digest": "sha256",
    "extra-key": "extra",
    "missing-key": "signature",
    "other-version": "schema_version",
    "pinned-by-nothing": "pinned by-digest with digest None",
    "pinned-by-a-word": "pinned by-digest with digest latest",
    "project-pinned-twice": "the project is pinned and is not",
    "project-without-a-word": "the project is pinned and is not",
    "number-as-text": "exit_status",
    "unknown-verdict": "verdict",
}


@pytest.mark.parametrize("name", sorted(TAMPERED))
def test_a_document_that_contradicts_itself_is_refused(tmp_path: Path, name: str) -> None:
    value = plain()
    _recount(value)
    read_signoff(write(tmp_path, value))
    TAMPERED[name](value)
    if name != "counts":
        _recount(value)

    with pytest.raises(InputError) as caught:
        read_signoff(write(tmp_path, value))
    assert FOUND[name] in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_refusal_must_say_why(tmp_path: Path) -> None:
    value = plain(run=facts(exit_status=3))
    read_signoff(write(tmp_path, value, "refusal.json"))
    value["reasons"] = []

    with pytest.raises(InputError, match="NOT_SIGNED_OFF without a reason"):
        read_signoff(write(tmp_path, value, "refusal.json"))


def test_evidence_outside_the_run_folder_is_never_written() -> None:
    outside = node("reuse", evidence_files=(RecordedFile("../x", "a" * 64, 1),))
    with pytest.raises(ValueError, match="below the run folder"):
        build_document(judge((node("success"), outside)), project=PROJECT)


def test_versions_name_what_is_missing() -> None:
    versions = installed_versions(("pytest", "no-such-distribution-x"))

    assert versions["pytest"] == pytest.__version__
    assert versions["no-such-distribution-x"] == "not installed"
    assert "python" in versions
