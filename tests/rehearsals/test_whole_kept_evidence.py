"""What a run keeps is what was judged: rows can be counted, triage repeated, every check judged again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rehearsed_project import REPOSITORY, Rehearsed, RehearsedProject

from pytest_l402.cli import main
from pytest_l402.evidence.kept import table_of

STATES_AFTER_RECOVERY = ("test_settlement_lost", "test_settlement_delayed", "test_projection_stale")


@pytest.fixture
def every_rehearsal(rehearsals: RehearsedProject) -> Rehearsed:
    """The rehearsals of every runbook, run once."""
    folder = rehearsals.root / "rehearsals"
    shutil.rmtree(folder)
    shutil.copytree(REPOSITORY / "rehearsals", folder, ignore=shutil.ignore_patterns("__pycache__"))
    run = rehearsals.run()
    assert run.verdict == "SIGNED_OFF", run.output
    return run


def named_by_its_run(run: Rehearsed) -> str:
    """The folder under the name that it had, which this project has taken from it."""
    return str(run.folder.rename(run.folder.parent / run.document["run"]["id"]))


def checks_of(run: Rehearsed) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for rehearsal in run.document["rehearsals"]:
        for node in rehearsal["nodes"]:
            for check in node["checks"]:
                yield node, check


def rows_in(path: Path) -> int:
    return len(path.read_text().splitlines())


JUDGED_BY_TRIAGE = ("records", "local_artifact")


def triaged(run: Rehearsed, node: dict[str, Any], check: dict[str, Any], capsys: Any) -> dict[str, Any]:
    """What `pytest-l402 triage` says of the request, from the files of that moment."""
    names = [
        name for name in node["moments"][check["moment"]] if table_of(name) in ("records", "local_artifact")
    ]
    files = [str(run.folder / node["folder"] / name) for name in names]
    purchase, *_ = check["recipe"]["arguments"]
    request_id = purchase["purchase"]["request_id"] if isinstance(purchase, dict) else purchase
    capsys.readouterr()
    main(["triage", *files, "--request-id", request_id, "--json"])
    (told,) = json.loads(capsys.readouterr().out)["requests"]
    return dict(told)


@pytest.mark.slow
def test_what_is_kept_is_what_was_judged(every_rehearsal: Rehearsed, capsys: Any) -> None:
    run = every_rehearsal
    checks = list(checks_of(run))
    assert len(checks) > 400
    counted = {path: rows_in(run.folder / path) for _, check in checks for path in check["read"]}
    for node, check in checks:
        assert check["read"] == {path: counted[path] for path in check["read"]}, (
            node["nodeid"],
            check["name"],
        )
        assert check["rows"] == sum(check["read"].values()) > 0, (node["nodeid"], check["name"])
        assert check["recipe"] is not None, (node["nodeid"], check["name"])

    triages = [(node, check) for node, check in checks if check["recipe"]["factory"] == "triaged_as"]
    assert len(triages) > 40
    for node, check in triages:
        told = triaged(run, node, check, capsys)
        recipe = check["recipe"]
        assert told["domain"] == recipe["arguments"][1], (node["nodeid"], check["name"])
        assert told["decidingField"] == recipe["named"].get("field", told["decidingField"])
    recovered = {node["case"] for node, check in triages if "verify-1" in str(check["read"])}
    assert recovered >= set(STATES_AFTER_RECOVERY)

    capsys.readouterr()
    assert main(["verify", named_by_its_run(run), "--signed-off", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["answer"], answer["verdict"]) == ("holds", "SIGNED_OFF")
    assert answer["checksJudged"] == len(checks)
    assert answer["contradictions"] == answer["differences"] == answer["unknown"] == []


def test_the_state_before_recovery_is_kept_beside_the_end(rehearsals: RehearsedProject, capsys: Any) -> None:
    run = rehearsals.run("-k", "test_settlement_lost")
    assert run.verdict == "DRILL", run.output
    ((node, check),) = (
        (node, check) for node, check in checks_of(run) if check["name"].startswith("triaged_as")
    )
    assert check["moment"] == "verify-1"
    ((path, rows),) = check["read"].items()
    assert path.endswith("/test_settlement_lost/verify-1/records.jsonl")
    assert rows == rows_in(run.folder / path) < rows_in(run.folder / node["folder"] / "records.jsonl")
    assert triaged(run, node, check, capsys)["domain"] == "settlement"
    folder = named_by_its_run(run)
    assert main(["verify", folder]) == 0
    assert "verify: holds: DRILL of run" in capsys.readouterr().out
    assert main(["verify", folder, "--signed-off"]) == 1
