"""What the services of a file do to each other: Aperture takes the first that matches, and the name opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from pytest_l402.ops.aperture.decoding import Section
from pytest_l402.ops.aperture.finding import Finding
from pytest_l402.ops.aperture.service_hazards import is_closed, opens_all
from pytest_l402.ops.regexps import PatternError, compiled, only_text

_SIGNS: Final = frozenset("\\.+*?()|[]{}^$")
_COMPARED: Final = 300
"""How many patterns one service is compared with, where no index finds the one that covers it."""


class _Paths:
    """The patterns of paths of one host that stand so far, by what they cover."""

    def __init__(self) -> None:
        self.same: dict[str, str] = {}
        self.beginnings: dict[str, str] = {}
        self.others: dict[str, str] = {}

    def add(self, pattern: str, name: str) -> None:
        self.same.setdefault(pattern, name)
        if opens_all(pattern, "/"):
            self.beginnings.setdefault("", name)
        elif pattern.startswith("^") and not _SIGNS & set(pattern[1:]):
            self.beginnings.setdefault(pattern[1:], name)
        else:
            self.others.setdefault(pattern, name)

    def covering(self, pattern: str) -> str | None:
        """Return the service whose paths are all that `pattern` matches, as far as that is known."""
        if pattern in self.same:
            return self.same[pattern]
        beginning = _beginning(pattern)
        for length in range(len(beginning) + 1):
            if beginning[:length] in self.beginnings:
                return self.beginnings[beginning[:length]]
        text = _one_text(pattern)
        if text is not None:
            for other, name in islice(self.others.items(), _COMPARED):
                if _matches(other, text):
                    return name
        return None


def order_hazards(services: Iterable[Section]) -> Iterator[Finding]:
    """Return which services are never reached, and which share a name."""
    names: set[str] = set()
    hosts: dict[str, _Paths] = {}
    for service in services:
        name, host, path = service.text("name"), service.text("hostregexp"), service.text("pathregexp")
        if name and name in names:
            says = f"two services are named {name!r}: a credential for one opens the other as well"
            yield Finding("name-twice", service.at("name"), says, "give each service a name of its own", name)
        names.add(name)
        # What is held closed on purpose hides nothing from a buyer, and nothing is lost where it is hidden.
        if is_closed(service):
            continue
        for wide, paths in islice(hosts.items(), _COMPARED):
            first = paths.covering(path) if _covers_host(wide, host) else None
            if first is not None:
                says = f"never reached: the service {first!r} before it matches all that it matches"
                remedy = "put it before that service, or make that one's pattern narrower"
                yield Finding("never-reached", service.place, says, remedy, name)
                break
        hosts.setdefault(host, _Paths()).add(path, name)


@lru_cache(maxsize=4096)
def _covers_host(wide: str, narrow: str) -> bool:
    if wide == narrow or opens_all(wide):
        return True
    text = _one_text(narrow)
    return text is not None and _matches(wide, text)


def _matches(pattern: str, text: str) -> bool:
    try:
        return compiled(pattern).search(text)
    except PatternError:
        return False


@lru_cache(maxsize=4096)
def _one_text(pattern: str) -> str | None:
    """Return the only text that a pattern matches, if it is anchored and there is just one."""
    if not (pattern.startswith("^") and pattern.endswith("$")):
        return None
    try:
        return only_text(pattern[1:-1])
    except PatternError:
        return None


def _beginning(pattern: str) -> str:
    """Return the plain characters that all texts begin with which an anchored pattern matches."""
    if not pattern.startswith("^") or "|" in pattern:
        return ""
    plain = pattern[1:]
    end = next((at for at, char in enumerate(plain) if char in _SIGNS), len(plain))
    # What may be left out is not a part of the beginning.
    return plain[: end - 1] if plain[end : end + 1] in ("*", "?", "{") else plain[:end]
