"""Decides where in a text a value stands that is a secret because of the name before it.

Every look is anchored at a name, and goes on behind what it found: the time grows with the text, and not with
its square.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

REDACTED: Final = "[redacted]"

Span = tuple[int, int]

WORDS: Final = (
    "preimage",
    "proof",
    "macaroon",
    "secret",
    "token",
    "passw",
    "passphrase",
    "key",
    "mnemonic",
    "cookie",
    "authorization",
)
"""Of which every name of a secret has one; a text without any is not searched."""

# The payment proof's value is the settlement event's own name for a preimage.
_NAME = re.compile(
    r"preimages?(?:[_-]?(?:hex|value|bytes|base64(?:url)?|b64))?"
    r"|payment[_-]?proof[_-]?value|macaroons?(?:[_-]?(?:hex|value|bytes|base64|b64))?|secrets?|tokens?"
    r"|passw(?:or)?ds?|passphrase|(?:api|root|private|signing|secret|access)[_-]?keys?|mnemonics?"
    r"|(?:set-)?cookies?|authorization"
)
# A quote: bare, escaped in JSON that is quoted itself, or as HTML, XML, JavaScript and a URL write it.
_QUOTE = r"(?:\\{0,16}[\"'`]|&(?:quot|apos|#3[49]|#x2[27]);|\\{1,8}u002[27]|%2[27])"
# A line break, as it is or escaped, and what is set before the next line: `E   `, `  | `, `> `.
LINE_BREAK: Final = r"(?:\n|\\{1,8}n)[ \t|>]*(?:e[ \t]{1,8})?[ \t|]*"
# What a repr makes of what is invisible, or sets a colour.
_HIDDEN = r"(?:\\{1,8}(?:u[0-9a-f]{4}|x[0-9a-f]{2}(?:\[[0-9;]{0,9}m)?))*"
_AFTER = re.compile(
    rf"{_HIDDEN}(?P<close>{_QUOTE})?(?P<sign>\s{{0,40}}(?:=>|->|:=|==|!=|[:=]|%3[ad])"
    rf"(?:[ \t]|{LINE_BREAK})*+{_HIDDEN}|\s?,\s?|\[(?={_QUOTE}|[0-9a-f]{{16}})"
    r"|\((?:\w{1,20}=)?"
    r"|\s(?:is|was|hex|value)\s|\s{1,4}|%20)"
)
# What Python and JavaScript put before a value: `b'`, `bytearray(b'`, `SecretStr('`.
_OPENED = re.compile(rf"(?:[\w.]{{1,40}}\(\s?){{0,3}}[bruf]{{0,2}}(?={_QUOTE})")
_QUOTED = re.compile(rf"({_QUOTE})((?:(?!\1)(?:\\.|[^\n]))*+)(?:\1|(?=\n)|\Z)")
# The rest of a literal that was broken over lines.
_CONTINUED = re.compile(rf"[ \t]*{LINE_BREAK}[bruf]{{0,2}}({_QUOTE})((?:(?!\1)(?:\\.|[^\n]))*+)\1")
_WORD = re.compile(r"[^\s,;\"'`&}\])<]+")
_WORD_GOES_ON = re.compile(rf"[ \t]*{LINE_BREAK}([\w+/=-]{{8,}})(?=[ \t]*(?:\n|\\|\Z|[:,;\"')\]}}]))")
_WRAPPED = re.compile(r"[\w+/=-]{16,}")
_PROOF = re.compile(r"[0-9a-f]{25,}|[0-9a-f]{2}(?:[:\s-][0-9a-f]{2}){15,}|[\w+/-]{43}=?(?![\w+/-])")
_REFERENCE = re.compile(
    r"(?:sha256|digest)[:-][0-9a-f]{8,64}…?|(?:lightning_)?preimage:[0-9a-f]{16,24}|null|none|true|false|undefined"
    r"|nan|\s*"
)
_HEADER_NAMES = ("authorization", "cookie", "cookies", "set-cookie", "apikey", "api-key", "api_key")
_SCHEME = re.compile(
    r"(?:l402|lsat|bearer|basic|digest|token|negotiate)(?:\s|%20|\+){1,8}(?!(?:macaroon|token|credential|auth\w*)s?\b)"
)
_HEADER_REST = re.compile(r"[^\n\"'`}<\\]*")
_OPTION = re.compile(r"(?<!\S)--[\w-]*\Z")
_COOKIE = re.compile(r"[\w.-]+=[^\s;,]{4,}")
_SOURCE = re.compile(rf"(?:self|cls)\.[a-z_.]+|[a-z_.]*(?:{_NAME.pattern})\)*|[a-z_][a-z_.]*\(.*")
_SOURCE_LIMIT: Final = 80
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_PLACEHOLDER = re.compile(r"[\[{(]\s*[a-z_][a-z_.]*(?:\([a-z_., ]*\))?[!:]?[a-z]?\s*[\]})]")
_BRACKETS = re.compile(r"[\[\]{}()]")
_INSIDE_LIMIT: Final = 100_000
_NAME_LIMIT: Final = 60
_TOLD_BY: Final = 400


def named_spans(lowered: str) -> Iterator[Span]:
    """Yield where the values stand, in order and apart; `lowered` is the text in lower case."""
    done = 0
    for name in _NAME.finditer(lowered):
        if name.start() < done:
            continue
        after = _AFTER.match(lowered, name.end())
        if after is None:
            continue
        for start, end in _value(lowered, name[0], after):
            if start < end and not _stays(lowered[start:end]):
                yield start, end
            done = end


def looks_secret(word: str) -> bool:
    """Whether a word is more likely a value than prose: long, or letters and digits together."""
    if len(word) >= 24:
        return True
    mixed = any(char.isdigit() for char in word) and any(char.isalpha() for char in word)
    return len(word) >= (6 if mixed else 16)


@lru_cache(maxsize=500)
def names_secret(name: str) -> bool:
    """Return whether a key of an object, such as `preimageHex` or `OPS_SECRET`, holds a secret."""
    lowered = name.lower()
    return any(found.end() == len(lowered) for found in _NAME.finditer(lowered))


def is_reference(value: str) -> bool:
    """Return whether a value stands for a secret, or for none, instead of being one."""
    lowered = value.lower()
    return lowered.startswith(REDACTED) or _REFERENCE.fullmatch(lowered) is not None


def _stays(value: str) -> bool:
    if value.startswith(REDACTED) or _REFERENCE.fullmatch(value) is not None:
        return True
    # `preimage=preimage`, `token=self.token`, `secret=made(1)`: source shows names.
    return len(value) < _SOURCE_LIMIT and _SOURCE.fullmatch(value) is not None


def _value(text: str, name: str, after: re.Match[str]) -> Iterator[Span]:
    start = after.end()
    if text.startswith(REDACTED, start):
        return
    sign, close = _sign_of(after["sign"]), after["close"]
    opened = _OPENED.match(text, start)
    if opened is not None:
        quoted = _QUOTED.match(text, opened.end())
        if quoted is not None and (sign in _ASSIGNS or _is_other_of_pair(text, quoted)):
            yield from _quoted(text, quoted)
        return
    if sign in _ASSIGNS and text[start : start + 1] in _CLOSING:
        if _PLACEHOLDER.match(text, start) is None:
            yield start, _closed(text, start)
        return
    if name in _HEADER_NAMES and sign in (":", "=", ",", "%3a", "%3d"):
        yield from _header(text, start)
        return
    if sign == "[":
        yield start, _closed(text, start - 1) - 1
    elif sign in _SETS or (sign == ":" and close):
        yield from _word(text, start)
    elif name.startswith(("preimage", "payment")):
        proof = _PROOF.match(text, start)
        if proof is not None and (sign in _TELLING or sign.startswith("(")):
            yield from _word_from(text, start, proof.end())
    elif sign in (":", "%3a", "->", "=>"):
        word = _WORD.match(text, start)
        if word is not None and looks_secret(word[0]):
            yield from _word_from(text, start, word.end())
    elif not sign and _OPTION.search(text, max(after.start() - _NAME_LIMIT, 0), after.start()) is not None:
        yield from _word(text, start)


def _sign_of(told: str) -> str:
    sign = told.split(maxsplit=1)[0] if told.strip() else ""
    return sign[:2] if sign[:2] in _ASSIGNS else sign[:1] if sign[:1] in _ASSIGNS else sign


_SETS: Final = frozenset({"=", ":=", "==", "!=", "%3d"})
_TELLING: Final = frozenset({"", ":", "is", "was", "hex", "value"})
_ASSIGNS: Final = _SETS | {":", "%3a", "=>", "->", "["}


def _is_other_of_pair(text: str, quoted: re.Match[str]) -> bool:
    """Whether what stands beside a name, as in `("token", "…")`, is its value and not the next key."""
    return looks_secret(quoted[2]) and re.compile(r"\s?[:=]").match(text, quoted.end()) is None


def _quoted(text: str, quoted: re.Match[str]) -> Iterator[Span]:
    yield quoted.span(2)
    end = quoted.end()
    while (more := _CONTINUED.match(text, end)) is not None:
        yield more.span(2)
        end = more.end()


def _word(text: str, start: int) -> Iterator[Span]:
    word = _WORD.match(text, start)
    if word is not None:
        yield from _word_from(text, start, word.end())


def _word_from(text: str, start: int, end: int) -> Iterator[Span]:
    yield start, end
    # A value that fills its line may go on in the next.
    if (
        end - start >= 16
        and end - start <= _INSIDE_LIMIT
        and _WRAPPED.fullmatch(text, start, end) is not None
    ):
        while (more := _WORD_GOES_ON.match(text, end)) is not None and looks_secret(more[1]):
            yield more.span(1)
            end = more.end()


def _header(text: str, start: int) -> Iterator[Span]:
    """A header's value goes to the end of its line; prose about a header has nothing in it that is secret."""
    scheme = _SCHEME.match(text, start)
    begin = start if scheme is None else scheme.end()
    rest = _HEADER_REST.match(text, begin, begin + _TOLD_BY)
    words = [] if rest is None else rest[0].split(maxsplit=1)
    if not words or words[0].startswith(REDACTED):
        return
    if scheme is None and not looks_secret(words[0].rstrip(";,.")) and _COOKIE.match(words[0]) is None:
        return
    whole = _HEADER_REST.match(text, begin)
    if whole is not None:
        yield begin, begin + len(whole[0].rstrip())


def _closed(text: str, start: int) -> int:
    """Return where the bracket that opens at `start` is closed, or the end of the line where it is not."""
    expected: list[str] = []
    limit = min(len(text), start + _INSIDE_LIMIT)
    for bracket in _BRACKETS.finditer(text, start, limit):
        if bracket[0] in _CLOSING:
            expected.append(_CLOSING[bracket[0]])
        elif expected and bracket[0] == expected[-1]:
            expected.pop()
            if not expected:
                return bracket.end()
    newline = text.find("\n", start, limit)
    return limit if newline < 0 else newline
