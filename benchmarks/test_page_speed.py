"""How the time of a run's page grows with its records, and how soon a browser has it.

Run with ``pytest benchmarks/test_page_speed.py -s``. Below the cap the page grows with the records; above it
only the reading does. The exponent is the slope between the smallest and the largest size on a doubly
logarithmic scale: 1 is linear.
"""

import gc
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pytest_l402.signoff.page import render_page

TESTS = Path(__file__).parents[1] / "tests"
SIZES = (125, 250, 500, 1_000)
BEYOND = (2_500, 10_000)
MAX_EXPONENT = 1.3


@pytest.fixture(scope="module")
def runs():
    """A run with so many records, by their number: document and folder."""
    sys.path[:0] = [str(TESTS / "signoff"), str(TESTS / "evidence")]
    from page_samples import BEGIN_MS, keep, paid
    from signoff_samples import document, node

    def run(size):
        folder = Path(tempfile.mkdtemp())
        rows = [row for n in range(size // 5) for row in paid(f"req-{n}", BEGIN_MS + n * 100)]
        return document((keep(folder, node("success"), records=rows), node("reuse"))), folder

    found = {size: run(size) for size in (*SIZES, *BEYOND)}
    yield found
    for _, folder in found.values():
        shutil.rmtree(folder)


def seconds(document, folder):
    best = math.inf
    for _ in range(5):
        gc.collect()
        start = time.process_time()
        render_page(document, folder)
        best = min(best, time.process_time() - start)
    return best


def test_growth(runs, record_property):
    render_page(*runs[SIZES[0]])  # the template is compiled once
    curve = {size: seconds(*run) for size, run in runs.items()}
    exponent = math.log(curve[SIZES[-1]] / curve[SIZES[0]]) / math.log(SIZES[-1] / SIZES[0])
    print(f"\npage: exponent {exponent:.2f} to {SIZES[-1]} records")
    for size, spent in curve.items():
        length = len(render_page(*runs[size]))
        print(f"  {size:>6} records  {spent:6.3f} s  {length / 1024:7.0f} KiB")
    record_property("curve", curve)
    assert exponent < MAX_EXPONENT
    # All ten thousand are read, and a tenth of them is shown.
    assert curve[BEYOND[-1]] < 4 * curve[SIZES[-1]]


@pytest.mark.parametrize("size", [1_000, 10_000])
def test_load(runs, size, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    file = tmp_path / "page.html"
    file.write_text(render_page(*runs[size]), encoding="utf-8")
    taken = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(5):
            page = browser.new_context(offline=True, java_script_enabled=False).new_page()
            start = time.monotonic()
            page.goto(file.as_uri())
            taken.append(time.monotonic() - start)
            page.context.close()
        browser.close()
    print(f"\nload of {size} records: {min(taken):.2f} s best, {sorted(taken)[2]:.2f} s median")
    assert min(taken) < 1
