"""L402 on the wire: preimage, identifier, macaroon, caveats, challenge, credential, BOLT11 invoice."""

from pytest_l402.protocol.bolt11 import Invoice, decode_invoice, encode_invoice, public_key
from pytest_l402.protocol.caveats import CaveatReason, caveat, check_caveats
from pytest_l402.protocol.challenge import Challenge, format_challenge, parse_challenges, preferred
from pytest_l402.protocol.credential import Credential, CredentialReason, format_credential, parse_credential
from pytest_l402.protocol.errors import (
    CaveatError,
    ChallengeError,
    CredentialError,
    IdentifierError,
    InvoiceError,
    MacaroonError,
    PreimageError,
    ProtocolError,
)
from pytest_l402.protocol.identifier import Identifier
from pytest_l402.protocol.macaroon import Macaroon, mint
from pytest_l402.protocol.preimage import Dialect, PaymentHash, Preimage

__all__ = [
    "CaveatError",
    "CaveatReason",
    "Challenge",
    "ChallengeError",
    "Credential",
    "CredentialError",
    "CredentialReason",
    "Dialect",
    "Identifier",
    "IdentifierError",
    "Invoice",
    "InvoiceError",
    "Macaroon",
    "MacaroonError",
    "PaymentHash",
    "Preimage",
    "PreimageError",
    "ProtocolError",
    "caveat",
    "check_caveats",
    "decode_invoice",
    "encode_invoice",
    "format_challenge",
    "format_credential",
    "mint",
    "parse_challenges",
    "parse_credential",
    "preferred",
    "public_key",
]
