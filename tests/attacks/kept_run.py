"""A small run folder with evidence of the stack, and an author who alters it and seals it again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from signoff_samples import PROJECT, facts, judge, node

from pytest_l402.evidence import (
    found_in_logs,
    paid_exactly_once,
    proof_absent,
    recovered,
    some_record,
    triaged_as,
)
from pytest_l402.evidence.check import CheckResult
from pytest_l402.evidence.kept import keep
from pytest_l402.plugin.evidence_fixture import EvidenceCollector
from pytest_l402.signoff.document import build_document, installed_versions
from pytest_l402.signoff.files import write_run
from pytest_l402.signoff.results import NodeResult, RecordedFile
from pytest_l402.stack import SettlementLost, Stack
from pytest_l402.stack.system import StackSystem

RUN = "20261121T120000Z-0123abcd"

Alter = Callable[["KeptRun"], None]


class KeptRun:
    """The results of the tests of a run and the folder of their evidence; alter both, then `seal`.

    `success` has two moments: a settlement is lost, then a purchase shows that the stack has recovered.
    `reuse` has one, of two purchases with one credential.
    """

    def __init__(self, folder: Path, nodes: dict[str, NodeResult], exit_status: int = 0) -> None:
        self.folder = folder
        self.nodes = nodes
        self.exit_status = exit_status
        self.teeth = True

    def copied_to(self, parent: Path) -> KeptRun:
        """The same run in a folder of its own."""
        shutil.copytree(self.folder, parent / RUN, symlinks=True)
        return KeptRun(parent / RUN, dict(self.nodes), self.exit_status)

    def place(self, rehearsal: str) -> Path:
        """Where the evidence of a test is."""
        return self.folder / str(self.nodes[rehearsal].folder)

    def alter(self, rehearsal: str, **changes: Any) -> None:
        """Alter what a test is said to have done."""
        self.nodes[rehearsal] = replace(self.nodes[rehearsal], **changes)

    def alter_check(
        self, rehearsal: str, begins: str, more: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        """Alter what the one check whose name begins like this is said to have said."""
        changes |= more or {}

        def altered(checks: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
            return tuple(replace(c, **changes) if c.name.startswith(begins) else c for c in checks)

        known = self.nodes[rehearsal]
        assert self.check(rehearsal, begins)
        self.alter(rehearsal, checks=altered(known.checks), standing=altered(known.standing))

    def check(self, rehearsal: str, name: str) -> CheckResult:
        """The one check whose name begins like this."""
        known = self.nodes[rehearsal]
        (found,) = (check for check in (*known.checks, *known.standing) if check.name.startswith(name))
        return found

    def rows(self, rehearsal: str, file: str) -> list[dict[str, Any]]:
        """The rows of a file."""
        text = (self.place(rehearsal) / file).read_text()
        return [json.loads(line) for line in text.splitlines()]

    def write_rows(self, rehearsal: str, file: str, rows: list[dict[str, Any]]) -> None:
        """Put other rows into a file."""
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        (self.place(rehearsal) / file).write_text(text)

    def change_rows(self, rehearsal: str, file: str, **changes: Any) -> None:
        """Give every row of a file other values."""
        self.write_rows(rehearsal, file, [{**row, **changes} for row in self.rows(rehearsal, file)])

    def seal(self) -> None:
        """Write document, page and manifest anew, as their author could: no digest and no number is wrong."""
        for rehearsal, known in self.nodes.items():
            files = tuple(self._recorded(file) for file in known.evidence_files)
            rows = {file.path: file.rows for file in files}

            def counted(check: CheckResult, rows: Any = rows, known: NodeResult = known) -> CheckResult:
                paths = [f"{known.folder}/{name}" for name in known.moments.get(check.moment, ())]
                mine = [path for path in paths if Path(path).stem in check.tables]
                return replace(check, rows=sum(rows.get(path) or 0 for path in mine)) if mine else check

            self.alter(
                rehearsal,
                evidence_files=files,
                checks=tuple(map(counted, known.checks)),
                standing=tuple(map(counted, known.standing)),
            )
            (self.place(rehearsal) / "node.json").write_text(self.nodes[rehearsal].to_json() + "\n")
        nodes = tuple(self.nodes.values())
        run = facts(nodes, exit_status=self.exit_status, teeth=self.teeth)
        write_run(
            self.folder,
            build_document(judge(nodes, run), project=PROJECT, versions=installed_versions()),
        )

    def _recorded(self, file: RecordedFile) -> RecordedFile:
        try:
            content = (self.folder / file.path).read_bytes()
        except OSError:
            return file
        rows = None if file.rows is None else content.count(b"\n")
        return RecordedFile(file.path, hashlib.sha256(content).hexdigest(), len(content), rows)


def make_run(folder: Path) -> KeptRun:
    """Run both tests, without pytest, and seal what they leave."""
    run = KeptRun(folder / RUN, {})
    with Stack(7, artifact_dir=folder / "artifacts") as stack, stack.online():
        lost = _collector(stack, folder)
        with stack.faults.inject(SettlementLost()):
            failing = stack.executor.buy("/premium")
        lost.expect_fault(failing)
        lost.verify(
            found_in_logs(failing),
            proof_absent(failing).proves("1.ok"),
            triaged_as(failing, "settlement", field="paymentProofRef").proves("1.keys"),
            paid_exactly_once(failing),
        )
        healthy = stack.executor.buy("/premium")
        lost.verify(recovered(healthy).proves("1.keys"), some_record(paidAmountMsats=None))
        _keep(run, "success", lost)
    with Stack(8, artifact_dir=folder / "artifacts") as stack, stack.online():
        reuse = _collector(stack, folder)
        first, _ = stack.executor.buy("/premium"), stack.executor.buy("/premium")
        reuse.verify(some_record(cacheHit=True).proves("2.hit"), paid_exactly_once(first).proves("2.hit"))
        _keep(run, "reuse", reuse)
    run.seal()
    return run


def _collector(stack: Stack, folder: Path) -> EvidenceCollector:
    collector = EvidenceCollector(title="a test", seed="00", artifact_dir=folder / "artifacts")
    collector.attach(StackSystem(stack))
    return collector


def _keep(run: KeptRun, rehearsal: str, collector: EvidenceCollector) -> None:
    collector.judge_standing()
    place = f"evidence/{rehearsal}/test_it"
    evidence = collector.final()
    files, moments = keep(evidence, collector.moments, run.folder / place)
    run.nodes[rehearsal] = node(
        rehearsal,
        checks=collector.checks,
        standing=collector.standing,
        systems=collector.described_systems(),
        request_ids=collector.request_ids(evidence),
        evidence_files=tuple(
            sorted(
                (
                    RecordedFile(f.path.relative_to(run.folder).as_posix(), f.sha256, f.bytes, f.rows)
                    for f in files
                ),
                key=lambda file: file.path,
            )
        ),
        folder=place,
        moments=moments,
    )
