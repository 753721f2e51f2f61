"""Decides how trouble with a deployed system is told: one line with host, expected and seen."""

from __future__ import annotations

from pytest_l402.boundary import printable, redact_text


class LiveError(RuntimeError):
    """A deployed system could not be asked, or answered something else; the text is one line without secrets.

    `code` is stable: `unreachable`, `tls`, `timeout`, `reply_too_large`, `not_json`, `redirected`,
    `status_503`, `refused`, `secret_repeated`, `wrong_schema`, `change_refused`, `leftovers`, `busy`,
    `not_undone`, `missing_probe_route`, `history_not_delivered`, `not_offered`, …
    """

    def __init__(self, where: str, *, code: str, expected: str, seen: str, remedy: str) -> None:
        super().__init__(printable(redact_text(f"{where}: expected {expected}, saw {seen}; {remedy}"), 600))
        self.code = code
        self.expected = expected


class ChangeRefused(LiveError):  # noqa: N818 - the name of the condition
    """A request would have changed a deployed system, and nobody had allowed that."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            where,
            code="change_refused",
            expected="a read-only run",
            seen=f"{what}, which changes the system",
            remedy="allow it with --allow-live-changes (pytest: --l402-allow-live-changes), or leave it",
        )


class ChangeNotAnnounced(LiveError):  # noqa: N818 - the name of the condition
    """A request would have changed a deployed system before anybody was told: it was not sent."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            where,
            code="change_not_announced",
            expected="that changes are announced before they are made",
            seen=f"{what} without a word",
            remedy="this is a defect of the program: report it",
        )
