"""Decides where in a text a value stands that is a secret because of the name before it.

Every look is anchored at a name, and goes on behind what it found: the time grows with the text, and not with
its square.
"""

from __future__ import annotations

import re
from bisect import bisect_left
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
    "pass",
    "pwd",
    "phrase",
    "key",
    "mnemonic",
    "cookie",
    "auth",
    "credential",
    "session",
    "sig=",
    "-signature",
)
"""Of which every name of a secret has one; a text without any is not searched."""

# What a name may end in, and still be that of the value: `tokenValue`, `password1`, `OPS_SECRET_STAGING`.
_ENDING = (
    r"(?:(?:[_-]?(?:hex|value|bytes|base64(?:url)?|b64|str(?:ing)?|text|raw|old|new|current|previous|staging"
    r"|production|prod|dev|test|local|live|v?[0-9]{1,3}))+(?![a-z]))?"
)
# The payment proof's value is the settlement event's own name for a preimage.
_NAME = re.compile(
    r"(?:preimages?|payment[_-]?proof[_-]?value|macaroons?"
    r"|(?:api|root|private|signing|secret|access|hmac|encryption|master|webhook)"
    r"[_. -]?keys?|secret(?:s(?!tr))?|tokens?|passw(?:or)?ds?|passphrase|_pass(?![a-z])|mnemonics?"
    rf"|(?:seed|recovery)[_ -]?phrases?){_ENDING}"
    r"|(?:set-)?cookies?|authorization|(?<=[?&])sig(?==)|x-(?:amz|goog)-signature(?==)"
    r"|(?<![\w-])(?:auth|session(?:_?id)?|pwd|pass|credentials?)(?=\\{0,4}[\"']?\s?[:=])"
)
# Names that a value of another kind has as often: what they name is secret only if it looks like it.
_WEAK: Final = ("auth", "session", "sessionid", "session_id", "pwd", "pass", "credential", "credentials")
# A quote: bare, escaped in JSON that is quoted itself, or as HTML, XML, JavaScript and a URL write it.
_QUOTE = r"(?:\\{0,16}[\"'`]|&(?:quot|apos|#3[49]|#x2[27]);|\\{1,8}u002[27]|%2[27])"
# A line break, as it is or escaped, and what is set before the next line: `E   `, `  | `, `> `.
LINE_BREAK: Final = r"(?:\n|\\{1,8}n)[ \t|>]*(?:e[ \t]{1,8})?[ \t|]*"
# What a repr makes of what is invisible, or sets a colour.
_HIDDEN = r"(?:\\{1,8}(?:u[0-9a-f]{4}|x[0-9a-f]{2}(?:\[[0-9;]{0,9}m)?))*"
_AFTER = re.compile(
    rf"{_HIDDEN}(?:\[[\w'\" ]{{1,20}}\](?=\s?[:=])|\.(?:value|hex|text))?(?P<close>{_QUOTE}|\*\*)?"
    rf"(?P<sign>\s{{0,40}}(?:=>|->|\u2192|:=|==|!=|[:=]|\uff1a|\uff1d|%3[ad]|\\{{1,8}}u003[ad]"
    rf"|&(?:#(?:58|61|x3[ad])|colon|equals);|,\s?{_QUOTE}(?:value|data){_QUOTE}\s?:)"
    rf"(?:[|>][+-]?(?=\n)|[ \t]|{LINE_BREAK}(?:- )?)*+(?P<hidden>{_HIDDEN})"
    rf"|>(?=[^<>\n]{{1,4000}}</)|\{{(?=0x)|\s?,\s?|\[(?={_QUOTE}|[0-9a-f]{{16}})"
    r"|\((?:\w{1,20}=)?"
    r"|\s(?:is|was|hex|value)\s|\s{1,4}|%20)"
)
# What Python and JavaScript put before a value: `b'`, `bytearray(b'`, `SecretStr('`.
_OPENED = re.compile(rf"(?:[\w.]{{1,40}}\(\s?){{0,3}}[bruf]{{0,2}}(?={_QUOTE})")
_TRIPLE = re.compile(r"(\"\"\"|''')()((?:(?!\1).){1,4000}+)", re.DOTALL)
_QUOTED = re.compile(rf"({_QUOTE})((?:(?!\1)(?:\\.|[^\n]))*+)(?:\1|(?=\n)|\Z)")
# The rest of a literal that was broken over lines.
_CONTINUED = re.compile(rf"[ \t]*{LINE_BREAK}[bruf]{{0,2}}({_QUOTE})((?:(?!\1)(?:\\.|[^\n]))*+)\1")
_WORD = re.compile(r"[^\s,;\"'`&}\])<]+")
_WORD_GOES_ON = re.compile(rf"[ \t]*{LINE_BREAK}([\w+/=-]{{8,}})(?=[ \t]*(?:\n|\\|\Z|[:,;\"')\]}}]))")
_WRAPPED = re.compile(r"[\w+/=-]{16,}")
_PROOF = re.compile(
    r"(?:0x)?[0-9a-f]{25,}|(?:0x|\\{1,4}x)?[0-9a-f]{2}(?:(?:[:\s_,-]\s?(?:0x)?|\\{1,4}x)[0-9a-f]{1,2}){15,}"
    r"|[0-9a-f]{4,32}(?:[:\s_-][0-9a-f]{4,32}){1,15}(?<=[0-9a-f :\n_-]{40})"
    r"|[\w+/-]{43}=?(?![\w+/-])"
)
_WHOLE_PROOF = re.compile(r"(?<![0-9a-z])(?:0x)?[0-9a-f]{64}(?![0-9a-z])")
# Between the word and a value of 32 bytes: what says that the value is another's, or a new statement.
_OF_ANOTHER = re.compile(
    r"[,;\n}]|\b(?:no|not|none|null|missing|expected|id|ref|for|redacted)\b|hash|sha|digest|\b(?:of|to|payment)\s*\Z"
)
_TOLD_WITHIN: Final = 60
_LEAST_PROOF: Final = 40
_PHRASE = re.compile(r"(?:[a-z]{3,8}[ ,]+){5,23}[a-z]{3,8}(?![\w])")
_REFERENCE = re.compile(
    r"(?:sha256|digest)[:-][0-9a-f]{8,64}…?|(?:lightning_)?preimage:[0-9a-f]{16,24}|null|none|true|false|undefined"
    r"|nan|expired|required|missing|absent|empty|invalid|unknown|optional|revoked|rejected|accepted|valid"
    r"|[+-]?[0-9]{1,5}(?:\.[0-9]+)?|\W*"
)
_COUNT = re.compile(r"[0-9]{1,15}|[\[({][0-9,. ]{1,40}[\])}]")
_NAME_OF_ELSE = re.compile(r"(?:[a-z]+|/)(?:[-_/.:]+(?:[a-z]+|[0-9a-f]{1,16}|[0-9]{8}t[0-9]{6}z))+")
_EXPRESSION = re.compile(r"[a-z_][a-z_.]*(?:\[.*)?")
_HEADER_OF_ITS_OWN = re.compile(r"(?<![\w-])x-[\w-]*\Z")
_HEADER_NAMES = ("authorization", "cookie", "cookies", "set-cookie", "apikey", "api-key", "api_key")
_SCHEME = re.compile(r"[a-z][\w-]{1,20}(?:\s|%20|\+){1,8}(?!(?:macaroon|token|credential|auth\w*)s?\b)")
_SCHEMES: Final = ("l402", "lsat", "bearer", "basic", "digest", "token", "negotiate", "apikey")
_HEADER_REST = re.compile(r"[^\n\"'`}<\\]*")
_OPTION = re.compile(r"(?<!\S)--[\w-]*\Z")
_COOKIE = re.compile(r"[\w.-]+=[^\s;,]{4,}")
_SOURCE = re.compile(rf"(?:self|cls)\.[a-z_.]+|[a-z_.]*(?:{_NAME.pattern})\)*|[a-z_][a-z_.]*\(.*")
_SOURCE_LIMIT: Final = 80
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_PLACEHOLDER = re.compile(r"[\[{(]\s*[a-z_][a-z_.]*(?:\([a-z_., ]*\))?[!:]?[a-z]?\s*[\]})]")
_BRACKETS = re.compile(r"[\[\]{}()]")
_INSIDE_LIMIT: Final = 100_000
_DEPTH_LIMIT: Final = 64
_NAME_LIMIT: Final = 60
_TOLD_BY: Final = 400


def named_spans(lowered: str) -> Iterator[Span]:
    """Yield where the values stand, in order and apart; `lowered` is the text in lower case."""
    done = 0
    proofs = _Proofs(lowered)
    for name in _NAME.finditer(lowered):
        if name.start() < done:
            continue
        after = _AFTER.match(lowered, name.end())
        found = [] if after is None else [*_value(lowered, name[0], after)]
        if not found and name[0].startswith("preimage"):
            found = proofs.told_after(name)
        for start, end in found:
            if start < end and not _stays(name[0], lowered[start:end]):
                yield start, end
            done = end


class _Proofs:
    """Where values of 32 bytes stand in hex: looked for once, and only if a preimage is spoken of."""

    def __init__(self, lowered: str) -> None:
        self._text = lowered
        self._spans: list[Span] | None = None

    def told_after(self, name: re.Match[str]) -> list[Span]:
        """Return the one that the word speaks of: in the same statement, and called nothing else."""
        if self._spans is None:
            self._spans = [found.span() for found in _WHOLE_PROOF.finditer(self._text)]
        at = bisect_left(self._spans, (name.end(), 0))
        if at == len(self._spans) or self._spans[at][0] > name.end() + _TOLD_WITHIN:
            return []
        between = self._text[name.end() : self._spans[at][0]]
        return [] if _OF_ANOTHER.search(between) else [self._spans[at]]


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


def is_secret_number(name: str, value: int) -> bool:
    """Return whether a number that a name such as `password` has is secret: a count has few digits."""
    return (
        not isinstance(value, bool)
        and abs(value) > 99_999
        and not (name.lower().endswith("s") and value < 10**15)
    )


def _stays(name: str, value: str) -> bool:
    if value.startswith(REDACTED) or _REFERENCE.fullmatch(value) is not None:
        return True
    if name.endswith("s") and _COUNT.fullmatch(value) is not None:
        return True
    if name in _WEAK and (not looks_secret(value) or value.startswith("/")):
        return True
    # `preimage=preimage`, `token=self.token`, `secret=made(1)`: source shows names.
    return len(value) < _SOURCE_LIMIT and _SOURCE.fullmatch(value) is not None


def _value(text: str, name: str, after: re.Match[str]) -> Iterator[Span]:
    start = after.end()
    if text.startswith(REDACTED, start):
        return
    sign, close = _sign_of(after["sign"]), after["close"]
    is_proof = name.startswith(("preimage", "payment"))
    if is_proof and sign != "," and (proof := _proof_of(text, after)) is not None:
        yield from _word_from(text, *proof.span())
        return
    opened = _OPENED.match(text, start)
    if opened is not None:
        quoted = _TRIPLE.match(text, opened.end()) or _QUOTED.match(text, opened.end())
        if (
            quoted is not None
            and (sign in _ASSIGNS or _is_other_of_pair(text, quoted, is_proof=is_proof))
            and (sign not in _COMPARES or len(quoted[quoted.lastindex or 0]) > 3)
        ):
            yield from _quoted(text, quoted)
        return
    if sign in _ASSIGNS and text[start : start + 1] in _CLOSING:
        if _PLACEHOLDER.match(text, start) is None:
            yield start, _closed(text, start)
        return
    if name.startswith(("mnemonic", "seed", "recovery")) and (phrase := _PHRASE.match(text, start)):
        yield phrase.span()
        return
    if name in _HEADER_NAMES and sign in (":", "=", ","):
        yield from _header(text, start)
        return
    if sign == ">":
        yield start, text.index("</", start)
    elif sign == "[":
        yield start, _closed(text, start - 1) - 1
    elif sign in _SETS or (sign == ":" and close and close != "**"):
        word = _WORD.match(text, start)
        between = after["sign"]
        is_source = sign in _COMPARES or (between[:1].isspace() and between[-1:].isspace())
        if word is not None and not (is_source and _EXPRESSION.fullmatch(word[0].rstrip(":"))):
            yield from _word_from(text, start, word.end())
    elif sign in (":", "->", "=>", "is", "was"):
        word = _WORD.match(text, start)
        if word is not None and is_proof and len(word[0]) < _LEAST_PROOF:
            return
        own = _HEADER_OF_ITS_OWN.search(
            text, max(after.start() - len(name) - _NAME_LIMIT, 0), after.start() - len(name)
        )
        if word is not None and (own or (looks_secret(word[0]) and not _NAME_OF_ELSE.fullmatch(word[0]))):
            yield from _word_from(text, start, word.end())
    elif not sign and _OPTION.search(text, max(after.start() - _NAME_LIMIT, 0), after.start()) is not None:
        yield from _word(text, start)
    elif not sign and (whole := _WHOLE_PROOF.match(text, start)) is not None:
        yield whole.span()


_SPELLED: Final = {
    "\uff1a": ":", "%3a": ":", "&#58;": ":", "&#x3a;": ":", "&colon;": ":", "\u2192": "->",
    "\uff1d": "=", "%3d": "=", "&#61;": "=", "&#x3d;": "=", "&equals;": "=",
}  # fmt: skip
_SETS: Final = frozenset({"=", ":=", "==", "!="})
_COMPARES: Final = frozenset({"==", "!="})
_ASSIGNS: Final = _SETS | {":", "=>", "->", "["}


def _sign_of(told: str) -> str:
    sign = told.split(maxsplit=1)[0] if told.strip() else ""
    for spelled, meant in _SPELLED.items():
        if sign.startswith(spelled):
            return meant
    if sign.startswith("\\") and (escaped := sign.lstrip("\\")[:5]) in ("u003a", "u003d"):
        return ":" if escaped == "u003a" else "="
    if sign.startswith(",") and told.rstrip().endswith(":"):
        return "="
    return sign[:2] if sign[:2] in _ASSIGNS else sign[:1] if sign[:1] in _ASSIGNS else sign


def _proof_of(text: str, after: re.Match[str]) -> re.Match[str] | None:
    # `\\x8e\\x35…` is a value and not what a repr makes of what is invisible.
    hidden = after.start("hidden")
    return (_PROOF.match(text, hidden) if hidden >= 0 else None) or _PROOF.match(text, after.end())


def _is_other_of_pair(text: str, quoted: re.Match[str], *, is_proof: bool) -> bool:
    """Whether what stands beside a name, as in `("token", "…")`, is its value and not the next key."""
    value = quoted[quoted.lastindex or 0]
    if is_proof and _PROOF.match(value) is None:
        return False
    return (
        looks_secret(value)
        and not _NAME_OF_ELSE.fullmatch(value)
        and re.compile(r"\s?[:=]").match(text, quoted.end()) is None
    )


def _quoted(text: str, quoted: re.Match[str]) -> Iterator[Span]:
    yield quoted.span(quoted.lastindex or 0)
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
    first = words[0].rstrip(";,.")
    if scheme is None:
        if (not looks_secret(first) or _NAME_OF_ELSE.fullmatch(first)) and _COOKIE.match(first) is None:
            return
    elif (_NAME_OF_ELSE.fullmatch(first) or (first.isalpha() and not looks_secret(first))) and (
        len(words) > 1 or scheme[0].strip() not in _SCHEMES or _REFERENCE.fullmatch(first)
    ):
        # Prose about a header: a scheme that is known is followed by one word, which is its value.
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
            if len(expected) == _DEPTH_LIMIT:
                break
            expected.append(_CLOSING[bracket[0]])
        elif expected and bracket[0] == expected[-1]:
            expected.pop()
            if not expected:
                return bracket.end()
    newline = text.find("\n", start, limit)
    return limit if newline < 0 else newline
