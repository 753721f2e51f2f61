"""A shortfall of a reference file turns nothing red, and is named wherever the verdict is read."""

from __future__ import annotations

import json
from pathlib import Path

from signoff_samples import document, node

from pytest_l402.signoff import Verdict
from pytest_l402.signoff.page import render_page
from pytest_l402.signoff.results import NodeResult, NotedShortfall
from pytest_l402.signoff.terminal import terminal_lines

ROW = {
    "line": "1.ok",
    "file": "historical.json",
    "atLine": 4,
    "seen": "a success with macaroon=AgEEbHNhdAJCAAA",
    "remedy": "triage by the proof | <b>",
}
NOTED = NotedShortfall.from_row(ROW)
NODES = (node("success", shortfalls=(NOTED,)), node("reuse"))


def test_a_row_becomes_what_the_sign_off_says() -> None:
    assert (NOTED.line, NOTED.where) == ("1.ok", "historical.json line 4")


def test_it_crosses_a_process_border_without_secrets() -> None:
    (told,) = NodeResult.from_json(NODES[0].to_json()).shortfalls
    assert (told.line, told.where, told.remedy) == (NOTED.line, NOTED.where, NOTED.remedy)
    assert told.seen == "a success with macaroon=[redacted]"


def test_it_turns_nothing_red_and_cites_the_line() -> None:
    signed = document(NODES)
    assert signed.verdict is Verdict.SIGNED_OFF
    (entry,) = json.loads(signed.model_dump_json())["rehearsals"][0]["nodes"][0]["shortfalls"]
    assert entry["line"]["id"] == "1.ok"
    assert entry["line"]["text"]
    assert entry["seen"] == "a success with macaroon=[redacted]"


def test_a_place_that_is_no_line_of_the_catalogue_is_cited_by_its_name() -> None:
    noted = NotedShortfall.from_row({**ROW, "line": "Programmatic Verification"})
    (entry,) = (
        document((node("success", shortfalls=(noted,)), node("reuse"))).rehearsals[0].nodes[0].shortfalls
    )
    assert (entry.line.id, entry.line.text) == ("Programmatic Verification", "")


def test_it_is_named_on_the_page_and_on_the_terminal(tmp_path: Path) -> None:
    page = render_page(document(NODES), tmp_path)
    assert "falls short of 1.ok: a success with macaroon=[redacted], in historical.json line 4" in page
    assert "triage by the proof | &lt;b&gt;" in page
    lines = [line.text for line in terminal_lines(document(NODES), width=200, path=None)]
    assert "    falls short of 1.ok: a success with macaroon=[redacted], in historical.json line 4" in lines
