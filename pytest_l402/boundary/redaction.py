"""Decides what of a foreign text is a secret, and what stands in its place."""

from __future__ import annotations

import hashlib
import re

REDACTED = "[redacted]"

_NOT_YET = r"(?!\\?[\"']?\[redacted\])"
_WORDS = r"(?:macaroon|secret|token|passw(?:or)?d|(?:api|root|private)[_-]?key|mnemonic)"
_NAMED_KEY = rf"\b[\w-]{{0,40}}{_WORDS}"
# The second is the settlement event's own name for it.
_PREIMAGE_KEY = r"\b[\w-]{0,40}(?:preimage(?:[_-]?hex)?|payment[_-]?proof[_-]?value)"
# A quoted value, also one quoted inside quoted JSON, or one cut off before its closing quote.
_QUOTED = r"(\\?[\"'])(?:(?!\2)(?:\\.|[^\n]))*(?:\2|(?=\n)|$)"
_WORD = r"[^\s,;\"'&}\]]+"

_NAMED = (
    # `preimage=…` and `"preimage": …` hold the secret; `preimage:<16 hex>` bare is a proof reference.
    rf"({_PREIMAGE_KEY}\\?[\"']?\s*[:=]\s*){_NOT_YET}{_QUOTED}",
    rf"({_PREIMAGE_KEY}(?:\\?[\"']?\s*=|\\?[\"']\s*:)\s*)(){_NOT_YET}{_WORD}",
    rf"({_PREIMAGE_KEY}(?:\s*:\s*|\s+))()(?:[0-9a-f]{{25,}}|[\w+/-]{{43}}=)",
    rf"({_NAMED_KEY}\\?[\"']?\s*[:=]\s*){_NOT_YET}{_QUOTED}",
    rf"({_NAMED_KEY}(?:\\?[\"']?\s*=|\\?[\"']\s*:)\s*)(){_NOT_YET}{_WORD}",
    rf"({_NAMED_KEY}\s*:\s*)()[\w+/=.~-]{{16,}}",
    # Authorization values: `L402 <macaroon>:<preimage>`, and the schemes that carry one token.
    r"(\b(?:L402|LSAT)\s+)()[\w+/=.~,-]+:[0-9a-f]+",
    r"(\b(?:Bearer|Basic)\s+)()[\w+/=.~-]{8,}",
    r"(\bauthorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:L402|LSAT)\s+)()"
    r"(?!\[redacted\]|macaroon|token)[^\s\"'\\]+",
    r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@]+:)()[^\s/@]+(?=@)",
)
_BARE = (
    # A macaroon with no name before it, and a preimage behind it: V2 begins 0x02 0x01, without a location
    # 0x02 0x02, V1 with a packet length in hex digits.
    r"(?<![\w+/-])(?-i:Ag[EIJ]|MDA)[\w+/-]{40,}={0,2}(?::[0-9a-f]{25,})?",
    r"(?<![0-9a-z])020[12][0-9a-f]{80,}(?::[0-9a-f]{25,})?",
    r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*",
)
_NAMED_PATTERNS = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _NAMED)
_BARE_PATTERNS = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _BARE)
# Most text holds no secret, and these looks, each for one literal first, cost a hundredth of the patterns.
_HINTS: tuple[tuple[str, re.Pattern[str] | None], ...] = (
    ("macaroon", None),
    ("secret", None),
    ("token", None),
    ("passw", None),
    ("key", None),
    ("mnemonic", None),
    ("eyj", None),
    ("0201", None),
    ("0202", None),
    ("proof", re.compile(r"proof[_-]?value")),
    ("preimage", re.compile(r"preimage(?!:[0-9a-f]{16,24}(?![\w+/-]))")),
    ("l402", re.compile(r"l402\s")),
    ("lsat", re.compile(r"lsat\s")),
    ("bearer", re.compile(r"bearer\s")),
    ("basic", re.compile(r"basic\s")),
    ("://", re.compile(r"://[^\s/]*@")),
)
_REFERENCE = re.compile(r"sha256:[0-9a-f]{16}")


def redact_text(text: str) -> str:
    """Return `text` with preimages, macaroons, credentials, tokens and named secrets as `[redacted]`.

    Proof references (`preimage:` and 16 hex digits, `lightning_preimage:` and 24), payment hashes and
    invoices stay: evidence joins on them. Applying it twice changes nothing more.
    """
    if not _may_hold_secret(text):
        return text
    for pattern in _NAMED_PATTERNS:
        text = pattern.sub(_keep_name, text)
    for pattern in _BARE_PATTERNS:
        text = pattern.sub(REDACTED, text)
    return text


def digest_reference(value: bytes | str) -> str:
    """Return `sha256:` and 16 hex digits of the digest of `value` (text as UTF-8), to stand for a secret."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "sha256:" + hashlib.sha256(data).hexdigest()[:16]


def is_digest_reference(value: str) -> bool:
    """Return whether `value` is what `digest_reference` makes."""
    return _REFERENCE.fullmatch(value) is not None


def _may_hold_secret(text: str) -> bool:
    if "MDA" in text or "AgE" in text or "AgI" in text or "AgJ" in text:
        return True
    lowered = text.lower()
    for word, pattern in _HINTS:
        if word in lowered and (pattern is None or pattern.search(lowered) is not None):
            return True
    return False


def _keep_name(match: re.Match[str]) -> str:
    quote = match[2] or ""
    return f"{match[1]}{quote}{REDACTED}{quote}"
