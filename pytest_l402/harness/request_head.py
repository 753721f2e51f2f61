"""How the head of an HTTP/1.1 request is read: as Go's server reads it, on which Aperture stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from pytest_l402.harness.network import Header

LONGEST_HEAD: Final = (1 << 20) + 4096
"""How many bytes a head may have; a longer one is answered 431."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION: Final = re.compile(r"HTTP/([0-9])\.([0-9])")
_HOST: Final = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]*)(?::[0-9]*)?")
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_RAW: Final = re.compile("[\x80-\xff]")
_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.DOTALL)
_LENGTH: Final = re.compile("[0-9]{1,19}")
_UNCHANGED: Final = re.compile(r"[A-Za-z0-9\-_.~$&+,/:;=@!'()*\[\]%]*")
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~$&+,/:;=@")


class BadHead(Exception):  # noqa: N818 - an answer, not an error of ours
    """A head that is refused; `line` is what stands behind the version in the answer's first line."""

    def __init__(self, line: str, body: str | None = None) -> None:
        super().__init__(line)
        self.line = line
        self.body = line if body is None else body


@dataclass(frozen=True, slots=True)
class Head:
    """A request up to its body; `target` is as sent, `host` what the request is for, as sent.

    `length` is the body's in bytes, None when it comes in chunks.
    """

    method: str
    target: str
    host: str
    path: str
    query: str
    headers: tuple[Header, ...]
    length: int | None
    keeps_alive: bool
    waits_for_continue: bool


def read_head(data: bytes) -> Head:
    """Return what a head says; `data` ends with its last line, without the empty line.

    Raises:
        BadHead: Go's server refuses it, and with which answer.
    """
    first, *rest = data.decode("latin-1").split("\n")
    method, target, minor = _request_line(first.rstrip("\r"))
    headers = _header_lines(rest)
    hosts = [value for name, value in headers if name.lower() == "host"]
    if len(hosts) > 1:
        raise _bad()
    authority, path, query = _target(method, target)
    if minor and not hosts and method != "CONNECT":
        raise _bad("missing required Host header")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise _bad("malformed Host header")
    host = authority or next(iter(hosts), "")
    # Any Host line is ignored beside a target that names one. Source: RFC 9112, 3.2.2.
    expects = {text.lower() for text in _values(headers, "expect") if text}
    if expects and expects != {"100-continue"}:
        raise BadHead("417 Expectation Failed", "")
    named = tuple(("Host", host) if name.lower() == "host" else (name, value) for name, value in headers)
    connection = {word.strip().lower() for text in _values(headers, "connection") for word in text.split(",")}
    return Head(
        method,
        target,
        host,
        path,
        query,
        named,
        _length(headers, minor),
        "close" not in connection if minor else "keep-alive" in connection,
        bool(minor and expects),
    )


def as_forwarded(path: str) -> str:
    """Return a path as Go sends it on: as it came if it is spelled well, else decoded and escaped anew."""
    return path if _UNCHANGED.fullmatch(path) else _escaped_anew(path)


def _escaped_anew(path: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in unquote_to_bytes(path))


def joined_path(prefix: str, path: str) -> str:
    """Return `path` behind `prefix`, cleaned of `//`, `.` and `..`; a slash at the end stays.

    Source: Go, URL.JoinPath. `..` leads out of the prefix.
    """
    clean: list[str] = []
    for part in f"{_escaped_anew(prefix)}/{path}".split("/"):
        if part == "..":
            clean = clean[:-1]
        elif part not in ("", "."):
            clean.append(part)
    end = "/" if path.endswith("/") and clean else ""
    return as_forwarded("/" + "/".join(clean) + end)


def _bad(reason: str = "") -> BadHead:
    return BadHead(f"400 Bad Request: {reason}" if reason else "400 Bad Request")


def _request_line(line: str) -> tuple[str, str, int]:
    method, _, rest = line.partition(" ")
    target, _, version = rest.partition(" ")
    if not _TOKEN.fullmatch(method):
        raise _bad()
    spoken = _VERSION.fullmatch(version)
    if spoken is None:
        raise _bad()
    if spoken[1] != "1":
        raise BadHead("505 HTTP Version Not Supported: unsupported protocol version")
    return method, target, int(spoken[2])


def _target(method: str, target: str) -> tuple[str, str, str]:
    """Return authority, path and query; the authority is empty where the target names none."""
    if not target or _CONTROL.search(target) or "\t" in target:
        raise _bad()
    if target == "*":
        return "", "*", ""
    rest, authority = target, ""
    if method == "CONNECT" and not target.startswith("/"):
        rest = f"http://{target}"
    scheme = _SCHEME.fullmatch(rest)
    if scheme is not None:
        rest = scheme[2]
        if rest.startswith("//"):
            authority, slash, after = rest[2:].partition("/")
            authority, question, asked = authority.partition("?")
            authority = authority.rpartition("@")[2]
            rest = slash + after if slash else question + asked
            if not _AUTHORITY.fullmatch(authority):
                raise _bad()
    elif not target.startswith("/"):
        raise _bad()
    path, _, query = rest.partition("?")
    if _ESCAPE.search(path):
        raise _bad()
    # What is no ASCII is a byte as it came, not a character.
    return authority, _RAW.sub(lambda byte: f"%{ord(byte[0]):02X}", path) or "/", query


def _header_lines(lines: list[str]) -> list[Header]:
    headers: list[Header] = []
    for number, line in enumerate(lines):
        text = line.rstrip("\r")
        if text[:1] in (" ", "\t"):
            if number == 0 or not headers:
                raise _bad()
            name, value = headers.pop()
            headers.append((name, f"{value} {text.strip()}"))
            continue
        name, colon, value = text.partition(":")
        value = value.strip(" \t")
        if not colon or not name or name != name.rstrip() or _CONTROL.search(value):
            raise _bad()
        if not _TOKEN.fullmatch(name):
            raise _bad()
        headers.append((name, value))
    return headers


def _values(headers: list[Header], wanted: str) -> list[str]:
    return [value for name, value in headers if name.lower() == wanted]


def _length(headers: list[Header], minor: int) -> int | None:
    # In HTTP/1.0 there are no chunks, and the line is ignored.
    encodings = _values(headers, "transfer-encoding") if minor else []
    if encodings and [text.lower() for text in encodings] != ["chunked"]:
        raise BadHead("501 Not Implemented", "Unsupported transfer encoding")
    if encodings:
        return None
    lengths = set(_values(headers, "content-length"))
    if not lengths:
        return 0
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise _bad()
    return int(length)
