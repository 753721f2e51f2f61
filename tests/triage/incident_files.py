"""Incident files to read: the original tools' own, and small ones made from their records."""

import json
from pathlib import Path

VECTORS = Path(__file__).parents[1] / "contract" / "vectors"
PROOF = "lightning_preimage:" + "a" * 24


def vector(name):
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def records(request_id="req_1"):
    """Settlement and ui record of one payment on the hosted path."""
    return [
        record | {"requestId": request_id, "paymentProofRef": proof_of(request_id)}
        for record in vector("observability.json")["records"][2:4]
    ]


def proof_of(request_id):
    return "lightning_preimage:" + request_id.encode().hex().ljust(24, "0")[:24]


def json_lines(rows):
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def write(folder, content, name="incident.jsonl"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path
