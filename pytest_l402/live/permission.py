"""Decides which requests may leave at all: reads always, anything else only if allowed and announced."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from pytest_l402.live.live_error import ChangeNotAnnounced, ChangeRefused

Announce = Callable[[str], None]

_READS: Final = frozenset({"GET", "HEAD"})


class Queries(NamedTuple):
    """The one URL to which functions that change nothing are posted, and their names."""

    url: str
    functions: Collection[str]


class Permission:
    """What a run may do to deployed systems. It stands in the transport of every client of this room.

    A GET or HEAD without a body is a read, and so is a query of a known name at a control plane's query URL.
    Everything else changes something: it is sent only where changes are `allowed`, and only to a system for
    which a change was announced before.
    """

    def __init__(self, *, allowed: bool, announce: Announce) -> None:
        self.allowed = allowed
        self._tell = announce
        self._announced: set[str] = set()
        self._queries: list[Queries] = []

    def know(self, queries: Queries) -> None:
        """Let these queries pass as reads."""
        self._queries.append(queries)

    def require(self, where: str, what: str) -> None:
        """Refuse what nobody allowed. Raises `ChangeRefused`."""
        if not self.allowed:
            raise ChangeRefused(where, what)

    def announce(self, url: str, where: str, what: str) -> None:
        """Say what is about to be changed at the system of this URL; from then on it can be.

        Raises:
            ChangeRefused: changes are not allowed; nothing was said.
        """
        self.require(where, what)
        self._tell(f"live change at {where}: {what}")
        self._announced.add(_origin(url))

    def say(self, text: str) -> None:
        """Tell whoever watches the run."""
        self._tell(text)

    def __call__(self, request: httpx.Request) -> None:
        """Let a request pass.

        Raises:
            ChangeRefused: it would change something, and that is not allowed.
            ChangeNotAnnounced: it would change something that nobody was told of.
        """
        if self._is_read(request):
            return
        where, what = request.url.host, f"{request.method} {request.url.path}"
        self.require(where, what)
        if _origin(str(request.url)) not in self._announced:
            raise ChangeNotAnnounced(where, what)

    def _is_read(self, request: httpx.Request) -> bool:
        body = request.read()
        if request.method in _READS:
            return not body
        known = [queries for queries in self._queries if queries.url == str(request.url)]
        if request.method != "POST" or not known:
            return False
        document = json.loads(body)
        # Each form names the function once; a body with both names could mean either.
        names = [document[key] for key in ("functionName", "path") if key in document]
        return len(names) == 1 and any(names[0] in queries.functions for queries in known)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"
