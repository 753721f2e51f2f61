"""Vectors of the original tools and records made from them."""

import json
from pathlib import Path

VECTORS = Path(__file__).parent / "vectors"


def vector(name):
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def paid_record(**changes):
    """A settlement record of the hosted path, as the original tool wrote it."""
    return vector("observability.json")["records"][2] | changes
