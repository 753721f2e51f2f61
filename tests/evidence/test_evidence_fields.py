"""What the rows of a table can hold is told by the contract, by systems, and by the rows themselves."""

from __future__ import annotations

import contextlib
import json
from enum import StrEnum
from typing import Any, Literal, TypedDict

import pytest
from pydantic import BaseModel

from pytest_l402.contract import DENY_REASONS
from pytest_l402.contract.tables import ROW_FORMS
from pytest_l402.evidence.fields import TableFields, alike, annotations_of
from pytest_l402.evidence.tables import TABLES, Evidence
from pytest_l402.stack import Stack
from pytest_l402.stack.system import StackSystem


class Colour(StrEnum):
    RED = "red"


class Inner(BaseModel):
    depth: int


class Model(BaseModel):
    colour: Colour
    inner: Inner
    parts: list[Inner] = []
    free: dict[str, Any] = {}


class Typed(TypedDict):
    state: Literal["on", "off"] | None
    seats: int


FORMS: dict[str, Any] = {
    "model": Model,
    "typed": Typed,
    "mapping": {"state": Literal["on", "off"] | None, "seats": int},
}


def fields(form: str, *rows: dict[str, Any]) -> TableFields:
    return TableFields("t", rows, {"t": (FORMS[form],)} if form else {})


@pytest.mark.parametrize(
    ("form", "path", "known"),
    [
        ("model", "colour", True),
        ("model", "color", False),
        ("model", "inner.depth", True),
        ("model", "inner.depht", False),
        ("model", "parts.depth", True),
        ("model", "free.whatever", True),
        ("model", "colour.red", False),
        ("typed", "state", True),
        ("mapping", "seats", True),
        ("mapping", "seat", False),
        ("", "state", False),
    ],
)
def test_a_field_is_known_by_its_form(form: str, path: str, known: bool) -> None:
    assert fields(form).has(path) is known


def test_a_field_is_known_by_a_row() -> None:
    told = fields("typed", {"more": {"deep": [{"er": 1}]}})
    assert told.has("more.deep.er")
    assert not told.has("more.deep.err")
    assert told.unknown_in("state", None) is None
    assert told.unknown_in("more", {"deeper": 1}) == "more.deeper"


@pytest.mark.parametrize(
    ("form", "path", "value", "fits"),
    [
        ("typed", "state", "on", True),
        ("typed", "state", "On", False),
        ("typed", "state", None, True),
        ("typed", "seats", 3, True),
        ("typed", "seats", "3", False),
        ("typed", "seats", 3.0, False),
        ("typed", "seats", True, False),
        ("typed", "seats", None, False),
        ("model", "colour", "red", True),
        ("model", "colour", "blue", False),
        ("", "unheard-of", "x", True),
    ],
)
def test_a_value_fits_its_form(form: str, path: str, value: object, fits: bool) -> None:
    assert (fields(form).misfit(path, value) is None) is fits


def test_what_a_row_holds_can_be_held_whatever_a_form_says() -> None:
    assert fields("typed", {"state": "broken"}).misfit("state", "broken") is None


@pytest.mark.parametrize(
    ("value", "fits"), [(2, True), (True, False), ("2", False), (2.0, False), (None, True)]
)
def test_without_a_form_the_rows_say_of_what_kind_a_value_is(value: object, fits: bool) -> None:
    assert (fields("", {"count": 1}).misfit("count", value) is None) is fits


@pytest.mark.parametrize(
    ("path", "value", "meant"),
    [
        ("seats", "3", 3),
        ("seats", True, 1),
        ("seats", 3.0, 3),
        ("seats", "many", None),
        ("state", "OFF", "off"),
        ("state", "elsewhere", None),
        ("seats", 3, None),
    ],
)
def test_another_spelling_is_told_from_another_value(path: str, value: object, meant: object) -> None:
    assert fields("typed").meant_by(path, value) == meant


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("amount-over-cap", "amount_over_cap", True),
        ("succeded", "succeeded", True),
        ("on", "off", False),
        ("seat-12", "seat-13", False),
        ("desktop_executor_offline-other", "desktop_executor_offline", False),
        ("mallory", "mallorie", False),
    ],
)
def test_texts_are_alike_if_one_is_a_slip_of_the_other(one: str, other: str, same: bool) -> None:
    assert alike(one, other) is same


@pytest.mark.parametrize("table", ROW_FORMS)
def test_a_made_up_row_is_as_its_form_has_it(table: str) -> None:
    told = TableFields(table, (), {})
    row = told.made_up()
    assert row.keys() == annotations_of(ROW_FORMS[table]).keys()
    # A document may have a rule over several of its fields; no check makes one up.
    assert {key for key, value in row.items() if told.misfit(key, value)} <= {"coverage"}
    assert json.loads(json.dumps(row)) == row


def test_every_table_of_the_checks_has_a_form() -> None:
    assert {*TABLES} - {*ROW_FORMS} == {"deployments", "gateway_events", "credential_roles"}
    with Stack() as stack:
        brought = {"reconcile_summary", "inspection", "configuration_changes", "configuration_findings"}
        assert {*StackSystem(stack).fields()} == {*TABLES, *brought}


def test_the_stack_leaves_rows_as_the_forms_have_them() -> None:
    with Stack(5) as stack, stack.online():
        stack.executor.buy("/premium")
        stack.executor.buy("/premium")
        stack.executor.buy("/premium-expensive")
        stack.control_plane.set_global_pause(True)
        stack.control_plane.credential_roles.rotate("gateway_invoice")
        stack.reconciler().reconcile("staging:one")
        declared = {table: (form,) for table, form in StackSystem(stack).fields().items()}
        evidence = Evidence({**stack.tables(), "steady_state": stack.steady_state("after")})
    assert {*evidence.names} <= {*declared}
    for table in evidence:
        told, rows = TableFields(table, (), declared), evidence.table(table)
        assert [(table, key, row[key]) for row in rows for key in row if not told.has(key)] == []
        assert [(table, key, row[key]) for row in rows for key in row if told.misfit(key, row[key])] == []


def test_triage_understands_every_reason_of_the_contract() -> None:
    import sqlite3

    from pytest_l402.triage.deny_reasons import meaning_sql

    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        known = f"select {meaning_sql('?1')}"
        found = {word: database.execute(known, (word.lower(),)).fetchone()[0] for word in DENY_REASONS}
    assert {word for word, meaning in found.items() if meaning is None} == set()
