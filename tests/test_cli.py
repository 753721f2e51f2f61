import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_l402 import __version__
from pytest_l402.cli import main

VECTORS = Path(__file__).parent / "contract" / "vectors"
OBSERVABILITY = VECTORS / "observability.json"
ARTIFACT = VECTORS / "local-node-artifact.json"
PREIMAGE = "000577509e3cf1013c746ab2daabe46378e35e14171ad7c5b55251765389cb27"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def healthy(tmp_path):
    path = tmp_path / "healthy.json"
    path.write_text(json.dumps(json.loads(OBSERVABILITY.read_text())["records"][:4]))
    return path


def changed(tmp_path, change, source=OBSERVABILITY):
    value = json.loads(source.read_text())
    change(value)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(value, indent=1))
    return path


def test_everything_healthy_exits_0(run, healthy):
    code, out, err = run("triage", healthy)
    assert (code, err) == (0, "")
    assert "req_smoke_1: healthy\n" in out


def test_failed_request_exits_1_and_tells_domain_field_record_and_next_step(run):
    code, out, err = run("triage", OBSERVABILITY, "--request-id", "smoke:observability:security")
    assert (code, err) == (1, "")
    assert out.startswith("smoke:observability:security: policy\n")
    assert f"decided denyReason=global_pause_active at {OBSERVABILITY}:1 records[4]" in " ".join(out.split())
    assert "runbook   observability, Incident Triage 1 (docs/runbook-1-observability.md:" in out
    assert "  next      " in out


def test_success_on_a_degraded_node_is_healthy_and_the_call_ids_of_a_flow_find_it(run):
    created = json.loads(ARTIFACT.read_text())["flows"][0]["createRequestId"]
    code, out, _ = run("triage", ARTIFACT, "--request-id", created)
    assert code == 0
    assert out.count(": healthy\n") == 2
    assert "[observability 6.degraded-success]" in out


def test_notes_name_the_runbook_line_of_each_shortfall(run):
    _, out, _ = run("triage", OBSERVABILITY)
    assert "notes: what these files cannot prove\n  [observability 3.cache-hit] " in out


def test_settlement_that_the_ui_does_not_show_is_a_projection_failure(run, tmp_path):
    path = changed(tmp_path, lambda value: value["records"].pop(3))
    code, out, _ = run("triage", path, "--request-id", "req_smoke_1")
    assert code == 1
    assert out.startswith("req_smoke_1: projection\n")
    assert f"{path}:" in out


def test_interrupted_task_points_at_its_flow(run, tmp_path):
    def interrupt(value):
        value["flows"] = value["flows"][:1]
        value["flows"][0] |= {"taskStatus": "paid", "flow": "interrupted", "observabilityRecords": []}

    path = changed(tmp_path, interrupt, ARTIFACT)
    code, out, _ = run("triage", path)
    assert code == 1
    assert ": executor\n" in out
    assert f"taskStatus=paid at {path}:4 flows[0]" in " ".join(out.split())


def test_incomplete_evidence_exits_1_and_names_the_fault(run, tmp_path):
    path = changed(tmp_path, lambda value: value["records"][3].update(plane="uix"))
    code, out, err = run("triage", path, "--request-id", "req_smoke_1")
    assert (code, err) == (1, "")
    assert out.startswith("req_smoke_1: incomplete\n")
    assert f"  fault     {path}:" in out
    assert 'records[3].plane: expected one of control, gateway, settlement, ui, saw "uix"' in out


BAD_FILES = {
    "empty": b"",
    "truncated": b'[{"requestId": "r"',
    "not UTF-8": b'["\xff"]',
    "not JSON": b"hello",
    "array of numbers": b"[1]",
    "number": b"5",
    "duplicate key": b'{"requestId": "r", "requestId": "r"}',
    "unknown enum": json.dumps(json.loads(OBSERVABILITY.read_text())["records"][2] | {"plane": "x"}).encode(),
    "wrong type": json.dumps(json.loads(OBSERVABILITY.read_text())["records"][2] | {"cacheHit": 1}).encode(),
    "no request id": json.dumps(
        json.loads(OBSERVABILITY.read_text())["records"][2] | {"requestId": None}
    ).encode(),
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_one_line_and_exits_2(run, tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    code, _, err = run("triage", path)
    assert code == 2
    assert err.startswith("pytest-l402 triage: ")
    assert err.count("\n") == 1
    assert "expected" in err
    assert "saw" in err
    if content != BAD_FILES["no request id"]:
        assert str(path) in err


def test_missing_file_and_empty_directory_exit_2(run, tmp_path, healthy):
    (tmp_path / "empty").mkdir()
    code, out, err = run("triage", tmp_path / "no.json", tmp_path / "empty", healthy)
    assert code == 2
    assert len(err.splitlines()) == 2
    assert "req_smoke_1: healthy\n" in out


def test_many_bad_lines_are_summed_up(run, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text("[1]\n" * 50)
    code, _, err = run("triage", path)
    assert code == 2
    assert err.splitlines()[5:] == ["pytest-l402 triage: 45 more like these; --json names them all"]
    _, out, _ = run("triage", path, "--json")
    assert len(json.loads(out)["problems"]) == 50


def test_unknown_request_id_exits_2_and_names_the_closest(run):
    code, out, err = run("triage", OBSERVABILITY, "--request-id", "req_smoke_2")
    assert code == 2
    assert ": healthy" not in out
    assert err == (
        'pytest-l402 triage: --request-id: expected a request id of the files, saw "req_smoke_2"; '
        'the closest is "req_smoke_1"\n'
    )


def test_unknown_request_id_like_no_other_says_how_many_there_are(run):
    _, _, err = run("triage", OBSERVABILITY, "--request-id", "\x1b[31m<b>")
    assert err.endswith('saw "\\u001b[31m\\u003cb\\u003e"; the files name 3 request ids\n')


HOSTILE = "</script><img src=x>\x1b[31mred\u202e\n| `@all` preimage=" + PREIMAGE


@pytest.mark.parametrize("key", ["requestId", "denyReason", "paymentProofRef", "endpoint", "plane"])
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_no_field_can_colour_forge_or_leak(run, tmp_path, key, option):
    def poison(value):
        for record in value["records"]:
            record[key] = HOSTILE

    code, out, err = run("triage", changed(tmp_path, poison), *option)
    assert code in (0, 1, 2)
    for text in (out, err):
        assert PREIMAGE not in text
        assert "<" not in text.replace("<this request id>", "")
        assert "\u202e" not in text
        assert all(line.isprintable() for line in text.splitlines())


def test_hostile_file_name_is_escaped(run, tmp_path):
    path = tmp_path / "a\n\x1b[31m<b>.json"
    path.write_text("5")
    _, _, err = run("triage", path)
    assert "a\\n\\x1b[31m\\u003cb\\u003e.json:1: expected" in err
    path.write_text(OBSERVABILITY.read_text())
    for option in ((), ("--json",)):
        _, out, _ = run("triage", path, *option)
        assert "<b>" not in out


def test_json_is_versioned_and_carries_enums(run):
    code, out, err = run("triage", "--json", ARTIFACT)
    answer = json.loads(out)
    assert (code, err) == (1, "")
    assert (answer["schema"], answer["schemaVersion"]) == ("pytest-l402/triage", "1")
    assert (answer["outcome"], answer["exitCode"]) == ("failed", 1)
    denied = [request for request in answer["requests"] if request["domain"] == "policy"]
    assert [(request["decidingField"], request["record"]["line"]) for request in denied] == [
        ("denyReason", 94)
    ]
    assert denied[0]["record"]["path"] == "flows[1].observabilityRecords[0]"
    assert {note["runbookLine"] for note in answer["shortfalls"]} >= {"6.degraded-success"}
    assert set(answer["requests"][0]) == {
        "requestId",
        "domain",
        "rule",
        "decidingField",
        "decidingValue",
        "record",
        "section",
        "nextStep",
        "reason",
        "paidMsats",
        "firstAtMs",
        "lastAtMs",
        "runbookPage",
    }


def test_json_of_bad_input_is_still_json(run, tmp_path):
    path = changed(tmp_path, lambda value: value["records"][3].update(plane="uix"))
    torn = tmp_path / "torn.jsonl"
    torn.write_text("{")
    code, out, err = run("triage", path, torn, "--json")
    answer = json.loads(out)
    assert (code, answer["outcome"]) == (2, "bad-input")
    assert [(fault["effect"], fault["requestId"]) for fault in answer["faults"]] == [
        ("incomplete", "req_smoke_1")
    ]
    (problem,) = answer["problems"]
    assert str(torn) in problem
    assert err == ""
    assert run("triage", path, torn)[2] == f"pytest-l402 triage: {problem}\n"


def test_text_is_a_hundred_columns_wide_but_for_what_is_copied(run, tmp_path):
    path = changed(tmp_path, lambda value: value["records"][3].update(plane="uix"))
    _, out, _ = run("triage", path)
    assert len(out.splitlines()) > 10
    assert [line for line in out.splitlines() if len(line) > 100 and str(tmp_path) not in line] == []


def test_what_is_wrong_with_the_input_is_told_once(run, tmp_path):
    path = changed(tmp_path, lambda value: value["records"][3].update(plane="uix"))
    torn = tmp_path / "torn.jsonl"
    torn.write_text("{")
    _, out, _ = run("triage", path, torn, "--json")
    assert out.count("torn.jsonl") == 1
    _, out, err = run("triage", path, torn)
    assert (out.count("torn.jsonl"), err.count("torn.jsonl")) == (0, 1)


def test_version_and_help(capsys):
    for arguments, expected in (
        (["--version"], f"pytest-l402 {__version__}\n"),
        (["triage", "--help"], "exit codes:"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 0
        assert expected in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["triag"], ["triage"], ["triage", "--req", "x", "y"]])
def test_unusable_command_line_exits_2(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "pytest-l402" in capsys.readouterr().err


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, timeout=60, **options)


@pytest.mark.parametrize("arguments", [["--version"], ["triage", "--help"], ["triag"]])
def test_help_waits_for_no_model_and_no_engine(arguments):
    code = (
        "import sys; before = set(sys.modules); from pytest_l402 import cli\n"
        f"try: cli.main({arguments})\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'sqlite3', 'httpx', 'pytest', 'yaml'}\n"
        "heavy |= {'pytest_l402.stack', 'pytest_l402.live'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    assert python("-c", code).stdout.decode().splitlines()[-1] == "[]"


def test_reader_that_had_enough_causes_no_traceback(healthy):
    command = "import sys; from pytest_l402.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "triage", *[str(healthy)]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_terminal_without_unicode_gets_escapes(tmp_path):
    path = changed(tmp_path, lambda value: value["records"][4].update(denyReason="gesperrt für alle 😀"))
    command = "import sys; from pytest_l402.cli import main; sys.exit(main(sys.argv[1:]))"
    answer = python("-c", command, "triage", str(path), env={"PYTHONIOENCODING": "ascii"})
    assert answer.returncode == 1
    assert b"gesperrt f\\xfcr alle \\U0001f600" in answer.stdout
    assert answer.stderr == b""
