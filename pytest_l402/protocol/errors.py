"""Decides what a refusal of the protocol room looks like: one tree, four parts, a reason code, no secret.

``ProtocolError`` (a ``ValueError``)
  ├── ``ChallengeError``   a ``WWW-Authenticate`` value that is not an L402 challenge
  ├── ``CredentialError``  request headers that carry no usable credential
  ├── ``IdentifierError``  the 66 bytes that bind a macaroon to a payment hash
  ├── ``MacaroonError``    macaroon bytes or their text form
  ├── ``CaveatError``      a caveat that forbids the request
  ├── ``InvoiceError``     a BOLT11 invoice
  └── ``PreimageError``    a preimage or payment hash
"""


class ProtocolError(ValueError):
    """Something on the wire is not what L402 asks for.

    ``reason`` is a stable code; ``expected``, ``seen``, ``where`` and ``remedy`` are text for people. No part
    ever holds a preimage, macaroon, token or root key.
    """

    def __init__(self, reason: str, expected: str, seen: str, where: str, remedy: str) -> None:
        # All five go to args, so that the error survives pickling to another process.
        super().__init__(reason, expected, seen, where, remedy)
        self.reason = reason
        self.expected = expected
        self.seen = seen
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}; seen {self.seen}. {self.remedy} [{self.reason}]"


class ChallengeError(ProtocolError):
    """A ``WWW-Authenticate`` value cannot be read, or cannot be written, as an L402 challenge."""


class CredentialError(ProtocolError):
    """The request carries no credential, or one that cannot be read."""


class IdentifierError(ProtocolError):
    """A macaroon identifier is not version, payment hash and token id."""


class MacaroonError(ProtocolError):
    """Bytes or text are not a macaroon."""


class CaveatError(ProtocolError):
    """A caveat of the presented macaroon forbids the request."""


class InvoiceError(ProtocolError):
    """Text is not a valid BOLT11 invoice, or an invoice cannot be written."""


class PreimageError(ProtocolError):
    """A preimage or payment hash has the wrong form."""
