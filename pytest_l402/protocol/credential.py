"""Decides which request headers carry an L402 credential, and which one counts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pytest_l402.protocol.caveats import caveat_value
from pytest_l402.protocol.errors import CredentialError, MacaroonError, PreimageError
from pytest_l402.protocol.macaroon import Macaroon
from pytest_l402.protocol.preimage import Dialect, Preimage

# Unanchored, case-sensitive and with one space on purpose: this is what the deployed proxy matches. Atomic,
# since where no preimage follows the first scheme, none follows a later one, and a header may be all schemes.
_APERTURE = re.compile(r"(?>.*?(LSAT|L402) )(.*?):([a-f0-9]{64})")
_SPEC = re.compile(r"(LSAT|L402) +([^:\s]+):([^:\s]+) *", re.IGNORECASE)
_SPEC_SCHEME = re.compile(r" *(LSAT|L402)(?![^\s])", re.IGNORECASE)
_MACAROON_HEADERS: Final = ("grpc-metadata-macaroon", "macaroon")


class CredentialReason(StrEnum):
    """Why no credential could be read: the ``reason`` of a ``CredentialError``."""

    ABSENT = "absent"
    HEADER_MALFORMED = "header_malformed"
    MACAROON_ENCODING = "macaroon_encoding"
    MACAROON_MALFORMED = "macaroon_malformed"
    PREIMAGE_CAVEAT_MISSING = "preimage_caveat_missing"
    PREIMAGE_MALFORMED = "preimage_malformed"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client presents: a macaroon and the preimage of the payment that it is bound to.

    ``scheme`` is ``L402``, ``LSAT``, or ``macaroon`` when it came as a hex macaroon with a preimage caveat.
    ``further_macaroons`` is filled only in the specification's dialect. Nothing is verified yet.
    """

    macaroon: Macaroon
    preimage: Preimage
    scheme: str = "L402"
    further_macaroons: tuple[Macaroon, ...] = ()


def format_credential(macaroon_base64: str, preimage: Preimage, scheme: str = "L402") -> str:
    """Return the ``Authorization`` value of a credential; it is a secret."""
    return f"{scheme} {macaroon_base64}:{preimage.hex()}"


def parse_credential(
    headers: Sequence[tuple[str, str]],
    dialect: Dialect = Dialect.APERTURE,
) -> Credential:
    """Read the credential that a request presents; header names in any case, repeated lines in order.

    Raises ``CredentialError`` with a ``CredentialReason``. In the Aperture dialect the last ``Authorization``
    line decides, and any such line hides the macaroon headers, as in Aperture l402/header; in the
    specification's dialect lines of other schemes do not count and ``L402`` goes before ``LSAT``.
    """
    lines = [value for name, value in headers if name.lower() == "authorization"]
    if dialect is Dialect.APERTURE:
        # Go's Header.Get looks at the first line only: an empty one counts as absent.
        if lines and lines[0]:
            return _aperture(lines[-1])
    else:
        found = [(scheme.group(1).upper(), line) for line in lines if (scheme := _SPEC_SCHEME.match(line))]
        if found:
            # min keeps the first of equals.
            return _spec(min(found, key=lambda one: one[0] != "L402")[1])
    for wanted in _MACAROON_HEADERS:
        first = next((value for name, value in headers if name.lower() == wanted), "")
        if first:
            return _from_macaroon_header(first, wanted)
    raise _refusal(
        CredentialReason.ABSENT, "a credential", "no header that carries one", "the request's headers"
    )


def _aperture(line: str) -> Credential:
    match = _APERTURE.match(line)
    if match is None:
        raise _refusal(
            CredentialReason.HEADER_MALFORMED,
            "L402 or LSAT, one space, base64, colon, 64 lower-case hex digits",
            f"{len(line)} characters of another form",
            "the last Authorization line",
        )
    scheme, text, preimage = match.groups()
    return Credential(_macaroon(text, "Authorization"), Preimage.from_hex(preimage), scheme)


def _spec(line: str) -> Credential:
    match = _SPEC.fullmatch(line.strip())
    if match is None:
        raise _refusal(
            CredentialReason.HEADER_MALFORMED,
            "scheme, spaces, base64 macaroons separated by commas, colon, hex preimage",
            f"{len(line)} characters of another form",
            "the Authorization line",
        )
    scheme, texts, preimage_text = match.groups()
    macaroons = tuple(_macaroon(text, "Authorization") for text in texts.split(","))
    return Credential(macaroons[0], _preimage(preimage_text, "Authorization"), scheme.upper(), macaroons[1:])


def _from_macaroon_header(text: str, header: str) -> Credential:
    try:
        macaroon = Macaroon.from_hex(text)
    except MacaroonError as error:
        raise _from_macaroon_error(error, header) from None
    preimage = caveat_value(macaroon.caveats, "preimage")
    if preimage is None:
        raise _refusal(
            CredentialReason.PREIMAGE_CAVEAT_MISSING,
            "a preimage caveat in the macaroon",
            f"{len(macaroon.caveats)} caveat(s), none of them",
            f"header {header}",
        )
    return Credential(macaroon, _preimage(preimage.decode("latin-1"), f"header {header}"), "macaroon")


def _macaroon(text: str, header: str) -> Macaroon:
    try:
        return Macaroon.from_base64(text)
    except MacaroonError as error:
        raise _from_macaroon_error(error, header) from None


def _preimage(text: str, where: str) -> Preimage:
    try:
        return Preimage.from_hex(text, Dialect.SPEC)
    except PreimageError as error:
        raise _refusal(CredentialReason.PREIMAGE_MALFORMED, error.expected, error.seen, where) from None


def _from_macaroon_error(error: MacaroonError, header: str) -> CredentialError:
    encoding = error.reason in ("macaroon_base64", "macaroon_hex")
    reason = CredentialReason.MACAROON_ENCODING if encoding else CredentialReason.MACAROON_MALFORMED
    return _refusal(reason, error.expected, error.seen, f"header {header}, {error.where}")


def _refusal(reason: CredentialReason, expected: str, seen: str, where: str) -> CredentialError:
    remedy = "Send: Authorization: L402 <macaroon as base64>:<preimage as hex>"
    return CredentialError(reason, expected, seen, where, remedy)
