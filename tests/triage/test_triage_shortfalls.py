import json
from pathlib import Path

import pytest
import yaml
from incident_files import VECTORS, json_lines, records, vector, write

from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.shortfalls import shortfalls


def lines_of(path):
    return [item.line for item in shortfalls(read_incident(path))]


def summary(tmp_path, change):
    value = vector("observability.json")
    change(value)
    return write(tmp_path, json.dumps(value), "summary.json")


def artifact(tmp_path, change):
    value = vector("local-node-artifact.json")
    for flow in value["flows"]:
        for record in flow["observabilityRecords"]:
            record |= {
                "nodeSyncStatus": "synced",
                "walletState": "unlocked",
                "desktopRuntimeStatus": "running",
            }
    value["flows"][0]["sellerCalls"][1]["authorization"] = "sha256:0123456789abcdef"
    value["flows"][1]["taskId"] = "task-2"
    change(value)
    return write(tmp_path, json.dumps(value, indent=1), "artifact.json")


def test_original_summary_never_shows_cache_reuse():
    (item,) = shortfalls(read_incident(VECTORS / "observability.json"))
    assert item.line == "3.cache-hit"
    assert item.seen == "no record with cacheHit=true among 5"


def test_original_artifact_is_degraded_on_success_shares_a_task_and_holds_a_secret():
    found = shortfalls(read_incident(VECTORS / "local-node-artifact.json"))
    assert [(item.line, item.at_line) for item in found] == [
        ("6.degraded-success", 4),
        ("correlate.local-artifact", 1),
        ("Programmatic Verification", 25),
    ]
    assert "nodeSyncStatus=degraded" in found[0].seen


def reuse(value):
    value["records"].append(value["records"][2] | {"cacheHit": True})
    value["recordCount"] = 6


def test_summary_that_bears_the_runbook_out_has_none(tmp_path):
    assert lines_of(summary(tmp_path, reuse)) == []


SUMMARY_CHANGES = {
    "no denial": (lambda value: value["records"].pop(4), "4.control-plane"),
    "blank reason": (lambda value: value["records"][4].update(denyReason=" "), "4.control-plane"),
    "wrong executor": (lambda value: value["records"][4].update(executor="gateway"), "4.control-plane"),
    "missing key": (lambda value: value["records"][0].pop("userId"), "1.keys"),
    "wrong count": (lambda value: value.update(recordCount=7), "1.one-story"),
    "nulls": (lambda value: [record.update(taskId=None) for record in value["records"]], "1.parity"),
    "no records": (lambda value: value.update(records=[]), "1.keys"),
}


@pytest.mark.parametrize(("change", "line"), SUMMARY_CHANGES.values(), ids=SUMMARY_CHANGES)
def test_each_shortfall_of_a_summary_is_named(tmp_path, change, line):
    def both(value):
        reuse(value)
        change(value)

    assert line in lines_of(summary(tmp_path, both))


def test_summary_that_calls_missing_keys_present_is_named_twice(tmp_path):
    path = summary(tmp_path, lambda value: (reuse(value), value["records"][0].pop("userId")))
    assert [item.seen for item in shortfalls(read_incident(path))] == [
        "records without userId",
        "missingFieldKeys is empty although records miss keys",
    ]


def test_artifact_that_bears_the_runbook_out_has_none(tmp_path):
    assert lines_of(artifact(tmp_path, lambda value: None)) == []


def without_proof(value):
    flow = value["flows"][0]
    flow["proofReference"] = None
    for record in flow["observabilityRecords"]:
        record["paymentProofRef"] = None


ARTIFACT_CHANGES = {
    "blocked only": (lambda value: value["flows"].pop(0), ["2.local-run"]),
    "success without proof": (without_proof, ["2.local-run", "2.local-run"]),
    "shared task": (lambda value: value["flows"][1].update(taskId="task-1"), ["correlate.local-artifact"]),
    "locked wallet": (
        lambda value: value["flows"][0]["observabilityRecords"][0].update(walletState="locked"),
        ["6.degraded-success"],
    ),
}


@pytest.mark.parametrize(("change", "lines"), ARTIFACT_CHANGES.values(), ids=ARTIFACT_CHANGES)
def test_each_shortfall_of_an_artifact_is_named(tmp_path, change, lines):
    assert lines_of(artifact(tmp_path, change)) == lines


def test_lines_are_those_of_the_catalogue():
    text = (Path(__file__).parents[2] / "rehearsals" / "catalogue.yaml").read_text(encoding="utf-8")
    known = {line["id"] for line in yaml.safe_load(text)["runbooks"]["observability"]["lines"]}
    expected = {line for _, line in SUMMARY_CHANGES.values()} | {"3.cache-hit"}
    expected |= {line for _, lines in ARTIFACT_CHANGES.values() for line in lines}
    assert expected <= known


def test_bare_records_are_no_rehearsal(tmp_path):
    assert lines_of(write(tmp_path, json_lines(records()))) == []
    row = records()[0] | {"endpoint": "https://user:geheim@host/"}
    (item,) = shortfalls(read_incident(write(tmp_path, json_lines([row]))))
    assert item.line == "Programmatic Verification"
    assert "geheim" not in str(item)
