"""The page in a browser: opened from a file, with scripts off and on, in light and dark, and on paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_samples import BEGIN_MS, HOSTILE, eventful, hostile, paid

from pytest_l402.signoff.page import render_page
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.page import page_of
from pytest_l402.triage.report import triage_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
ID = re.compile(r'id="([^"]+)"')

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="expected chromium: apt-get install chromium poppler-utils"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    try:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()
    finally:
        playwright.stop()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    file = folder / "refusal.html"
    file.write_text(render_page(eventful(folder), folder), encoding="utf-8")
    return file


def opened(browser: Browser, file: Path, told: list[str], **options: Any) -> Page:
    """The page in a context of its own; `told` gets what a console, a dialog or the network hears of it."""
    page = browser.new_context(offline=True, viewport={"width": 1200, "height": 1000}, **options).new_page()
    page.on("console", lambda message: told.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: told.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: told.append(f"request: {request.url}"))
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("scripts", [False, True])
def test_it_asks_for_nothing_and_complains_of_nothing(browser: Browser, file: Path, scripts: bool) -> None:
    told: list[str] = []
    page = opened(browser, file, told, java_script_enabled=scripts)
    assert told == [f"request: {file.as_uri()}"]
    assert page.locator("h1").inner_text().endswith("NOT SIGNED OFF")
    page.context.close()


@pytest.mark.parametrize("name", ["image", "drawing", "end-of-style"])
def test_hostile_text_does_nothing(browser: Browser, tmp_path: Path, name: str) -> None:
    file = tmp_path / "refusal.html"
    file.write_text(render_page(hostile(tmp_path, HOSTILE[name]), tmp_path), encoding="utf-8")
    told: list[str] = []
    page = opened(browser, file, told, java_script_enabled=True)
    for each in page.locator("summary").all():
        each.evaluate("summary => { summary.parentElement.open = true }")
    assert told == [f"request: {file.as_uri()}"]
    page.context.close()


def test_a_mark_leads_to_its_record_without_scripts(browser: Browser, file: Path) -> None:
    page = opened(browser, file, [], java_script_enabled=False)
    row = page.locator("#rehearsal-reuse-t1-r3")
    assert not row.is_visible()
    page.locator('a[href="#rehearsal-reuse-t1-r3"]').first.click()
    assert row.is_visible()
    page.context.close()


def test_every_link_lands(browser: Browser, file: Path) -> None:
    page = opened(browser, file, [], java_script_enabled=False)
    links = {str(link.get_attribute("href")) for link in page.locator("a").all()}
    assert len(links) > 10
    for link in sorted(links):
        page.goto(f"{file.as_uri()}{link}")
        assert page.locator(f'[id="{link.removeprefix("#")}"]').is_visible(), link
    page.context.close()


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an incident, which has the same style, drawings and policy."""
    folder = tmp_path_factory.mktemp("incident")
    rows = paid("req-lost", BEGIN_MS, settled=False)
    records = folder / "records.jsonl"
    records.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    file = folder / "incident.html"
    file.write_text(page_of(triage_report(read_incident(records))), encoding="utf-8")
    return file


def test_the_page_of_an_incident_asks_for_nothing_either(browser: Browser, incident: Path) -> None:
    told: list[str] = []
    page = opened(browser, incident, told, java_script_enabled=False)
    assert told == [f"request: {incident.as_uri()}"]
    assert page.locator("svg.lanes").count() == 1 + 1
    page.context.close()


@pytest.mark.parametrize(("which", "scheme"), [("file", "light"), ("file", "dark"), ("incident", "dark")])
def test_axe_finds_nothing(browser: Browser, request: pytest.FixtureRequest, which: str, scheme: Any) -> None:
    file = request.getfixturevalue(which)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(browser, file, [], color_scheme=scheme)
    for each in page.locator("details").all():
        each.evaluate("details => { details.open = true }")
    found = axe.run(page).response
    assert [
        (each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]
    ] == []
    assert len(found["passes"]) > 10
    page.context.close()


def test_the_whole_page_is_printed(browser: Browser, file: Path, tmp_path: Path) -> None:
    page = opened(browser, file, [], java_script_enabled=False)
    pdf = tmp_path / "page.pdf"
    page.pdf(path=pdf, format="A4")
    page.context.close()
    # In the order of the text, so that what is wrapped in a cell stays together.
    command = ["pdftotext", "-raw", pdf, "-"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = re.sub(r"\s+", "", printed)
    told = ["req-paid", "req-lost", "req-again", "success", "reuse", "extra", "SettlementLost", "SHA256SUMS"]
    told += ["rehearsals/test_reuse.py::test_it", "evidence/success/local_artifact.jsonl", "task of req-paid"]
    assert [each for each in told if re.sub(r"\s+", "", each) not in words] == []
    # A row for each record, of all requests, though their details were closed.
    rows = len(re.findall(r'<tr id="[^"]+-r\d+">', file.read_text()))
    assert len(re.findall(r"executionPath\s*hosted-node", printed)) == rows


def test_nothing_sticks_out_of_a_small_window(browser: Browser, file: Path) -> None:
    page = opened(browser, file, [])
    page.set_viewport_size({"width": 360, "height": 800})
    for each in page.locator("details").all():
        each.evaluate("details => { details.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.context.close()
