"""Statements: what is attested of a run and of the tested system, and what a consumer concludes from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from signoff_samples import GREEN, PROJECT, SYSTEM, VERSIONS, facts, failed_node, judge, node, waiver

from pytest_l402.signoff import SignOffDocument
from pytest_l402.signoff.document import Vouched, build_document
from pytest_l402.signoff.document_entries import SignerStanding
from pytest_l402.signoff.files import write_run
from pytest_l402.signoff.results import NodeResult, RunFacts
from pytest_l402.signoff.statement import CONFIGURATION, run_statement, system_statement
from pytest_l402.signoff.waivers import Waiver, WaiverTarget

PINNED = replace(SYSTEM, digest=f"sha256:{'1' * 64}")


def pinned(*nodes: NodeResult) -> tuple[NodeResult, ...]:
    return tuple(replace(each, systems=(PINNED,)) for each in nodes)


def document(
    nodes: tuple[NodeResult, ...], run: RunFacts | None = None, waivers: tuple[Waiver, ...] = ()
) -> SignOffDocument:
    vouched = Vouched(signer=SignerStanding.OUTSIDER, battery_sha256="b" * 64)
    return build_document(judge(nodes, run, waivers), project=PROJECT, versions=VERSIONS, vouched=vouched)


def system(*arguments: Any) -> dict[str, Any]:
    data = system_statement(document(*arguments))
    assert data is not None
    found: dict[str, Any] = json.loads(data)
    return found


def consumer_allows(statement: dict[str, Any]) -> bool:
    """What a policy does that reads test results: the first configuration's name, then `result` alone."""
    predicate = statement["predicate"]
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert predicate["configuration"][0]["name"] == "pytest-l402 rehearsals" == CONFIGURATION
    assert predicate["result"] in {"PASSED", "WARNED", "FAILED"}
    # It takes its messages from the lists: neither may contradict the other.
    assert bool(predicate["failedTests"]) == (predicate["result"] == "FAILED")
    assert predicate["result"] != "PASSED" or not predicate["warnedTests"]
    return predicate["result"] != "FAILED"


def test_a_run_that_signed_off_passes() -> None:
    told = system(pinned(*GREEN))
    assert consumer_allows(told)
    assert told["subject"] == [{"name": SYSTEM.name, "digest": {"sha256": "1" * 64}}]
    assert told["predicate"]["passedTests"] == ["success", "reuse"]


def test_what_was_waived_is_a_warning() -> None:
    nodes = pinned(node("success"), failed_node("reuse"))
    accepted = waiver(WaiverTarget.REHEARSAL, "reuse")
    told = system(nodes, facts(nodes), (accepted,))
    assert consumer_allows(told)
    assert (told["predicate"]["result"], told["predicate"]["warnedTests"]) == ("WARNED", ["reuse"])


@pytest.mark.parametrize(
    ("nodes", "changes", "failed"),
    [
        ((node("success"), failed_node("reuse")), {"exit_status": 1}, ["reuse"]),
        ((node("success"),), {}, ["reuse"]),
        ((), {}, ["success", "reuse"]),
        (GREEN, {"internal_errors": ("it broke",)}, ["run: internal-error"]),
        (GREEN, {"exit_status": 6}, ["run: exit-status"]),
    ],
    ids=["failed", "not-run", "nothing", "broken", "exit-status"],
)
def test_what_is_no_sign_off_never_passes(
    nodes: tuple[NodeResult, ...], changes: dict[str, Any], failed: list[str]
) -> None:
    nodes = pinned(*nodes)
    built = document(nodes, facts(nodes, **changes))
    if not nodes:  # nothing was attached, so nothing is pinned
        assert system_statement(built) is None
        return
    told = system(nodes, facts(nodes, **changes))
    assert not consumer_allows(told)
    assert told["predicate"]["failedTests"] == failed


def test_no_statement_is_about_a_system_that_nothing_pins() -> None:
    assert system_statement(document(GREEN)) is None
    mixed = (replace(GREEN[0], systems=(PINNED,)), GREEN[1])
    assert system_statement(document(mixed)) is None


def test_a_drill_says_nothing_of_the_system() -> None:
    nodes = pinned(*GREEN)
    assert system_statement(document(nodes, facts(nodes, narrowed_by=("-k x",)))) is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({}, "signoff"), ({"exit_status": 3}, "refusal"), ({"narrowed_by": ("-k x",)}, "drill")],
)
def test_only_a_sign_off_has_the_type_of_one(changes: dict[str, Any], kind: str) -> None:
    told = json.loads(run_statement(document(GREEN, facts(**changes)), {}))
    assert told["predicateType"] == f"urn:pytest-l402:{kind}:v1"
    assert (told["predicate"]["window"] is not None) == (kind == "signoff")


def test_every_file_is_a_subject_but_those_that_speak_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "records.jsonl").write_bytes(b"{}\n")
    write_run(tmp_path, document(pinned(*GREEN)))
    told = json.loads((tmp_path / "statement.json").read_bytes())
    found = {each["name"]: each["digest"]["sha256"] for each in told["subject"]}
    views = ["badge.json", "comment.md", "ctrf.json"]
    own = ["evidence/records.jsonl", "signoff.html", "signoff.json", "signoff.md"]
    assert [*found] == [*views, *own]
    assert found["signoff.json"] == hashlib.sha256((tmp_path / "signoff.json").read_bytes()).hexdigest()
    assert "  statement.json\n" in (tmp_path / "SHA256SUMS").read_text()
    assert "  test-result.json\n" in (tmp_path / "SHA256SUMS").read_text()


def test_what_is_claimed_can_be_counted_in_the_document() -> None:
    told = json.loads(run_statement(document(GREEN), {}))["predicate"]
    assert told["claim"] == {
        "battery": {
            "name": "pytest-l402",
            "version": "0",
            "sha256": "b" * 64,
            "catalogue": {"source": "rehearsals/catalogue.yaml", "sha256": "c" * 64},
            "families": ["observability"],
        },
        "settlements": 0,
        "mutants": {"tried": 10, "killedForDeclaredReason": 10},
        "signer": "outsider",
    }
    assert told["required"] == {"families": ["observability"], "rehearsals": ["success", "reuse"]}
    assert (told["signature"], told["clock"]) == ("UNSIGNED", "clock of the machine, self-asserted")
