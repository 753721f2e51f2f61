"""What a linter says of one place in Aperture's file."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from pytest_l402.ops.aperture.decoding import Place


class Severity(StrEnum):
    """An error loses money, gives away what is for sale, or keeps the gateway from working."""

    ERROR = "error"
    WARNING = "warning"


class Finding(NamedTuple):
    """A hazard: where it stands, what a real Aperture does there, and what to write instead."""

    code: str
    place: Place
    says: str
    remedy: str
    subject: str = ""

    @property
    def severity(self) -> Severity:
        """How much it weighs."""
        return CODES[self.code].severity


class Code(NamedTuple):
    """A kind of hazard."""

    severity: Severity
    title: str


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING
CODES: Final = {
    "does-not-start": Code(_ERROR, "Aperture does not start with it"),
    "hangs": Code(_ERROR, "Aperture starts, and its first challenge hangs"),
    "key-not-read": Code(_ERROR, "a key that Aperture reads over"),
    "gives-away": Code(_ERROR, "what should be sold is free"),
    "price-not-written": Code(_ERROR, "sold for 1 sat, with a credential that never expires"),
    "never-expires": Code(_ERROR, "a credential never expires, against what is written"),
    "refuses-the-buyer": Code(_ERROR, "takes the money and refuses the buyer"),
    "cannot-deliver": Code(_ERROR, "takes the money and cannot deliver"),
    "cannot-challenge": Code(_ERROR, "answers 500 instead of a challenge, or nothing at all"),
    "never-reached": Code(_ERROR, "an earlier service matches first"),
    "serves-its-own-files": Code(_ERROR, "serves its file or its database to anybody"),
    "blocks-nobody": Code(_ERROR, "an entry of the blocklist that blocks nobody"),
    "scheme-not-known": Code(_ERROR, "a payment scheme that is none"),
    "path-not-anchored": Code(_WARNING, "a pattern of paths that matches in the middle, or everywhere"),
    "host-not-bound": Code(_WARNING, "a pattern of hosts that misses what clients send, or takes all"),
    "price-misread": Code(_WARNING, "a price that is read otherwise than it looks"),
    "no-timeout": Code(_WARNING, "a timeout that is none"),
    "freebies-not-given": Code(_WARNING, "free requests that are not what they seem"),
    "limits-not-held": Code(_WARNING, "rate limits that do not hold back challenges"),
    "name-twice": Code(_WARNING, "one credential opens two services"),
    "database-elsewhere": Code(_WARNING, "a key for the database that is not read"),
    "environment-needed": Code(_WARNING, "a value from outside that may be missing at the start"),
}
"""Every kind of hazard by its code."""
