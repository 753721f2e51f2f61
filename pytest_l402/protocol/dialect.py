"""Decides which reading of the L402 specification a parser follows."""

from enum import StrEnum


class Dialect(StrEnum):
    """How strictly, and in which way, credentials are read.

    ``APERTURE`` is what the deployed proxy accepts: case-sensitive scheme, one space, lower-case preimage,
    text around the credential ignored. ``SPEC`` is the specification's grammar: any case of scheme and
    preimage, several spaces, several macaroons, nothing around it.
    """

    APERTURE = "aperture"
    SPEC = "spec"
