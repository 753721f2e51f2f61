"""The page of a run: what stands on it, in which order, and that it is one whole with its document."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from evidence_records import make_record
from page_samples import keep
from signoff_samples import (
    GREEN,
    PROJECT,
    SYSTEM,
    VERSIONS,
    document,
    facts,
    failed_node,
    held,
    judge,
    node,
    violated,
    waiver,
)

from pytest_l402.evidence.parts import Part
from pytest_l402.evidence.recipe import Recipe
from pytest_l402.signoff.document import Vouched, build_document
from pytest_l402.signoff.document_entries import ComparisonEntry, PreviousEntry
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.judged import Reason, ReasonCode, Verdict
from pytest_l402.signoff.page import render_page
from pytest_l402.signoff.page.kept_rows import MAX_RECORDS
from pytest_l402.signoff.views import views_of
from pytest_l402.signoff.waivers import WaiverTarget

FOREIGN = Part("wallet", "Mine", None, None, ours=False)


class Read(HTMLParser):
    """A page as a browser reads it: elements, text, anchors, links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "dt", "dd", "p", "li", "h1", "h2", "h3", "h4", "summary"}:
            self.text.append(" ")

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())

    def all_of(self, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for _, attrs in self.elements if attribute in attrs]


def test_the_verdict_is_the_first_that_is_read(tmp_path: Path) -> None:
    read = Read(render_page(document(), tmp_path))
    words = read.words
    assert words.index("SIGNED OFF") < words.index("2 of 2 required rehearsals passed")
    for told in (
        "UNSIGNED: nobody has put a signature on this document",
        "mock: no deployed system was touched",
        "not pinned by a digest",
        "3 of 3 lines of the runbook",
        "Name Date Signature",
        "sha256sum --quiet --strict -c SHA256SUMS",
    ):
        assert words.index("SIGNED OFF") < words.index(told)


def test_a_refusal_leads_to_what_failed(tmp_path: Path) -> None:
    nodes = (GREEN[0], node("reuse", checks=(violated("hit", "2.hit"),)))
    page = render_page(document(nodes, facts(nodes, exit_status=1)), tmp_path)
    words = Read(page).words
    assert "NOT SIGNED OFF" in words
    assert words.index("Why not") < words.index("reuse FAILED") < words.index("Rehearsals")
    # What was found is told in its four parts, and stands open.
    assert "expected 19 keys seen 18 keys where records row 4 do emit the key" in words
    assert re.search(r'<details id="rehearsal-reuse-t1" open>', page)
    assert re.search(r'<details id="rehearsal-success-t1">', page)


@pytest.mark.parametrize("run", [facts(), facts(narrowed_by=("-k x",)), facts(exit_status=3)])
def test_every_link_lands_and_no_anchor_is_there_twice(tmp_path: Path, run: Any) -> None:
    rows = [make_record(requestId=f"req-{n % 3}", observedAtMs=1_735_000_000_000 + n) for n in range(9)]
    nodes = (keep(tmp_path, node("success"), records=rows), node("reuse"))
    read = Read(render_page(document(nodes, run), tmp_path))
    anchors = read.all_of("id")
    assert len(anchors) == len(set(anchors))
    links = read.all_of("href")
    assert links
    assert {link.removeprefix("#") for link in links} <= {*anchors}


def test_nothing_is_loaded_and_nothing_can_run(tmp_path: Path) -> None:
    page = render_page(document(), tmp_path)
    read = Read(page)
    assert {"script", "img", "link", "iframe", "object", "form", "input"}.isdisjoint(
        tag for tag, _ in read.elements
    )
    assert not [name for _, attrs in read.elements for name in attrs if name.startswith("on")]
    assert "style" not in {name for _, attrs in read.elements for name in attrs}
    (policy,) = [attrs["content"] for _, attrs in read.elements if "http-equiv" in attrs]
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")


def test_null_missing_and_an_empty_lane_are_told_apart(tmp_path: Path) -> None:
    row = make_record(plane="gateway", paymentProofRef=None, requestId="req-1")
    del row["walletState"]
    nodes = (keep(tmp_path, node("success"), records=[row]), node("reuse"))
    page = render_page(document(nodes), tmp_path)
    words = Read(page).words
    assert re.search(r"null: [^<]*paymentProofRef", page)
    assert "missing walletState" in words
    assert page.count("no record seen</text>") == 3


def test_a_fault_is_a_rule_between_the_records(tmp_path: Path) -> None:
    rows = [make_record(requestId="req-1", observedAtMs=1_735_000_000_000 + 10 * n) for n in range(3)]
    fault = {
        "fault": "SettlementLost",
        "values": {},
        "requestId": None,
        "injectedAtMs": 1_735_000_000_005,
        "fired": 1,
        "firedFor": ["req-1"],
        "removedAtMs": 1_735_000_000_015,
    }
    nodes = (keep(tmp_path, node("success"), records=rows, injected_faults=[fault]), node("reuse"))
    page = render_page(document(nodes), tmp_path)
    rules = [float(x) for x in re.findall(r'<line class="rule" x1="([\d.]+)"', page)]
    marks = [float(x) for x in re.findall(r'<circle class="\w+" cx="([\d.]+)"', page)]
    assert marks[0] < rules[0] < marks[1] < rules[1] < marks[2]
    assert "SettlementLost at 0 ms, removed after 10 ms" in Read(page).words


def test_triage_says_which_way_it_took_and_by_which_record(tmp_path: Path) -> None:
    denied = make_record(
        requestId="req-9",
        plane="control",
        executor="system",
        denyReason="global_pause_active",
        paymentProofRef=None,
        paidAmountMsats=None,
    )
    extra = keep(tmp_path, node("extra"), records=[make_record(requestId="req-1"), denied])
    page = render_page(document((*GREEN, extra)), tmp_path)
    words = Read(page).words
    assert "policy, found: the control plane denied the request" in words
    assert "decided by denyReason = global_pause_active of this record" in words
    assert '<a href="#rehearsal-extra-t1-r2">this record</a>' in page
    assert words.index("incomplete, not found") < words.index("policy, found")


def test_parity_shows_both_sides(tmp_path: Path) -> None:
    proof = "lightning_preimage:" + "ab" * 12
    hosted = make_record(
        requestId="req-1",
        taskId="t-1",
        plane="gateway",
        executor="gateway",
        executionPath="hosted-node",
        paymentProofRef=proof,
    )
    local_proof = "preimage:" + "ab" * 8
    local = {**hosted, "executionPath": "local-node", "paymentProofRef": local_proof, "taskId": "t-2"}
    artifact = {"flows": [{"observabilityRecords": [local], "proofReference": local["paymentProofRef"]}]}
    check = held("local_parity()", "1.ok", recipe=Recipe("local_parity"), tables=("records",))
    asked = keep(
        tmp_path,
        node("success", checks=(check, held("check 1.keys", "1.keys"))),
        records=[hosted],
        local_artifact=[artifact],
    )
    words = Read(render_page(document((asked, GREEN[1])), tmp_path)).words
    assert "requestId agrees req-1 req-1" in words
    assert "taskId differs" in words
    assert "t-1 t-2" in words


def test_it_says_until_when_it_counts_and_what_came_before(tmp_path: Path) -> None:
    run_id, digest = "20261120T120000Z-00000000", "b" * 64
    before = PreviousEntry(
        run_id=run_id, verdict=Verdict.NOT_SIGNED_OFF, manifest_sha256=digest, found="gone"
    )
    vouched = Vouched(key_id="d" * 64, previous=before)
    built = build_document(judge(), project=PROJECT, versions=VERSIONS, vouched=vouched)
    words = Read(render_page(built, tmp_path)).words
    assert "Counts until 2026-12-21T" in words
    assert "20261120T120000Z-00000000, NOT_SIGNED_OFF: GAP, it is gone" in words
    assert f"SIGNED by key {'d' * 64}" in words
    assert "openssl pkeyutl -verify" in words
    refusal = Read(render_page(document(GREEN, facts(exit_status=3)), tmp_path)).words
    assert "it does not count: it is no sign-off" in refusal
    assert "openssl" not in refusal


def test_it_says_what_changed_since_the_run_that_it_was_compared_with(tmp_path: Path) -> None:
    compared = ComparisonEntry(
        run_id="20261101T120000Z-00000000",
        verdict=Verdict.SIGNED_OFF,
        regressions=("line 2.hit <b> is proven no more",),
        changes=("seed 1 was 2",),
    )
    vouched = Vouched(comparison=compared)
    less = Reason(ReasonCode.REGRESSION, "less than in the run before")
    bad = judge(GREEN, facts(exit_status=1))
    bad = replace(bad, reasons=(*bad.reasons, less))
    page = render_page(build_document(bad, project=PROJECT, versions=VERSIONS, vouched=vouched), tmp_path)
    words = Read(page).words
    assert "Since run 20261101T120000Z-00000000 (SIGNED_OFF): 1 regression, 1 change" in words
    assert "less line 2.hit <b> is proven no more" in words
    assert '<h2 id="since">' in page
    assert 'href="#since"' in page


@pytest.mark.parametrize(
    ("mode", "parts", "said"),
    [
        ("mock", SYSTEM.parts, "mock: no deployed system was touched"),
        (
            "mock",
            (*SYSTEM.parts, Part("wallet", "Mine", None, None, ours=False)),
            "alone can say: wallet Mine",
        ),
        ("mock", (), "alone can say: stack of the tests"),
        ("live", SYSTEM.parts, "live: a deployed system was rehearsed"),
    ],
)
def test_nobody_is_told_that_nothing_deployed_was_touched_who_cannot_know(
    tmp_path: Path, mode: str, parts: Any, said: str
) -> None:
    system = replace(SYSTEM, parts=parts)
    nodes = tuple(replace(each, systems=(system,)) for each in GREEN)
    words = Read(render_page(document(nodes, facts(mode=mode)), tmp_path)).words
    assert said in words
    assert ("mock: no deployed system was touched" in words) is ("no deployed" in said)


def test_a_test_without_records_tells_its_tables(tmp_path: Path) -> None:
    left = keep(tmp_path, node("success"), records=[], effects=[{"id": 1}, {"id": 2}])
    plain = replace(
        left,
        evidence_files=left.evidence_files[1:],
        moments=dict.fromkeys(left.moments, ("effects.jsonl",)),
        checks=tuple(replace(each, tables=("effects",), rows=2) for each in left.checks),
        standing=tuple(replace(each, tables=("effects",), rows=2) for each in left.standing),
    )
    words = Read(render_page(document((plain, GREEN[1])), tmp_path)).words
    assert "3 checks, 2 rows" in words
    assert "It left no records of planes. Its tables: effects 2" in words


def test_who_ran_it_and_where_is_told_as_their_own_word(tmp_path: Path) -> None:
    built = document(GREEN, facts(ran_by="ada", ran_on="https://ci.example/7"))
    assert "by ada on https://ci.example/7 (by its own account)" in Read(render_page(built, tmp_path)).words


def test_a_waiver_is_shown_where_it_counts(tmp_path: Path) -> None:
    nodes = (node("success"), node("reuse", checks=(violated("hit", "2.hit"),)))
    built = document(nodes, None, (waiver(WaiverTarget.CHECK, "hit"),))
    words = Read(render_page(built, tmp_path)).words
    assert words.count("check hit, until 2026-12-01, by ada: ticket 12") == 2


def many(folder: Path, number: int) -> SignOffDocument:
    rows = [make_record(requestId=f"req-{n // 8}", observedAtMs=1_735_000_000_000 + n) for n in range(number)]
    return document((keep(folder, node("success"), records=rows), node("reuse")))


@pytest.mark.parametrize(("number", "said"), [(40, ""), (2500, "This page shows 1,000 of 2,503 records")])
def test_what_is_left_out_is_said(tmp_path: Path, number: int, said: str) -> None:
    page = render_page(many(tmp_path, number), tmp_path)
    assert len(re.findall(r'<tr id="rehearsal-success-t1-r\d+">', page)) == min(number, MAX_RECORDS)
    assert said in page
    assert ("This page shows" in page) is bool(said)


def test_the_records_of_what_failed_are_shown_before_all_others(tmp_path: Path) -> None:
    rows = [make_record(requestId=f"req-{n}") for n in range(MAX_RECORDS)]
    green = keep(tmp_path, node("success"), records=rows)
    red = keep(tmp_path, failed_node("reuse"), records=rows[:7])
    page = render_page(document((green, red), facts((green, red), exit_status=1)), tmp_path)
    assert len(re.findall(r'<tr id="rehearsal-reuse-t1-r\d+">', page)) == 7
    assert len(re.findall(r'<tr id="rehearsal-success-t1-r\d+">', page)) == MAX_RECORDS - 7


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="gone"),
        pytest.param(b"{", id="no-json"),
        pytest.param(b"[1]\n", id="no-object"),
        pytest.param(b"\xff\xfe\n", id="no-text"),
        pytest.param(b'{"requestId": {"a": [1]}, "plane": [], "observedAtMs": "x"}\n', id="odd-values"),
        pytest.param(b'{"observedAtMs": 99999999999999999999999, "plane": "ui"}\n', id="odd-time"),
    ],
)
def test_evidence_that_cannot_be_shown_costs_no_page(tmp_path: Path, content: bytes | None) -> None:
    kept = keep(tmp_path, node("extra"), records=[make_record()])
    file = tmp_path / str(kept.folder) / "records.jsonl"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    page = render_page(document((*GREEN, kept)), tmp_path)
    assert "rehearsal-extra" in page
    assert str(tmp_path) not in page


def test_a_link_in_the_place_of_evidence_is_not_followed(tmp_path: Path) -> None:
    kept = keep(tmp_path, node("success"), records=[make_record(requestId="elsewhere")])
    file = tmp_path / str(kept.folder) / "records.jsonl"
    file.rename(tmp_path / "other")
    file.symlink_to(tmp_path / "other")
    page = render_page(document((kept, GREEN[1])), tmp_path)
    assert "elsewhere" not in page
    assert "expected a file, saw none" in page


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    built = many(tmp_path, 20)
    assert views_of(built, tmp_path) == views_of(built, tmp_path)
