"""`pytest-l402 drill`: a person names domain and field from the records alone, and is judged and timed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from command_runs import Run

from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.drill import drill
from pytest_l402.commands.incidents import INCIDENTS, Incident, recorded
from pytest_l402.triage.diagnosis import triage

IS = {
    "an-error": ("gateway", "denyReason"),
    "no-price": ("gateway", "denyReason"),
    "no-answer": ("gateway", "denyReason"),
    "missing-revenue": ("settlement", "paymentProofRef"),
    "wrong-receipt": ("settlement", "paymentProofRef"),
    "empty-page": ("projection", "paymentProofRef"),
    "odd-page": ("projection", "paymentProofRef"),
    "nothing-bought": ("local-node", "walletState"),
    "money-gone": ("local-node", "denyReason"),
    "half-done": ("executor", "taskStatus"),
    "turned-away": ("policy", "denyReason"),
    "a-warning": ("healthy", "paymentProofRef"),
}


@pytest.fixture(scope="module")
def incident() -> Incident:
    return recorded("missing-revenue")


class Person:
    """Keeps what it was shown, and answers in order where it is asked."""

    def __init__(self, *answers: str) -> None:
        self.shown: list[str] = []
        self._answers = iter(answers)

    def __call__(self, prompt: str) -> str:
        self.shown.append(prompt)
        if not prompt.endswith("> "):
            return ""
        try:
            return next(self._answers)
        except StopIteration:
            raise EOFError from None


@pytest.mark.parametrize("name", INCIDENTS)
def test_what_an_incident_is_follows_from_its_records_and_not_from_its_name(name: str) -> None:
    incident = recorded(name)
    (found,) = triage(incident.tables, incident.request_id)
    assert (found.domain, found.deciding_field) == IS[name]
    person = Person(*IS[name])
    assert drill(incident, person, clock=iter((0.0, 1.0)).__next__).document["ok"] is True
    # What is asked for is not what is shown.
    assert not [word for word in (found.reason, found.next_step) if word in person.shown[0]]
    assert incident.tables.table("records") == recorded(name).tables.table("records")


def test_the_answer_is_judged_and_timed(incident: Incident) -> None:
    outcome = drill(incident, Person("settlement\n", "PaymentProofRef\n"), clock=iter((10.0, 52.5)).__next__)
    assert outcome.exit_code == 0
    assert outcome.document["tookSeconds"] == 42.5
    assert outcome.document["field"] == {"said": "paymentProofRef", "is": "paymentProofRef", "right": True}
    assert "settlement row by requestId" in outcome.document["next"]


@pytest.mark.parametrize(
    ("domain", "field", "right"),
    [
        ("gateway", "paymentProofRef", (False, True)),
        ("settlement", "denyReason", (True, False)),
        ("healthy", "denyReason", (False, False)),
    ],
)
def test_a_wrong_answer_is_told_what_it_is(
    incident: Incident, domain: str, field: str, right: tuple[bool, bool]
) -> None:
    outcome = drill(incident, Person(domain, field))
    assert outcome.exit_code == 1
    assert (outcome.document["domain"]["right"], outcome.document["field"]["right"]) == right
    assert outcome.document["domain"]["is"] == "settlement"


def test_a_right_answer_that_comes_late_is_not_enough(incident: Incident) -> None:
    answers = ("settlement", "paymentProofRef")
    late = drill(incident, Person(*answers), within_s=60, clock=iter((0.0, 60.5)).__next__)
    assert (late.exit_code, late.document["inTime"]) == (1, False)
    assert drill(incident, Person(*answers), within_s=60, clock=iter((0.0, 60.0)).__next__).exit_code == 0


def test_what_is_no_answer_is_asked_again_with_the_closest(incident: Incident) -> None:
    person = Person("settlment", "", "raw", "settlement", "proof", "paymentProofRef")
    assert drill(incident, person).exit_code == 0
    _, _, near, nothing, raw, _, field, *_ = person.shown
    assert "saw 'settlment'; did you mean 'settlement'?" in near
    assert "saw ''" in nothing
    assert json.loads(raw.splitlines()[0])["requestId"] == incident.request_id
    assert "expected one of denyReason" in field


def test_the_end_of_the_input_is_told(incident: Incident) -> None:
    with pytest.raises(BadInput, match="expected a field, saw the end of the input"):
        drill(incident, Person("settlement"))
    with pytest.raises(BadInput, match="saw none in 20 answers"):
        drill(incident, Person(*["what?"] * 30))


def test_nothing_and_missing_are_told_apart(incident: Incident) -> None:
    row = dict(incident.tables.table("records")[0])
    del row["walletState"]
    person = Person("settlement", "record")
    drill(incident._replace(tables=Rows(row), request_id=row["requestId"]), person)
    (nothing,) = (line for line in person.shown[0].splitlines() if "null:" in line)
    assert "nodeSyncStatus" in person.shown[0]
    assert "walletState" not in person.shown[0]
    assert "denyReason" in nothing + person.shown[0]


class Rows:
    def __init__(self, *rows: dict[str, object]) -> None:
        self._rows = rows

    def table(self, name: str) -> tuple[dict[str, object], ...]:
        return self._rows if name == "records" else ()


def test_people_type_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("settlement\ndenyReason\n"))
    told = run("drill", "missing-revenue")
    assert (told.code, told.err) == (1, "")
    assert told.out.startswith(
        "missing-revenue: A customer was served, and the books do not have the sale.\n"
    )
    assert "\ndomain    settlement: right\nfield     denyReason: wrong, it is paymentProofRef\n" in told.out
    monkeypatch.setattr("sys.stdin", io.StringIO("settlement\npaymentProofRef\n"))
    told = run("drill", "missing-revenue", "--json", "--within", "3600")
    assert told.document["ok"] is True
    assert "domain: one of" in told.err


def test_the_records_that_a_run_kept_are_an_incident(
    run: Run, incident: Incident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "records.jsonl"
    secret = {"endpoint": "Bearer abcdefghijklmnopqrstuvwxyz0123456789"}
    rows = [dict(row) | secret for row in incident.tables.table("records")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr("sys.stdin", io.StringIO("raw\nsettlement\npaymentProofRef\n"))
    told = run("drill", file)
    assert told.code == 0
    assert incident.request_id in told.out
    assert secret["endpoint"] not in told.out
    assert run("drill", file, "--request-id", "nobody").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["an-eror"], "saw 'an-eror'; did you mean 'an-error'?"),
        ([], "pytest-l402 drill --list names them"),
        (["an-error", "--within", "0"], "--within: expected seconds above 0, saw '0'"),
        (["an-error", "--within", "soon"], "--within: expected seconds above 0, saw 'soon'"),
        (["an-error", "--request-id", "x"], "--request-id: expected a file of records"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, run: Run) -> None:
    told = run("drill", *arguments)
    assert (told.code, told.out) == (2, "")
    assert message in told.err


def test_the_list_names_complaints(run: Run) -> None:
    listed = run("drill", "--list").out
    assert all(name in listed and complaint in listed for name, complaint in INCIDENTS.items())
    assert len(run("drill", "--list", "--json").document["incidents"]) == len(IS)
