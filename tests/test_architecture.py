"""ARCHITECTURE.md says what is true: which rooms there are, how large they are, who stands above whom."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "pytest_l402"
TEXT = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
TOLD = {
    name: int(lines.replace(",", ""))
    for name, lines in re.findall(r"^\| `(\w+)/` \| ([\d,]+) \|", TEXT, re.M)
}


def lines_of(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.suffix in (".py", ".sql"))
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def test_every_room_is_in_the_table_and_no_other() -> None:
    assert set(TOLD) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_the_lines_of_each_room_are_told_to_the_nearest_hundred_or_two() -> None:
    found = {room: lines_of(PACKAGE / room) for room in TOLD}
    assert {room: lines for room, lines in found.items() if abs(lines - TOLD[room]) > 150} == {}


def test_no_room_is_larger_than_a_fifth() -> None:
    whole = lines_of(PACKAGE)
    assert {room for room in TOLD if lines_of(PACKAGE / room) > whole / 5} == set()


def test_the_floors_are_those_that_the_linter_holds() -> None:
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    # What `python -m` runs is no room.
    held = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]
    rooms = set().union(*held)
    drawn = [
        set(re.findall(r"\w+", line)) & rooms for line in re.findall(r"^ \d  ([a-z ]{1,40})", TEXT, re.M)
    ]
    assert drawn == held


def test_the_page_is_short() -> None:
    assert len(TEXT.splitlines()) < 60
