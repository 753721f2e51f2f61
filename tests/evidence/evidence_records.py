"""Records written by hand, for what no stack would leave."""

from __future__ import annotations

from typing import Any

from pytest_l402.contract import REQUIRED_KEYS


def make_record(**fields: Any) -> dict[str, Any]:
    """A complete record of a control decision about `req-1`, with the given values."""
    known = {
        "requestId": "req-1",
        "executor": "system",
        "plane": "control",
        "executionPath": "hosted-node",
        "observedAtMs": 1,
        **fields,
    }
    return {key: known.get(key) for key in REQUIRED_KEYS}
