"""What all pages have: a style that can be read in light and in dark, and a policy that lets nothing in."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from jinja2 import UndefinedError

from pytest_l402.boundary.pages import paragraph, policy, render, shown, style

LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", block)) for block in re.findall(r":root\{[^}]*\}", style())
)
INKS = ("ink", "quiet", "link", "good", "bad", "warn")
TONES = ("good", "bad", "warn", "plain")

PAIRS = [
    *((ink, ground) for ink in INKS for ground in ("ground", "raised")),
    *((tone, f"{tone}-ground") for tone in TONES),
    *((ink, f"{tone}-ground") for ink in ("ink", "quiet") for tone in TONES),
]
"""What is written in which colour on which ground: on cards, in tags, in the banner, in drawings."""


def luminance(colour: str) -> float:
    """Relative luminance. Source: WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_every_colour_can_be_read(tokens: dict[str, str], ink: str, ground: str) -> None:
    darker, lighter = sorted((luminance(tokens[ink]), luminance(tokens[ground])))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_dark_has_every_colour_that_light_has() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert {name for pair in PAIRS for name in pair} < LIGHT.keys()


def test_the_policy_lets_in_the_style_and_nothing_else() -> None:
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    assert policy().split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    # What a page would have to ask for.
    assert not re.search(r"@import|url\(|</", style())


def test_what_nobody_told_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("signoff/templates/signoff.html")


def test_a_value_is_one_line_of_text_and_no_secret() -> None:
    assert shown({"a": [1, None]}) == '{"a": [1, null]}'
    assert shown("one\ntwo\x1b[31m") == "one\\ntwo\\x1b[31m"
    assert "ab" * 32 not in shown(f"preimage={'ab' * 32}")
    assert shown("x" * 1000).endswith("…")


def test_a_paragraph_keeps_its_lines_and_says_how_many_it_left_out() -> None:
    assert paragraph("one\n  two\x00") == "one\n  two\\x00"
    assert paragraph("\n".join("abcde"), lines=2) == "a\nb\n(and 3 more lines)"
