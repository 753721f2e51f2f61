"""Every view counts what the document counts, or the run is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from page_samples import eventful
from signoff_samples import GREEN, document, facts

from pytest_l402.signoff import SignOffDocument, files, views
from pytest_l402.signoff.reconciled import UnlikeError, check_alike
from pytest_l402.signoff.views import views_of


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def alter(view: bytes) -> bytes:
        assert old.encode() in view
        return view.replace(old.encode(), new.encode(), 1)

    return alter


def without_the_first_test(view: bytes) -> bytes:
    report = json.loads(view)
    report["results"]["tests"].pop(1)
    return json.dumps(report).encode()


MISCOUNTED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a state on the page": ("refusal.html", replaced('data-state="FAILED"', 'data-state="PASSED"')),
    "a card is lost": ("refusal.html", replaced("<tr data-rehearsal=", "<tr lost=")),
    "mutants on the page": ("refusal.html", replaced('data-killed="12"', 'data-killed="13"')),
    "a row of the screen": ("refusal.md", replaced("| FAILED |", "| PASSED |")),
    "a row is lost": ("refusal.md", replaced("| PASSED |", "PASSED")),
    "mutants in the comment": ("comment.md", replaced("| 2 | 2 |", "| 2 | 3 |")),
    "a test of the report": ("ctrf.json", without_the_first_test),
    "passed in the report": ("ctrf.json", replaced('"passed": 2', '"passed": 3')),
    "the verdict in the report": ("ctrf.json", replaced('"status": "failed"', '"status": "passed"')),
    "the badge": ("badge.json", replaced("1 of 2", "2 of 2")),
}


@pytest.mark.parametrize("way", MISCOUNTED)
def test_a_view_that_counts_otherwise_is_found(tmp_path: Path, way: str) -> None:
    built = eventful(tmp_path)
    made = views_of(built, tmp_path)
    name, alter = MISCOUNTED[way]
    with pytest.raises(UnlikeError, match=f"{name}: expected .* saw "):
        check_alike(built, {**made, name: alter(made[name])})


@pytest.mark.parametrize(
    "built",
    [
        pytest.param(document(), id="signed-off"),
        pytest.param(document(GREEN, facts(narrowed_by=("-k x",))), id="drill"),
        pytest.param(document(GREEN, facts(exit_status=3)), id="refused"),
        pytest.param(document((), facts((), interrupted=True)), id="nothing-ran"),
    ],
)
def test_every_kind_of_run_counts_alike(tmp_path: Path, built: SignOffDocument) -> None:
    assert views_of(built, tmp_path)


def test_views_that_disagree_leave_no_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "badge_bytes", lambda document: b'{"message": "signed off, 9 of 9, today"}')
    with pytest.raises(UnlikeError, match=r"badge\.json: expected rehearsals 2 of 2"):
        files.write_run(tmp_path, document())
    assert list(tmp_path.iterdir()) == []
