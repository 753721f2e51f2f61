"""Names and values that nothing can have: no absence of them is proof, no mutant made of them dies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, StrEnum
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from evidence_records import make_record
from plugin_project import Project

from pytest_l402.cli import main
from pytest_l402.evidence import (
    Check,
    Evidence,
    EvidenceError,
    Finding,
    Mutant,
    System,
    denied_before_payment,
    found_in_logs,
    gateway_challenged,
    no_record,
    no_row,
    nothing_reached,
    paid_exactly_once,
    proof_absent,
    reconcile_reported,
    run_check,
    same_value,
    some_record,
    some_row,
    success_despite,
)
from pytest_l402.evidence.mutants import drop_key, duplicate_row, insert_row, remove_rows, set_value
from pytest_l402.evidence.system import UnusableSystemError
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.stack import ProjectionStale, SettlementLost, Stack
from pytest_l402.stack.system import StackSystem

pytest_plugins = ["pytester"]

Story = SimpleNamespace
"""Evidence of a stack on which one purchase was paid and another one denied."""


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with Stack(11) as stack, stack.online():
        paid, denied = stack.executor.buy("/premium"), stack.executor.buy("/premium-expensive")
        stack.control_plane.credential_roles.rotate("gateway_invoice")
        declared = {table: (form,) for table, form in StackSystem(stack).fields().items()}
        summary = {"requestId": "staging:one", "configHash": "cfg_" + "a" * 64, "failureCode": None}
        summary |= {
            "challengeOk": True,
            "proxyOk": True,
            "deploymentStatus": "applied",
            "deploymentId": "dep_1",
        }
        tables = {
            **stack.tables(),
            "reconcile_summary": [summary],
            "deployments": [{"deploymentId": "dep_of_another"}],
        }
        yield Story(evidence=Evidence(tables, declared), paid=paid, denied=denied)


def _finds(table: str, **values: Any) -> Callable[[Evidence], Iterable[Finding]]:
    """A judge of somebody's own that wants no row with these values."""

    def judge(evidence: Evidence) -> Iterator[Finding]:
        for number, row in enumerate(evidence.table(table), start=1):
            if all(key in row and row[key] == value for key, value in values.items()):
                yield Finding("none", "one", f"{table}.jsonl line {number}", "look")

    return judge


def _reads_two_tables(evidence: Evidence) -> Iterator[Finding]:
    """Of the second table, which is spelled wrongly, no mutant speaks."""
    if not evidence.table("payments"):
        yield Finding("a payment", "none", "table payments", "look")
    for number, _ in enumerate(evidence.table("settlement"), start=1):
        yield Finding("none", "one", f"settlements.jsonl line {number}", "look")


def _own(table: str, mutant: Mutant, **values: Any) -> Check:
    return Check("own()", _finds(table, **values), (mutant,), ("records",))


# What is SIGNED_OFF after a real payment, and after a real denial, if a misspelling is taken for an absence.
MISSPELT: dict[str, tuple[Callable[[Story], Check], str]] = {
    # Tables
    "table-nothing-reached": (
        lambda told: nothing_reached("payment", request_id=told.paid),
        "did you mean 'payments'?",
    ),
    "one-table-of-several": (
        lambda told: nothing_reached("invoices", "settlement", request_id=told.denied),
        "did you mean 'settlements'?",
    ),
    "table-of-another-language": (
        lambda told: nothing_reached("zahlungen", request_id=told.paid),
        "zahlungen",
    ),
    "table-no-row": (lambda told: no_row("Settlements", witness="payments", amountMsats=1), "'settlements'?"),
    "table-that-names-no-request": (
        lambda told: nothing_reached("credential_roles", request_id=told.paid),
        "requestId",
    ),
    "witness": (lambda told: no_row("payments", witness="record", status="pending"), "'records'?"),
    # Fields
    "field-no-row": (
        lambda told: no_row("settlements", witness="payments", amount_msats=21_000),
        "did you mean 'amountMsats'?",
    ),
    "field-of-another-table": (
        lambda told: no_row("payments", witness="payments", requestId="x"),
        "requestId",
    ),
    "field-inside-a-row": (
        lambda told: no_row("local_artifact", witness="records", **{"flows.taskStatu": "completed"}),
        "flows.taskStatu",
    ),
    "field-that-is-never-there-is-null": (
        lambda told: reconcile_reported("staging:one", failureCod=None),
        "did you mean 'failureCode'?",
    ),
    # Types
    "text-for-an-amount": (
        lambda told: no_row("payments", witness="payments", amountMsats="21000"),
        '"21000"',
    ),
    "float-for-an-amount": (
        lambda told: no_row("payments", witness="payments", amountMsats=21000.0),
        "21000.0",
    ),
    "true-for-an-amount": (lambda told: no_row("payments", witness="payments", amountMsats=True), "true"),
    "one-for-a-flag": (lambda told: no_row("payments", witness="payments", preimageReleased=1), "1"),
    "one-for-a-flag-of-a-record": (lambda told: no_record(cacheHit=0), "0"),
    "text-for-a-flag": (lambda told: no_record(cacheHit="false"), '"false"'),
    "text-for-a-time": (lambda told: no_record(observedAtMs="1735000000000"), '"1735000000000"'),
    "null-where-none-can-be": (lambda told: no_record(plane=None), "null"),
    "list-for-a-text": (lambda told: no_record(denyReason=["amount_over_cap"]), "an array of 1"),
    # Words
    "code-with-hyphens": (
        lambda told: no_record(denyReason="amount-over-cap"),
        "did you mean 'amount_over_cap'?",
    ),
    "code-in-capitals": (lambda told: no_record(denyReason="AMOUNT_OVER_CAP"), "AMOUNT_OVER_CAP"),
    "code-that-nobody-says": (lambda told: no_record(denyReason="too_dear"), "too_dear"),
    "plane": (lambda told: no_record(plane="settlements", requestId=told.paid.request_id), "'settlement'?"),
    "executor": (lambda told: no_record(executor="dekstop"), "'desktop'?"),
    "path": (lambda told: no_record(executionPath="hosted_node"), "'hosted-node'?"),
    "status-of-a-payment": (
        lambda told: no_row("payments", witness="payments", status="success"),
        "'succeeded'?",
    ),
    "status-of-a-task": (lambda told: no_row("tasks", witness="tasks", status="Completed"), "'completed'?"),
    "role": (
        lambda told: no_row("credential_roles", witness="records", role="gatway_invoice"),
        "did you mean 'gateway_invoice'?",
    ),
    "code-of-a-failure": (
        lambda told: reconcile_reported("staging:one", failureCode="deploy-apply-failed"),
        "did you mean 'deploy_apply_failed'?",
    ),
    "plane-where-the-proof-is-absent": (lambda told: proof_absent(told.paid, "setlement"), "'settlement'?"),
    "plane-of-one-value": (lambda told: same_value("taskId", told.paid, plane="gatway"), "'gateway'?"),
    "spelled-as-no-log-is": (lambda told: found_in_logs(told.paid, "Gateway"), "'gateway'?"),
    "code-of-a-denial": (lambda told: denied_before_payment(told.denied, "over-cap"), "over-cap"),
    "host-in-capitals": (
        lambda told: no_row("exchanges", witness="exchanges", host="GATEWAY.l402.test"),
        "'gateway.l402.test'?",
    ),
    # Things that never were
    "request": (
        lambda told: no_record(requestId="request-typo", denyReason="amount_over_cap"),
        "request-typo",
    ),
    "request-that-nothing-reached": (lambda told: nothing_reached("payments", request_id="typo"), ""),
    "paywall": (
        lambda told: no_row("settlements", witness="payments", paywallId="pw_premum"),
        "did you mean 'pw_premium'?",
    ),
    "payment-hash": (lambda told: no_row("payments", witness="payments", paymentHash="ab" * 32), ""),
    "payment-hash-paid-once": (lambda told: paid_exactly_once("ab" * 32), ""),
    "proof": (
        lambda told: no_record(paymentProofRef="lightning_preimage:" + "0" * 24),
        "no row of any table",
    ),
    "digest": (
        lambda told: no_row("exchanges", witness="exchanges", credentialDigest="sha256:" + "0" * 16),
        "no row of any table",
    ),
    "price-as-text": (lambda told: gateway_challenged(told.paid.request_id, "21000"), '"21000"'),
    "some-record-with-a-number-for-a-flag": (lambda told: some_record(cacheHit=0), "0"),
    "success-despite-a-state-that-is-none": (
        lambda told: success_despite(told.paid, walletState="Locked"),
        "'locked'?",
    ),
    # Checks of somebody's own
    "own-table": (
        lambda told: _own("payment", insert_row("payment", {"status": "succeeded"})),
        "'payments'?",
    ),
    "own-field": (
        lambda told: _own("payments", set_value("payments", "amuntMsats", 21_000), amuntMsats=21_000),
        "did you mean 'amountMsats'?",
    ),
    "own-field-in-a-second-row": (
        lambda told: _own("payments", duplicate_row("payments", State="succeeded"), State="succeeded"),
        "State",
    ),
    "own-field-inside-a-row": (
        lambda told: _own(
            "local_artifact", set_value("local_artifact", "flow.paid", True), **{"flow.paid": True}
        ),
        "",
    ),
    "own-word": (
        lambda told: _own("payments", set_value("payments", "status", "suceeded"), status="suceeded"),
        '"succeeded"',
    ),
    "own-amount-as-text": (
        lambda told: _own("payments", set_value("payments", "amountMsats", "21000"), amountMsats="21000"),
        "did you mean 21000?",
    ),
    "own-row-of-whole-cloth": (
        lambda told: _own("payments", insert_row("payments", {"paid": True, "by": "x"}), paid=True),
        "'paid'",
    ),
    "own-judge-that-also-reads-what-is-not-there": (
        lambda told: Check("own()", _reads_two_tables, (remove_rows("payments"),), ("records",)),
        "did you mean 'settlements'?",
    ),
    "own-key-that-is-dropped-from-nothing": (
        lambda told: _own("payments", drop_key("payments", "amountMsat"), status="failed"),
        "not applicable",
    ),
}


@pytest.mark.parametrize("way", MISSPELT)
def test_a_misspelling_is_no_absence(way: str, story: Story) -> None:
    build, hint = MISSPELT[way]
    try:
        result = run_check(build(story), story.evidence)
    except (TypeError, ValueError) as refused:
        held, told = False, [str(refused)]
    else:
        held, told = result.passed, [each.detail for each in result.mutants]
        told += [text for each in result.violations for text in (each.expected, each.seen)]
    assert not held
    assert hint in " ".join(told)


HONEST: dict[str, Callable[[Story], Check]] = {
    "nothing-reached-what-was-denied": lambda told: nothing_reached(
        "payments", "settlements", "projection", request_id=told.denied
    ),
    "no-code-of-another-denial": lambda told: no_record(denyReason="global_pause_active"),
    "no-row-of-a-table-that-is-empty": lambda told: no_row(
        "conflicts", witness="records", field="amountMsats"
    ),
    "no-deployment-of-another-status": lambda told: no_row("deployments", witness="records", status="failed"),
    "no-other-amount": lambda told: no_row("payments", witness="payments", amountMsats=1),
    "no-pending-payment": lambda told: no_row("payments", witness="payments", status="pending"),
    "no-null": lambda told: no_row("payments", witness="payments", proofReference=None),
    "no-settlement-of-what-was-denied": lambda told: no_row(
        "settlements", witness="settlements", requestId=told.denied.request_id
    ),
    "a-role-that-was-rotated": lambda told: some_row("credential_roles", role="gateway_invoice"),
    "a-role-that-was-not": lambda told: no_row("credential_roles", witness="records", role="operator_admin"),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_absence_that_could_be_otherwise_is_proven(name: str, story: Story) -> None:
    result = run_check(HONEST[name](story), story.evidence)
    assert result.passed, result
    assert result.has_teeth


# --- A system of somebody else, which declares what its rows are, or does not ---


class Booking:
    seat: str
    guest: str
    state: Literal["held", "sold"]


class Theatre:
    name, version, digest = "theatre", "1", None

    def __init__(self, **tables: list[dict[str, Any]]) -> None:
        self.books = tables

    def parts(self) -> tuple[()]:
        return ()

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        return self.books

    def steady_state(self, when: str) -> tuple[()]:
        return ()

    def standing_checks(self) -> tuple[()]:
        return ()


class Declaring(Theatre):
    def fields(self) -> dict[str, Any]:
        return {"bookings": Booking, "refunds": {"seat": str, "cents": int}}


SOLD = {"seat": "A1", "guest": "ann", "state": "sold"}


def collector(folder: Path, *systems: System) -> EvidenceCollector:
    evidence = EvidenceCollector(title="a test", seed="00", artifact_dir=folder / "artifacts")
    for system in systems:
        evidence.attach(system)
    return evidence


BOOKED: dict[str, tuple[System, Check, str]] = {
    "table": (Theatre(bookings=[SOLD]), no_row("booking", witness="bookings", seat="B2"), "'bookings'?"),
    "field": (Theatre(bookings=[SOLD]), no_row("bookings", witness="bookings", seats="B2"), "'seat'?"),
    "field-of-a-table-that-is-empty": (
        Theatre(bookings=[SOLD], refunds=[]),
        no_row("refunds", witness="bookings", seat="A1"),
        "fields()",
    ),
    "type-by-the-rows": (
        Theatre(bookings=[{**SOLD, "cents": 500}]),
        no_row("bookings", witness="bookings", cents="500"),
        "an integer",
    ),
    "another-spelling-of-what-was-recorded": (
        Theatre(bookings=[SOLD]),
        no_row("bookings", witness="bookings", state="SOLD"),
        "'sold'?",
    ),
    "declared-field": (
        Declaring(bookings=[SOLD]),
        no_row("refunds", witness="bookings", cent=500),
        "did you mean 'cents'?",
    ),
    "declared-type": (
        Declaring(bookings=[SOLD]),
        no_row("refunds", witness="bookings", cents="500"),
        "integer",
    ),
    "declared-word": (
        Declaring(bookings=[SOLD]),
        no_row("bookings", witness="bookings", state="free"),
        "'held' or 'sold'",
    ),
}


@pytest.mark.parametrize("way", BOOKED)
def test_a_misspelling_is_no_absence_in_anybodys_system(way: str, tmp_path: Path) -> None:
    system, check, hint = BOOKED[way]
    with pytest.raises(pytest.fail.Exception) as failure:
        collector(tmp_path, system).verify(check)
    assert hint in " ".join(str(failure.value).split())


@pytest.mark.parametrize(
    "check",
    [
        no_row("refunds", witness="bookings", seat="A1"),
        no_row("refunds", witness="bookings", cents=500),
        no_row("bookings", witness="bookings", state="held"),
        no_row("bookings", witness="bookings", guest="bob"),
    ],
    ids=lambda check: check.name,
)
def test_what_a_system_declares_can_be_absent(check: Check, tmp_path: Path) -> None:
    (result,) = collector(tmp_path, Declaring(bookings=[SOLD])).verify(check)
    assert result.passed
    assert result.has_teeth


LOOK_ALIKE: dict[str, tuple[str, str]] = {
    "a-wide-letter": ("seat", "\uff211"),
    "a-wide-digit": ("seat", "A\uff11"),
    "a-cyrillic-letter": ("guest", "\u0430nn"),
    "a-cyrillic-capital": ("guest", "\u0410NN"),
    "a-greek-letter": ("guest", "\u03b1nn"),
    "a-letter-of-mathematics": ("guest", "\U0001d41ann"),
    "a-letter-in-a-circle": ("guest", "\u24d0nn"),
    "nothing-to-be-seen": ("guest", "a\u200bnn"),
    "a-soft-hyphen": ("guest", "a\u00adnn"),
    "letters-of-two-scripts-that-nobody-recorded": ("guest", "b\u043eb"),
}


@pytest.mark.parametrize("way", LOOK_ALIKE)
def test_what_only_looks_like_it_is_no_absence(way: str, tmp_path: Path) -> None:
    key, value = LOOK_ALIKE[way]
    with pytest.raises(pytest.fail.Exception):
        collector(tmp_path, Theatre(bookings=[SOLD])).verify(
            no_row("bookings", witness="bookings", **{key: value})
        )


OF_ANOTHER_SCRIPT = [
    "\u0430\u043d\u043d\u0430",
    "\u5c71\u7530",
    "Zo\u00eb",
    "bob \u0438\u0432\u0430\u043d",
    "5 \u00b5s",
]


@pytest.mark.parametrize("guest", OF_ANOTHER_SCRIPT)
def test_a_text_of_another_script_can_be_absent(guest: str, tmp_path: Path) -> None:
    collector(tmp_path, Theatre(bookings=[SOLD])).verify(no_row("bookings", witness="bookings", guest=guest))


class Status(Enum):
    SOLD = "sold"
    GONE = 410


class Word(StrEnum):
    SOLD = "sold"


class Name(str):
    __slots__ = ()


ANSWERED = {**SOLD, "status": 409}

MEMBERS: dict[str, Check] = {
    "an-integer": some_row("bookings", status=HTTPStatus.CONFLICT),
    "a-text": some_row("bookings", state=Word.SOLD),
    "of-a-plain-enumeration": some_row("bookings", state=Status.SOLD),
    "a-text-of-another-class": some_row("bookings", guest=Name("ann")),
    "an-absence": no_row("bookings", witness="bookings", status=HTTPStatus.GONE),
    "an-absence-by-a-plain-enumeration": no_row("bookings", witness="bookings", status=Status.GONE),
}


@pytest.mark.parametrize("way", MEMBERS)
def test_a_member_of_an_enumeration_stands_for_its_value(way: str, tmp_path: Path) -> None:
    (result,) = collector(tmp_path, Theatre(bookings=[ANSWERED])).verify(MEMBERS[way])
    assert result.passed
    assert result.has_teeth
    assert result.recipe is not None


@pytest.mark.parametrize("member", [HTTPStatus.CONFLICT, Word.SOLD, Status.SOLD])
def test_no_absence_is_shown_by_a_member_of_an_enumeration(member: Any, tmp_path: Path) -> None:
    key = "status" if isinstance(member, int) else "state"
    with pytest.raises(pytest.fail.Exception):
        collector(tmp_path, Theatre(bookings=[ANSWERED])).verify(
            no_row("bookings", witness="bookings", **{key: member})
        )


NESTED = {"seat": "A1", "meta": {"guest": "ann", "notes": [{"by": "bob"}, {"by": "cid"}]}}

REACHED: dict[str, tuple[Check, bool]] = {
    "absent-though-it-is-there": (no_row("deals", witness="deals", **{"meta.guest": "ann"}), False),
    "absent-in-a-list": (no_row("deals", witness="deals", **{"meta.notes.by": "cid"}), False),
    "absent-and-it-is": (no_row("deals", witness="deals", **{"meta.guest": "zed"}), True),
    "absent-in-a-list-and-it-is": (no_row("deals", witness="deals", **{"meta.notes.by": "ann"}), True),
    "there": (some_row("deals", **{"meta.guest": "ann"}), True),
    "there-in-a-list": (some_row("deals", **{"meta.notes.by": "cid"}), True),
    "not-there": (some_row("deals", **{"meta.guest": "zed"}), False),
    "misspelt": (no_row("deals", witness="deals", **{"meta.gest": "ann"}), False),
    "another-type": (no_row("deals", witness="deals", **{"meta.guest": 5}), False),
}


class Nesting(Theatre):
    def fields(self) -> dict[str, Any]:
        return {"deals": {"seat": str, "meta": dict}}


@pytest.mark.parametrize("system", [Theatre, Nesting], ids=["undeclared", "declared-as-an-object"])
@pytest.mark.parametrize("way", REACHED)
def test_a_path_reaches_into_rows_wherever_it_is_taken(way: str, system: Any, tmp_path: Path) -> None:
    check, holds = REACHED[way]
    evidence = collector(tmp_path, system(deals=[NESTED]))
    if holds:
        (result,) = evidence.verify(check)
        assert result.passed
        assert result.has_teeth
    else:
        with pytest.raises(pytest.fail.Exception):
            evidence.verify(check)


# --- Rows of the test's own where a system's are expected ---


def _into(table: str, row: dict[str, Any]) -> Callable[[EvidenceCollector, System], None]:
    return lambda evidence, system: evidence.record(table, row)


def _before_it_is_attached(evidence: EvidenceCollector, system: System) -> None:
    late = collector(evidence.artifact_dir.parent)
    late.record("bookings", SOLD)
    late.attach(system)
    late.collect()


def _once_the_system_has_it(evidence: EvidenceCollector, system: Any) -> None:
    evidence.record("extras", SOLD)
    system.books["extras"] = [SOLD]
    evidence.collect()


def _a_result_of_a_fixture(evidence: EvidenceCollector, system: System) -> None:
    evidence._record_result("reconcile_summary", {"requestId": "staging:one"})
    evidence.record("reconcile_summary", {"requestId": "staging:two"})


def _before_a_fixture(evidence: EvidenceCollector, system: System) -> None:
    evidence.record("reconcile_summary", {"requestId": "staging:two"})
    evidence._record_result("reconcile_summary", {"requestId": "staging:one"})


MIXED: dict[str, Callable[[EvidenceCollector, Any], None]] = {
    "a-table-that-it-fills": _into("bookings", SOLD),
    "a-table-that-it-declares": _into("refunds", {"seat": "A1", "cents": 500}),
    "before-it-is-attached": _before_it_is_attached,
    "before-it-fills-it": _once_the_system_has_it,
    "a-result-of-a-fixture": _a_result_of_a_fixture,
    "before-the-fixture": _before_a_fixture,
    "an-expected-fault": _into("expected_faults", {"requestId": "r", "shownAs": "settlement"}),
    "the-steady-state": _into("steady_state", {"when": "after", "probe": "p", "ok": True, "detail": "ok"}),
    "a-shortfall": _into("shortfalls", {"line": "1"}),
    "as-a-result-of-a-fixture": lambda evidence, system: evidence._record_result("bookings", SOLD),
    "as-a-result-into-a-table-of-nobody": lambda evidence, system: evidence._record_result("refunds", SOLD),
}


@pytest.mark.parametrize("way", MIXED)
def test_no_row_of_a_test_is_taken_for_a_systems(way: str, tmp_path: Path) -> None:
    system = Declaring(bookings=[])
    evidence = collector(tmp_path, system)
    with pytest.raises(EvidenceError, match="expected rows of whoever fills this table"):
        MIXED[way](evidence, system)
    assert not any(evidence.collect().table(name) for name in ("bookings", "refunds", "expected_faults"))


@pytest.mark.parametrize(
    "table", ["records", "payments", "exchanges", "deployments", "logs", "reconcile_summary", "inspection"]
)
def test_no_row_of_a_test_is_taken_for_the_stacks(table: str, tmp_path: Path) -> None:
    with Stack(1) as stack:
        evidence = collector(tmp_path, StackSystem(stack))
        with pytest.raises(EvidenceError, match=f"own_{table}"):
            evidence.record(table, make_record())


class Another(Theatre):
    name = "notes"


class Promising(Theatre):
    def fields(self) -> dict[str, Any]:
        return {"bookings": Booking}


TWO_SYSTEMS: dict[str, tuple[System, System]] = {
    "both-have-rows": (Theatre(bookings=[SOLD]), Another(bookings=[SOLD])),
    "the-first-has-none-yet": (Theatre(bookings=[]), Another(bookings=[SOLD])),
    "the-first-only-declares-it": (Promising(), Another(bookings=[SOLD])),
    "the-other-way-round": (Another(bookings=[SOLD]), Theatre(bookings=[SOLD])),
}


@pytest.mark.parametrize("way", TWO_SYSTEMS)
def test_a_table_is_of_one_system(way: str, tmp_path: Path) -> None:
    first, second = TWO_SYSTEMS[way]
    evidence = collector(tmp_path, first, second)
    with pytest.raises(pytest.fail.Exception, match="expected tables of its own") as failure:
        evidence.verify(some_row("bookings", guest="ann"))
    assert f"which is of {first.name}" in str(failure.value)
    assert evidence.refusal is not None
    assert evidence.collect().table("own_bookings") == (SOLD,)


def test_a_system_cannot_fill_the_table_of_a_fixture(tmp_path: Path) -> None:
    evidence = collector(tmp_path, Theatre(reconcile_summary=[{"requestId": "staging:one"}]))
    evidence._record_result("reconcile_summary", {"requestId": "staging:one"})
    with pytest.raises(UnusableSystemError, match="which is of a fixture of this package"):
        evidence.collect()


def test_two_systems_with_tables_of_their_own_stand_side_by_side(tmp_path: Path) -> None:
    evidence = collector(tmp_path, Theatre(bookings=[SOLD], refunds=[]), Another(refunds=[], notes=[SOLD]))
    evidence.verify(some_row("bookings", guest="ann"), some_row("notes", guest="ann"))


def test_no_row_of_a_result_has_a_public_way_in(tmp_path: Path) -> None:
    assert [name for name in dir(collector(tmp_path)) if "result" in name and name[0] != "_"] == []


def test_what_was_mixed_is_kept_apart_and_proves_nothing(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record("bookings", SOLD)
    evidence.attach(Theatre(bookings=[]))
    with pytest.raises(pytest.fail.Exception, match="own_bookings"):
        evidence.verify(some_row("bookings", guest="ann"))
    assert evidence.collect().table("own_bookings") == (SOLD,)
    assert evidence.own_rows == {"own_bookings": 1}


def test_no_row_of_a_test_bears_witness_of_what_a_system_did_not_do(tmp_path: Path) -> None:
    with Stack(1) as stack:
        evidence = collector(tmp_path, StackSystem(stack))
        evidence.record("asked", {"status": "failed"})
        with pytest.raises(pytest.fail.Exception, match="name a table as witness that the system fills"):
            evidence.verify(no_row("payments", witness="asked", status="failed"))


def test_rows_are_copied_out_of_a_list_that_lives_on(tmp_path: Path) -> None:
    row = dict(SOLD)
    books = [row]
    evidence = collector(tmp_path, Theatre(bookings=books)).collect()
    row["guest"] = "mallory"
    books.clear()
    assert evidence.table("bookings") == (SOLD,)


# --- Faults that were expected ---


def test_a_fault_that_never_shows_is_a_violation(tmp_path: Path) -> None:
    with Stack(3) as stack, stack.online():
        evidence = collector(tmp_path, StackSystem(stack))
        healthy = stack.executor.buy("/premium")
        evidence.expect_fault(healthy)
        evidence.verify(paid_exactly_once(healthy))
        results = {result.name: result for result in evidence.judge_standing()}
    assert [each.seen for each in results["faults_shown()"].violations] == [
        "none at any verify: it is healthy, and all planes tell it alike"
    ]
    assert evidence.expected_faults == {healthy.request_id: None}


def test_a_fault_expected_of_a_request_that_never_was_is_a_violation(tmp_path: Path) -> None:
    with Stack(3) as stack, stack.online():
        evidence = collector(tmp_path, StackSystem(stack))
        with stack.faults.inject(SettlementLost()):
            failing = stack.executor.buy("/premium")
        evidence.expect_fault(f"{failing.request_id}-typo")
        results = {result.name: result for result in evidence.judge_standing()}
    assert not results["faults_shown()"].passed
    assert not results["planes_agree()"].passed


def test_a_fault_that_was_injected_for_another_request_is_a_violation(tmp_path: Path) -> None:
    with Stack(3) as stack, stack.online():
        evidence = collector(tmp_path, StackSystem(stack))
        with stack.faults.inject(SettlementLost(), "request-of-nobody"):
            spared = stack.executor.buy("/premium")
        evidence.expect_fault(spared)
        results = {result.name: result for result in evidence.judge_standing()}
    assert not results["faults_shown()"].passed


@pytest.mark.parametrize(
    ("fault", "shown"), [(SettlementLost(), "settlement"), (ProjectionStale(), "projection")]
)
def test_a_fault_that_shows_is_told_with_its_request(fault: Any, shown: str, tmp_path: Path) -> None:
    with Stack(3) as stack, stack.online():
        evidence = collector(tmp_path, StackSystem(stack))
        with stack.faults.inject(fault):
            failing = stack.executor.buy("/premium")
        evidence.expect_fault(failing)
        results = {result.name: result for result in evidence.judge_standing()}
    assert results["faults_shown()"].passed
    assert results["faults_shown()"].has_teeth
    name = type(fault).__name__
    assert evidence.expected_faults == {failing.request_id: f"{shown}; injected: {name}"}
    row = {"requestId": failing.request_id, "shownAs": shown, "injected": [name]}
    assert evidence.final().table("expected_faults") == (row,)


def test_a_fault_that_nobody_injected_is_told_as_such(tmp_path: Path) -> None:
    with Stack(3) as stack, stack.online():
        evidence = collector(tmp_path, StackSystem(stack))
        with stack.faults.inject(SettlementLost(), "request-of-nobody"):
            denied = stack.executor.buy("/premium-expensive")
        evidence.expect_fault(denied)
        evidence.judge_standing()
        told = evidence.expected_faults[denied.request_id]
    assert told == "policy; nothing was injected for it"


def test_a_fault_that_showed_once_need_not_show_at_the_end(tmp_path: Path) -> None:
    evidence = collector(tmp_path)
    evidence.record("records", make_record(denyReason="gateway_challenge_failed", plane="gateway"))
    evidence.expect_fault("req-1")
    shown = {"requestId": "req-1", "shownAs": "gateway", "injected": None}
    assert evidence.collect().table("expected_faults") == (shown,)
    evidence._recorded["records"].clear()
    evidence.record("records", make_record())
    assert evidence.collect().table("expected_faults") == (shown,)


@pytest.mark.parametrize("nobody", [None, 7, b"req", "", object()])
def test_a_fault_is_expected_of_a_request(nobody: object, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected a purchase"):
        collector(tmp_path).expect_fault(nobody)


# --- What a person reads of it, and what can be judged again ---

THEATRE = """\
import pytest
from pytest_l402.evidence import no_row, some_row

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")

class Theatre:
    name, version, digest = "theatre", "1", None

    def parts(self):
        return ()

    def tables(self):
        return {"bookings": [{"seat": "A1", "guest": "ann"}]}

    def fields(self):
        return {"refunds": {"seat": str, "cents": int}}

    def steady_state(self, when):
        return ()

    def standing_checks(self):
        return ()

def test_alpha(l402_evidence):
    l402_evidence.attach(Theatre())
    l402_evidence.record("offers", {"seat": "B2"}, {"seat": "B3"})
    l402_evidence.verify(
        no_row("refunds", witness="bookings", cents=500).proves("1.free"),
        some_row("offers", seat="B2"),
    )
"""


@pytest.mark.slow
def test_own_rows_are_told_and_a_declared_absence_is_judged_again(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("rehearsals/test_alpha.py", THEATRE)
    end = project.run("-m", "rehearsal", "-k", "alpha")
    assert end.folder is not None
    (node,) = (node for entry in end.document["rehearsals"] for node in entry["nodes"])
    assert node["own_rows"] == {"offers": 2}
    page = (end.folder / "drill.html").read_text()
    assert "Recorded by the test itself: <code>offers</code> 2 rows" in page
    judged = {check["name"].partition("(")[0]: check["state"] for check in node["checks"]}
    assert judged == {"no_row": "HELD", "some_row": "HELD", "no_secrets": "HELD"}
    capsys.readouterr()
    main(["verify", str(end.folder)])
    assert "judging again says" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("cents=500", "cent=500", "did you mean 'cents'?"),
        ('"refunds", witness', '"refund", witness', "did you mean 'refunds'?"),
        ('record("offers"', 'record("bookings"', "own_bookings"),
        ("some_row(", 'no_row("offers", witness="offers", seat="b2"), some_row(', "did you mean 'B2'?"),
    ],
    ids=["field", "table", "own-rows", "spelling"],
)
def test_a_run_with_a_misspelling_is_refused_and_says_why(
    old: str, new: str, told: str, project: Project
) -> None:
    project.write("rehearsals/test_alpha.py", THEATRE)
    project.replace("rehearsals/test_alpha.py", old, new)
    end = project.run("-m", "rehearsal")
    assert end.exit == 1
    assert end.verdict == "NOT_SIGNED_OFF"
    assert told in end.output
    assert "Traceback" not in end.output
