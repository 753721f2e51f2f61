"""Ways to a run folder whose evidence is not what was judged, or whose document says what was not shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from kept_run import Alter, KeptRun, make_run

from pytest_l402.evidence import Check, Evidence, no_row, run_check
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.recipe import Recipe
from pytest_l402.evidence.told_forms import told_forms
from pytest_l402.signoff.document import read_signoff
from pytest_l402.signoff.finding import Answer
from pytest_l402.signoff.folder import contradictions
from pytest_l402.signoff.manifest import MANIFEST, digests_of, manifest_bytes
from pytest_l402.signoff.results import RecordedFile
from pytest_l402.signoff.statement import statements_of
from pytest_l402.signoff.verification import verify_folder
from pytest_l402.signoff.views import views_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> KeptRun:
    return make_run(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def run(made: KeptRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptRun:
    # That these files outlast a power cut is not what is tried here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    return made.copied_to(tmp_path)


def some_at_once(ways: Iterable[str]) -> list[Any]:
    """Every fourth way in the fast tier: a folder is judged again in each."""
    return [pytest.param(w, marks=pytest.mark.slow if i % 4 else ()) for i, w in enumerate(ways)]


def copy_the_end_over_the_beginning(run: KeptRun) -> None:
    place = run.place("success")
    (place / "verify-1" / "records.jsonl").write_bytes((place / "records.jsonl").read_bytes())


def moments_of(run: KeptRun, **moments: tuple[str, ...]) -> None:
    known = {name.replace("-", "_"): name for name in run.nodes["success"].moments}
    told = dict(run.nodes["success"].moments)
    run.alter("success", moments=told | {known.get(name, name): paths for name, paths in moments.items()})


def swap_the_moments(run: KeptRun) -> None:
    first, second = (run.nodes["success"].moments[name] for name in ("verify-1", "verify-2"))
    moments_of(run, verify_1=second, verify_2=first)


def point_to_the_end(run: KeptRun) -> None:
    moments_of(run, verify_1=run.nodes["success"].moments["standing"])


def exchange_two_checks(run: KeptRun) -> None:
    run.alter_check("success", "triaged_as", moment="verify-2")


def without_the_cached_row(run: KeptRun) -> None:
    kept = [row for row in run.rows("reuse", "records.jsonl") if row["cacheHit"] is not True]
    run.write_rows("reuse", "records.jsonl", kept)


def one_payment_more(run: KeptRun) -> None:
    rows = run.rows("reuse", "payments.jsonl")
    run.write_rows("reuse", "payments.jsonl", [*rows, rows[0]])


def one_record_with_another_proof(run: KeptRun) -> None:
    rows = run.rows("reuse", "records.jsonl")
    paid = next(row for row in rows if row["paymentProofRef"] and row["executor"] == "gateway")
    other = {**paid, "paymentProofRef": "lightning_preimage:" + "0" * 24}
    run.write_rows("reuse", "records.jsonl", [*rows, other])


def one_key_less(run: KeptRun) -> None:
    rows = run.rows("reuse", "records.jsonl")
    rows[0].pop("userId")
    run.write_rows("reuse", "records.jsonl", rows)


def without_the_request_in_the_logs(run: KeptRun) -> None:
    name = "verify-1/logs.jsonl"
    run.write_rows("success", name, [{**row, "line": "oa_req=another"} for row in run.rows("success", name)])


def emptied(run: KeptRun) -> None:
    run.write_rows("success", "verify-1/records.jsonl", [])


def without_the_probes(run: KeptRun) -> None:
    run.change_rows("success", "verify-1/records.jsonl", requestId="another")


ALTERED_EVIDENCE: dict[str, Alter] = {
    "the end is copied over the beginning": copy_the_end_over_the_beginning,
    "two moments are swapped": swap_the_moments,
    "the first moment is said to be the end": point_to_the_end,
    "a check is said to be of a later moment": exchange_two_checks,
    "the row that shows it is removed": without_the_cached_row,
    "the row that shows it is altered": lambda run: run.change_rows("reuse", "records.jsonl", cacheHit=False),
    "true becomes a text": lambda run: run.change_rows("reuse", "records.jsonl", cacheHit="true"),
    "true becomes one": lambda run: run.change_rows("reuse", "records.jsonl", cacheHit=1),
    "a payment is there twice": one_payment_more,
    "a payment failed": lambda run: run.change_rows("reuse", "payments.jsonl", status="failed"),
    "a payment is of another hash": lambda run: run.change_rows(
        "reuse", "payments.jsonl", paymentHash="0" * 64
    ),
    "a record names another proof": one_record_with_another_proof,
    "a record lacks a key": one_key_less,
    "the logs name another request": without_the_request_in_the_logs,
    "the records name another request": without_the_probes,
    "a table is emptied": emptied,
}


@pytest.mark.parametrize("way", some_at_once(ALTERED_EVIDENCE))
def test_evidence_that_was_altered_and_sealed_again_is_judged_otherwise(run: KeptRun, way: str) -> None:
    ALTERED_EVIDENCE[way](run)
    run.seal()
    assert contradictions(run.folder) == ()  # so it is found by judging alone
    found = verify_folder(run.folder)
    assert found.differences
    assert found.answer is Answer.CONTRADICTED


def claim(run: KeptRun, factory: str, *arguments: Any, name: str, **named: Any) -> None:
    """Let a test say that one check more held."""
    honest = run.check("success", "triaged_as")
    claimed = replace(honest, name=name, recipe=Recipe(factory, arguments, named))
    run.alter("success", checks=(*run.nodes["success"].checks, claimed))


def failing_id(run: KeptRun) -> str:
    recipe = run.check("success", "triaged_as").recipe
    assert recipe is not None
    (purchase, _) = recipe.arguments
    assert isinstance(purchase, dict)
    return str(purchase["purchase"]["request_id"])  # type: ignore[index, call-overload]


def recipe_of(run: KeptRun, rehearsal: str, check: str, **changes: Any) -> None:
    recipe = run.check(rehearsal, check).recipe
    assert recipe is not None
    run.alter_check(rehearsal, check, recipe=replace(recipe, **changes))


def say_that_a_violated_check_held(run: KeptRun) -> None:
    request_id = failing_id(run)
    claim(run, "triaged_as", request_id, "healthy", name=f"triaged_as({request_id}, healthy)")


def triage_otherwise(run: KeptRun) -> None:
    request_id = failing_id(run)
    recipe = Recipe("triaged_as", (request_id, "gateway"), {"field": "paymentProofRef"})
    name = f"triaged_as({request_id}, gateway)"
    run.alter_check("success", "triaged_as", {"name": name}, recipe=recipe)


def one_mutant_more(run: KeptRun) -> None:
    mutants = run.check("reuse", "some_record").mutants
    run.alter_check("reuse", "some_record", mutants=(*mutants, replace(mutants[0], name="one never tried")))


def one_mutant_less(run: KeptRun) -> None:
    run.alter_check("reuse", "paid_exactly_once", mutants=run.check("reuse", "paid_exactly_once").mutants[1:])


def one_violation(run: KeptRun) -> CheckResult:
    from signoff_samples import violation

    name = run.check("reuse", "some_record").name
    violated = replace(run.check("reuse", "some_record"), violations=(violation(name, "2.hit"),), mutants=())
    run.alter_check("reuse", "some_record", violations=violated.violations, mutants=())
    return violated


ALTERED_CHECKS: dict[str, Alter] = {
    "a violated check is said to have held": say_that_a_violated_check_held,
    "a held check is said to be violated": lambda run: (one_violation(run), None)[1],
    "the triage is said to name another domain": triage_otherwise,
    "a check has another name": lambda run: run.alter_check(
        "reuse", "some_record", {"name": "proves_it_all()"}
    ),
    "a mutant was never tried": one_mutant_more,
    "a mutant is left out": one_mutant_less,
    "the recipe is of another check": lambda run: recipe_of(
        run, "reuse", "paid_exactly_once", factory="some_record", arguments=(), named={"cacheHit": True}
    ),
    "the recipe is about another request": lambda run: recipe_of(
        run, "success", "triaged_as", arguments=("another-request", "settlement")
    ),
    "the recipe asks for another value": lambda run: recipe_of(
        run, "reuse", "some_record", named={"cacheHit": False}
    ),
    "the recipe asks for another field": lambda run: recipe_of(
        run, "success", "triaged_as", named={"field": "denyReason"}
    ),
    "the recipe has an argument too few": lambda run: recipe_of(run, "success", "triaged_as", arguments=()),
    "the recipe has an argument too many": lambda run: recipe_of(
        run, "reuse", "some_record", named={"cacheHit": True, "__class__": "x"}
    ),
    "the recipe names no factory": lambda run: recipe_of(run, "reuse", "some_record", factory=""),
    "the recipe names a factory that is not there": lambda run: recipe_of(
        run, "reuse", "some_record", factory="some_recrod"
    ),
    "the recipe names what builds no check": lambda run: recipe_of(
        run, "reuse", "some_record", factory="run_check"
    ),
    "the recipe names the builder itself": lambda run: recipe_of(
        run, "reuse", "some_record", factory="pytest_l402.evidence.recipe:build"
    ),
    "the recipe has a purchase that holds more": lambda run: recipe_of(
        run, "reuse", "paid_exactly_once", arguments=({"purchase": {"request_id": "x", "__class__": "y"}},)
    ),
    "the recipe has a purchase that is none": lambda run: recipe_of(
        run, "reuse", "paid_exactly_once", arguments=({"purchase": [1]},)
    ),
    "a check was judged on other tables": lambda run: run.alter_check(
        "success", "paid_exactly_once", tables=("records",)
    ),
}


@pytest.mark.parametrize("way", some_at_once(ALTERED_CHECKS))
def test_a_check_that_was_altered_and_sealed_again_is_judged_otherwise(run: KeptRun, way: str) -> None:
    ALTERED_CHECKS[way](run)
    run.seal()
    assert contradictions(run.folder) == ()
    found = verify_folder(run.folder, {"pytest_l402.evidence.recipe"})
    assert found.differences
    assert found.answer is Answer.CONTRADICTED


def forget(run: KeptRun, **changes: Any) -> None:
    known = run.nodes["success"]
    checks = tuple(replace(check, **changes) for check in known.checks)
    run.alter("success", checks=checks)


UNTOLD: dict[str, Alter] = {
    "no check has a recipe": lambda run: forget(run, recipe=None),
    "one check has no recipe": lambda run: run.alter_check("reuse", "some_record", recipe=None),
    "no check has a moment": lambda run: forget(run, moment="", tables=()),
    "a recipe names a module that is not permitted": lambda run: recipe_of(
        run, "reuse", "some_record", factory="os:system", arguments=("touch pwned",), named={}
    ),
    "a recipe names a module of this package": lambda run: recipe_of(
        run, "reuse", "some_record", factory="pytest_l402.evidence.recipe:build"
    ),
    "a recipe names a module by a path": lambda run: recipe_of(
        run, "reuse", "some_record", factory="../../evil:check"
    ),
}


@pytest.mark.parametrize("way", some_at_once(UNTOLD))
def test_what_cannot_be_judged_again_is_never_taken_for_held(run: KeptRun, way: str) -> None:
    UNTOLD[way](run)
    run.seal()
    found = verify_folder(run.folder)
    assert found.unknown
    assert found.answer is not Answer.HOLDS


@pytest.mark.parametrize("permitted", [(), ("os",)], ids=["not permitted", "permitted"])
def test_no_function_that_a_file_names_is_called(
    run: KeptRun, permitted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(os, "system", called.append)
    recipe_of(run, "reuse", "some_record", factory="os:system", arguments=("true",), named={})
    run.seal()
    assert verify_folder(run.folder, permitted).answer is not Answer.HOLDS
    assert called == []


def _nested(depth: int) -> str:
    return '{"requestId":' + "[" * depth + "]" * depth + "}\n"


HOSTILE: dict[str, bytes] = {
    "deeply nested": _nested(200_000).encode(),
    "a key twice": b'{"requestId":"a","requestId":"b"}\n',
    "not a number": b'{"requestId":NaN}\n',
    "no UTF-8": b'{"requestId":"\xff"}\n',
    "no object": b"[1,2,3]\n",
    "cut off": b'{"requestId":"a"',
    "null bytes": b"\0" * 1000,
    "a lone surrogate": b'{"requestId":"\\ud800"}\n',
    "an integer of 100 000 digits": b'{"requestId":' + b"9" * 100_000 + b"}\n",
}


@pytest.mark.parametrize("way", some_at_once(HOSTILE))
def test_a_table_that_is_none_is_told_in_one_line(run: KeptRun, way: str) -> None:
    (run.place("reuse") / "records.jsonl").write_bytes(HOSTILE[way])
    run.seal()
    found = verify_folder(run.folder)
    assert found.answer is Answer.CONTRADICTED
    assert all(len(text.splitlines()) == 1 and len(text) < 1000 for text in found.differences)


def grow(path: Path) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(3 * 1024**3)


PUT_IN_ITS_PLACE: dict[str, Any] = {
    "a link": lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
    "a link to the same rows": lambda path: (
        path.rename(path.with_suffix(".x")),
        path.symlink_to("records.x"),
    ),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "nothing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("way", some_at_once(PUT_IN_ITS_PLACE))
def test_what_is_no_file_is_not_opened(run: KeptRun, way: str) -> None:
    PUT_IN_ITS_PLACE[way](run.place("reuse") / "records.jsonl")
    found = verify_folder(run.folder)
    assert found.answer is Answer.CONTRADICTED
    assert any("records.jsonl" in text for text in found.differences)


def document_of(run: KeptRun) -> Any:
    return json.loads((run.folder / "signoff.json").read_text())


DOCUMENTS: dict[str, Any] = {
    "a path outside": lambda node: node["moments"].update(
        {"verify-1": ["../../reuse/test_it/records.jsonl"]}
    ),
    "an absolute path": lambda node: node["moments"].update({"verify-1": ["/etc/hostname"]}),
    "a folder outside": lambda node: node.update(folder="../elsewhere"),
    "two files for a table": lambda node: node["moments"]["verify-1"].append("records.jsonl"),
    "a moment that is not there": lambda node: node["checks"][0].update(moment="verify-9"),
    "rows that were not read": lambda node: node["checks"][0].update(rows=700),
    "a check that is gone": lambda node: node["checks"].pop(0),
    "moments that are gone": lambda node: node.update(moments={}),
    "a folder that is gone": lambda node: node.update(folder=None),
    "an argument without end": lambda node: node["checks"][0]["recipe"].update(arguments=["x" * 10**6]),
}


@pytest.mark.parametrize("way", some_at_once(DOCUMENTS))
def test_a_document_that_was_altered_alone_does_not_hold(run: KeptRun, way: str) -> None:
    value = document_of(run)
    DOCUMENTS[way](value["rehearsals"][0]["nodes"][0])
    (run.folder / "signoff.json").write_text(json.dumps(value))
    assert verify_folder(run.folder).answer is Answer.CONTRADICTED


def test_a_table_larger_than_any_is_not_read(run: KeptRun) -> None:
    import resource

    path = run.place("reuse") / "records.jsonl"
    grow(path)
    known = run.nodes["reuse"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    from pytest_l402.boundary.input_error import InputError
    from pytest_l402.evidence.kept import read_kept

    with pytest.raises(InputError, match="a table of at most"):
        read_kept(run.folder / str(known.folder), ("records.jsonl",))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_an_untouched_run_holds_and_is_signed_off(run: KeptRun) -> None:
    found = verify_folder(run.folder)
    assert (found.answer, found.contradictions, found.differences, found.unknown) == (
        Answer.HOLDS,
        (),
        (),
        (),
    )
    assert found.document is not None
    assert found.document.verdict == "SIGNED_OFF"
    assert found.checks == sum(len(n.checks) + len(n.standing) for n in run.nodes.values())


def test_a_refusal_holds_too_if_it_says_what_its_evidence_shows(run: KeptRun) -> None:
    run.alter("reuse", phases={"setup": "passed", "call": "failed", "teardown": "passed"}, failure="E  no")
    run.exit_status = 1
    run.seal()
    found = verify_folder(run.folder)
    assert (found.answer, found.contradictions, found.differences) == (Answer.HOLDS, (), ())
    assert found.document is not None
    assert found.document.verdict == "NOT_SIGNED_OFF"


def _in_run(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["run"].update(changes)


def _in_lines(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def alter(document: dict[str, Any]) -> None:
        for entry in document["rehearsals"]:
            cited = (check["line"] for node in entry["nodes"] for check in node["checks"] if check["line"])
            for line in entry["lines"]:
                line.update(changes)
            for line in cited:
                line.update({name: value for name, value in changes.items() if name in line})

    return alter


TERMS: dict[str, Callable[[dict[str, Any]], None]] = {
    "it was live": _in_run(mode="live"),
    "it had another seed": _in_run(seed="7"),
    "it had another catalogue": lambda document: document["catalogue"].update(sha256="d" * 64),
    "it rehearsed more": lambda document: document["rehearsals"][0].update(title="All of production"),
    "its lines say more": _in_lines(text="production is safe"),
    "its lines are of another section": _in_lines(section="99"),
    "its lines are of the runbook": _in_lines(source="project"),
}


@pytest.mark.parametrize("way", some_at_once(TERMS))
def test_what_no_evidence_shows_is_kept_with_each_test(run: KeptRun, way: str) -> None:
    run.seal()
    file = run.folder / "signoff.json"
    document = json.loads(file.read_text())
    TERMS[way](document)
    file.write_text(json.dumps(document, indent=1) + "\n")
    told = read_signoff(run.folder)
    for name, view in views_of(told, run.folder).items():
        (run.folder / name).write_bytes(view)
    for name, statement in statements_of(told, digests_of(run.folder)).items():
        (run.folder / name).write_bytes(statement)
    (run.folder / MANIFEST).write_bytes(manifest_bytes(run.folder))
    found = verify_folder(run.folder)
    assert found.answer is Answer.CONTRADICTED
    assert all("under which it ran" in text for text in found.contradictions)


def test_terms_that_are_left_out_are_missed(run: KeptRun) -> None:
    run.alter("reuse", terms={})
    run.seal()
    assert verify_folder(run.folder).answer is Answer.CONTRADICTED


class Booking(TypedDict):
    seat: str
    state: Literal["held", "sold"] | None


BOOKED = {"bookings": (Booking,), "refunds": ({"cents": int, "paid": bool},)}


def _kept(run: KeptRun, check: Check, declared: Any) -> KeptRun:
    """A test of a theatre, told as one whose check held, whatever it did."""
    evidence = Evidence({"bookings": [{"seat": "A1", "state": "sold"}]}, BOOKED)
    place = run.place("reuse") / "verify-1"
    place.mkdir(exist_ok=True)
    (place / "bookings.jsonl").write_bytes(evidence.jsonl("bookings"))
    held = replace(run_check(check, evidence.whatever_was_declared()), moment="verify-1", line="2.hit")
    path = f"{run.nodes['reuse'].folder}/verify-1/bookings.jsonl"
    files = run.nodes["reuse"].evidence_files
    recorded = RecordedFile(path, "0" * 64, 0, 1)
    run.alter(
        "reuse",
        checks=(held,),
        standing=(),
        declared=declared,
        moments={"verify-1": ("verify-1/bookings.jsonl",)},
        evidence_files=tuple(sorted((*files, recorded), key=lambda file: file.path)),
    )
    run.seal()
    return run


JUDGED_BY: dict[str, tuple[Check, Any, Answer]] = {
    "an absence that it declares": (
        no_row("refunds", witness="bookings", cents=5),
        told_forms(BOOKED),
        Answer.HOLDS,
    ),
    "a word that it declares": (
        no_row("bookings", witness="bookings", state="held"),
        told_forms(BOOKED),
        Answer.HOLDS,
    ),
    "a misspelt field": (
        no_row("refunds", witness="bookings", cent=5),
        told_forms(BOOKED),
        Answer.CONTRADICTED,
    ),
    "a misspelt word": (
        no_row("bookings", witness="bookings", state="free"),
        told_forms(BOOKED),
        Answer.CONTRADICTED,
    ),
    "a field of another type": (
        no_row("refunds", witness="bookings", paid=1),
        told_forms(BOOKED),
        Answer.CONTRADICTED,
    ),
    "a misspelling of which nothing is kept": (
        no_row("refunds", witness="bookings", cent=5),
        None,
        Answer.INCONCLUSIVE,
    ),
}


@pytest.mark.parametrize("way", JUDGED_BY)
def test_a_check_is_judged_again_by_what_its_system_declared(run: KeptRun, way: str) -> None:
    check, declared, answer = JUDGED_BY[way]
    found = verify_folder(_kept(run, check, declared).folder)
    assert found.answer is answer, (found.contradictions, found.differences, found.unknown)
