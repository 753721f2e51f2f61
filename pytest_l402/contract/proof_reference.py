"""Decides how a payment is referred to without its preimage, and when two references mean one payment."""

from __future__ import annotations

import re
from functools import lru_cache

HOSTED_PREFIX = "lightning_preimage:"
LOCAL_PREFIX = "preimage:"

_PREIMAGE = re.compile(r"[0-9a-fA-F]{64}")
_REFERENCE = re.compile(r"(?:lightning_preimage:(?P<hosted>[0-9a-f]{24})|preimage:(?P<local>[0-9a-f]{16}))")
_JOIN_DIGITS = 16


def hosted_proof_reference(preimage_hex: str) -> str:
    """Return the hosted form, `lightning_preimage:` and the first 24 hex digits of the preimage, lower case.

    Raises:
        ValueError: `preimage_hex` is not 64 hex digits (32 bytes); the message does not show it.
    """
    return HOSTED_PREFIX + _digits(preimage_hex)[:24]


def local_proof_reference(preimage_hex: str) -> str:
    """Return the local form, `preimage:` and the first 16 hex digits of the preimage, lower case.

    Raises:
        ValueError: `preimage_hex` is not 64 hex digits (32 bytes); the message does not show it.
    """
    return LOCAL_PREFIX + _digits(preimage_hex)[:_JOIN_DIGITS]


@lru_cache(maxsize=1024)
def proof_join_key(reference: str | None) -> str | None:
    """Return the 16 hex digits that both forms of a reference share, or None for a text of neither form.

    Comparing whole references across the hosted and the local path never finds a match, since the forms
    differ in prefix and length.
    """
    if reference is None:
        return None
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return None
    return (match["hosted"] or match["local"])[:_JOIN_DIGITS]


def _digits(preimage_hex: str) -> str:
    if _PREIMAGE.fullmatch(preimage_hex) is None:
        raise ValueError(
            f"a preimage is 64 hex digits (32 bytes), got text of {len(preimage_hex)} characters"
        )
    return preimage_hex.lower()
