"""What a file of Aperture's does to its operator: each hazard, where it stands, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from pytest_l402.boundary.text_safety import closest_name
from pytest_l402.ops.aperture.decoding import Decoded, Section, Unread, decode
from pytest_l402.ops.aperture.finding import Finding
from pytest_l402.ops.aperture.order import order_hazards
from pytest_l402.ops.aperture.service_hazards import hazards_of
from pytest_l402.ops.aperture.shape import FILE
from pytest_l402.ops.aperture.starting import is_fragment, is_off, prevented

_ELSEWHERE: Final = {("sqlite", "dbfile"): "databasefilename"}
"""Keys that Aperture's own sample writes, and the ones that it reads."""


def lint(text: str, path: Path | None = None) -> tuple[Finding, ...]:
    """Return what a real Aperture does with this file that its operator did not mean, in the file's order.

    `path` is where the file stands, for what is served from its folder.
    """
    decoded = decode(text, FILE)
    found = [
        Finding(
            "does-not-start", refused.place, f"Aperture does not start: {refused.reason}", "correct the value"
        )
        for refused in prevented(decoded)
    ]
    found += map(_unread, decoded.unread)
    found += _root_hazards(decoded, path)
    services = decoded.root.sections("services")
    for service in services:
        found += hazards_of(service)
    found += order_hazards(services)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (one.place, one.code)))


def _unread(unread: Unread) -> Finding:
    known = unread.known
    meant = _ELSEWHERE.get((unread.section, unread.key))
    if meant:
        says = f"the key {unread.key!r} is not read, and the database is at its default place"
        return Finding("database-elsewhere", unread.place, says, f"write {meant}", unread.key)
    lower = unread.key.lower().replace("_", "").replace("-", "")
    close = lower if lower in known else closest_name(lower, known)
    remedy = f"write {close}" if close else f"take it out; the keys there are {', '.join(known)}"
    where = f" in {unread.section}" if unread.section else ""
    says = f"the key {unread.key!r}{where} is read over without a word"
    return Finding("key-not-read", unread.place, says, remedy, unread.key)


def _root_hazards(decoded: Decoded, path: Path | None) -> Iterator[Finding]:
    root = decoded.root
    for number, entry in enumerate(root.texts("blocklist")):
        if not _is_address(entry):
            says = f"{entry!r} is no single address: Aperture skips it, and nobody is blocked"
            remedy = "write each address; block networks in front of Aperture"
            yield Finding("blocks-nobody", root.at(f"blocklist[{number}]"), says, remedy, entry)
    if root.flag("servestatic") and root.text("staticroot"):
        yield from _static_hazards(root, path)
    services = root.sections("services")
    if root.section("authenticator").flag("disable") and not all(map(is_off, services)):
        says = "a request to a service with auth on gets its connection dropped, without an answer"
        remedy = 'write auth: "off" in each service, or take `disable` out'
        yield Finding("cannot-challenge", root.section("authenticator").at("disable"), says, remedy)
    if is_fragment(root):
        return
    if not root.text("dbbackend"):
        says = "without dbbackend Aperture takes etcd: it starts, and the first challenge hangs"
        yield Finding("hangs", root.at("authenticator"), says, 'write dbbackend: "sqlite"')
    if not services:
        says = "it sells nothing: every request is answered 404"
        yield Finding("cannot-deliver", root.at("services"), says, "write at least one service")


def _static_hazards(root: Section, path: Path | None) -> Iterator[Finding]:
    here = path.resolve().parent if path is not None else Path.cwd()
    served = (here / root.text("staticroot")).resolve()
    database = root.section("sqlite").text("databasefilename")
    # Its default is the user's folder for applications, which nobody serves.
    secret = {
        "this file": path.resolve() if path is not None else None,
        "the database with all root keys": (here / database).resolve() if database else None,
        "everything of Aperture's": (here / root.text("basedir")).resolve() if root.text("basedir") else None,
    }
    for name, place in secret.items():
        if place is not None and (served == place or served in place.parents):
            says = f"staticroot {root.text('staticroot')!r} has {name} in it, and serves it to anybody"
            remedy = "serve a folder of its own, with nothing else in it"
            yield Finding("serves-its-own-files", root.at("staticroot"), says, remedy, name)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text
