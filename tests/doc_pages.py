"""Decides what of a page is run: every listing, every console transcript, in the order in which they stand.

A fenced block is one of these, and nothing else passes:

- `console`: lines that start with `$ `, with those after it that start with `> `, are run by bash in the
  page's own project; what follows is what they print. A line `...` stands for any lines, a `...` within a
  line for any text.
- any language after a line ``**`path`**``: a file of the project, written when its turn comes. Its name is
  there for whoever reads the page.
- `text`: a picture, run by nobody.

`<!-- project: rehearsals -->` gives the page a copy of the rehearsals of runbook 1 to begin with, `rehearsed`
also what `pytest -m rehearsal` left of them, `empty` nothing; `rehearsals/<family>` and `rehearsed/<family>`
are the same for another runbook. Who reads the page makes it with `pytest-l402 init --runbook <family>`,
which stands before all other commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))

_FENCE = re.compile(r"(`{3,})(\w*)")
_NOTE = re.compile(r"<!-- project: (\S+) -->")
_HIDDEN = re.compile(r"<!-- (file|remove):.*")
_FILE = re.compile(r"\*\*`(\S+)`\*\*")
_BETWEEN = re.compile(r"<!-- two commands -->.*?<!-- end -->", re.DOTALL)
_ELISION = "..."


@dataclass(frozen=True)
class Command:
    """What is typed, and the lines that are to answer it; `start` and `end` are their lines in the page."""

    text: str
    expected: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Step:
    """One thing that a page does: a file is written, or commands are run."""

    line: int
    language: str
    file: str | None = None
    text: str = ""
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True)
class Page:
    path: Path
    project: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        return self.path.relative_to(REPOSITORY).as_posix()


def read_page(path: Path) -> Page:
    """Parse one page. Raises `ValueError` for a block that nobody would run."""
    # The gate runs these two commands itself, and blank lines keep the numbers of all others right.
    text = _BETWEEN.sub(lambda found: "\n" * found[0].count("\n"), path.read_text(encoding="utf-8"))
    project, steps, file = "empty", [], None
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        note = _NOTE.fullmatch(line)
        fence = _FENCE.fullmatch(line)
        named = _FILE.fullmatch(line)
        if _HIDDEN.fullmatch(line):
            raise ValueError(f"{path.name}:{number}: expected what a reader of the page sees, saw a comment")
        if note is not None:
            project = note[1]
        elif named is not None:
            file = named[1]
        elif fence is not None:
            body = list(_until(lines, fence[1]))
            steps.append(_step(path, number, fence[2], file, body))
            file = None
        elif file is not None and line.strip():
            raise ValueError(f"{path.name}:{number}: expected a fenced block for the file {file}, saw text")
    return Page(path, project, tuple(steps))


def _until(lines: Iterator[tuple[int, str]], fence: str) -> Iterator[str]:
    for _, line in lines:
        if line == fence:
            return
        yield line


def _step(path: Path, number: int, language: str, file: str | None, body: list[str]) -> Step:
    step = Step(number, language, file=file, text="\n".join(body) + "\n")
    if file is not None or language == "text":
        return step
    if language != "console":
        raise ValueError(f"{path.name}:{number}: expected console, text or a file, saw {language!r}")
    return replace(step, commands=tuple(_commands(body, number + 1)))


def _commands(body: list[str], first: int) -> Iterator[Command]:
    starts = [index for index, line in enumerate(body) if line.startswith("$ ")]
    if starts[:1] != [0]:
        raise ValueError(f"line {first}: expected a console block to begin with '$ '")
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        typed = start + 1
        while typed < end and (body[typed - 1].endswith("\\") or body[typed].startswith("> ")):
            typed += 1
        text = "\n".join(
            [body[start].removeprefix("$ "), *(m.removeprefix("> ") for m in body[start + 1 : typed])]
        )
        yield Command(text, tuple(body[typed:end]), first + typed, first + end)


def mismatch(expected: tuple[str, ...], seen: tuple[str, ...]) -> str | None:
    """Return the first expected line that has no place in what was seen, or None if all fit to the end."""
    reached = {0}
    for line in expected:
        if line == _ELISION:
            reached = set(range(min(reached), len(seen) + 1))
        else:
            reached = {place + 1 for place in reached if place < len(seen) and _same(line, seen[place])}
        if not reached:
            return line
    return None if len(seen) in reached else f"an end after line {max(reached)} of {len(seen)}"


def _same(expected: str, seen: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split(_ELISION))
    return re.fullmatch(pattern, seen) is not None


def corrected(expected: tuple[str, ...], seen: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the page ought to print: what was seen, elided where the page elided it.

    A shown part whose words are no longer there takes everything that was seen back into the page.
    """
    if _ELISION not in expected:
        return seen
    lines: list[str] = []
    place = 0
    for number, part in enumerate(_parts(expected)):
        if number:
            lines.append(_ELISION)
        last = number == expected.count(_ELISION)
        places = [len(seen) - len(part)] if last and part else range(place, len(seen) - len(part) + 1)
        found = next((at for at in places if at >= place and _alike(part, seen[at : at + len(part)])), None)
        if found is None or (not number and found):
            return seen
        lines += seen[found : found + len(part)]
        place = found + len(part)
    elided = [line for line in expected if _ELISION in line and line != _ELISION]
    return tuple(next((old for old in elided if _same(old, line)), line) for line in lines)


def _parts(expected: tuple[str, ...]) -> list[tuple[str, ...]]:
    parts: list[tuple[str, ...]] = [()]
    for line in expected:
        if line == _ELISION:
            parts.append(())
        else:
            parts[-1] += (line,)
    return parts


def _alike(expected: tuple[str, ...], seen: tuple[str, ...]) -> bool:
    return len(expected) == len(seen) and all(
        _same(old, new) or _words(old) == _words(new) for old, new in zip(expected, seen, strict=True)
    )


def _words(line: str) -> str:
    """A line without what a change of the rehearsals may change: numbers, ids, the width of a rule."""
    return re.sub(r"=+|\.+|[FE]+\b|\s+", " ", re.sub(r"[0-9a-f]{4,}|\d+", "#", line))


def rows_of(page: str, after: str) -> list[list[str]]:
    """Return the cells of the first table below a line that begins with `after`, without its head."""
    lines = iter((REPOSITORY / "docs" / page).read_text(encoding="utf-8").splitlines())
    next(line for line in lines if line.startswith(after))
    table = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table:
            break
    return table[2:]


def names_in(cells: list[str]) -> list[str]:
    """Return what stands between backticks in the cells."""
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
