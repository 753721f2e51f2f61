"""Records written by hand, for what no stack would leave."""

from __future__ import annotations

from typing import Any

import pytest_l402.evidence as room
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


def public_checks() -> dict[str, str]:
    """The theme of each public check, by its name."""
    package = "pytest_l402.evidence.checks."
    modules = {name: str(getattr(getattr(room, name), "__module__", "")) for name in room.__all__}
    return {
        name: module.removeprefix(package) for name, module in modules.items() if module.startswith(package)
    }
