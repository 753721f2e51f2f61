"""Text that reaches a file: secrets out, control characters visible, and nothing more on a second pass."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_l402.boundary.cleaning import MAX_LINES, MAX_WIDTH, clean_text, flat

CANARY = "deadbeef" * 8


@pytest.mark.parametrize(
    "text",
    [
        f"preimage={CANARY}",
        f"Authorization: L402 AgEDbHNhdA==:{CANARY}",
        f"Bearer {CANARY}",
        f"ops_secret={CANARY}",
        f"prei\x1b[31mmage={CANARY}",
        f"preimage={CANARY[:20]}\u200b{CANARY[20:]}",
        f"Bea\x00rer {CANARY}",
        f"first line\nmacaroon={CANARY}\nlast line",
    ],
)
def test_a_secret_does_not_come_through(text: str) -> None:
    assert CANARY[:24] not in clean_text(text)
    assert CANARY[24:] not in clean_text(text)


def test_references_come_through() -> None:
    text = "lightning_preimage:0123456789abcdef01234567 and preimage:0123456789abcdef"

    assert clean_text(text) == text


def test_control_characters_are_shown_and_newlines_kept() -> None:
    assert clean_text("a\x1b[2Jb\n\u202ec") == "a\\x1b[2Jb\n\\u202ec"


def test_length_is_bounded() -> None:
    cleaned = clean_text("\n".join("x" * (MAX_WIDTH + 5) for _ in range(MAX_LINES + 5)))

    assert len(cleaned.splitlines()) == MAX_LINES
    assert max(map(len, cleaned.splitlines())) == MAX_WIDTH
    assert cleaned.endswith("(and 6 more lines)")


@given(st.text(max_size=200))
@example("\x1e\r")
def test_a_second_pass_changes_nothing(text: str) -> None:
    once = clean_text(text)

    assert clean_text(once) == once
    assert all(char == "\n" or char.isprintable() for char in once)
    once.encode("utf-8")


@given(st.text(max_size=200))
@example("\x1e\r")
def test_flat_text_has_no_line_break(text: str) -> None:
    assert len(flat(text).splitlines()) <= 1
