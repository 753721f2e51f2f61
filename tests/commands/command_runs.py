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
        """The one document that was told, without the two keys by which it names its version."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        assert found.pop("schema").startswith("pytest-l402")
        assert found.pop("schemaVersion") == "1"
        return found


Run = Callable[..., Told]
