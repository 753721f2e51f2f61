"""Whatever text a record, or a run, holds: it stays text in everything that is made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_samples import HOSTILE, hostile
from test_signoff_markdown import outside_code

from pytest_l402.boundary.pages import shown
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.github import SUMMARY_LIMIT, annotation_lines
from pytest_l402.signoff.markdown import render_markdown
from pytest_l402.signoff.terminal import terminal_lines
from pytest_l402.signoff.views import views_of

LARGEST = 400_000
"""Bytes that the page of this run has at most, a megabyte in each of its fields or not."""


class Structure(HTMLParser):
    """What of a page is markup: elements with the names of their attributes, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", ()))


def of_page(text: str) -> Any:
    # Requests are triaged in the order of their names.
    return sorted(Structure(text).found)


def of_markdown(text: str) -> Any:
    return re.sub(r"\d+", "0", outside_code(text))


def of_json(text: str) -> Any:
    """The names and types of a document, and nothing of its values."""

    def form(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: form(each) for key, each in value.items()}
        return [form(each) for each in value] if isinstance(value, list) else type(value).__name__

    return form(json.loads(text))


def of_lines(text: str) -> Any:
    """How many workflow commands there are, and which, as a build service reads them."""
    return re.findall(r"^\s*(?:::|##\[)\w+", text, re.MULTILINE)


def outputs(document: SignOffDocument, folder: Path) -> dict[str, str]:
    views = views_of(document, folder)
    return {
        **{name.replace("refusal", "page"): view.decode() for name, view in views.items()},
        "summary": render_markdown(document, limit=SUMMARY_LIMIT),
        "annotations": "\n".join(annotation_lines(document)),
        "terminal": "\n".join(line.text for line in terminal_lines(document, width=80, path="p")),
    }


STRUCTURE: dict[str, Callable[[str], Any]] = {
    "page.html": of_page,
    "page.md": of_markdown,
    "comment.md": of_markdown,
    "summary": of_markdown,
    "ctrf.json": of_json,
    "badge.json": of_json,
    "annotations": of_lines,
    "terminal": of_lines,
}


@cache
def made(tmp: Path, name: str) -> dict[str, str]:
    folder = tmp / name
    text = HOSTILE.get(name, "harmless")
    return outputs(hostile(folder, text), folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.mark.parametrize("output", STRUCTURE)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "megabyte" else ()) for name in HOSTILE]
)
def test_hostile_text_is_text_and_nothing_else(place: Path, name: str, output: str) -> None:
    seen = made(place, name)[output]
    assert STRUCTURE[output](seen) == STRUCTURE[output](made(place, "harmless")[output])
    steering = {char for char in seen if not char.isprintable() and char != "\n"}
    assert steering == set()
    assert len(seen.encode()) < LARGEST


def test_every_output_is_looked_at(place: Path) -> None:
    assert made(place, "harmless").keys() == STRUCTURE.keys()


@pytest.mark.slow
def test_the_megabyte_is_cut_and_that_is_seen(place: Path) -> None:
    assert "…" in made(place, "megabyte")["page.html"]


@given(st.text(max_size=400))
def test_what_is_shown_steers_nothing(text: str) -> None:
    once = shown(text)
    assert once.isprintable()
    assert len(once) <= 300
    assert shown(once) == once
