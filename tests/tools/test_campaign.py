"""The rehearsals notice what is changed in the stack, or somebody has said why they need not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).resolve().parents[2] / "tools" / "campaign"


def campaign(*words: str) -> subprocess.CompletedProcess[str]:
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run([sys.executable, CAMPAIGN, *words], check=False, **told)


@pytest.mark.slow
def test_a_sample_is_killed_or_reviewed(tmp_path: Path) -> None:
    sample = ("--count", "100", "--seed", "402", "--unlisted", "--state", str(tmp_path / "state.jsonl"))
    run = campaign("run", *sample)
    assert run.returncode == 0, run.stdout
    assert " killed\n" in run.stdout


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(CAMPAIGN)
    import operators

    return operators


def test_each_mutant_is_one_change_that_compiles(operators) -> None:
    for path in ("stack/gateway/mint.py", "ops/compile/terms.py"):
        found = operators.mutants_of(path)
        assert len({mutant.key for mutant in found}) == len(found) > 50
        whole = compile(operators.source_of(path), path, "exec")
        for mutant in found:
            assert compile(operators.mutated(mutant), path, "exec") != whole, mutant.key


def test_a_mutant_is_called_alike_wherever_it_stands(operators, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(text: str) -> list[str]:
        monkeypatch.setattr(operators, "source_of", lambda path: text)
        return [mutant.key for mutant in operators.mutants_of("x.py")]

    text = "def f(a, b):\n    if a == 1 and not b:\n        raise ValueError('no')\n    return {'k': a}\n"
    assert keys(text) == keys("\n\n" + text)
    assert "x.py f compare otherwise: a == 1 => a != 1" in keys(text)
    assert {each.split(" ", 2)[2].partition(":")[0] for each in keys(text)} == {
        "and for or", "change the constant", "compare otherwise", "drop the key", "drop the not",
        "drop the operand", "drop the statement", "empty the body", "negate the condition", "return nothing",
        "say nothing of",
    }  # fmt: skip


def test_a_survivor_that_nobody_has_reviewed_fails_the_campaign(tmp_path: Path) -> None:
    known = campaign("list", "--count", "2", "--seed", "1").stdout.splitlines()
    state = tmp_path / "state.jsonl"
    assert len(known) == 2
    rows = [{"mutant": known[0], "ended": "killed"}, {"mutant": known[1], "ended": "survived"}]
    state.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sample = ("report", "--count", "2", "--seed", "1", "--state", str(state), "--survivors")
    run = campaign(*sample, str(tmp_path / "none"))
    assert run.returncode == 1
    assert f"survived: {known[1]}" in run.stdout
    reviewed = tmp_path / "survivors.yaml"
    reviewed.write_text(json.dumps([{"kind": "equivalent", "reason": "it is", "mutants": [known[1]]}]))
    run = campaign(*sample, str(reviewed))
    assert (run.returncode, "survived, equivalent" in run.stdout) == (0, True)
    assert "1 of 1 are killed, 100.0 %" in run.stdout
    reviewed.write_text(json.dumps([{"kind": "redundant", "reason": "it is", "mutants": [known[1]]}]))
    run = campaign(*sample, str(reviewed))
    assert (run.returncode, "1 of 2 are killed, 50.0 %" in run.stdout) == (0, True)


def test_nobody_leaves_a_survivor_open(tmp_path: Path) -> None:
    left = tmp_path / "survivors.yaml"
    left.write_text(json.dumps([{"kind": "open", "reason": "nobody has looked", "mutants": ["x.py f *"]}]))
    run = campaign("report", "--count", "1", "--state", str(tmp_path / "none"), "--survivors", str(left))
    assert run.returncode == 1
    assert "expected a kind of equivalent, not in any runbook, redundant and a reason" in run.stdout


def test_whoever_is_said_to_hold_a_survivor_is_there() -> None:
    tests = CAMPAIGN.parents[1] / "tests"
    named = set(re.findall(r"test_\w+\.py", (CAMPAIGN / "survivors.yaml").read_text()))
    assert named - {file.name for file in tests.rglob("test_*.py")} == set()


def test_every_kind_of_mistake_is_a_row_of_the_breakages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(CAMPAIGN.parents[1] / "tests" / "rehearsals")
    import breakages
    import breakages_of_operations

    page = (CAMPAIGN.parents[1] / "docs" / "mutate-the-stack.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.count(" | ") == 2 and "`" in line]
    assert len(rows) == 16
    told = {
        broken.name: broken.lines for broken in (*breakages.BREAKAGES, *breakages_of_operations.BREAKAGES)
    }
    for _, lines, names in rows:
        known = [told[name] for name in names.removesuffix(" |").split("; ")]
        assert {line for each in known for line in each} >= set(lines.replace("`", "").split(", "))
