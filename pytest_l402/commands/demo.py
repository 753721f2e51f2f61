"""`demo`: one drill without a project, as it is and with a fault in the system, side by side."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_l402.commands.bad_input import BadInput, Failed
from pytest_l402.commands.demonstrations import DRILLS, ENDURED, fault_of, what_it_does
from pytest_l402.commands.outcome import Outcome, say, say_document
from pytest_l402.commands.runner import carry_out
from pytest_l402.commands.shipped import shipped

_DEFAULT: Final = "SettlementLost"
_PATIENCE_S: Final = 180.0
_WIDTH: Final = 100
_EXIT_CODES: Final = """\
exit codes:
  0  the drill held as it is, and the fault made it fail; or it held under a fault that must be endured
  1  it did not
  2  the drill cannot be run here, or the arguments cannot be used
"""


class _Round(NamedTuple):
    """How the drill ended once: what its document says of that test, and how often the fault fired."""

    node: Mapping[str, Any]
    folder: Path
    fired: int

    @property
    def state(self) -> str:
        """What the test did: PASSED, FAILED, or NOT_RUN."""
        phases = set(self.node["phases"].values())
        return "FAILED" if "failed" in phases else "NOT_RUN" if "skipped" in phases else "PASSED"

    def to_row(self) -> dict[str, Any]:
        """The round as the command's document has it."""
        checks = self.node["checks"]
        return {
            "state": self.state,
            "checks": len(checks),
            "checksHeld": sum(check["state"] == "HELD" for check in checks),
            "mutantsKilled": sum(len(check["mutants_killed"]) for check in checks),
            "causes": list(self.node["causes"]),
            "evidence": str(self.folder),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Play one drill of the runbooks twice, without a project: as it is, and with a fault put into the\n"
        "system. The first one holds. The second one fails, and says what was expected by which line of the\n"
        "runbook, what was seen, where, and what to do."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "--fault", default=_DEFAULT, metavar="NAME[:VALUE]", help=f"the fault to put in (default: {_DEFAULT})"
    )
    parser.add_argument("--list", action="store_true", help="name every fault, and what it does")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Play the drill twice, tell how it went, and return the exit code."""
    if given.list:
        does = what_it_does()
        faults = [{"fault": fault, "does": does[fault], "test": test} for fault, test in DRILLS.items()]
        if given.json:
            say_document("demo", {"ok": True, "faults": faults})
        else:
            say("\n".join(f"{each['fault']:28}{each['does']}" for each in faults))
        return 0
    return carry_out("demo", lambda: _demo(given.fault), as_json=given.json, text=_text)


def _demo(fault: str) -> Outcome:
    name = fault_of(fault)
    test, _, case = DRILLS[name].partition("[")
    folder = Path(tempfile.mkdtemp(prefix="pytest-l402-demo-"))
    _write_project(folder, Path(test.partition("::")[0]))
    process = _start(folder, test, case.removesuffix("]"), fault)
    try:
        does = what_it_does()[name]  # meanwhile: what it imports takes as long as the drill
        said = _said(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    path, document = _document(folder, said)
    rehearsal = next(entry for entry in document["rehearsals"] if entry["nodes"])
    green, red = (_round(path.parent, node) for node in rehearsal["nodes"])
    if green.state == "NOT_RUN":
        raise BadInput(_missing(rehearsal["reasons"]), "not_run")
    as_said = red.state == "PASSED" and red.fired > 0 if name in ENDURED else red.state == "FAILED"
    return Outcome(
        {
            "ok": green.state == "PASSED" and as_said,
            "fault": fault,
            "does": does,
            "endured": name in ENDURED,
            "rehearsal": rehearsal["id"],
            "runbook": rehearsal["runbook"],
            "section": rehearsal["section"],
            "test": test.partition("::")[2],
            "asItIs": green.to_row(),
            "withFault": red.to_row() | {"finding": red.node["failure"] or ""},
            "folder": str(path.parent),
        }
    )


def _missing(reasons: Sequence[Mapping[str, Any]]) -> str:
    """What the drill needs and this machine does not have: why a test was skipped, without its name."""
    told = next(
        (reason["text"] for reason in reasons if reason["code"] == "skipped"), "the drill was not run"
    )
    return told.partition(" was skipped (")[2].removesuffix(")") or told


def _write_project(folder: Path, module: Path) -> None:
    """The module of the drill, what breaks its system, and a file at which pytest looks no further."""
    target = folder / "rehearsals" / module
    target.parent.mkdir(parents=True)
    shutil.copy(shipped("rehearsals") / module, target)
    shutil.copy(shipped("starters") / "demo" / "conftest.py", folder / "rehearsals" / "conftest.py")
    (folder / "pytest.toml").write_text("[pytest]\n")


def _start(folder: Path, test: str, case: str, fault: str) -> subprocess.Popen[str]:
    others = ("PYTEST_", "OA_LIGHTNING_OPS_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    options = (
        *("-m", "rehearsal", "-q", "-p", "pytest_l402.plugin", "-p", "no:cacheprovider"),
        f"--l402-catalogue={shipped('rehearsals') / 'catalogue.yaml'}",
    )
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, f"rehearsals/{test}"],
        cwd=folder,
        # No plugin of anybody else's: each would cost more than the drill.
        env=kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "L402_DEMO_FAULT": fault, "L402_DEMO_CASE": case},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _said(process: subprocess.Popen[str]) -> str:
    try:
        said, _ = process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise Failed(
            f"the drill: expected its end within {_PATIENCE_S:.0f} s, saw none", "not_ended"
        ) from None
    return said


def _document(folder: Path, said: str) -> tuple[Path, Mapping[str, Any]]:
    """The document of the run, and where it is."""
    found = [*folder.glob("output/signoff/*/drill.json")]
    if not found:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "nothing")
        raise Failed(f"the drill: expected a document of it, saw none; pytest said: {last}", "no_document")
    return found[0], json.loads(found[0].read_text(encoding="utf-8"))


def _round(run: Path, node: Mapping[str, Any]) -> _Round:
    rows = run / node["folder"] / "injected_faults.jsonl"
    fired = sum(json.loads(line)["fired"] for line in rows.read_text().splitlines()) if rows.is_file() else 0
    return _Round(node, run / node["folder"], fired)


def _text(command: str, outcome: Outcome) -> str:
    return "\n".join(_lines(outcome.document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    green, red = document["asItIs"], document["withFault"]
    yield (
        f"the drill {document['rehearsal']}, {document['test']}, of runbook {document['runbook']} "
        f"(section {document['section']})"
    )
    yield ""
    yield f"{green['state']}  as it is"
    yield (
        f"        {green['checksHeld']} of {green['checks']} checks held, and noticed "
        f"{green['mutantsKilled']} alterations of the evidence"
    )
    yield f"{red['state']}  with {document['fault']}: {document['does']}"
    if red["state"] == "PASSED":
        yield "        the fault fired, and a purchase must succeed all the same"
    if red["finding"]:
        yield ""
        yield red["finding"]
    yield ""
    yield f"all that it left  {document['folder']}"
    yield "other faults      pytest-l402 demo --list"
    yield "your own          pytest-l402 init client, or gateway, or own; then pytest -m rehearsal"
