"""Says how a line of a runbook is named wherever something is judged against it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunbookLine:
    """One claim of a runbook that a rehearsal proves, such as `3.paid-once`."""

    id: str
    section: str = ""
    text: str = ""

    def __str__(self) -> str:
        section = f"runbook section {self.section} " if self.section else "runbook line "
        return f"{section}({self.id})" + (f": {self.text}" if self.text else "")
