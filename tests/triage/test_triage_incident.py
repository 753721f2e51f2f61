import json
import os
import threading

import pytest
from incident_files import VECTORS, json_lines, records, vector, write

from pytest_l402.triage.diagnosis import triage
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.incident_rows import DepartureEffect

BOTH = [*records("req_1"), *records("req_2")]


def domains(incident):
    return {found.request_id: found.domain.value for found in triage(incident)}


def effects(incident):
    return [
        (departure.line, departure.field, departure.request_id, departure.effect)
        for departure in incident.departures
    ]


@pytest.mark.parametrize(
    "content",
    [
        json_lines(BOTH),
        "\n" + json_lines(BOTH).replace("\n", "\r\n\n"),
        json.dumps(BOTH),
        json.dumps(BOTH, indent=2),
        json.dumps({"generatedAtMs": 1, "records": BOTH}),
        json.dumps({"generatedAtMs": 1, "records": BOTH}, indent=1),
        json_lines([{"generatedAtMs": 1, "records": BOTH[:2]}, *BOTH[2:]]),
        json_lines([BOTH]),
        "[\n" + ",\n".join(json.dumps(record) for record in BOTH) + "\n]\n",
    ],
)
def test_every_form_gives_the_same_records(tmp_path, content):
    incident = read_incident(write(tmp_path, content))
    assert [record.row for record in incident.records] == BOTH
    assert incident.departures == ()
    assert domains(incident) == {"req_1": "healthy", "req_2": "healthy"}


def test_single_record_is_a_file_too(tmp_path):
    incident = read_incident(write(tmp_path, json.dumps(BOTH[0], indent=2)))
    assert [record.row for record in incident.records] == BOTH[:1]


@pytest.mark.parametrize("indent", [None, 2])
def test_lines_are_those_of_the_records(tmp_path, indent):
    text = json.dumps({"generatedAtMs": 1, "records": BOTH}, indent=indent)
    incident = read_incident(write(tmp_path, text))
    for record in incident.records:
        block = "\n".join(text.split("\n")[record.line - 1 :])
        assert block.lstrip()[0] == "{"
        if indent:
            assert f'"requestId": "{record.row["requestId"]}"' in block.split("\n")[1]
    assert [record.path for record in incident.records] == [f"records[{index}]" for index in range(4)]
    assert incident.records[0].where == f"{tmp_path}/incident.jsonl:{4 if indent else 1}"


def test_json_lines_count_blank_lines(tmp_path):
    text = "\n\n" + json_lines(BOTH[:1]) + "\n" + json_lines(BOTH[1:2])
    assert [record.line for record in read_incident(write(tmp_path, text)).records] == [3, 5]


def test_original_artifact_gives_records_flows_and_artifact():
    incident = read_incident(VECTORS / "local-node-artifact.json")
    assert len(incident.records) == 4
    assert len(incident.artifacts) == 1
    assert [flow.path for flow in incident.flows] == ["flows[0]", "flows[1]"]
    lines = (VECTORS / "local-node-artifact.json").read_text().split("\n")
    for flow, name in zip(incident.flows, ("success", "blocked"), strict=True):
        assert lines[flow.line - 1].strip() == "{"
        assert f'"flow": "{name}"' in lines[flow.line]
    assert set(domains(incident).values()) == {"healthy", "policy"}
    created = vector("local-node-artifact.json")["flows"][0]["createRequestId"]
    assert created in {flow.row["createRequestId"] for flow in incident.flows}


def test_original_observability_output_gives_records_and_summary():
    incident = read_incident(VECTORS / "observability.json")
    assert len(incident.records) == 5
    assert len(incident.summaries) == 1
    assert sorted(domains(incident).values()) == ["healthy", "healthy", "policy"]


def test_artifact_in_json_lines_is_one_too(tmp_path):
    incident = read_incident(write(tmp_path, json_lines([vector("local-node-artifact.json")])))
    assert len(incident.artifacts) == 1
    assert {flow.line for flow in incident.flows} == {1}


def test_flow_without_records_yet_is_evidence(tmp_path):
    artifact = vector("local-node-artifact.json")
    flow = artifact["flows"][0] | {"taskStatus": "running", "flow": "interrupted"}
    artifact["flows"] = [flow | {"observabilityRecords": [], "proofReference": None}]
    incident = read_incident(write(tmp_path, json.dumps(artifact)))
    assert incident.departures == ()
    assert set(domains(incident).values()) == {"executor"}


def test_what_a_second_file_tells_again_counts_once(tmp_path):
    first = write(tmp_path, json_lines([*BOTH, BOTH[0]]))
    second = write(tmp_path, json.dumps([*BOTH, *records("req_3")]), "more.json")
    incident = read_incident(first, second)
    assert [record.row["requestId"] for record in incident.records] == [
        *["req_1", "req_1", "req_2", "req_2"],
        *["req_3", "req_3"],
    ]
    again = read_incident(first, first)
    assert (again.departures, again.records, again.notes[0][:1]) == ((), read_incident(first).records, "6")


INVALID = [
    ({"plane": "gatewayz"}, "plane"),
    ({"observedAtMs": "1"}, "observedAtMs"),
    ({"paidAmountMsats": 1.5}, "paidAmountMsats"),
    ({"userId": ""}, "userId"),
]


@pytest.mark.parametrize(("change", "field"), INVALID)
@pytest.mark.parametrize("form", ["lines", "pretty"])
def test_request_of_an_invalid_record_is_incomplete_and_the_others_are_judged(tmp_path, change, field, form):
    rows = [*BOTH, records("req_2")[0] | change]
    text = json_lines(rows) if form == "lines" else json.dumps(rows, indent=2)
    incident = read_incident(write(tmp_path, text))
    assert domains(incident) == {"req_1": "healthy", "req_2": "incomplete"}
    (departure,) = incident.departures
    assert departure.effect is DepartureEffect.INCOMPLETE
    assert departure.request_id == "req_2"
    assert departure.field == (field if form == "lines" else f"[4].{field}")
    assert f'"{field}":' in text.split("\n")[departure.line - 1]
    assert departure.message.startswith(f"{tmp_path}/incident.jsonl:{departure.line}: ")


def test_missing_key_stands_where_its_record_does(tmp_path):
    broken = records("req_2")[0]
    del broken["userId"]
    incident = read_incident(write(tmp_path, json.dumps([*BOTH, broken], indent=1)))
    (departure,) = incident.departures
    assert (departure.field, departure.seen) == ("[4].userId", "absent")
    assert departure.line == incident.records[4].line


def test_several_faults_of_a_record_are_one_line(tmp_path):
    broken = {"requestId": "req_2", "plane": "x"}
    incident = read_incident(write(tmp_path, json_lines([*BOTH, broken])))
    (departure,) = incident.departures
    assert departure.message.endswith("saw absent (and 17 more: paywallId, taskId, endpoint, …)")


def line_with(text):
    return json_lines(BOTH) + text + "\n"


@pytest.mark.parametrize(
    "text",
    [
        '{"requestId":"req_2","plane":"ui","plane":"gateway"}',
        '{"requestId":"req_2","paidAmountMsats":NaN}',
        '{"requestId":"req_2","paidAmountMsats":1e999}',
        '{"requestId":"req_2","denyReason":"\\ud800"}',
    ],
)
def test_line_refused_for_its_values_makes_its_request_incomplete(tmp_path, text):
    incident = read_incident(write(tmp_path, line_with(text)))
    assert [departure[2:] for departure in effects(incident)] == [("req_2", DepartureEffect.INCOMPLETE)]
    assert domains(incident) == {"req_1": "healthy", "req_2": "incomplete"}


@pytest.mark.parametrize(
    "text",
    [
        '{"requestId":"req_1","requestId":"req_2"}',
        '{"plane":"ui","plane":"gateway"}',
        '{"requestId":"\\ud800"}',
        '{"requestId":5}',
        '{"requestId":null,"plane":"x"}',
        "[5]",
        '"requestId"',
        '[{"requestId":"req_2","plane":NaN}]',
    ],
)
def test_fault_that_names_no_request_is_bad_input(tmp_path, text):
    incident = read_incident(write(tmp_path, line_with(text)))
    assert [effect for *_, effect in effects(incident)] == [DepartureEffect.BAD_INPUT]
    assert domains(incident)["req_1"] == "healthy"


@pytest.mark.parametrize(
    "text", [b'{"requestId":"req_2","plane":"u', b'{"requestId":"req_2","userId":"\xff"}', b"{'requestId'"]
)
def test_torn_line_is_bad_input_and_spoils_the_request_it_names(tmp_path, text):
    incident = read_incident(write(tmp_path, json_lines(BOTH).encode() + text))
    (departure,) = incident.departures
    assert (departure.line, departure.effect) == (5, DepartureEffect.BAD_INPUT)
    spoiled = "incomplete" if b"req_2" in text else "healthy"
    assert domains(incident) == {"req_1": "healthy", "req_2": spoiled}


def test_torn_first_line_does_not_hide_the_others(tmp_path):
    incident = read_incident(write(tmp_path, '{"requestId":"re\n' + json_lines(BOTH)))
    assert [departure.line for departure in incident.departures] == [1]
    assert domains(incident) == {"req_1": "healthy", "req_2": "healthy"}


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", None, "saw an empty file"),
        (b" \n \n", None, "saw an empty file"),
        (b"not json", 1, "expected JSON"),
        (b"[]", None, "expected at least one record, saw none"),
        (b'{"generatedAtMs":1,"records":[]}', None, "at least one record"),
        (b'{"generatedAtMs":1,"flows":[]}', None, "at least one record"),
        (b"5", 1, "expected an object"),
        (b"null", 1, "expected an object"),
        (b"{}", 1, "an object of 0 keys, none of them a record's"),
        (b'{"records":{}}', 1, "records: expected a list of records"),
        (b'{"generatedAtMs":1,"flows":{}}', 1, "flows: expected an array"),
        (b'{\n"records": [\n{"requestId":', 3, "cut off"),
        (b"\xff[]", 1, "expected UTF-8"),
        (b"\xff\xfe[\x00]\x00", None, "expected at least one record, saw none"),
        (b'{"a":1,"a":2}', 1, "a: expected each key once"),
    ],
)
def test_file_without_anything_to_judge_is_bad_input(tmp_path, content, line, message):
    incident = read_incident(write(tmp_path, content))
    assert incident.bad_input == incident.departures
    (departure,) = incident.departures
    assert departure.line == line
    assert message in departure.message
    assert str(tmp_path / "incident.jsonl") in departure.message


def test_file_of_invalid_records_only_is_bad_input(tmp_path):
    incident = read_incident(write(tmp_path, json_lines([row | {"plane": "x"} for row in BOTH])))
    assert {departure.effect for departure in incident.departures} == {DepartureEffect.BAD_INPUT}
    assert set(domains(incident).values()) == {"incomplete"}


@pytest.mark.parametrize("name", ["full-flow-summary.json", "full-flow-events.jsonl"])
def test_artifacts_without_records_are_named_as_such(name):
    incident = read_incident(VECTORS / name)
    assert "full-flow" in incident.bad_input[0].message
    assert incident.records == ()


def test_missing_file_and_directory_do_not_hide_the_readable_one(tmp_path):
    good = write(tmp_path, json_lines(BOTH))
    (tmp_path / "empty").mkdir()
    incident = read_incident(tmp_path / "no.json", tmp_path / "empty", good)
    assert ["nothing of that name" in incident.departures[0].message, len(incident.departures)] == [True, 2]
    assert "a directory that is empty" in incident.departures[1].message
    assert len(incident.records) == 4


def test_broken_artifact_is_bad_input_but_its_records_are_read(tmp_path):
    artifact = vector("local-node-artifact.json")
    artifact["flows"][1]["taskStatus"] = "<b>done"
    text = json.dumps(artifact, indent=2)
    incident = read_incident(write(tmp_path, text))
    (departure,) = incident.departures
    assert departure.field == "flows[1].taskStatus"
    assert '"taskStatus": "<b>done"' in text.split("\n")[departure.line - 1]
    assert incident.artifacts == ()
    assert len(incident.records) == 4


def test_record_of_an_artifact_that_is_none_is_counted(tmp_path):
    artifact = vector("local-node-artifact.json")
    artifact["flows"][0]["observabilityRecords"].append("x")
    incident = read_incident(write(tmp_path, json.dumps(artifact)))
    assert [departure.field for departure in incident.bad_input] == ["flows[0].observabilityRecords[2]"]
    assert triage(incident)


def test_secrets_are_found_where_they_stand_and_kept_out_of_messages(tmp_path):
    secret = "ab" * 32
    rows = [*BOTH, BOTH[0] | {"plane": f"preimage={secret}"}]
    incident = read_incident(write(tmp_path, json_lines(rows)))
    assert [place.line for place in incident.secrets] == [5]
    assert secret not in str(incident.departures)
    assert [place.line for place in read_incident(VECTORS / "local-node-artifact.json").secrets] == [25]
    assert read_incident(VECTORS / "observability.json").secrets == ()


def test_many_faults_in_a_document_are_all_named(tmp_path):
    rows = [records(f"req_{index}")[0] | {"plane": "x"} for index in range(80)]
    incident = read_incident(write(tmp_path, json.dumps([*BOTH, *rows], indent=1)))
    assert len(incident.departures) == 80
    lines = [departure.line for departure in incident.departures]
    assert lines == sorted(set(lines))


def test_pipe_is_read_like_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(json_lines(BOTH),))
    writer.start()
    incident = read_incident(pipe)
    writer.join()
    assert len(incident.records) == 4


def test_endless_line_is_refused_in_bounded_memory():
    (departure,) = read_incident("/dev/zero").departures
    assert "lines of at most 67108864 bytes" in departure.message
