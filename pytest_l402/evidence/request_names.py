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


def request_names(
    evidence: Evidence, variables: Mapping[str, object] | None = None
) -> dict[str, RequestName]:
    """Return the name of each request that the evidence or a variable of the test knows, by request id.

    A request that no variable holds is called by its place in the order of buying: "2nd purchase".
    """
    called = {id_: name for name, id_ in _called(variables or {})}
    paths = {row["requestId"]: row.get("path") for row in _of_requests(evidence, "exchanges")}
    hashes = {row["requestId"]: row.get("paymentHash") for row in _of_requests(evidence, "invoices")}
    seen = dict.fromkeys(row["requestId"] for table in _TABLES for row in _of_requests(evidence, table))
    bought = [id_ for id_ in seen if id_ in hashes]
    names: dict[str, RequestName] = {}
    for id_ in dict.fromkeys((*seen, *called)):
        group, noun = (bought, "purchase") if id_ in hashes else ([*seen], "request")
        name = called.get(id_) or f"{_ordinal(group.index(id_) + 1)} {noun}"
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


def _called(variables: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Each request id that a variable holds, with what it is called by that; the last one says it."""
    for variable, value in variables.items():
        if isinstance(value, list | tuple):
            for place, member in enumerate(value[:_SEVERAL]):
                if (id_ := _id_of(member)) is not None:
                    yield f"{variable}[{place}]", id_
        elif (id_ := _id_of(value)) is not None:
            words = variable.strip("_").replace("_", " ")
            plain = isinstance(value, str) or any(noun in words for noun in _NOUNS)
            yield words if plain else f"{words} purchase", id_


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
