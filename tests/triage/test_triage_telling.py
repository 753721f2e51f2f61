"""First one screen, then what is asked for; nothing of it can harm a terminal or a page."""

import io
import json
import re

import pytest
from incident_files import json_lines, write
from purchases import HOSTED, LOCAL, PRICE, STORIES, T0, clean, story

from pytest_l402.cli import main
from pytest_l402.commands.triage import TerminalProgress
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.overview import clock_time
from pytest_l402.triage.page import page_of
from pytest_l402.triage.report import Query, triage_report
from pytest_l402.triage.request_text import short_proofs
from pytest_l402.triage.rules import Domain
from pytest_l402.triage.runbook_page import place_of


@pytest.fixture
def export(tmp_path):
    """Thirty purchases: two that the ui does not show, one paid twice, one denied for who knows what."""
    rows = [row for number in range(26) for row in clean(HOSTED, f"req-{number:02}").rows]
    rows += story("projection absent", HOSTED, "unshown-1") + story("projection absent", LOCAL, "unshown-2")
    rows += story("paid twice", HOSTED, "twice") + story("unheard-of reason", LOCAL, "what")
    return write(tmp_path, json_lines(rows))


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main(["triage", *map(str, arguments)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def flat(text):
    return " ".join(text.split())


def test_the_first_screen_tells_all_at_a_glance(run, export):
    code, out, err = run(export)
    assert (code, err) == (1, "")
    assert len(out.splitlines()) < 20
    told = flat(out)
    assert told.startswith("30 requests in ")
    assert "26 healthy, 1 settlement, 2 projection, 1 unknown" in told
    assert f"projection 2 requests: ui does not show the settlement, since {clock_time(T0 + 100)}" in told
    assert f"{2 * PRICE:,} msats paid; such as unshown-1 (rule projection_absent)" in told
    assert "settlement 1 request: one request, two payments" in told
    assert "--request-id" in told
    assert "req-00" not in told


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (["--domain", "projection"], {"unshown-1", "unshown-2"}),
        (["--domain", "projection", "--domain", "unknown"], {"unshown-1", "unshown-2", "what"}),
        (["--request-id", "unshown"], {"unshown-1", "unshown-2"}),
        (["--request-id", "tw"], {"twice"}),
        (["--limit", "1"], {"twice"}),
        (["--since", str(T0 + 3_000)], {"twice"}),
        (["--since", "23:59"], {"twice", "unshown-1", "unshown-2", "what"}),
        (["--since", "2030-01-01"], set()),
    ],
)
def test_details_are_told_of_what_is_asked_for(run, export, asked, wanted):
    code, out, _ = run(export, *asked)
    told = {line.split(":")[0] for line in out.splitlines() if re.match(r"[\w-]+: [\w-]+$", line)}
    assert told == wanted
    assert code == 1


def test_all_are_all(run, export):
    _, out, _ = run(export, "--all")
    assert len(re.findall(r"^[\w-]+: [\w-]+$", out, re.MULTILINE)) == 30


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--domain", "projektion"], "did you mean 'projection'?"),
        (["--limit", "0"], "--limit: expected a number of requests from 1"),
        (["--since", "yesterday"], "--since: expected a time such as 02:14"),
        (["--request-id", "req-"], "with which 26 of them begin"),
        (["--request-id", "unshow-1"], 'the closest is "unshown-1"'),
    ],
)
def test_what_cannot_be_asked_for_is_told_with_what_can(run, export, asked, told):
    code, _, err = run(export, *asked)
    assert code == 2
    assert told in err


def test_a_proof_is_a_short_digest_that_finds_its_request(run, export):
    _, out, _ = run(export, "--request-id", "unshown-1")
    assert "preimage:" not in out
    (digest,) = set(re.findall(r"proof:[0-9a-f]{10}", out))
    _, again, _ = run(export, "--request-id", digest)
    assert again == out
    hosted = clean(HOSTED, "unshown-1").proof()
    assert short_proofs(hosted) == digest == short_proofs(f"preimage:{hosted.partition(':')[2][:16]}")
    assert run(export, "--request-id", hosted)[1] == out


def test_the_step_has_its_place_in_the_runbook():
    for _, rule, _ in STORIES.values():
        assert rule is None or rule
    for section in ("Incident Triage 1", "Incident Triage", "5", "6", "Correlation Workflow"):
        page, _, line = place_of(section).partition(":")
        assert page == "docs/runbook-1-observability.md"
        assert int(line) > 1
    assert place_of("Incident Triage 3") != place_of("Incident Triage 4")


def test_json_holds_the_overview_and_only_what_is_asked_for(run, export):
    _, out, _ = run(export, "--json", "--domain", "projection")
    document = json.loads(out)
    assert document["overview"]["domains"]["healthy"] == 26
    assert document["overview"]["causes"][0]["rule"] == "projection_absent"
    assert {each["requestId"] for each in document["requests"]} == {"unshown-1", "unshown-2"}


def test_clocks_that_cannot_be_and_ids_used_again_are_told_once(tmp_path):
    rows = clean(HOSTED, "fast").rows + clean(HOSTED, "slow").rows + clean(HOSTED, "again").rows
    for row in rows[:5]:
        row["observedAtMs"] //= 1000
    rows[-1]["observedAtMs"] += 86_400_001
    report = triage_report(read_incident(write(tmp_path, json_lines(rows))))
    times, apart = report.notes
    assert times.startswith("5 records have an observedAtMs that cannot be milliseconds")
    assert "(seconds?)" in times
    assert "1 requests have records more than a day apart, such as again" in apart
    assert report.outcome == "healthy"


_HOSTILE = "</script><b>\x1b[2J\u202e"
_SECRET = "ab" * 32


def test_the_page_is_whole_and_harmless(tmp_path, export, run):
    page = tmp_path / "page.html"
    run(export, "--html", page)
    text = page.read_text(encoding="utf-8")
    assert text.count('<svg class="lanes"') == 1 + 4
    assert "unshown-1" in text
    assert not re.search(r"<script|<link|src=|https?:", text)
    rows = [row | {"denyReason": f"preimage={_SECRET} {_HOSTILE}"} for row in clean(HOSTED, _HOSTILE).rows]
    hostile = page_of(triage_report(read_incident(write(tmp_path, json_lines(rows)))))
    assert _SECRET not in hostile
    assert "</script>" not in hostile
    assert "\x1b" not in hostile
    assert "\u202e" not in hostile


def test_a_page_that_cannot_be_written_is_told(run, export, tmp_path):
    code, _, err = run(export, "--html", tmp_path)
    assert code == 2
    assert "--html: expected a file that can be written" in err


def test_a_query_of_nothing_is_the_first_screen():
    assert not Query().is_narrow
    assert Query(domains=(Domain.POLICY,)).is_narrow


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_told_on_a_terminal_after_a_second():
    clock = iter([0.0, 0.9, 1.1, 2.0])
    terminal = Terminal()
    progress = TerminalProgress(terminal, lambda: next(clock))
    progress("a.jsonl", 2_048)
    assert terminal.getvalue() == ""
    progress("a.jsonl", 4_096)
    assert terminal.getvalue().endswith("a.jsonl: 4,096 read")
    progress("\x1b[2Jb.jsonl", 6_144)
    assert "\x1b[2J" not in terminal.getvalue()
    progress.end()
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_progress_is_told_to_nobody_but_a_terminal(stream):
    progress = TerminalProgress(stream, iter([0.0, 9.0]).__next__)
    progress("a.jsonl", 1)
    progress.end()
    assert stream is None or stream.getvalue() == ""
