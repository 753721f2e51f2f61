"""What a command told that was run inside the test's own process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple


class Told(NamedTuple):
    """Its exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


Run = Callable[..., Told]
