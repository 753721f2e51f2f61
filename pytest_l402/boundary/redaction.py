"""Decides what of a foreign text is a secret, and what stands in its place."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final
from urllib.parse import unquote

from pytest_l402.boundary.invisible import INVISIBLE, SEQUENCE
from pytest_l402.boundary.known_secrets import ISSUED, SHORT, KnownSecrets, places
from pytest_l402.boundary.named_secrets import (
    LINE_BREAK,
    WORDS,
    Span,
    is_reference,
    looks_secret,
    named_spans,
    names_secret,
)
from pytest_l402.boundary.named_secrets import (
    REDACTED as REDACTED,
)

# Authorization values: `L402 <macaroon>:<preimage>`, and the schemes that carry one token.
_CREDENTIAL = re.compile(
    r"(?<![\w+/~,.-])(?:l402|lsat)(?:\s|%20|\+){1,8}+()"
    r"([\w+/=.~,-]{1,4000}(?::|%3a)[0-9a-f]{64,}|[\w+/=.~,-]{40,4000}(?::|%3a)[0-9a-f]{16,})"
)
_SCHEMES = re.compile(
    r"\b(?:basic|bearer)(?:\s|%20|[:=,]\s?){1,8}+()"
    r"((?=[a-z+/_.~-]{0,80}+[0-9=])[\w+/=.~-]{6,}|[\w+/=.~]{24,}"
    r"|(?<=bearer )(?!auth|cert|credential|challenge|scheme)[\w+/=.~]{12,})"
)
_USER_INFORMATION = re.compile(
    r"(?<=:)(?:\\{0,4}/){2}(?!\[redacted\])()((?:[^\s/?#\"'<>:@[]{0,100}+:(?!\[redacted\])"
    r"(?![0-9]{1,5}[/?#,]|port\b)(?:[^\s\"'<>@{]|(?<=\w)'(?=\w)){1,200}(?<!/)|[^\s/?#\"'<>:@]{1,200}+):?)(?=@)"
)
# The same without a scheme, and as an option; no digest of an image, and no address of a person.
_USER_AND_PASSWORD = re.compile(
    r"(?<![\w/@.:\\-])(?!(?:mailto|mail|email|sip|acct|npm|ssh|git):)[\w.-]{1,40}:()([^\s:/@\"'<>,;()\[\]{}]{4,100})"
    r"@(?!sha256)(?=\w)"
)
_CURL = re.compile(
    r"\bcurl\b[^\n]{0,200}?\s(?:-u|--user)[\s=]{0,4}[\"']?()([^\s:\"']{0,100}:[^\s\"']{1,200})"
)
# A macaroon with no name before it, and a preimage behind it: V2 begins 0x02 0x01, without a location
# 0x02 0x02, V1 with a packet length in hex digits. Lines that are all base64 belong to it.
_MACAROON = re.compile(
    r"(?<![\w+/-])(?:Ag[EIJ]|MDA)[\w+/-]{40,}"
    rf"(?:[ \t]*(?i:{LINE_BREAK})[\w+/-]{{20,}}(?=={{0,2}}[ \t]*(?:\n|\\|\Z|[:,;\"')\]}}])))*"
    r"={0,2}(?::[ \t]*[0-9a-fA-F]{25,})?"
)
# What a terminal does not show, and the joint of a literal that `pprint` has set in two lines.
_LAYOUT = re.compile(
    rf"{SEQUENCE}|[{INVISIBLE}]+|\\{{0,4}}[\"'][ \t]*(?i:{LINE_BREAK})[bruf]{{0,2}}\\{{0,4}}[\"']"
)
# What a repr that is cut in its middle leaves of a credential.
_CREDENTIAL_END = re.compile(r"(?<![\w+/=-])[\w+/-]{20,}={0,2}:()[0-9a-f]{64}(?![0-9a-f])")
_MACAROON_HEX = re.compile(r"(?<![0-9a-z])020[12][0-9a-f]{80,}(?::[0-9a-f]{25,})?")
_JWT = re.compile(r"(?<![\w-])eyj[\w-]{10,}\.[\w-]{10,}\.[\w-]*")
_PRIVATE_KEY = re.compile(
    r"-----begin [a-z ]{0,30}private key-----[\w+/=\s\\:,-]*?(?=-----end|\Z|[^\w+/=\s\\:,-])"
)
_ISSUERS = re.compile(
    r"(?<![\w-])(?:[srp]k_(?:live|test)_\w{8,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abprs]-[\w-]{10,}"
    r"|akia[0-9a-z]{16}|sk-(?=[a-z_-]{0,40}+[0-9])[\w-]{20,}|glpat-[\w-]{16,}|npm_\w{30,}|aiza[\w-]{30,}"
    r"|sg\.[\w-]{16,}\.[\w-]{30,}|nsec1[0-9a-z]{50,}|[xt]prv[0-9a-z]{90,}"
    r"|(?<=hooks\.slack\.com/)services/[\w/]{20,})"
)
# Most text holds no secret, and these looks for a literal cost a hundredth of the patterns.
_ANCHORS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("l402", _CREDENTIAL),
    ("lsat", _CREDENTIAL),
    ("bearer", _SCHEMES),
    ("basic", _SCHEMES),
    (":", _CREDENTIAL_END),
    ("@", _USER_INFORMATION),
    ("020", _MACAROON_HEX),
    ("eyj", _JWT),
    ("private key-----", _PRIVATE_KEY),
    ("_live_", _ISSUERS),
    ("_test_", _ISSUERS),
    ("@", _USER_AND_PASSWORD),
    ("curl", _CURL),
    ("gh", _ISSUERS),
    ("github_pat_", _ISSUERS),
    ("xox", _ISSUERS),
    ("akia", _ISSUERS),
    ("sk-", _ISSUERS),
    ("glpat-", _ISSUERS),
    ("npm_", _ISSUERS),
    ("aiza", _ISSUERS),
    ("sg.", _ISSUERS),
    ("nsec1", _ISSUERS),
    ("prv", _ISSUERS),
    ("slack.com/", _ISSUERS),
)
_MACAROON_STARTS: Final = ("AgE", "AgI", "AgJ", "MDA")
_ENCODED = re.compile(r"(?<!\S)[^\s%]*+%[0-9a-fA-F]{2}\S*")
_REFERENCE = re.compile(r"sha256:[0-9a-f]{16}")
_NONE: Final = KnownSecrets()


def redact_text(text: str, known: KnownSecrets = ISSUED) -> str:
    """Return `text` with preimages, macaroons, credentials, tokens and named secrets as `[redacted]`.

    So is every value of `known`, in any form: by default what was issued in this process. Proof references
    (`preimage:` and 16 hex digits, `lightning_preimage:` and 24), payment hashes and invoices stay: evidence
    joins on them. Applying it twice changes nothing more.
    """
    if len(text) <= SHORT and _is_plain(text) and not (places(text) and known.spans(text)):
        return text
    spans = secret_spans(text, known)
    redacted = _without(text, spans) if spans else text
    if "%" in redacted:
        redacted = _ENCODED.sub(_decoded_if_secret, redacted)
    return redacted


def is_harmless(text: str) -> bool:
    """Whether there is no secret in a short text, and none that may become known."""
    return len(text) <= SHORT and _is_plain(text) and not places(text)


@lru_cache(maxsize=20_000)
def _is_plain(text: str) -> bool:
    """Whether only a known value can be secret in a text, as it is; rows and reports repeat theirs."""
    return "%" not in text and _LAYOUT.search(text) is None and not secret_spans(text, _NONE)


def redact_after(before: str, text: str) -> str:
    """Return `text` redacted as what follows `before`, which is shown already: it may name the value."""
    joined = before + text
    begin = len(before)
    spans = [
        (max(start - begin, 0), end - begin)
        for start, end in secret_spans(joined)
        if end > begin and not joined.startswith(REDACTED, start)
    ]
    redacted = _without(text, spans) if spans else text
    return _ENCODED.sub(_decoded_if_secret, redacted) if "%" in redacted else redacted


def redact_values(value: Any, known: KnownSecrets = ISSUED) -> Any:
    """Return `value` with every text in it redacted, and what a key such as `preimage` names."""
    if isinstance(value, str):
        return redact_text(value, known)
    if isinstance(value, list | tuple):
        if len(value) == 2 and isinstance(value[0], str) and names_secret(value[0]):
            # A name and its value, as headers and properties are told.
            return [value[0], _all_of(value[1])]
        return [redact_values(item, known) for item in value]
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, dict | Mapping):
        return {
            redact_text(key, known) if isinstance(key, str) else key: _all_of(item)
            if isinstance(key, str) and names_secret(key)
            else redact_values(item, known)
            for key, item in value.items()
        }
    return value


def secret_spans(text: str, known: KnownSecrets = ISSUED) -> list[Span]:
    """Return where in `text` secrets stand, in order; none of them touches another."""
    spans = _spans(text, known)
    if "\n" in text or "\\n" in text or not (text.isascii() and text.isprintable()):
        layout = [match.span() for match in _LAYOUT.finditer(text)]
        if layout:
            return _merged([*spans, *_spans_without(layout, text, known)])
    return spans


def _spans_without(layout: list[Span], text: str, known: KnownSecrets) -> Iterator[Span]:
    """Yield where secrets stand that are seen when the layout is taken out of the text."""
    ends = [0, *(end for _, end in layout)]
    parts = [
        text[begin:start]
        for begin, start in zip(ends, (*(start for start, _ in layout), len(text)), strict=True)
    ]
    begins = [0, *accumulate(map(len, parts))]
    for start, end in _spans("".join(parts), known):
        first, last = bisect_right(begins, start) - 1, bisect_left(begins, end) - 1
        yield ends[first] + start - begins[first], ends[last] + end - begins[last]


def _spans(text: str, known: KnownSecrets) -> list[Span]:
    lowered = _lower(text)
    spans: list[Span] = []
    for word in WORDS:
        if word in lowered:
            spans += named_spans(lowered)
            break
    for literal, pattern in _ANCHORS:
        if literal in lowered:
            spans += _found(pattern, lowered)
    for start in _MACAROON_STARTS:
        if start in text:
            spans += (match.span() for match in _MACAROON.finditer(text))
            break
    if known:
        spans += known.spans(text)
    return _merged(spans)


def digest_reference(value: bytes | str) -> str:
    """Return `sha256:` and 16 hex digits of the digest of `value` (text as UTF-8), to stand for a secret."""
    data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "sha256:" + hashlib.sha256(data).hexdigest()[:16]


def is_digest_reference(value: str) -> bool:
    """Return whether `value` is what `digest_reference` makes."""
    return _REFERENCE.fullmatch(value) is not None


def _lower(text: str) -> str:
    lowered = text.lower()
    # Of all characters only İ has two in lower case, and a place in one text must be that of the other.
    return lowered if len(lowered) == len(text) else text.replace("İ", "I").lower()


def _found(pattern: re.Pattern[str], lowered: str) -> Iterable[Span]:
    for match in pattern.finditer(lowered):
        if pattern is _USER_INFORMATION:
            user, _, password = match[2].partition(":")
            if password or looks_secret(user):
                yield match.span(2)
        elif pattern is _USER_AND_PASSWORD:
            if looks_secret(match[2]):
                yield match.span(2)
        else:
            yield match.span(2 if pattern in (_CREDENTIAL, _SCHEMES, _CURL) else 0)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _without(text: str, spans: Iterable[Span]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        pieces += text[done:start], REDACTED
        done = end
    return "".join([*pieces, text[done:]])


def _decoded_if_secret(match: re.Match[str]) -> str:
    """A URL hides names and signs; where there is a secret behind them, it is shown decoded."""
    decoded = unquote(match[0])
    spans = secret_spans(decoded)
    return _without(decoded, spans) if spans else match[0]


def _all_of(value: Any) -> Any:
    if isinstance(value, str):
        return value if is_reference(value) else REDACTED
    if isinstance(value, Mapping):
        return {key: _all_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_all_of(item) for item in value]
    return value
