"""Runs with kept evidence, written by hand, for what shows them; and text that must stay text wherever it is
shown.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence_records import make_record
from signoff_samples import (
    PROJECT,
    SYSTEM,
    VERSIONS,
    facts,
    failed_node,
    held,
    judge,
    node,
    violated,
    violation,
    waiver,
)

from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.evidence.check import CheckResult, MutantResult, MutantVerdict
from pytest_l402.evidence.parts import Part
from pytest_l402.evidence.recipe import Recipe
from pytest_l402.signoff.document import build_document
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.results import NodeResult, NotedShortfall, RecordedFile
from pytest_l402.signoff.waivers import WaiverTarget

BEGIN_MS = 1_735_000_000_000
PROOF = "ab" * 12

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "drawing": "</text></svg><svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a>",
    "end-of-style": "</style></title></pre></code><iframe src=https://evil.example>",
    "attribute": "' autofocus onfocus='alert(1)",
    "entity": "&lt;script&gt; &#x202e; &quot;",
    "template": "{{ 7 * 7 }}{% include 'x' %}{#",
    "ansi": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\link",
    "controls": "a\x00b\x08c\x7fd\x9be\rf\vg",
    "bidi": "\u202eright\u2066to\u2069left\u200f\u061c",
    "lines": "one\ntwo\r\nthree\u2028four\u2029five\x85six",
    "markdown": "x\n\n## SIGNED OFF\n\n| PASSED | a | [b](javascript:alert(1)) ![i](http://evil.example/y.png)",
    "fences": "``` `` ` @everyone #1 https://evil.example ~~x~~ $x$ <!-- -->",
    "formula": '=HYPERLINK("http://evil.example","x")+cmd|\' /C calc\'!A0',
    "workflow-command": "::error file=x::y\n::set-output name=a::b\n##[error]x %0A::warning::z",
    "json": '"}, {"status": "passed", "x": "\\',
    "surplus": "\u0336\u0336\ufeff\u00ad\u200b\ue000\U000e0041",
    "megabyte": "<b>a" * 262_144,
}
"""Text as somebody may put it into a record, by what it is meant to get at."""


def keep(folder: Path, result: NodeResult, **tables: list[dict[str, Any]]) -> NodeResult:
    """Write tables below a run folder; return the result of the test that left them."""
    place = folder / str(result.folder)
    place.mkdir(parents=True, exist_ok=True)
    files = []
    for name, rows in tables.items():
        data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        (place / f"{name}.jsonl").write_bytes(data)
        files.append(RecordedFile(f"{result.folder}/{name}.jsonl", "a" * 64, len(data), len(rows)))
    own = tuple(f"{name}.jsonl" for name in tables)
    judged = len(tables["records"])
    return replace(
        result,
        evidence_files=tuple(files),
        moments=dict.fromkeys(result.moments, own),
        checks=tuple(replace(check, rows=judged) for check in result.checks),
        standing=tuple(replace(check, rows=judged) for check in result.standing),
    )


def paid(request_id: str, at_ms: int, *, settled: bool = True) -> list[dict[str, Any]]:
    """The records of one purchase, of which settlement may know nothing."""
    told = {"requestId": request_id, "taskId": f"task of {request_id}", "executionPath": "hosted-node"}
    proof = {"paymentProofRef": f"lightning_preimage:{PROOF}", "paidAmountMsats": 21_000}
    gateway = {**told, "plane": "gateway", "executor": "gateway"}
    rows = [
        make_record(**told, observedAtMs=at_ms),
        make_record(**gateway, quotedCostMsats=21_000, observedAtMs=at_ms + 3),
        make_record(**gateway, **proof, observedAtMs=at_ms + 9),
        make_record(**{**told, **proof, "plane": "ui", "executor": "desktop", "observedAtMs": at_ms + 20}),
    ]
    if settled:
        rows.insert(3, make_record(**{**gateway, **proof, "plane": "settlement", "observedAtMs": at_ms + 15}))
    return rows


def fault(name: str, at_ms: int, removed_ms: int | None, request_id: str | None = None) -> dict[str, Any]:
    return {
        "fault": name,
        "values": {},
        "requestId": request_id,
        "injectedAtMs": at_ms,
        "fired": 1,
        "firedFor": [],
        "removedAtMs": removed_ms,
    }


def artifact_of(request_id: str) -> dict[str, Any]:
    local = make_record(
        requestId=request_id,
        taskId=f"task of {request_id}",
        plane="ui",
        executor="desktop",
        executionPath="local-node",
        paymentProofRef=f"preimage:{PROOF[:16]}",
    )
    return {"flows": [{"observabilityRecords": [local], "proofReference": local["paymentProofRef"]}]}


def eventful(folder: Path) -> SignOffDocument:
    """A refused run that has something of everything a page shows."""
    parity = held("local_parity()", "1.ok", recipe=Recipe("local_parity"), tables=("records",))
    green = keep(
        folder,
        node("success", checks=(parity, held("check 1.keys", "1.keys")), took_ms=120),
        records=paid("req-paid", BEGIN_MS),
        local_artifact=[artifact_of("req-paid")],
    )
    red = keep(
        folder,
        failed_node(
            "reuse",
            failure="2.hit: expected the second purchase for nothing, saw 21000 msats\n  do ask the wallet",
            checks=(violated("paid_once(req-lost)", "2.hit"),),
            expected_faults={"req-lost": None},
            own_rows={"offers": 2},
            shortfalls=(NotedShortfall("2.hit", "historical.json line 4", "no proof", "write a new one"),),
        ),
        records=paid("req-lost", BEGIN_MS, settled=False),
        injected_faults=[fault("SettlementLost", BEGIN_MS - 5, None)],
    )
    drill = keep(
        folder,
        node("extra"),
        records=[*paid("req-lost", BEGIN_MS, settled=False), *paid("req-again", BEGIN_MS + 60_000)],
        injected_faults=[fault("SettlementLost", BEGIN_MS - 5, BEGIN_MS + 30)],
    )
    nodes = (green, red, drill)
    return build_document(
        judge(nodes, facts(nodes, exit_status=1), (waiver(WaiverTarget.REHEARSAL, "extra"),)),
        project=PROJECT,
        versions=VERSIONS,
    )


def hostile(folder: Path, text: str) -> SignOffDocument:
    """A run in which every field of a record, and all that a run says of itself, is this text."""
    rows = [make_record(**{"requestId": "req-1", key: text}) for key in REQUIRED_KEYS]
    rows.append({**make_record(requestId="req-2"), text: text})
    rows.append(make_record(requestId="req-2", denyReason={text: [text]}))
    broken = CheckResult(
        f"check {text}",
        "1.ok",
        1,
        (violation(check=text, expected=text, seen=text, where=text, remedy=text),),
        (MutantResult(text, MutantVerdict.SURVIVED, text),),
        ("records",),
        Recipe(text, named={}),
        "verify-1",
    )
    part = Part(text, text, text, text, ours=False, file=text)
    system = replace(SYSTEM, name=text, version=text, digest=text, parts=(part,), standing_checks=(text,))
    bad = keep(
        folder,
        failed_node(
            "success",
            nodeid=f"n{text[:3000]}",
            case=f"c{text}",
            checks=(broken,),
            failure=text,
            causes=(text,),
            request_ids=(text,),
            systems=(system,),
            own_rows={text[:3000]: 1},
            expected_faults={text[:3000]: text},
            shortfalls=(NotedShortfall(text, text, text, text),),
            file=text,
        ),
        records=rows,
        injected_faults=[fault(text, BEGIN_MS, None, text)],
        local_artifact=[{"flows": [{"observabilityRecords": rows, "proofReference": text}], text: text}],
    )
    again = replace(bad, nodeid=f"d{text[:3000]}", rehearsal="extra", folder="evidence/extra")
    drill = keep(folder, again, records=rows)
    nodes = (bad, drill)
    run = facts(
        nodes,
        seed=text,
        exit_status=1,
        ran_by=text,
        ran_on=text,
        collect_errors=(text,),
        worker_crashes=(text,),
        narrowed_by=(),
    )
    covered = replace(waiver(WaiverTarget.CHECK, text), reason=text, owner=text, source=text)
    project = replace(PROJECT, not_pinned_because=text)
    judged = judge(nodes, run, (covered,))
    return build_document(judged, project=project, versions={**VERSIONS, "embit": text})
