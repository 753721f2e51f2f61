"""A small project with two rehearsals of its own, and a run of pytest in it as one value to compare."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from wire import WorkerInProcess

CATALOGUE = """\
version: 1
runbooks:
  book:
    title: A runbook
    lines:
      - {id: "1.free", section: "1", source: runbook, text: "nothing is paid for what is free"}
      - {id: "2.free", section: "2", source: runbook, text: "nothing is paid for what is free, twice"}
rehearsals:
  - {id: alpha, runbook: book, family: first, section: "1", title: Alpha, kind: scenario, proves: ["1.free"]}
  - {id: beta, runbook: book, family: second, section: "2", title: Beta, kind: drill, proves: ["2.free"]}
"""

DRILLING = """\
from pytest_l402.evidence import Check, Finding
from pytest_l402.evidence.mutants import set_value

RECORD = {
    "requestId": "req-1", "userId": None, "paywallId": None, "taskId": None, "endpoint": "/free",
    "quotedCostMsats": None, "capAppliedMsats": None, "paidAmountMsats": None, "paymentProofRef": None,
    "cacheHit": False, "denyReason": None, "executor": "gateway", "plane": "gateway",
    "executionPath": "hosted-node", "desktopSessionId": None, "desktopRuntimeStatus": None,
    "walletState": None, "nodeSyncStatus": None, "observedAtMs": 1735000000000,
}

def nothing_paid():
    def judge(evidence):
        for index, row in enumerate(evidence.table("records")):
            if row["paidAmountMsats"] is not None:
                seen = f"{row['paidAmountMsats']} msats"
                yield Finding("nothing paid", seen, f"records[{index}]", "ask the wallet why")

    mutants = (set_value("records", "paidAmountMsats", 1),)
    return Check("nothing_paid()", judge, mutants, ("records",))

class Broken:
    name, version, digest = "broken", "1", None

    def parts(self):
        return ()

    def tables(self):
        return 1 / 0

    def steady_state(self, when):
        return ()

    def standing_checks(self):
        return ()

def drill(evidence, line, **changes):
    evidence.record("records", {**RECORD, **changes})
    evidence.verify(nothing_paid().proves(line))
"""

ALPHA = """\
import pytest
from drilling import drill

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")

def test_alpha(l402_evidence):
    drill(l402_evidence, "1.free")
"""

BETA = """\
import pytest
from drilling import drill

pytestmark = pytest.mark.rehearsal("beta", runbook="book", section="2")

@pytest.mark.parametrize("case", ["one", "two"])
def test_beta(l402_evidence, case):
    drill(l402_evidence, "2.free", requestId=f"req-{case}")
"""

INI = """\
[tool.pytest]
testpaths = ["tests", "rehearsals"]
pythonpath = ["."]
filterwarnings = ["default"]
addopts = [
    "-p", "no:cacheprovider",
    # Other people's plugins, which cost more to start than a run takes.
    "-p", "no:respx", "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:benchmark",
]
"""

ON_WORKERS_TOO = [0, pytest.param(2, marks=pytest.mark.slow)]
"""Numbers of xdist workers: none; and two, which take seconds of a processor to start."""

PREVIOUS = "20200101T000000Z-00000000"

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_SECONDS = re.compile(r"\b\d+\.\d+s\b")


@dataclass(frozen=True)
class End:
    """How a run ended. `verdict` is None if nothing was left; `moved` says whether the old run was moved."""

    exit: int
    verdict: str | None
    moved: bool
    codes: frozenset[str] = frozenset()
    document: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    output: str = field(default="", compare=False, repr=False)
    folder: Path | None = field(default=None, compare=False, repr=False)


class Project:
    """The project on disk; change it, then run it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root = pytester.path
        self.signoff = self.root / "output" / "signoff"
        self.write("pyproject.toml", INI)
        self.write("drilling.py", DRILLING)
        self.write("rehearsals/catalogue.yaml", CATALOGUE)
        self.write("rehearsals/test_alpha.py", ALPHA)
        self.write("rehearsals/test_beta.py", BETA)
        self.write("tests/test_unit.py", "def test_unit():\n    pass\n")
        self.write(f"output/signoff/{PREVIOUS}/signoff.json", "{}")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def replace(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def run(self, *args: str, workers: int = 0) -> End:
        """Run pytest in process, with `workers` as processes of their own."""
        wire = ("-n", str(workers)) if workers else ()
        return self.end(self.pytester.runpytest_inprocess(*args, *wire, no_reraise_ctrlc=True))

    def run_over_the_wire(self, *args: str) -> End:
        """Run pytest in process, as a controller with one worker."""
        # What other people's plugins tell their workers is not what is tried here.
        args = (*args, *(f"-pno:{name}" for name in ("metadata", "pytest_jsonreport", "rerunfailures")))
        worker = WorkerInProcess(args)
        return self.end(self.pytester.runpytest_inprocess(*args, no_reraise_ctrlc=True, plugins=[worker]))

    def run_quietly(self, *args: str) -> End:
        """Run pytest in process where an earlier run of the same test may have left its folder."""
        return self.end(self.pytester.runpytest_inprocess(*args, no_reraise_ctrlc=True), latest=True)

    def end_of_second(self, first: End, *args: str, workers: int = 0, aside: str = "first-run") -> End:
        """Run again where one run has left its folder, and return the end of the second run alone."""
        assert first.folder is not None
        first.folder.rename(self.root / aside)
        return self.run(*args, workers=workers)

    def end_of_third(self, second: End, *args: str) -> End:
        """Run once more, after `end_of_second`."""
        return self.end_of_second(second, *args, aside="second-run")

    def run_process(self, *args: str) -> End:
        """Run pytest in a process of its own, which may be killed."""
        return self.end(self.pytester.runpytest_subprocess(*args, timeout=120))

    def end(self, result: pytest.RunResult, *, latest: bool = False) -> End:
        folders = self.run_folders()
        assert latest or len(folders) <= 1, folders
        document = self.document(folders[0]) if folders else {}
        return End(
            exit=int(result.ret),
            verdict=document.get("verdict"),
            moved=(self.signoff / "previous" / PREVIOUS / "signoff.json").is_file(),
            codes=frozenset(reason["code"] for reason in document.get("reasons", ())),
            document=document,
            output=self.normalised("\n".join([*result.outlines, *result.errlines])),
            folder=folders[0] if folders else None,
        )

    def run_folders(self) -> list[Path]:
        if not self.signoff.is_dir():
            return []
        places = (place for place in self.signoff.iterdir() if place.is_dir())
        return [place for place in places if place.name not in ("previous", PREVIOUS)]

    def document(self, folder: Path) -> dict[str, Any]:
        found = [folder / f"{kind}.json" for kind in ("signoff", "refusal", "drill")]
        present = [file for file in found if file.is_file()]
        assert len(present) <= 1, present
        file = present[0] if present else None
        return {} if file is None else {**json.loads(file.read_text()), "file": file.name}

    def normalised(self, text: str) -> str:
        text = _RUN_ID.sub("<run>", text).replace(str(self.root), "<root>")
        return _SECONDS.sub("<time>", text)
