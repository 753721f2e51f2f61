"""Decides what an L402 challenge is in a ``WWW-Authenticate`` header, and finds it among other schemes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from pytest_l402.protocol.errors import ChallengeError

SCHEMES: Final = ("L402", "LSAT")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BLANKS = re.compile(r"[ \t]*")
_SEPARATORS = re.compile(r"[ \t,]*")
_NAME = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?![=,]|$)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BARE = re.compile(r'[^\s,"]+')
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_QUOTABLE = re.compile(r"[\t !-~]*")
_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Challenge:
    """One L402 offer: pay ``invoice``, then present ``macaroon_base64`` with the preimage.

    ``scheme`` is ``L402`` or ``LSAT``, ``parameters`` all parameters by lower-case name. ``repr`` shows no
    macaroon. Source: L402 specification; the ``token`` parameter of its version 0 draft stands for
    ``macaroon``.
    """

    scheme: str
    macaroon_base64: str = field(repr=False)
    invoice: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


def format_challenge(
    macaroon_base64: str,
    invoice: str,
    scheme: str = "L402",
    parameters: Mapping[str, str] = _NO_PARAMETERS,
) -> str:
    """Return one ``WWW-Authenticate`` value: scheme, macaroon, invoice, then ``parameters`` in their order.

    Aperture sends two, ``LSAT`` first. Raises ``ChallengeError`` for text that would not survive a header.
    """
    written = {"macaroon": macaroon_base64, "invoice": invoice, **parameters}
    for name, value in written.items():
        if not _TOKEN.fullmatch(name) or not _QUOTABLE.fullmatch(value):
            raise ChallengeError(
                "challenge_unprintable",
                "parameters of printable ASCII",
                "a control or non-ASCII character",
                "the challenge to write",
                "Encode the value before it goes into a header.",
            )
    quoted = (f'{name}="{_escaped(value)}"' for name, value in written.items())
    return f"{scheme} {', '.join(quoted)}"


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the L402 and LSAT challenges of all ``WWW-Authenticate`` values, skipping other schemes.

    A value may hold several challenges separated by commas; parameters come in any order, quoted or bare, and
    unknown ones are kept. No such challenge gives ``()``. Raises ``ChallengeError`` for text that is not a
    challenge list, and for an L402 or LSAT challenge without macaroon or invoice.
    """
    found = []
    for number, value in enumerate(values, start=1):
        where = f"WWW-Authenticate line {number}"
        for scheme, parameters in _scan(value, where):
            canonical = scheme.upper()
            if canonical in SCHEMES:
                found.append(_challenge(canonical, parameters, where))
    return tuple(found)


def preferred(challenges: Iterable[Challenge]) -> Challenge:
    """Return the first ``L402`` challenge, else the first ``LSAT``; raises ``ChallengeError`` if none."""
    offered = tuple(challenges)
    for scheme in SCHEMES:
        for challenge in offered:
            if challenge.scheme == scheme:
                return challenge
    raise ChallengeError(
        "challenge_absent",
        "an L402 or LSAT challenge",
        "none",
        "WWW-Authenticate",
        "Check that the URL is behind the payment gateway and that the answer's status is 402.",
    )


def _challenge(scheme: str, parameters: dict[str, str], where: str) -> Challenge:
    macaroon = parameters.get("macaroon") or parameters.get("token")
    invoice = parameters.get("invoice")
    if not macaroon or not invoice:
        raise ChallengeError(
            "challenge_incomplete",
            "a macaroon and an invoice parameter",
            f"parameters {sorted(parameters)}",
            f"{where}, scheme {scheme}",
            "The gateway must send both; without the invoice nothing can be paid.",
        )
    return Challenge(scheme, macaroon, invoice, MappingProxyType(parameters))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _scan(value: str, where: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield scheme and parameters of each challenge in one header value (RFC 9110 section 11.6.1)."""
    at = _end(_SEPARATORS, value, 0)
    while at < len(value):
        scheme = _TOKEN.match(value, at)
        if scheme is None:
            raise _malformed("an authentication scheme", where, at)
        blanks = _end(_BLANKS, value, scheme.end())
        token68 = _TOKEN68.match(value, blanks) if blanks > scheme.end() else None
        if token68 is not None and _NAME.match(value, blanks) is None:
            parameters: dict[str, str] = {}
            at = token68.end()
        else:
            parameters, at = _parameters(value, blanks, where)
        if at < len(value) and value[at] != ",":
            raise _malformed("a comma", where, at)
        yield scheme.group(), parameters
        at = _end(_SEPARATORS, value, at)


def _parameters(value: str, at: int, where: str) -> tuple[dict[str, str], int]:
    """Read ``name=value`` pairs up to the end, or to a comma that another scheme follows."""
    parameters: dict[str, str] = {}
    while True:
        name = _NAME.match(value, at)
        if name is None:
            return parameters, at
        quoted = _QUOTED.match(value, name.end())
        bare = None if quoted else _BARE.match(value, name.end())
        if quoted is not None:
            text, end = re.sub(r"\\(.)", r"\1", quoted.group(1)), quoted.end()
        elif bare is not None:
            text, end = bare.group(), bare.end()
        else:
            raise _malformed("a value whose quotes are closed", where, name.end())
        key = name.group(1).lower()
        if key in parameters:
            raise _malformed(f"parameter {key} once", where, at)
        parameters[key] = text
        end = _end(_BLANKS, value, end)
        following = _end(_SEPARATORS, value, end)
        if end == following or _NAME.match(value, following) is None:
            return parameters, end
        at = following


def _end(pattern: re.Pattern[str], value: str, at: int) -> int:
    match = pattern.match(value, at)
    return match.end() if match else at


def _malformed(expected: str, where: str, at: int) -> ChallengeError:
    return ChallengeError(
        "challenge_malformed",
        expected,
        "something else",
        f"{where}, character {at}",
        'Send: L402 macaroon="...", invoice="..."',
    )
