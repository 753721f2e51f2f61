"""What `l402_evidence` takes in, what it holds it to, and how a waiver stands beside what it covers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from plugin_project import ON_WORKERS_TOO, Project

from pytest_l402.evidence import Check, EvidenceError, Finding, Part
from pytest_l402.evidence.check import RunbookLine
from pytest_l402.evidence.checks.planes import record_checks
from pytest_l402.evidence.mutants import set_value
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

RECORD: dict[str, Any] = {
    "requestId": "req-1",
    "userId": None,
    "paywallId": None,
    "taskId": None,
    "endpoint": "/free",
    "quotedCostMsats": None,
    "capAppliedMsats": None,
    "paidAmountMsats": None,
    "paymentProofRef": None,
    "cacheHit": False,
    "denyReason": None,
    "executor": "gateway",
    "plane": "gateway",
    "executionPath": "hosted-node",
    "desktopSessionId": None,
    "desktopRuntimeStatus": None,
    "walletState": None,
    "nodeSyncStatus": None,
    "observedAtMs": 1_735_000_000_000,
}
MARKED = ("-m", "rehearsal")


class Counting:
    """A system without a word of L402, whose rows are whatever the test says."""

    name, version, digest = "counter", "1", None

    def __init__(
        self,
        tables: Any = dict,
        steady_state: Any = lambda when: (),
        checks: tuple[Check, ...] = (),
        name: str = "counter",
    ) -> None:
        self.tables, self.steady_state, self.checks, self.name = tables, steady_state, checks, name

    def parts(self) -> tuple[Part, ...]:
        return (Part("counter", "Counting"),)

    def standing_checks(self) -> tuple[Check, ...]:
        return self.checks


def collector(folder: Path, **options: Any) -> EvidenceCollector:
    return EvidenceCollector(title="a test", seed="00", artifact_dir=folder, **options)


def at_most(limit: int) -> Check:
    def judge(evidence: Any) -> Iterable[Finding]:
        for index, row in enumerate(evidence.table("counts")):
            if row["count"] > limit:
                yield Finding(f"at most {limit}", str(row["count"]), f"counts[{index}]", "count less")

    return Check(f"at_most({limit})", judge, (set_value("counts", "count", 10**6),), ("counts",))


def test_rows_of_systems_come_first_and_are_asked_for_each_time(tmp_path: Path) -> None:
    rows = [{"count": 1}]
    evidence = collector(tmp_path)
    evidence.attach(Counting(lambda: {"counts": rows}))
    evidence.record("own_counts", {"count": 9})
    rows.append({"count": 2})
    assert evidence.collect().names == ("counts", "own_counts")
    assert [row["count"] for row in evidence.collect().table("counts")] == [1, 2]
    assert evidence.own_rows == {"own_counts": 1}


def test_a_row_is_taken_as_it_is_at_that_moment(tmp_path: Path) -> None:
    row = {"count": 1}
    evidence = collector(tmp_path)
    evidence.record("counts", row)
    row["count"] = 2
    assert evidence.collect().table("counts") == ({"count": 1},)


def test_a_row_that_cannot_be_evidence_is_refused_where_it_is_recorded(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    with pytest.raises(EvidenceError, match=r"counts\[0\]: expected a JSON value, saw PosixPath"):
        evidence.record("counts", {"count": Path("x")})
    with pytest.raises(EvidenceError, match="lower-case"):
        evidence.record("Counts", {"count": 1})
    assert evidence.collect().names == ()


def test_steady_state_is_asked_once_before_and_each_time_after(tmp_path: Path) -> None:
    asked: list[str] = []

    def probe(when: str) -> list[dict[str, Any]]:
        asked.append(when)
        return [{"when": when, "probe": "p", "ok": True, "detail": str(len(asked))}]

    evidence = collector(tmp_path)
    evidence.attach(Counting(dict, probe))
    evidence.collect()
    found = evidence.collect().table("steady_state")
    assert asked == ["before", "after", "after"]
    assert [(row["when"], row["detail"]) for row in found] == [("before", "1"), ("after", "3")]


def test_verify_returns_what_every_check_said(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record("counts", {"count": 3})
    results = evidence.verify(at_most(5), at_most(4))
    assert [result.name for result in results] == ["at_most(5)", "at_most(4)"]
    assert all(result.has_teeth for result in results)
    assert evidence.checks == results


def test_verify_fails_after_every_check_was_run(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record("counts", {"count": 3})
    with pytest.raises(pytest.fail.Exception) as failure:
        evidence.verify(at_most(2), at_most(5), at_most(1))
    told = str(failure.value)
    assert told.startswith("at_most(2): expected at most 2, saw 3\n\na test: 2 checks do not hold")
    assert "at_most(2) is violated\n" in told
    assert "at_most(1)" in told
    assert "at_most(5)" not in str(failure.value)
    assert evidence.refusal is failure.value
    assert [result.passed for result in evidence.checks] == [False, True, False]


def test_a_check_without_teeth_does_not_hold(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record("counts", {"count": 3})
    with pytest.raises(pytest.fail.Exception, match="cannot be trusted"):
        evidence.verify(at_most(10**7))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (at_most, "saw the function at_most; call it: at_most(…)"),
        ([at_most(5)], "saw a list; give its members one by one: verify(*checks)"),
        (True, "saw an object of bool; give what a check"),
        (replace(at_most(5), name=" "), "saw one without a name; name it by what it is called with"),
    ],
    ids=["function", "list", "flag", "nameless"],
)
def test_what_is_no_check_is_told_as_a_wrong_argument(tmp_path: Path, given: Any, told: str) -> None:
    evidence = collector(tmp_path)
    evidence.record("counts", {"count": 3})
    with pytest.raises(pytest.fail.Exception) as failure:
        evidence.verify(at_most(5), given)
    assert f"a test: verify, argument 2: expected a check, {told}" in str(failure.value)
    assert evidence.refusal is failure.value
    assert evidence.checks == ()


def test_teeth_can_be_left_out(tmp_path: Path) -> None:
    evidence = collector(tmp_path, teeth=False)
    evidence.record("counts", {"count": 3})
    (result,) = evidence.verify(at_most(10**7))
    assert result.mutants == ()


def test_verify_without_a_check_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one check"):
        collector(tmp_path).verify()


def test_a_line_that_the_runbook_lacks_is_named_with_the_nearest(tmp_path: Path) -> None:
    lines = {"3.cache-hit": RunbookLine("3.cache-hit", "3", "a record with cacheHit=true")}
    evidence = collector(tmp_path, lines=lines)
    evidence.record("counts", {"count": 1})
    with pytest.raises(
        pytest.fail.Exception, match=r"'3\.cache-hti', which is no line .*mean '3\.cache-hit'"
    ):
        evidence.verify(at_most(2).proves("3.cache-hti"))
    assert evidence.checks == ()


def test_a_waived_check_does_not_fail_but_is_kept(tmp_path: Path) -> None:
    evidence = collector(tmp_path, waived=lambda result: result.name == "at_most(1)")
    evidence.attach(Counting(checks=record_checks()))
    evidence.record("counts", {"count": 3})
    (result,) = evidence.verify(at_most(1))
    assert not result.passed
    assert evidence.checks == (result,)
    assert evidence.judge_standing() == ()
    evidence.verify(at_most(5))
    assert [check.name for check in evidence.judge_standing()] == [
        "records_complete()",
        "planes_agree()",
        "no_secrets()",
    ]


def test_a_waived_check_does_not_spare_what_was_recorded(tmp_path: Path) -> None:
    evidence = collector(tmp_path, waived=lambda result: result.name == "at_most(1)")
    evidence.attach(Counting(lambda: {"counts": [{"count": 3}]}, checks=(at_most(2),)))
    evidence.verify(at_most(1))
    assert not evidence.judge_standing()[0].passed


@pytest.mark.parametrize(
    ("system", "standing"),
    [("with-laws", ["at_most(9)"]), ("without", []), ("recorded", ["records_complete()", "planes_agree()"])],
)
def test_standing_checks_come_with_the_system(tmp_path: Path, system: str, standing: list[str]) -> None:
    evidence = collector(tmp_path)
    evidence.record("counts", {"count": 3})
    if system == "recorded":
        evidence.record("records", RECORD)
    else:
        evidence.attach(Counting(checks=(at_most(9),) if system == "with-laws" else ()))
    evidence.verify(at_most(5))
    assert [check.name for check in evidence.judge_standing()] == [*standing, "no_secrets()"]
    assert evidence.standing == evidence.judge_standing()


def test_a_pure_function_is_held_to_keep_secrets_alone(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record("counts", {"count": 3})
    evidence.verify(at_most(5))
    assert [check.name for check in evidence.judge_standing()] == ["no_secrets()"]


def test_each_of_two_systems_is_held_to_its_own_laws(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.attach(Counting(lambda: {"counts": [{"count": 3}]}, checks=(at_most(5),)))
    evidence.attach(Counting(lambda: {"others": [{"count": 4}]}, checks=(at_most(6),), name="other"))
    assert [check.name for check in evidence.judge_standing()[:-1]] == ["at_most(5)", "at_most(6)"]
    assert [system.name for system in evidence.described_systems()] == ["counter", "other"]


BAD_SYSTEMS: dict[str, tuple[list[Any], str]] = {
    "no-version": ([Counting()], "system 'counter': expected a version, saw ''; "),
    "twice": ([Counting(), Counting()], "expected a name for each system of a test, saw it twice; "),
    "old-form": ([dict], "expected a system, saw tables alone, which do not say who was tested; attach an "),
    "no-rows": ([Counting(steady_state=lambda when: None)], "expected steady_state('before') to return rows"),
}


@pytest.mark.parametrize("name", BAD_SYSTEMS)
def test_a_bad_system_is_refused_where_it_is_attached(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems, expected = BAD_SYSTEMS[name]
    if name == "no-version":
        monkeypatch.setattr(Counting, "version", "")
    evidence = collector(tmp_path)
    for system in systems[:-1]:
        evidence.attach(system)
    with pytest.raises(pytest.fail.Exception) as failure:
        evidence.attach(systems[-1])
    assert expected in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1
    assert evidence.refusal is failure.value


def test_tables_that_are_none_fail_verify_with_one_line(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.attach(Counting(lambda: [1]))
    with pytest.raises(pytest.fail.Exception, match=r"^system 'counter': expected tables\(\) to return"):
        evidence.verify(at_most(5))


def test_standing_checks_see_the_records_of_a_local_artifact(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    flow = {"flow": "blocked", "observabilityRecords": [{**RECORD, "plane": "moon"}]}
    tables = {"local_artifact": [{"generatedAtMs": 1, "flows": [flow]}]}
    evidence.attach(Counting(lambda: tables, checks=record_checks()))
    assert any(not result.passed for result in evidence.judge_standing())


def test_what_is_kept_is_what_was_judged_last(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record("records", RECORD)
    assert len(evidence.final().table("records")) == 1
    evidence.judge_standing()
    evidence.record("records", RECORD)
    assert len(evidence.final().table("records")) == 1
    assert len(evidence.collect().table("records")) == 2


def test_a_fault_on_purpose_is_declared(tmp_path: Path) -> None:
    paid = {**RECORD, "paymentProofRef": "lightning_preimage:" + "a" * 24, "paidAmountMsats": 5}
    evidence = collector(tmp_path)
    evidence.record("records", RECORD | {"requestId": "req-2"}, paid)

    def broken() -> list[str]:
        return [result.name for result in evidence.judge_standing() if not result.passed]

    assert broken() == ["planes_agree()"]
    evidence.expect_fault("req-1")
    assert broken() == []


def test_triage_reads_records_and_local_artifact_only(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record(
        "records", {**RECORD, "plane": "control", "executor": "system", "denyReason": "global_pause_active"}
    )
    evidence.record("logs", {"line": "oa_req=req-1"})
    diagnosis = evidence.triage("req-1")
    assert (str(diagnosis.domain), diagnosis.deciding_field) == ("policy", "denyReason")


def test_evidence_in_an_ordinary_test(project: Project) -> None:
    project.write(
        "tests/test_client.py",
        "from drilling import RECORD, nothing_paid\n\n"
        "def test_client(l402_evidence, tmp_path):\n"
        "    l402_evidence.record('records', RECORD)\n"
        "    l402_evidence.verify(nothing_paid().proves('any line'))\n"
        "    assert l402_evidence.artifact_dir.is_relative_to(tmp_path)\n",
    )
    end = project.run("tests")
    assert (end.exit, end.verdict, end.moved) == (0, None, False), end.output


WAIVERS = "- {{rehearsal: alpha, owner: ops, reason: known, until: {day}}}\n"


def waive(project: Project, days: int) -> None:
    day = (datetime.now(UTC) + timedelta(days=days)).date()
    project.write("waivers.yaml", WAIVERS.format(day=day.isoformat()))


FAILING = ('drill(l402_evidence, "1.free")', 'drill(l402_evidence, "1.free", paidAmountMsats=7)')


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_waiver(project: Project, workers: int) -> None:
    waive(project, days=3)
    project.replace("rehearsals/test_alpha.py", *FAILING)
    end = project.run(*MARKED, "--l402-waivers=waivers.yaml", workers=workers)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    states = {entry["id"]: entry["state"] for entry in end.document["rehearsals"]}
    assert states == {"alpha": "WAIVED", "beta": "PASSED"}
    assert [waiver["effect"] for waiver in end.document["waivers"]] == ["waived"]
    # What is wrong is still told.
    assert "saw 7 msats" in json.dumps(end.document)


def test_a_waiver_of_a_line_covers_no_incomplete_record(project: Project) -> None:
    waive(project, days=3)
    project.replace("waivers.yaml", "rehearsal: alpha", 'line: "book/1.free"')
    incomplete = "l402_evidence.record('records', {'requestId': 'req-2', 'paidAmountMsats': None})"
    project.replace("rehearsals/test_alpha.py", FAILING[0], f"{incomplete}\n    {FAILING[1]}")
    end = project.run(*MARKED, "--l402-waivers=waivers.yaml")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert "records_complete()" in end.output


BREAKING = {
    "setup": ("def test_alpha(l402_evidence):", "def test_alpha(l402_evidence, l402_no_such_fixture):"),
    "call": ('drill(l402_evidence, "1.free")', 'raise RuntimeError("the part is not there yet")'),
    "teardown": (
        "def test_alpha(",
        "@pytest.fixture(autouse=True)\ndef broken():\n    yield\n    raise RuntimeError('the end')\n\n"
        "def test_alpha(",
    ),
}


@pytest.mark.parametrize("phase", BREAKING)
@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_a_rehearsal_that_breaks_under_a_waiver_is_an_expected_failure(
    project: Project, phase: str, workers: int
) -> None:
    waive(project, days=3)
    project.replace("rehearsals/test_alpha.py", *BREAKING[phase])
    end = project.run(*MARKED, "--l402-waivers=waivers.yaml", workers=workers)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    alpha = next(entry for entry in end.document["rehearsals"] if entry["id"] == "alpha")
    assert alpha["state"] == "WAIVED"
    (told,) = (reason for reason in alpha["reasons"] if reason["code"] == "expected-failure")
    assert told["waived_by"] == "rehearsal alpha"
    assert f"; in {phase}: " in told["text"]


def test_a_rehearsal_that_holds_under_a_waiver_has_passed(project: Project) -> None:
    waive(project, days=3)
    end = project.run(*MARKED, "--l402-waivers=waivers.yaml")
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert {entry["state"] for entry in end.document["rehearsals"]} == {"PASSED"}
    assert [waiver["effect"] for waiver in end.document["waivers"]] == ["unused"]


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_a_rehearsal_that_breaks_under_another_waiver_fails(project: Project, workers: int) -> None:
    waive(project, days=3)
    project.replace("rehearsals/test_beta.py", 'drill(l402_evidence, "2.free"', 'raise RuntimeError("no"')
    end = project.run(*MARKED, "--l402-waivers=waivers.yaml", workers=workers)
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output


def test_waiver_that_has_ended(project: Project) -> None:
    waive(project, days=-1)
    end = project.run(*MARKED, "--l402-waivers=waivers.yaml")
    assert (end.exit, end.verdict, end.codes) == (1, "NOT_SIGNED_OFF", {"waiver-expired"}), end.output


def test_waivers_cannot_make_a_sign_off_of_nothing(project: Project) -> None:
    waive(project, days=3)
    project.replace("rehearsals/test_alpha.py", *FAILING)
    end = project.run(*MARKED, "--l402-waivers=waivers.yaml", "--l402-required=first")
    assert (end.exit, end.codes) == (1, {"only-waivers"}), end.output


def test_required_family(project: Project) -> None:
    (project.root / "rehearsals/test_beta.py").unlink()
    assert project.run(*MARKED, "--l402-required=first").verdict == "SIGNED_OFF"
