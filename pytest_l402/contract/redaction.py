"""Decides what of a foreign text is a secret, and what stands in its place."""

from __future__ import annotations

import hashlib
import re

REDACTED = "[redacted]"

_SECRET_WORD = r"(?:macaroon|secret|token|passw(?:or)?d|api[_-]?key|root[_-]?key|private[_-]?key|mnemonic)"  # noqa: S105 - a pattern
_QUOTED = r"\\?\"[^\"\\]*(?:\\(?!\")[^\"\\]*)*\\?\"|'[^']*'"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # `preimage=…` is always the secret itself; `preimage:<16 hex>` and `lightning_preimage:<24 hex>` are references.
    (re.compile(rf"(?i)(\bpreimage(?:_?hex)?\\?[\"']?\s*=\s*)(?:{_QUOTED}|[^\s,;\"'&]+)"), rf"\1{REDACTED}"),
    (re.compile(rf"(?i)(preimage(?:_?hex)?\\?[\"']\s*:\s*)(?:{_QUOTED}|[^\s,;\"'&}}\]]+)"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)(preimage(?:_?hex)?\s*:\s*)[0-9a-f]{25,}"), rf"\1{REDACTED}"),
    (
        re.compile(rf"(?i)(\b[\w-]*{_SECRET_WORD}\\?[\"']?\s*=\s*)(?:{_QUOTED}|[^\s,;\"'&]+)"),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(rf"(?i)(\b[\w-]*{_SECRET_WORD}\\?[\"']\s*:\s*)(?:{_QUOTED}|[^\s,;\"'&}}\]]+)"),
        rf"\1{REDACTED}",
    ),
    (re.compile(rf"(?i)(\b[\w-]*{_SECRET_WORD}\s*:\s*)[\w+/=.~-]{{16,}}"), rf"\1{REDACTED}"),
    # Authorization values: `L402 <macaroon>:<preimage>`, and the schemes that carry one token.
    (re.compile(r"(?i)\b((?:L402|LSAT)\s+)[\w+/=.~,-]+:[0-9a-f]+"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)\b((?:Bearer|Basic)\s+)[\w+/=.~-]{8,}"), rf"\1{REDACTED}"),
    # A macaroon with no name before it: V2 begins 0x02 0x01, V1 with a packet length in hex digits.
    (re.compile(r"(?<![\w+/-])(?:AgE|MDA)[\w+/-]{40,}={0,2}"), REDACTED),
    (re.compile(r"(?i)(?<![0-9a-z])0201[0-9a-f]{80,}"), REDACTED),
)
_REFERENCE = re.compile(r"sha256:[0-9a-f]{16}")


def redact_text(text: str) -> str:
    """Return `text` with preimages, macaroons, credentials, tokens and named secrets replaced by `[redacted]`.

    Proof references (`preimage:` and 16 hex digits, `lightning_preimage:` and 24), payment hashes and invoices stay:
    evidence joins on them. Applying it twice changes nothing more.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def digest_reference(value: bytes | str) -> str:
    """Return `sha256:` and the first 16 hex digits of the digest of `value` (text as UTF-8), to stand for a secret."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "sha256:" + hashlib.sha256(data).hexdigest()[:16]


def is_digest_reference(value: str) -> bool:
    """Return whether `value` is what `digest_reference` makes."""
    return _REFERENCE.fullmatch(value) is not None
