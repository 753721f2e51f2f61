"""What people read of violated checks: each cause once, requests by name, lines that fit a screen."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_l402.boundary.columns import WIDTH
from pytest_l402.evidence import Check, Evidence, Finding, run_check
from pytest_l402.evidence.causes import causes
from pytest_l402.evidence.check import CheckResult, RunbookLine, Subject, Violation
from pytest_l402.evidence.mutants import set_value
from pytest_l402.evidence.request_names import called_by, renamed, request_names
from pytest_l402.evidence.telling import tell_results


def violated(check: str, *about: Subject, line: str | None = None, expected: str = "") -> CheckResult:
    said = (expected or f"what {check} expects", f"what {check} saw", f"where {check} saw it")
    return CheckResult(check, line, 1, (Violation(check, line, *said, f"mend {check}", about),), ())


def grouped(*results: CheckResult, requests: tuple[str, ...] = ()) -> list[list[str]]:
    return [[each.check for each in cause.violations] for cause in causes(results, requests)]


def test_a_violation_reads_as_four_parts() -> None:
    violation = Violation("all_paid()", "3.paid-once", "one\nor two", "none", "payments.jsonl", "look")
    result = CheckResult("all_paid()", "3.paid-once", 1, (violation,), ())
    line = RunbookLine("3.paid-once", "3", "a reused credential is one payment")
    assert tell_results([result], title="a test", lines={line.id: line}).splitlines() == [
        "3.paid-once: expected one / or two, saw none",
        "",
        "a test: 1 check does not hold",
        "",
        "all_paid() is violated",
        "  expected  one",
        "            or two",
        "            [runbook section 3 (3.paid-once): a reused credential is one payment]",
        "  seen      none",
        "  where     payments.jsonl",
        "  do        look",
    ]
    assert "[runbook line (3.paid-once)]" in tell_results([result])


def test_the_same_row_or_field_or_request_is_one_cause() -> None:
    row = violated("a", Subject("records", rows=(3,)))
    other_row = violated("b", Subject("records", rows=(4,)))
    assert grouped(row, other_row) == [["a"], ["b"]]
    assert grouped(row, violated("c", Subject("records", rows=(1, 3)))) == [["a", "c"]]
    hit = violated("d", Subject("records", "cacheHit"))
    assert grouped(row, hit, violated("e", Subject("records", "cacheHit", "r1"))) == [["a"], ["d", "e"]]
    paid, settled = Subject("payments", request="r1"), Subject("settlements", request="r1")
    assert grouped(violated("f", settled), violated("g", paid)) == [["g", "f"]]
    assert grouped(violated("f", paid), violated("g", Subject("payments", request="r2"))) == [["f"], ["g"]]


def test_a_field_that_only_names_a_row_makes_no_cause() -> None:
    assert grouped(
        violated("a", Subject("records", "requestId", "r1")),
        violated("b", Subject("records", "requestId", "r2")),
    ) == [["a"], ["b"]]


def test_a_missing_log_line_and_a_second_payment_have_two_causes() -> None:
    logs, payments = Subject("logs", request="r1"), Subject("payments", request="r1")
    assert grouped(violated("a", logs), violated("b", payments)) == [["a"], ["b"]]


def test_what_is_mended_by_doing_one_thing_is_one_cause() -> None:
    said = ("it", "something else", "nowhere", "stop payouts")
    results = [
        CheckResult(name, None, 1, (Violation(name, None, *said, (Subject(table, rows=(row,)),)),), ())
        for name, table, row in (("a", "payments", 1), ("b", "steady_state", 2))
    ]
    assert grouped(*results) == [["a", "b"]]


def test_empty_tables_of_a_purchase_are_one_cause() -> None:
    results = [
        run_check(Check(table, lambda evidence: [], (), (table,)), Evidence())
        for table in ("payments", "settlements", "steady_state")
    ]
    assert grouped(*results)[0][:2] == ["payments", "settlements"]


def test_what_links_two_groups_makes_them_one() -> None:
    first, second = Subject("payments", request="r1"), Subject("records", "cacheHit")
    results = (violated("a", first), violated("b", second), violated("c", first, second))
    assert grouped(*results) == [["a", "c", "b"]]


def test_a_finding_that_says_nothing_of_itself_is_read() -> None:
    said = ("no payment for request r-1", "one", "payments.jsonl line 2", "pay it back")
    ours = CheckResult("mine", None, 1, (Violation("mine", None, *said),), ())
    about = violated("a", Subject("settlements", request="r-1"))
    assert grouped(about, ours, requests=("r-1", "r")) == [["mine", "a"]]
    assert grouped(violated("a", Subject("settlements", request="r")), ours, requests=("r-1", "r")) == [
        ["a"],
        ["mine"],
    ]


def test_what_proves_a_line_tells_the_cause_and_what_was_first_before_what_was_recorded_of_it() -> None:
    told = violated("record", Subject("records", request="r"), line="3.a")
    paid = violated("payment", Subject("payments", request="r"), line="3.b")
    bare = violated("bare", Subject("exchanges", request="r"))
    assert grouped(bare, told, paid) == [["payment", "record", "bare"]]
    (cause,) = causes([bare, told, paid])
    assert cause.lines == ("3.b", "3.a")


@pytest.mark.parametrize(("count", "words"), [(1, "1 check does"), (2, "2 checks do")])
def test_the_number_of_checks_and_of_causes_is_told(count: int, words: str) -> None:
    results = [violated(f"check {n}", Subject("records", "cacheHit")) for n in range(count)]
    told = tell_results(results, title="a test")
    assert f"a test: {words} not hold" in told
    assert ("for one cause" in told) == (count == 2)
    assert told.count("is violated") == 1


def test_a_further_violation_tells_its_line_what_was_expected_and_seen_and_where() -> None:
    about = Subject("records", "cacheHit")
    told = tell_results(
        [violated("a", about, line="3.a"), violated("b", about, line="3.b"), violated("c", about)],
        lines={"3.b": RunbookLine("3.b", "3", "b is so")},
    )
    assert (
        "  so also   [runbook section 3 (3.b): b is so]\n"
        "            b: expected what b expects, saw what b saw (where b saw it)\n"
        "            c: expected what c expects, saw what c saw (where c saw it)"
    ) in told


def test_many_rows_that_fall_short_alike_are_told_once_with_their_places() -> None:
    violations = tuple(
        Violation("c", None, "no payment", "one", f"records.jsonl line {n}", "look") for n in range(1, 5)
    )
    told = tell_results([CheckResult("c", None, 4, violations, ())])
    assert told.count("no payment") == 3  # in the first line, in four parts, and once for all the others
    assert "(records.jsonl lines 2, 3, 4)" in told


@pytest.mark.parametrize("word", ["x" * 300, "word " * 80, "a-b " * 100, "Ä" * 150])
def test_no_line_is_wider_than_a_screen(word: str) -> None:
    violation = Violation(word, word, word, f"{word}\n{word}", word, word)
    names = request_names(Evidence({"exchanges": [{"requestId": "r1", "path": word}]}), {"r1": word})
    told = tell_results(
        [CheckResult(word, word, 1, (violation, violation), ()), violated("r1")], title=word, names=names
    )
    assert max(map(len, told.splitlines())) <= WIDTH


def test_a_secret_that_would_be_broken_over_two_lines_is_not_told() -> None:
    secret = "preimage=" + "ab" * 32
    told = tell_results([violated("c", expected=("x " * 30) + secret)])
    assert "abababab" not in told


# Names of requests


@dataclass
class Bought:
    request_id: str


EVIDENCE = Evidence(
    {
        "exchanges": [
            {"requestId": "r-1", "path": "/premium"},
            {"requestId": "r-2", "path": "/premium"},
            {"requestId": "r-20", "path": "/free"},
        ],
        "invoices": [
            {"requestId": "r-1", "paymentHash": "a" * 64},
            {"requestId": "r-2", "paymentHash": "b" * 64},
        ],
        "logs": [{"requestId": "r-elsewhere"}],
    }
)


def test_a_request_is_called_what_the_test_calls_it() -> None:
    names = request_names(
        EVIDENCE, called_by({"first": Bought("r-1"), "cheap_purchase": Bought("r-2"), "n": 3})
    )
    assert {id_: known.name for id_, known in names.items()} == {
        "r-1": "first purchase",
        "r-2": "cheap purchase",
        "r-20": "3rd purchase",
        "r-elsewhere": "4th request",
    }
    assert (names["r-1"].path, names["r-1"].payment) == ("/premium", "a" * 16 + "…")


def test_without_a_variable_it_is_called_by_its_place_in_the_order_of_buying() -> None:
    assert [known.name for known in request_names(EVIDENCE).values()] == [
        "1st purchase",
        "2nd purchase",
        "3rd purchase",
        "4th request",
    ]


def test_members_of_a_list_are_called_by_their_place_in_it() -> None:
    names = request_names(EVIDENCE, called_by({"forged": (Bought("r-1"), Bought("r-2"))}))
    assert renamed("no payment for request r-2", names) == "no payment for forged[1]"


def test_an_object_that_cannot_be_asked_is_passed_over() -> None:
    class Unwilling:
        __slots__ = ()

        @property
        def request_id(self) -> str:
            raise RuntimeError

    assert called_by({"it": Unwilling(), "them": [Unwilling()], "text": "r-1", "kind": Bought}) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no row for request r-1", "no row for the first purchase"),
        ("same_value(x, r-1, r-2)", "same_value(x, first purchase, 2nd purchase)"),
        ("a record with requestId=r-1", "a record with requestId=<first purchase>"),
        ("r-10 and xr-1 and r-1-b", "r-10 and xr-1 and r-1-b"),
        ("r-20 and r-2", "3rd purchase and 2nd purchase"),
    ],
)
def test_names_take_the_place_of_ids_and_of_nothing_else(text: str, told: str) -> None:
    assert renamed(text, request_names(EVIDENCE, {"r-1": "first purchase"})) == told


def test_each_name_that_is_used_is_explained_once() -> None:
    names = request_names(EVIDENCE, {"r-1": "first purchase"})
    said = violated("paid_once(r-1)", Subject("payments", request="r-1"), expected="one payment of r-1")
    told = tell_results([said], title="a test", names=names)
    assert told.count("r-1") == 1
    assert "  first purchase  /premium, r-1, payment aaaaaaaaaaaaaaaa…" in told.splitlines()
    assert "r-2" not in told


def test_a_check_without_teeth_is_told_once_with_all_that_it_does_not_notice() -> None:
    def judge(evidence: Evidence) -> list[Finding]:
        return []

    evidence = Evidence({"payments": [{"status": "succeeded", "amountMsats": 1}]})
    mutants = tuple(set_value("payments", "amountMsats", number) for number in (2, 3, 4))
    told = tell_results([run_check(Check("blind()", judge, mutants, ("payments",), "3.a"), evidence)])
    assert told.splitlines()[0] == "3.a: blind() cannot be trusted"
    assert told.count("cannot be trusted") == 2
    assert all(f"amountMsats is {number}" in told for number in (2, 3, 4))
