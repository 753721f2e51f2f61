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
        "usage": {"max_tokens": 4096, "total_tokens": 1_234_567, "name": "token", "of": list(range(20))},
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
        ({"paymentHash": HASH, "index": {PREIMAGE.hex(): 1}}, "index"),
        ({"paymentHash": HASH, "bytes": list(PREIMAGE)}, "bytes"),
        ({"paymentHash": HASH, "halves": [PREIMAGE.hex()[:32], PREIMAGE.hex()[32:]]}, "halves"),
        ({"paymentHash": HASH, "spaced": PREIMAGE.hex(" ")}, "spaced"),
        ({"paymentHash": HASH, "coloned": "see " + PREIMAGE.hex(":").upper()}, "coloned"),
        ({"paymentHash": HASH, "dashed": PREIMAGE.hex("-", 4)}, "dashed"),
        ({"paymentHash": HASH, "broken": PREIMAGE.hex()[:32] + "\n" + PREIMAGE.hex()[32:]}, "broken"),
        ({"paymentHash": HASH, "escaped": "".join(f"\\x{byte:02x}" for byte in PREIMAGE)}, "escaped"),
        ({"paymentHash": HASH, "encoded": "".join(f"%{byte:02x}" for byte in PREIMAGE)}, "encoded"),
        ({"paymentHash": HASH, "numbers": str([*PREIMAGE])}, "numbers"),
        ({"preimage": {"type": "Buffer", "data": [*PREIMAGE]}}, "preimage"),
        ({"password": 12345678}, "password"),
        ({"tokenValue": "short"}, "tokenValue"),
        ({"OPS_SECRET_STAGING": "short"}, "OPS_SECRET_STAGING"),
        ({"headers": [{"name": "x-api-key", "value": "short"}]}, "headers"),
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


@pytest.mark.parametrize("place", ["{}.log", "preimage={}.txt", "{}/x.txt", "seen-{}-there"])
def test_a_name_of_an_artifact_is_searched_as_its_text_is(tmp_path: Path, place: str) -> None:
    for number in range(2):
        file = tmp_path / f"of{number}" / place.format(PREIMAGE.hex())
        file.parent.mkdir(parents=True)
        file.write_text("x")
    scan = SecretScan()
    scan.withhold(tmp_path, [bytes.fromhex(HASH)])
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_text() for path in kept] == ["x", "x"]
    assert not [path for path in tmp_path.rglob("*") if PREIMAGE.hex() in str(path)]
    assert judged(scan) == ["1 redacted there: its name"] * 2
    assert PREIMAGE.hex() not in str(scan.rows())


@pytest.mark.parametrize(
    "data",
    [
        b"\0\1" + PREIMAGE + b"\2",
        PREIMAGE,
        f"preimage={PREIMAGE.hex()}".encode("utf-16"),
        f"of {PREIMAGE.hex()}".encode("utf-16-le"),
        b"a line\n" * 300_000 + f"preimage={PREIMAGE.hex()}".encode(),
    ],
    ids=["raw", "raw alone", "UTF-16", "UTF-16 without a mark", "after 2 MB"],
)
def test_an_artifact_of_another_kind_is_searched_too(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "one").write_bytes(data)
    scan = SecretScan()
    scan.withhold(tmp_path, [bytes.fromhex(HASH)])
    assert (tmp_path / "one").read_bytes().startswith(b"withheld")
    scan = SecretScan()
    (tmp_path / "one").write_bytes(bytes(range(256)) * 200)
    scan.withhold(tmp_path, [bytes.fromhex(HASH)])
    assert judged(scan) == []


def test_a_search_that_misses_what_is_planted_is_a_violation() -> None:
    rows = SecretScan().rows()
    assert [row["place"] for row in rows] == [CONTROL]
    rows[0]["secrets"] = 0
    result = run_check(no_secrets(), Evidence({SECRET_SCAN: rows}))
    assert [violation.seen for violation in result.violations] == [f"0 of {rows[0]['searched']} found"]
