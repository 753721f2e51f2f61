"""Decides what is left of a conversation: the cache has all of it, a file what was said before a snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pytest_l402.billing.service.core import Core
from pytest_l402.billing.service.money import text_of
from pytest_l402.boundary.whole_files import write_whole
from pytest_l402.harness.json_app import Call, Refused

__all__ = ["Conversations"]

_EVERY: Final = 5


class Conversations:
    """Messages in the cache; every fifth one a snapshot, which is all that a loss of the cache leaves."""

    def __init__(self, core: Core, folder: Path) -> None:
        self._core, self._folder = core, folder

    def say(self, call: Call, name: str) -> dict[str, Any]:
        """Add a message."""
        self._core.expect_open(None)
        key = f"conversation:{name}"
        count, all_of_it = self._core.ask_cache(("RPUSH", key, text_of(call, "text")), ("LRANGE", key, 0, -1))
        if count % _EVERY == 0:
            try:
                write_whole(self._file(name), json.dumps(all_of_it).encode())
            except OSError:
                raise Refused(503, "SNAPSHOT_UNAVAILABLE") from None
        return {"kept": count}

    def shown(self, call: Call, name: str) -> dict[str, Any]:
        """How many messages are kept: of the cache, or else of the snapshot."""
        self._core.expect_open(None)
        count = self._core.ask_cache(("LLEN", f"conversation:{name}"))[0]
        file = self._file(name)
        if not count and file.exists():
            count = len(json.loads(file.read_text(encoding="utf-8")))
        return {"kept": count}

    def _file(self, name: str) -> Path:
        return self._folder / f"conversation-{name.encode().hex()[:64]}.json"
