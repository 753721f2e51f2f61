"""What a row of evidence is, and what holds named tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""Plain JSON values by name."""


class Tables(Protocol):
    """Something that holds named tables of rows."""

    def table(self, name: str) -> Sequence[Row]:
        """Return the rows of one table in the order in which they were recorded; none for an unknown name."""
        ...
