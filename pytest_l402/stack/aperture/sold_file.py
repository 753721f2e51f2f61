"""Decides whether somebody's own Aperture file can be rehearsed, and how the copy differs that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from pytest_l402.ops.aperture.decoding import Section, decode
from pytest_l402.ops.aperture.finding import Finding, Severity
from pytest_l402.ops.aperture.lint import lint
from pytest_l402.ops.aperture.shape import FILE
from pytest_l402.ops.aperture.starting import prevented
from pytest_l402.stack.aperture.casting import Named, UnsaleableError, cast_for
from pytest_l402.stack.aperture.configuration import Surroundings, changes, placed
from pytest_l402.stack.aperture.services_as_written import ServiceAsWritten, service_as_written
from pytest_l402.stack.aperture.unsupported import unsupported
from pytest_l402.stack.shop import SELLER_HOST
from pytest_l402.stack.sold import FileOnSale, Role, Sold

MOST_SERVICES: Final = 250
"""Each is compared with those before it."""
_STAND_INS: Final = Surroundings(
    8081, {"lndhost": "node.l402.test:10009", "tlspath": "tls.cert", "macdir": "."}, f"{SELLER_HOST}:80"
)


class LintedError(ValueError):
    """A file with errors, which nobody signs off."""

    def __init__(self, errors: Sequence[Finding]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = tuple(errors)


def sold_by_file(
    text: str, path: Path, environment: Mapping[str, str], named: Mapping[Role, Named] | None = None
) -> Sold:
    """Return what Aperture sells with this file, as it is rehearsed on the stand-ins.

    Roles that are not `named` go to what fits them by price and timeout. Nothing is opened but what the
    headers of services name.

    Raises:
        LintedError: the linter finds errors in it.
        UnsaleableError: Aperture does not start with it here, it is not played, or a role is given wrongly.
    """
    decoded = decode(text, FILE)
    number = len(decoded.root.sections("services"))
    if number > MOST_SERVICES:
        raise UnsaleableError(f"at most {MOST_SERVICES} services", str(number), "rehearse a part of the file")
    findings = lint(text, path)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise LintedError(errors)
    if not number:
        raise UnsaleableError("at least one service", "none", "write what is sold under the key services")
    for refused in prevented(decoded, environment):
        seen = f"line {refused.place.line}, column {refused.place.column}: {refused.reason}"
        raise UnsaleableError("a file that Aperture starts with here", seen, "see to it, and rehearse then")
    copy = placed(text, _STAND_INS)
    services = _services(decoded.root, decode(copy, FILE).root)
    file = FileOnSale(
        path.name, _digest(text), _digest(copy), _changes(text, copy), tuple(map(_row, findings))
    )
    return replace(
        cast_for(services, named or {}),
        strict_verify=decoded.root.flag("strictverify"),
        blocklist=decoded.root.texts("blocklist"),
        file=file,
    )


def rehearsed_in(sold: Sold, text: str, copy: str) -> Sold:
    """Return the same, as it is rehearsed with another copy of the file `text`: that of a program."""
    assert sold.file is not None
    file = replace(sold.file, digest_as_rehearsed=_digest(copy), changes=_changes(text, copy))
    return replace(sold, file=file)


def _services(root: Section, copied: Section) -> tuple[ServiceAsWritten, ...]:
    for key in ("enablempp", "enablesessions"):
        if root.section("authenticator").flag(key):
            raise _not_played(f"authenticator.{key}: expected false; the Payment scheme is not played here")
    for line in unsupported(copied):
        raise _not_played(line)
    try:
        return tuple(map(service_as_written, copied.sections("services")))
    except OSError as error:
        raise UnsaleableError(
            "the files that headers name", f"{error.filename}: {error.strerror}", "put them there"
        ) from None


def _not_played(line: str) -> UnsaleableError:
    return UnsaleableError("what a rehearsal can play", line, "leave it out of the file that you rehearse")


def _digest(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _changes(text: str, copy: str) -> tuple[Mapping[str, str | None], ...]:
    return tuple(change.to_row() for change in changes(text, copy))


def _row(finding: Finding) -> Mapping[str, str | int]:
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "line": finding.place.line,
        "column": finding.place.column,
        "says": finding.says,
        "remedy": finding.remedy,
    }
