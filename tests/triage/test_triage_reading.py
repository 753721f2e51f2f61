"""Whatever an on-call has is read, and what cannot be read is named."""

import gzip
import io
import json
import os
import sys

import pytest
from evidence_records import make_record
from hypothesis import given
from hypothesis import strategies as st
from incident_files import json_lines, records, vector, write
from purchases import HOSTED, clean

from pytest_l402.contract import REQUIRED_KEYS, record_departures
from pytest_l402.triage.diagnosis import triage
from pytest_l402.triage.findings import Findings
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.page import page_of
from pytest_l402.triage.record_gate import RecordGate
from pytest_l402.triage.record_row import record_cells
from pytest_l402.triage.report import triage_report

ROWS = clean(HOSTED).rows
TEXTS = [json.dumps(row) for row in ROWS]


def wrapped(make):
    return "".join(json.dumps(make(text)) + "\n" for text in TEXTS)


FORMS = {
    "JSON-SEQ": "".join(f"\x1e{text}\n" for text in TEXTS),
    "a pretty stream": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "several on a line": " ".join(TEXTS),
    "a list with a record a line": "[\n" + ",\n".join(TEXTS) + "\n]",
    "docker": wrapped(lambda text: {"log": text + "\n", "stream": "stdout", "time": "2026-09-21T14:13:20Z"}),
    "journald": wrapped(lambda text: {"MESSAGE": text, "_PID": "7", "__REALTIME_TIMESTAMP": "1"}),
    "journald, in bytes": wrapped(lambda text: {"MESSAGE": list(text.encode())}),
    "Elasticsearch, a line": wrapped(lambda text: {"_index": "l402", "_source": json.loads(text)}),
    "Elasticsearch, whole": json.dumps(
        {"took": 1, "hits": {"total": 5, "hits": [{"_id": "1", "_source": row} for row in ROWS]}}
    ),
    "Elasticsearch over a log": wrapped(lambda text: {"_source": {"message": text, "host": "a"}}),
    "CloudWatch": json.dumps({"events": [{"timestamp": 1, "message": text} for text in TEXTS]}),
    "CloudWatch, insights": json.dumps(
        {
            "results": [
                [{"field": "@timestamp", "value": "1"}, {"field": "@message", "value": t}] for t in TEXTS
            ]
        }
    ),
    "Cloud Logging": wrapped(lambda text: {"insertId": "1", "jsonPayload": json.loads(text)}),
    "Loki": json.dumps({"data": {"result": [{"stream": {}, "values": [["1", text] for text in TEXTS]}]}}),
    "kubectl": "".join(f"2026-12-01T02:14:07.123456789Z {text}\n" for text in TEXTS),
    "CRI": "".join(f"2026-12-01T02:14:07.1Z stdout F {text}\n" for text in TEXTS),
    "aws logs tail": "".join(f"2026-12-01T02:14:07.1+00:00 app/web {text}\n" for text in TEXTS),
    "UTF-16": ("\n".join(TEXTS) + "\r\n").encode("utf-16"),
    "UTF-16 without a mark": "\n".join(TEXTS).encode("utf-16-le"),
    "UTF-32": "\n".join(TEXTS).encode("utf-32"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + "\n".join(TEXTS).encode(),
    "gzip": gzip.compress("\n".join(TEXTS).encode()),
    "gzip of UTF-16": gzip.compress("\n".join(TEXTS).encode("utf-16")),
    "two gzip members": gzip.compress(f"{TEXTS[0]}\n".encode())
    + gzip.compress("\n".join(TEXTS[1:]).encode()),
    "NULs at the head": b"\0" * 300 + "\n".join(TEXTS).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_and_judged(tmp_path, form):
    incident = read_incident(write(tmp_path, FORMS[form]))
    assert incident.departures == ()
    assert [dict(record.row) for record in incident.records] == ROWS
    assert [str(found.rule) for found in triage(incident)] == ["paid"]
    plain = form.startswith(("JSON", "a ", "several", "UTF-8"))
    assert bool(incident.notes) is not plain


def test_zstd_is_unpacked_where_there_is_a_module_for_it(tmp_path, monkeypatch):
    try:
        from compression.zstd import compress
    except ImportError:
        compress = pytest.importorskip("backports.zstd").compress
    packed = write(tmp_path, compress("\n".join(TEXTS).encode()), "export.zst")
    incident = read_incident(packed)
    assert [dict(record.row) for record in incident.records] == ROWS
    assert any("unpacked from zstd" in note for note in incident.notes)
    for module in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    (departure,) = read_incident(packed).departures
    assert "zstd, for which this Python has no module" in departure.message
    assert "pytest-l402[audit]" in departure.message


def test_standard_input_folders_and_patterns(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(TEXTS).encode())))
    assert len(read_incident("-").records) == len(ROWS)
    write(tmp_path, "\n".join(TEXTS[:2]), "a.jsonl")
    write(tmp_path, "\n".join(TEXTS[2:]), "b.jsonl")
    write(tmp_path, '{"other": "product"}', "c.json")
    write(tmp_path, "no JSON at all", "notes.txt")
    for names in (
        [tmp_path],
        [tmp_path / "*.jsonl"],
        [tmp_path / "[ab].jsonl"],
        [tmp_path / "b.jsonl", tmp_path],
    ):
        incident = read_incident(*names)
        assert (len(incident.records), incident.departures) == (len(ROWS), ())
    assert "matches, saw none" in read_incident(tmp_path / "*.xyz").departures[0].message
    (departure,) = read_incident(tmp_path / "c.json").departures
    assert "none of them a record's" in departure.message


def test_many_lines_of_another_product_are_told_once(tmp_path):
    incident = read_incident(write(tmp_path, '{"other": "product"}\n' * 5_000))
    assert len(incident.departures) < 10
    assert any("4997 more" in note for note in incident.notes)


def test_other_lines_of_a_log_are_no_fault(tmp_path):
    docker = FORMS["docker"] + '{"log":"listening on :8080\\n","stream":"stderr"}\n'
    incident = read_incident(write(tmp_path, docker))
    assert incident.departures == ()
    assert any("1 lines of a log are no records" in note for note in incident.notes)


def test_a_torn_record_in_a_wrapper_is_named(tmp_path):
    docker = FORMS["docker"] + json.dumps({"log": '{"requestId":"req-9","plane":"u'}) + "\n"
    (departure,) = read_incident(write(tmp_path, docker)).departures
    assert (departure.request_id, departure.line) == ("req-9", len(ROWS) + 1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[\n\u00a0 {}]", "(U+00A0 NO-BREAK SPACE)"),
        ('{"requestId": \x1e"x"}', "(U+001E a control character)"),
        ('{"requestId": \u201cx\u201d}', "(U+201C LEFT DOUBLE QUOTATION MARK)"),
        ('\ufeff\ufeff{"requestId": "x"}', "(U+FEFF ZERO WIDTH NO-BREAK SPACE)"),
    ],
)
def test_the_character_that_is_wrong_is_named(tmp_path, text, shown):
    (departure,) = read_incident(write(tmp_path, text)).departures
    assert shown in departure.message
    assert "take that character out" in departure.message


@pytest.mark.parametrize("value", [[], {}, 5, True, None, "", "\ud800", [["deep"]]])
@pytest.mark.parametrize("key", ["requestId", "plane", "paymentProofRef", "observedAtMs", "denyReason"])
def test_no_value_of_any_key_is_too_much(tmp_path, key, value):
    incident = read_incident(write(tmp_path, json.dumps({**ROWS[0], key: value})))
    report = triage_report(incident)
    for told in (report.to_text(), report.to_json(), page_of(report)):
        assert isinstance(told, str)
    assert Findings(incident.records).beginning("", 9) in ([], ["req-1"])


def test_deep_nesting_and_a_cut_gzip_are_named(tmp_path):
    deep = read_incident(write(tmp_path, "[" * 100_000))
    assert deep.departures
    packed = gzip.compress("\n".join(TEXTS * 500).encode())
    cut = read_incident(write(tmp_path, packed[: len(packed) // 2], "cut.gz"))
    assert "damaged or cut off" in cut.departures[-1].message
    assert cut.records


def test_a_pipe_that_stays_silent_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("pytest_l402.triage.incident_files.PIPE_PATIENCE_S", 0.01)
    os.mkfifo(tmp_path / "pipe")
    (departure,) = read_incident(tmp_path / "pipe").departures
    assert "saw silence" in departure.message


def test_a_file_that_grows_has_an_end(tmp_path):
    path = write(tmp_path, "\n".join(TEXTS) + "\n")

    def grow(file, documents):
        with path.open("a") as more:
            more.write(TEXTS[0] + "\n")

    import pytest_l402.triage.incident as incident_room

    before, incident_room._EVERY = incident_room._EVERY, 1
    try:
        incident = read_incident(path, progress=grow)
    finally:
        incident_room._EVERY = before
    assert len(incident.records) == len(ROWS)
    assert any("was written to while it was read" in note for note in incident.notes)


def test_the_output_of_commands_without_records_is_named(tmp_path):
    for value in (
        {"ok": True, "requestId": "smoke:staging", "configHash": "cfg_x", "executionPath": "hosted-node"},
        {"ok": True, "failClosed": {"passed": True}},
    ):
        (departure,) = read_incident(write(tmp_path, json.dumps(value))).departures
        assert "a command without records" in departure.message
    summary = vector("full-flow-summary.json")
    (departure,) = read_incident(write(tmp_path, json.dumps(summary))).departures
    assert summary["paidRequest"]["requestId"] in departure.message


@given(
    changes=st.dictionaries(
        st.sampled_from(REQUIRED_KEYS),
        st.sampled_from(
            [None, "", " ", "x", "ui", "desktop", 0, 1, 1.0, 1.5, -1, True, [], {}, 2**53, "\ud800"]
        ),
        max_size=3,
    )
)
def test_the_quick_look_at_a_record_agrees_with_the_contract(changes):
    row = make_record(**changes)
    cells = record_cells(row)
    if cells is not None:
        assert record_departures(row) == ()
        assert dict(zip(REQUIRED_KEYS, cells, strict=True)) == row


_ODD = [
    None,
    "",
    " ",
    "x",
    'a"b',
    "\\",
    "\x7f",
    "é",
    "ui",
    "desktop",
    0,
    1,
    1.0,
    -1,
    10**14,
    10**16,
    True,
    [],
]


@given(
    order=st.permutations(REQUIRED_KEYS),
    compact=st.booleans(),
    changes=st.dictionaries(st.sampled_from(REQUIRED_KEYS), st.sampled_from(_ODD), max_size=2),
    ascii_only=st.booleans(),
)
def test_the_gate_lets_through_nothing_but_records_as_they_are(order, compact, changes, ascii_only):
    separators = (",", ":") if compact else (", ", ": ")

    def line(row):
        told = {key: row[key] for key in order}
        return json.dumps(told, separators=separators, ensure_ascii=ascii_only)

    gate = RecordGate()
    first = dict(ROWS[2])
    gate.learn(line(first), {key: first[key] for key in order})
    assert gate.cells(line(first)) == tuple(first[key] for key in REQUIRED_KEYS)
    row = {**first, **changes}
    cells = gate.cells(line(row) + "\n")
    if cells is not None:
        assert record_departures(row) == ()
        assert dict(zip(REQUIRED_KEYS, cells, strict=True)) == row
    for torn in (line(row)[:-1], line(row)[:-1] + ',"requestId":"other"}', line(row) + line(row)):
        assert gate.cells(torn) is None


def test_a_gate_that_has_learnt_nothing_lets_nothing_through():
    gate = RecordGate()
    gate.learn('{"requestId": 1}', {"requestId": 1})
    assert gate.cells(TEXTS[0]) is None


def test_a_plain_record_is_known_at_a_look():
    assert all(record_cells(row) is not None for row in [*ROWS, *records()])
    assert json_lines(ROWS)
