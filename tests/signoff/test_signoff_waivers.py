"""Waivers: who, why, until when; nothing permanent, nothing about what does not exist."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from signoff_samples import CATALOGUE, TODAY, waiver

from pytest_l402.signoff.waivers import (
    Waiver,
    WaiverError,
    WaiverTarget,
    covering_waiver,
    load_waivers,
    missing_local_artifact_waiver,
)

GOOD = """\
- check: paid_exactly_once
  owner: ada
  reason: ticket 12
  until: 2026-12-01
- rehearsal: reuse
  owner: bob
  reason: the cache is rebuilt
  until: "2026-11-21"
- line: observability/1.ok
  owner: eve
  reason: the summary moved
  until: 2026-11-20
"""


def load(tmp_path: Path, text: str) -> tuple[Waiver, ...]:
    path = tmp_path / "waivers.yaml"
    path.write_text(text, encoding="utf-8")
    return load_waivers(path, CATALOGUE, TODAY)


def test_waivers_are_read_as_written(tmp_path: Path) -> None:
    first, second, third = load(tmp_path, GOOD)

    assert (first.target, first.name, first.owner) == (WaiverTarget.CHECK, "paid_exactly_once", "ada")
    assert first.until == date(2026, 12, 1)
    assert not second.expired(TODAY)
    assert third.expired(TODAY)
    assert third.source.endswith("waivers.yaml")


@pytest.mark.parametrize("text", ["", "[]", "# nothing yet\n"])
def test_an_empty_file_waives_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  owner: ada\n", "", "[0]: expected the key 'owner', saw none"),
        ("  reason: ticket 12\n", "", "[0]: expected the key 'reason', saw none"),
        ("  until: 2026-12-01\n", "", "[0]: expected the key 'until', saw none"),
        ("  owner: ada\n", "  owner: ''\n", "[0].owner: expected a text on one line"),
        ("  owner: ada\n", "  ownr: ada\n", "did you mean 'owner'?"),
        ("- check: paid_exactly_once\n  owner", "- owner", "expected exactly one of rehearsal, check, line"),
        ("- rehearsal: reuse", "- rehearsal: reuse\n  check: x", "saw rehearsal and check"),
        ("- rehearsal: reuse", "- rehearsal: reusee", "saw 'reusee'; did you mean 'reuse'?"),
        ("observability/1.ok", "1.ok", "[2].line: expected a line of rehearsals/catalogue.yaml, saw '1.ok'"),
        ("2026-12-01", "2026-12-22", "[0].until: expected a day at most 30 days ahead, saw 2026-12-22"),
        ("2026-12-01", "2026-12-01T10:00:00Z", "[0].until: expected a date"),
        ("2026-12-01", "soon", '[0].until: expected a date (YYYY-MM-DD), saw "soon"'),
        ("2026-12-01", "1", "[0].until: expected a date (YYYY-MM-DD), saw 1"),
        ("- rehearsal: reuse", "- check: paid_exactly_once", "[1]: expected one waiver for check"),
        (GOOD, "a: 1", "the file: expected a list with entries, saw an object of 1 keys"),
        (GOOD, "- 1", "[0]: expected a mapping, saw 1"),
    ],
)
def test_a_wrong_waiver_is_named_on_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(WaiverError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))

    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WaiverError, match=r"none\.yaml: expected a readable file"):
        load_waivers(tmp_path / "none.yaml", CATALOGUE, TODAY)


def test_thirty_days_is_the_longest(tmp_path: Path) -> None:
    last = TODAY + timedelta(days=30)
    assert load(tmp_path, GOOD.replace("2026-12-01", last.isoformat()))[0].until == last


def test_a_waiver_covers_what_it_names_and_nothing_else() -> None:
    line = waiver(WaiverTarget.LINE, "observability/1.ok")
    check = waiver(WaiverTarget.CHECK, "keys")
    where = {"rehearsal": "success", "runbook": "observability"}

    assert covering_waiver((check, line), TODAY, **where, line="1.ok") is line
    assert covering_waiver((line, check), TODAY, **where, check="keys", line="1.keys") is check
    assert covering_waiver((line, check), TODAY, **where) is None
    assert covering_waiver((line,), TODAY, rehearsal="success", runbook="billing", line="1.ok") is None
    assert covering_waiver((line,), date(2026, 12, 2), **where, line="1.ok") is None


def test_the_flag_waives_one_line_for_one_day() -> None:
    flag = missing_local_artifact_waiver(TODAY)

    assert flag.covers(rehearsal="x", runbook="observability", line="2.reference-only")
    assert not flag.covers(rehearsal="x", runbook="observability", line="2.local-run")
    assert not flag.expired(TODAY)
    assert flag.expired(TODAY + timedelta(days=1))
    assert flag.source == "--allow-missing-local-artifact"
