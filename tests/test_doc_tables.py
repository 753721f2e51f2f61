"""The pages list what there is: options, commands, flags, keys, fixtures, tables, variables, tests."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from importlib import import_module

import pytest
from doc_pages import REPOSITORY, names_in, rows_of

from pytest_l402.cli import main
from pytest_l402.commands.command_line import COMMANDS
from pytest_l402.evidence.tables import TABLES
from pytest_l402.harness.clock import SystemClock
from pytest_l402.harness.randomness import SeededRandomness
from pytest_l402.plugin.fixtures import MODULES
from pytest_l402.plugin.options import OPTIONS
from pytest_l402.signoff import SignOffDocument
from pytest_l402.stack import Fault, Stack, faults
from pytest_l402.stack.gateway.aperture_reader import (
    FIELDS_OF_A_SERVICE_NOT_HERE,
    FIELDS_OF_THE_FILE_NOT_HERE,
)
from pytest_l402.stack.served.served import ServedStack
from pytest_l402.triage.rules import RULES

PACKAGE = REPOSITORY / "pytest_l402"

OF_THEIR_OWN = {
    *("demo", "drill", "explain", "init", "triage", "audit", "query", "verify", "approve", "status", "lint"),
    *("compare", "gateway", "serve"),
}
"""The commands that operate nothing, and have flags and documents of their own."""


def test_every_option_is_listed_by_all_its_names():
    listed = [tuple(names_in(row[:3])) for row in rows_of("configuration.md", "## Options")]
    assert listed == [
        (f"{option.flag} {option.metavar or ''}".strip(), option.variable, option.name) for option in OPTIONS
    ]


def test_every_fixture_table_rule_and_fault_is_listed():
    assert {*names_in([row[0] for row in rows_of("configuration.md", "## Fixtures")])} == {
        name
        for module in MODULES
        for name in vars(import_module(f"pytest_l402.plugin.fixtures.{module}"))
        if name.startswith("l402_")
    }
    assert {*names_in([row[0] for row in rows_of("configuration.md", "## Evidence tables")])} == {*TABLES}
    assert [tuple(names_in(row)) for row in rows_of("triage-an-incident.md", "<!-- rules -->")] == [
        (rule.name, rule.domain, rule.field) for rule in RULES
    ]
    assert [row[0].strip("`") for row in rows_of("rehearse-your-own-client.md", "## Faults")] == [
        name
        for name, kind in vars(faults).items()
        if inspect.isclass(kind) and issubclass(kind, Fault) and kind is not Fault
    ]


def test_every_command_and_its_flags_are_listed():
    page = "operator-commands.md"
    assert [names_in(row[:1])[0] for row in rows_of(page, "# ")] == [
        f"pytest-l402 {name}" for name in COMMANDS
    ]
    shared = names_in([row[0] for row in rows_of(page, "Every command but")])
    more = {
        ("reconcile", "smoke:staging"): names_in([row[0] for row in rows_of(page, "`reconcile` and")]),
        ("smoke:full-flow",): names_in([row[0] for row in rows_of(page, "`smoke:full-flow` also takes")]),
    }
    for name in sorted({*COMMANDS} - OF_THEIR_OWN):
        own = [
            flag for takers, flags in more.items() if name.removesuffix(":convex") in takers for flag in flags
        ]
        assert [flag.partition(" ")[0].partition("[")[0] for flag in [*shared, *own]] == _flags(name)


@pytest.mark.parametrize("row", rows_of("operator-commands.md", "## The document"), ids=lambda row: row[0])
def test_every_key_of_a_document_is_listed(row, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command, *keys = names_in(row)
    assert main([command, "--json"]) == 0
    told = [*json.loads(capsys.readouterr().out)]
    assert told == ["ok", "mode", *keys, "artifacts", "schema", "schemaVersion"]


LIVE_KEYS = {row[0]: row[1:] for row in rows_of("operator-commands.md", "In live mode these keys differ")}


@pytest.mark.parametrize("row", rows_of("operator-commands.md", "## The document"), ids=lambda row: row[0])
def test_every_key_that_differs_in_live_mode_is_listed(row, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command, *keys = names_in(row)
    more, less = (names_in([cell]) for cell in LIVE_KEYS.get(row[0], ("", "")))
    with (
        Stack(clock=SystemClock(), randomness=SeededRandomness("documents")) as stack,
        ServedStack(stack, previous=True).serving() as platform,
    ):
        for name, value in platform.environment.items():
            monkeypatch.setenv(name, value)
        given = ["--allow-missing-local-artifact"] if command == "smoke:full-flow" else []
        assert main(["reconcile", "--mode", "live", "--allow-live-changes"]) == 0
        capsys.readouterr()
        assert main([command, "--json", "--mode", "live", "--allow-live-changes", *given]) == 0
    told = {*json.loads(capsys.readouterr().out)}
    assert told == {"ok", "mode", *keys, *more, "artifacts", "schema", "schemaVersion"} - {*less}


def test_every_variable_of_live_mode_is_listed_and_in_the_example():
    listed = names_in([row[0] for row in rows_of("rehearse-staging.md", "## The environment")])
    modules = (PACKAGE / "live" / "environment.py", PACKAGE / "commands" / "modes.py")
    sources = "".join(path.read_text(encoding="utf-8") for path in modules)
    read = {
        f"OA_LIGHTNING_OPS_{name}" for name in re.findall(r'"(?:OA_LIGHTNING_OPS_|\{PREFIX\})(\w+)"', sources)
    }
    assert {*listed} == read
    example = (REPOSITORY / "env.example").read_text(encoding="utf-8")
    assert {*listed} <= {*re.findall(r"^(?:# )?(OA_\w+)=", example, re.MULTILINE)}


def test_every_flag_of_serve_is_listed():
    listed = names_in([row[0] for row in rows_of("rehearse-staging.md", "## More of serve")])
    assert [flag.partition(" ")[0].partition("[")[0] for flag in listed] == _flags("serve")


def test_every_command_is_told_for_live_mode():
    listed = names_in([row[0] for row in rows_of("rehearse-staging.md", "## What each command does")])
    operating = {name for name, command in COMMANDS.items() if command.mode is None} - OF_THEIR_OWN
    assert {*listed} == operating | {"pytest --l402-mode=live"}


def _flags(command: str) -> list[str]:
    parser = argparse.ArgumentParser(add_help=False)
    COMMANDS[command].prepare(parser)
    return [action.option_strings[0] for action in parser._actions]


def test_every_defect_has_a_test_that_exists():
    rows = rows_of("defects-of-the-original-tools.md", "# ")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 15)]
    more = rows_of("defects-of-the-original-tools.md", "## Where we differ on purpose")
    assert [row[0] for row in more] == [str(number) for number in range(15, 15 + len(more))]
    for row in (*rows, *more):
        named = [name.split("::") for name in names_in(row[3:])]
        assert named, f"defect {row[0]} names no test"
        assert all(_is_test(*name) for name in named), row[0]


def _is_test(file: str, name: str) -> bool:
    return re.search(rf"^def {re.escape(name)}\(", (REPOSITORY / file).read_text(), re.MULTILINE) is not None


def test_every_test_that_runbook_2_names_exists():
    rows = rows_of("runbook-2-staging-reconcile.md", "## What no rehearsal shows")
    assert rows
    assert all(_is_test(*names_in(row[1:])[0].split("::")) for row in rows)


def test_every_key_of_the_document_is_listed():
    listed = names_in([row[0] for row in rows_of("read-a-sign-off.md", "## The document")])
    assert {*listed, "schema_version"} == {*SignOffDocument.model_fields}


def test_every_field_of_aperture_that_the_stand_in_lacks_is_listed():
    rows = rows_of("known-limits.md", "**The stand-in reads the fields that are compiled")
    listed = names_in([row[0] for row in rows])
    assert sorted(listed) == sorted((*FIELDS_OF_A_SERVICE_NOT_HERE, *FIELDS_OF_THE_FILE_NOT_HERE))
