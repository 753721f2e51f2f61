"""Decides how a value from outside may appear in a terminal, a message, a page or a folder name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pytest_l402.boundary.invisible import INVISIBLE
from pytest_l402.boundary.redaction import redact_text

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_OUTSIDE_FOLDER_ALPHABET = re.compile(r"[^A-Za-z0-9._-]+")
_STEERING = re.compile(rf"[{INVISIBLE}]|\r(?!\n)")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_FOLDER_LIMIT = 120
_FOLDER = re.compile(r"[a-z0-9_-][a-z0-9._-]*")
_ID_OF_A_COMMAND = re.compile(r"(?:smoke|reconcile|staging)(?::[a-z0-9-]+)+")
_FOLDER_OF_A_COMMAND = re.compile(r"(?:smoke|reconcile|staging)(?:_[a-z0-9-]+)+")
_HUGE_INTEGER = 10**40


def printable(value: object, limit: int = 200) -> str:
    """Return `value` on one line with every control, ANSI, bidirectional or invisible character escaped.

    Text stays as it is otherwise; anything else is shown as compact JSON. More than `limit` characters are
    cut and the cut is marked. Applying it twice changes nothing more.
    """
    text = value if isinstance(value, str) else _as_json(value, limit)
    if len(text) <= limit and text.isprintable():
        return str(text)
    # Cut first, so that a gigabyte is never escaped to show two hundred characters.
    return _cut("".join(_escape(char) for char in text[: limit + 1]), limit)


def steerless(text: str, *, colours: bool = False) -> str:
    """Return `text` with what steers a terminal or deceives a reader escaped; tabs and line breaks stay.

    With `colours`, so do the sequences that set a colour. Applying it twice changes nothing more.
    """
    if text.isascii() and text.isprintable():
        return text
    if not colours or "\x1b" not in text:
        return _STEERING.sub(_shown_escaped, text)
    pieces = _COLOUR.split(text)
    pieces[::2] = [_STEERING.sub(_shown_escaped, piece) for piece in pieces[::2]]
    return "".join(pieces)


def commandless(line: str) -> str:
    """Return a line that no build service takes for an order: the `::` or `##[` of one is escaped."""
    told = line.lstrip()
    if not told.startswith(("::", "##[")):
        return line
    return f"{line[: len(line) - len(told)]}{_escaped(told[0])}{told[1:]}"


def colourless(text: str) -> str:
    """Return `text` without the sequences that set a colour."""
    return _COLOUR.sub("", text) if "\x1b" in text else text


def quoted(value: object, limit: int = 80) -> str:
    """Return `value` as a JSON literal on one line that is safe in a terminal and in HTML or Markdown.

    Beyond what `printable` does, `<` and `>` are written as JSON escapes: a value can never open a tag.
    """
    if isinstance(value, str):
        value = value if len(value) <= limit else value[:limit] + "…"
    return printable(tagless(_as_json(value, limit)), limit * 6)


def tagless(text: str) -> str:
    """Return `text` with `<` and `>` as JSON escapes: the same to JSON, and no tag on a page."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def folder_name(request_id: str) -> str:
    """Return the folder of the artifacts of a request: one harmless path segment, and of no other request.

    An id of small letters, digits and `._-` is its own name, and in an id such as `smoke:full-flow:1` each
    `:` becomes `_`. Any other id keeps what it can in a name of at most 120 characters that ends in `~` and
    16 hex digits of its SHA-256: so no two ids share a folder, also where case does not count.
    Source: runbook observability, Emission Surfaces (`output/lightning-ops/full-flow/<requestId>/`).
    """
    plain = plain_folder_name(request_id)
    is_command = _ID_OF_A_COMMAND.fullmatch(request_id) is not None
    is_itself = _FOLDER.fullmatch(request_id) is not None and not _FOLDER_OF_A_COMMAND.fullmatch(request_id)
    if len(request_id) <= _FOLDER_LIMIT and (is_command or is_itself):
        return plain
    digest = hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{plain[: _FOLDER_LIMIT - 17]}~{digest}"


def plain_folder_name(text: str) -> str:
    """Return a folder name made of a text, as the original tools make one; two texts may share it.

    Runs of characters outside `[A-Za-z0-9._-]` become one `_`, at most 120 characters are kept, and a leading
    dot becomes `_`, so that no text names the folder itself, its parent or a hidden one. No secret is in it.
    """
    name = _OUTSIDE_FOLDER_ALPHABET.sub("_", redact_text(text))[:_FOLDER_LIMIT]
    if not name:
        return "_"
    return "_" + name[1:] if name.startswith(".") else name


def _shown_escaped(match: re.Match[str]) -> str:
    return _escaped(match[0])


def _escape(char: str) -> str:
    return char if char.isprintable() else _escaped(char)


def _escaped(char: str) -> str:
    short = _SHORT_ESCAPES.get(char)
    if short is not None:
        return short
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def _as_json(value: object, limit: int) -> str:
    return json.dumps(_bounded(value, limit, depth=4), ensure_ascii=False)


def _bounded(value: Any, limit: int, depth: int) -> Any:
    """Return as much of `value` as can be shown: `str(10**5000)` raises, and a deep list has no end."""
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if abs(value) < _HUGE_INTEGER else f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return str(value[: limit + 1])
    if isinstance(value, dict):
        if depth == 0:
            return "…"
        return {str(key)[:limit]: _bounded(item, limit, depth - 1) for key, item in list(value.items())[:20]}
    if isinstance(value, list | tuple):
        if depth == 0:
            return "…"
        return [_bounded(item, limit, depth - 1) for item in value[:20]]
    # Not repr(): a foreign repr may hold a secret.
    return f"<{type(value).__name__}>"


def seen(value: object) -> str:
    """Return `value` as it may be shown: a JSON literal, secrets redacted, safe in terminal and HTML.

    Of arrays and objects only the size is shown, since a secret may lie anywhere in them.
    """
    if isinstance(value, Mapping):
        return f"an object of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    return quoted(redact_text(value) if isinstance(value, str) else value)


def closest_name(name: str, known: Sequence[str]) -> str | None:
    """Return the entry of `known` that is spelled most like `name`, or None if none is near."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.5)), None)


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return "; did you mean 'x'?" for the entry of `known` nearest to `name`, or "" if none is near."""
    nearest = closest_name(name, known)
    return "" if nearest is None else f"; did you mean {nearest!r}?"
