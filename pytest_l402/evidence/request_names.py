"""Decides what a request is called where people read of it: as the test calls it, or by its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_l402.boundary.text_safety import printable
from pytest_l402.evidence.tables import Evidence

_TABLES: Final = ("exchanges", "answers", "tasks", "invoices", "records", "settlements", "logs")
_NOUNS: Final = ("purchase", "request")
_SEVERAL: Final = 50
"""So many members of a list in a test are named by it; in a longer one nobody counts."""


@dataclass(frozen=True, slots=True)
class RequestName:
    """What a request is called ("first purchase"), and what it asked for, as far as the evidence says."""

    name: str
    path: str | None = None
    payment: str | None = None

    @property
    def spoken(self) -> str:
        """The name as a sentence has it: "the first purchase", but "forged[2]"."""
        return self.name if self.name.endswith("]") else f"the {self.name}"


def called_by(variables: Mapping[str, object]) -> dict[str, str]:
    """Return what a test calls its requests, by request id: the names of the variables that hold them."""
    called: dict[str, str] = {}
    for variable, value in variables.items():
        words = variable.strip("_").replace("_", " ")
        if isinstance(value, list | tuple):
            for place, member in enumerate(value[:_SEVERAL]):
                if (id_ := _id_of(member)) is not None:
                    called.setdefault(id_, f"{variable}[{place}]")
        elif (id_ := _id_of(value)) is not None:
            called[id_] = words if any(noun in words for noun in _NOUNS) else f"{words} purchase"
    return called


def request_names(evidence: Evidence, called: Mapping[str, str] | None = None) -> dict[str, RequestName]:
    """Return the name of each request that the evidence or the test knows, by request id.

    `called` is what the test calls them. Any other is called by its place in the order of buying, such as
    "2nd purchase".
    """
    called = called or {}
    paths = {row["requestId"]: row.get("path") for row in _of_requests(evidence, "exchanges")}
    hashes = {row["requestId"]: row.get("paymentHash") for row in _of_requests(evidence, "invoices")}
    seen = list(dict.fromkeys(row["requestId"] for table in _TABLES for row in _of_requests(evidence, table)))
    names: dict[str, RequestName] = {}
    for id_ in dict.fromkeys((*seen, *called)):
        noun = "purchase" if id_ in paths else "request"
        name = called.get(id_) or f"{_ordinal(seen.index(id_) + 1)} {noun}"
        path, payment = paths.get(id_), hashes.get(id_)
        names[id_] = RequestName(
            printable(name, 40),
            path=printable(path, 60) if isinstance(path, str) else None,
            payment=payment[:16] + "…" if isinstance(payment, str) and len(payment) > 20 else None,
        )
    return names


def renamed(text: str, names: Mapping[str, RequestName]) -> str:
    """Return the text with names for request ids; after "=" in angle brackets, since there an id is meant."""
    if not names:
        return text
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    pattern = rf"(\brequest |=|(?<![\w-]))({'|'.join(longest_first)})(?![\w-])"

    def name(found: re.Match[str]) -> str:
        before, known = found[1], names[found[2]]
        if before == "=":
            return f"=<{known.name}>"
        return known.spoken if before else known.name

    return re.sub(pattern, name, text)


def _of_requests(evidence: Evidence, table: str) -> Iterator[Any]:
    return (
        row for row in evidence.table(table) if isinstance(row.get("requestId"), str) and row["requestId"]
    )


def _id_of(value: object) -> str | None:
    """The request id of a purchase; of foreign objects nothing is asked that could do any work."""
    try:
        id_ = (
            vars(value).get("request_id")
            if hasattr(value, "__dict__")
            else getattr(value, "request_id", None)
        )
    except Exception:  # anybody's object, and only a name is lost
        return None
    return id_ if isinstance(id_, str) and id_ else None


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
