"""Decides which characters steer a terminal or deceive a reader instead of being seen."""

from __future__ import annotations

from typing import Final

INVISIBLE: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
"""As the inside of a class of a pattern: controls but for tab and line breaks, C1, what has no width,
what turns the direction, soft hyphen, tags."""

SEQUENCE: Final = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
"""A pattern of what a terminal takes for an order."""
