"""What is noticed of secrets in rows and artifacts, what stands in their place, and what is left alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pytest_l402.boundary.redaction import REDACTED
from pytest_l402.evidence import Evidence, run_check
from pytest_l402.evidence.checks.secrets import no_secrets
from pytest_l402.evidence.secret_scan import CONTROL, SECRET_SCAN, SecretScan

PREIMAGE = hashlib.sha256(b"a preimage").digest()
HASH = hashlib.sha256(PREIMAGE).hexdigest()


def judged(scan: SecretScan) -> list[str]:
    result = run_check(no_secrets(), Evidence({SECRET_SCAN: scan.rows()}))
    return [violation.seen for violation in result.violations]


def test_rows_without_secrets_are_the_same_rows() -> None:
    scan = SecretScan()
    row = {
        "paymentHash": HASH,
        "paymentProofRef": "lightning_preimage:" + "0a" * 12,
        "configHash": "ab" * 32,
        "held": {"token": None, "macaroon": "sha256:" + "0a" * 8, "of": [1, True]},
    }
    assert scan.clean({"own": [row]}, ())["own"][0] is row
    result = run_check(no_secrets(), Evidence({SECRET_SCAN: scan.rows()}))
    assert result.passed
    assert result.has_teeth


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"line": f"preimage={PREIMAGE.hex()}"}, "line"),
        ({"apiKey": "short"}, "apiKey"),
        ({"held": [{"secret": ["x"]}]}, "held"),
        ({"paymentHash": HASH, "note": PREIMAGE.hex()}, "note"),
        ({"line": type("Text", (str,), {})(f"preimage={PREIMAGE.hex()}")}, "line"),
        ({"paymentHash": HASH, PREIMAGE.hex(): "a key"}, REDACTED),
    ],
)
def test_a_secret_goes_and_its_place_is_told(row: dict[str, object], field: str) -> None:
    scan = SecretScan()
    (_, cleaned) = scan.clean({"own": [{"line": "x"}, row]}, ())["own"]
    assert REDACTED in str(cleaned)
    assert PREIMAGE.hex() not in str(cleaned)
    assert judged(scan) == [f"1 redacted there: row 2, {field}"]


def test_what_a_system_issued_is_known_by_its_digest() -> None:
    row = {"note": PREIMAGE.hex()}
    assert SecretScan().clean({"own": [row]}, ())["own"] == [row]
    assert SecretScan().clean({"own": [row]}, [bytes.fromhex(HASH)])["own"] == [{"note": REDACTED}]


def test_an_artifact_with_a_secret_is_withheld(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "one.txt").write_text(f"preimage={PREIMAGE.hex()}")
    (tmp_path / "two.bin").write_bytes(b"\xff\x00")
    scan = SecretScan()
    scan.withhold(tmp_path, ())
    assert (tmp_path / "held" / "one.txt").read_text().startswith("withheld")
    assert (tmp_path / "two.bin").read_bytes() == b"\xff\x00"
    assert judged(scan) == ["1 redacted there: the file"]
    scan.withhold(tmp_path, ())
    assert len(judged(scan)) == 1


def test_a_search_that_misses_what_is_planted_is_a_violation() -> None:
    rows = SecretScan().rows()
    assert [row["place"] for row in rows] == [CONTROL]
    rows[0]["secrets"] = 0
    result = run_check(no_secrets(), Evidence({SECRET_SCAN: rows}))
    assert [violation.seen for violation in result.violations] == [f"0 of {rows[0]['searched']} found"]
