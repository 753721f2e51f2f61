"""`drill`: show a person the records of an incident without a verdict; judge and time the answer."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from pytest_l402.commands.bad_input import BadInput, plain, shown
from pytest_l402.commands.incidents import INCIDENTS, Incident, recorded
from pytest_l402.commands.outcome import Outcome, say, say_document
from pytest_l402.commands.runner import carry_out

if TYPE_CHECKING:
    from pytest_l402.contract.rows import Row
    from pytest_l402.triage.diagnosis import Diagnosis

_WIDTH: Final = 100
_RAW: Final = "raw"
_PATIENCE: Final = 20
_PLANES: Final = ("control", "gateway", "settlement", "ui")
_EXIT_CODES: Final = """\
exit codes:
  0  domain and field are right, and in time
  1  one of them is wrong, or it took longer than --within
  2  there was no answer, or the incident cannot be read
"""

Ask = Callable[[str], str]
"""Shows a prompt and returns what was typed; raises `EOFError` at the end of the input."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "A drill for people. It shows what somebody complains of and the records of that request, and no\n"
        "verdict. Name the domain that failed, and the field that decides it: as pytest-l402 triage would.\n"
        "An incident is one of those that --list names, played on the stand-in stack, or a file or folder\n"
        "of records, such as the evidence that a run has kept."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "incident", nargs="?", metavar="NAME", help="an incident, or a file or folder of records"
    )
    parser.add_argument("--list", action="store_true", help="name the incidents, and what is complained of")
    parser.add_argument("--request-id", metavar="ID", help="of a file: the request; else the worst one in it")
    parser.add_argument("--within", metavar="SECONDS", help="how long it may take")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object; prompts go to standard error"
    )


def run(given: argparse.Namespace) -> int:
    """Show the incident, ask, judge, and return the exit code."""
    if given.list:
        if given.json:
            rows = [{"incident": name, "complaint": complaint} for name, complaint in INCIDENTS.items()]
            say_document("drill", {"ok": True, "incidents": rows})
        else:
            say("\n".join(f"{name:18}{complaint}" for name, complaint in INCIDENTS.items()))
        return 0

    def work() -> Outcome:
        within_s = _seconds(given.within)
        incident = _incident(given.incident, given.request_id)
        return drill(
            incident, _asking(sys.stdin, sys.stderr if given.json else sys.stdout), within_s=within_s
        )

    return carry_out("drill", work, as_json=given.json, text=_text)


def drill(
    incident: Incident,
    ask: Ask,
    *,
    within_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Show the incident and ask for domain and field until each is one that there is; judge both, timed.

    `clock` returns seconds. Raises `BadInput` if the input ends before both are given.
    """
    from pytest_l402.triage.diagnosis import triage
    from pytest_l402.triage.rules import RULES

    found = triage(incident.tables, incident.request_id)[0]
    rows = _rows(incident)
    begun = clock()
    ask("\n".join(_shown(incident, rows)) + "\n")
    raw = "\n".join(json.dumps(dict(row)) for row in rows)
    domain = _answer(ask, "domain", [str(each) for each in dict.fromkeys(rule.domain for rule in RULES)], raw)
    field = _answer(ask, "field", sorted({rule.field for rule in RULES}), raw)
    took_s = round(clock() - begun, 3)
    return _judged(incident, found, domain, field, took_s, within_s)


def _judged(
    incident: Incident, found: Diagnosis, domain: str, field: str, took_s: float, within_s: float | None
) -> Outcome:
    right = {"domain": domain == found.domain, "field": field == found.deciding_field}
    in_time = within_s is None or took_s <= within_s
    return Outcome(
        {
            "ok": all(right.values()) and in_time,
            "incident": incident.name,
            "requestId": incident.request_id,
            "domain": {"said": domain, "is": str(found.domain), "right": right["domain"]},
            "field": {"said": field, "is": found.deciding_field, "right": right["field"]},
            "tookSeconds": took_s,
            "withinSeconds": within_s,
            "inTime": in_time,
            "reason": found.reason,
            "runbook": f"observability {found.section}",
            "next": found.next_step,
        }
    )


def _incident(name: str | None, request_id: str | None) -> Incident:
    from pytest_l402.boundary.text_safety import suggestion

    if name is not None and name not in INCIDENTS and Path(name).exists():
        return _read(name, request_id)
    if name is None or name not in INCIDENTS:
        hint = suggestion(name or "", list(INCIDENTS)) or "; pytest-l402 drill --list names them"
        raise BadInput(
            f"expected an incident, or a file of records, saw {shown(name or '')}{hint}", "no_incident"
        )
    if request_id is not None:
        raise BadInput("--request-id: expected a file of records, saw an incident of the list; leave it out")
    return recorded(name)


def _read(name: str, request_id: str | None) -> Incident:
    """The worst request of files that hold records, or the one that is asked for."""
    from pytest_l402.triage.incident import read_incident
    from pytest_l402.triage.report import Query, triage_report

    tables = read_incident(name)
    report = triage_report(tables, request_id, Query(limit=1, everything=True))
    if report.problems:
        raise BadInput(report.problems[0], "bad_records")
    (worst,), _ = report.requests(limit=1)
    return Incident(name, "These records were left by a request.", worst.diagnosis.request_id, tables)


def _rows(incident: Incident) -> list[Row]:
    from pytest_l402.triage.diagnosis import triage_records

    rows = [row for row in triage_records(incident.tables) if row.get("requestId") == incident.request_id]
    return sorted(
        rows, key=lambda row: row["observedAtMs"] if isinstance(row.get("observedAtMs"), int) else 0
    )


def _shown(incident: Incident, rows: Sequence[Row]) -> Iterator[str]:
    yield plain(f"{incident.name}: {incident.complaint}")
    yield plain(f"request {incident.request_id}, {len(rows)} records")
    times = [row["observedAtMs"] for row in rows if isinstance(row.get("observedAtMs"), int)]
    for row in rows:
        at_ms = row.get("observedAtMs")
        since = f"+{at_ms - times[0]} ms" if isinstance(at_ms, int) else "no time"
        yield ""
        yield plain(f"{since:>10}  {row.get('plane', 'no plane')}, by {row.get('executor', 'nobody')}")
        told = {
            key: value
            for key, value in row.items()
            if key not in ("requestId", "plane", "executor", "observedAtMs")
        }
        yield from _wrapped(
            ", ".join(f"{key}={_value(value)}" for key, value in told.items() if value is not None)
        )
        yield from _wrapped(f"null: {', '.join(key for key, value in told.items() if value is None)}")
    yield ""
    silent = [plane for plane in _PLANES if plane not in {row.get("plane") for row in rows}]
    yield f"no record of plane {', '.join(silent)}" if silent else "a record of every plane"
    for flow in _flows(incident):
        yield plain(
            f"local artifact: flow={_value(flow.get('flow'))}, taskStatus={_value(flow.get('taskStatus'))}"
        )


def _flows(incident: Incident) -> Iterator[Mapping[str, Any]]:
    from pytest_l402.triage.correlation import flow_request_ids, flows_of

    for artifact in incident.tables.table("local_artifact"):
        yield from (flow for flow in flows_of(artifact) if incident.request_id in flow_request_ids(flow))


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        plain(text), _WIDTH, initial_indent=" " * 12, subsequent_indent=" " * 12, break_on_hyphens=False
    )


def _answer(ask: Ask, what: str, known: Sequence[str], raw: str) -> str:
    """Ask until the answer is one that there is; what is near is told, and nothing of what is right."""
    from pytest_l402.boundary.text_safety import suggestion

    prompt = f"{what}: one of {', '.join(known)}; or {_RAW} for the records as they are\n> "
    for _ in range(_PATIENCE):
        try:
            said = ask(prompt).strip()
        except EOFError:
            raise BadInput(f"expected a {what}, saw the end of the input", "no_answer") from None
        if said == _RAW:
            prompt = f"{raw}\n> "
            continue
        like = {each.lower(): each for each in known}
        if said.lower() in like:
            return like[said.lower()]
        prompt = (
            f"expected one of {', '.join(known)}, saw {shown(said)}{suggestion(said.lower(), list(like))}\n> "
        )
    raise BadInput(f"expected a {what}, saw none in {_PATIENCE} answers", "no_answer")


def _asking(typed: TextIO, told: TextIO) -> Ask:
    from pytest_l402.boundary import redact_text
    from pytest_l402.boundary.text_safety import steerless

    def ask(prompt: str) -> str:
        # Records of a stranger's may hold anything.
        print(steerless(redact_text(prompt)), end="", file=told, flush=True)
        if not prompt.endswith("> "):
            return ""
        line = typed.readline()
        if not line:
            raise EOFError
        return line

    return ask


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise BadInput(f"--within: expected seconds above 0, saw {shown(text)}", "invalid_arguments")
    return value


def _text(command: str, outcome: Outcome) -> str:
    document = outcome.document
    lines = [""]
    for what in ("domain", "field"):
        said = document[what]
        verdict = "right" if said["right"] else f"wrong, it is {said['is']}"
        lines.append(f"{what:10}{said['said']}: {verdict}")
    late = "" if document["inTime"] else f", and {document['withinSeconds']:g} s were allowed"
    lines.append(f"took      {document['tookSeconds']:.1f} s{late}")
    for label, text in (
        ("why", document["reason"]),
        ("runbook", document["runbook"]),
        ("next", document["next"]),
    ):
        lines += textwrap.wrap(plain(text), _WIDTH, initial_indent=f"{label:10}", subsequent_indent=" " * 10)
    return "\n".join(lines)
