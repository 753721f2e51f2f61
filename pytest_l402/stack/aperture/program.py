"""`pytest-l402 gateway`: the stack's gateway as a process that is started, and stopped, as Aperture is."""

from __future__ import annotations

import dataclasses
import re
import signal
import sqlite3
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Protocol

from pytest_l402.boundary import printable
from pytest_l402.boundary.text_safety import steerless
from pytest_l402.harness.clock import Clock, SystemClock
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Journal
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import App, NetworkUnreachable, Request, Response
from pytest_l402.harness.randomness import SystemRandomness
from pytest_l402.ops.aperture.decoding import Section, decode
from pytest_l402.ops.aperture.shape import FILE
from pytest_l402.ops.aperture.starting import prevented
from pytest_l402.stack.aperture.backend import HttpBackend
from pytest_l402.stack.aperture.root_keys import StoredRootKeys
from pytest_l402.stack.aperture.services_as_written import service_as_written
from pytest_l402.stack.aperture.unsupported import unsupported
from pytest_l402.stack.gateway.lightning_node import Invoices, NodeUnavailable
from pytest_l402.stack.gateway.profile import GatewayProfile
from pytest_l402.stack.gateway.proxy import ProxyGateway

_ENDS: Final = (signal.SIGTERM, signal.SIGINT)
_FLAG: Final = re.compile(r"--?([a-z.]+)(?:=(.*))?", re.DOTALL)
_FLAGS: Final = {
    "configfile": ("configfile",),
    "basedir": ("basedir",),
    "listenaddr": ("listenaddr",),
    "insecure": ("insecure",),
    "debuglevel": ("debuglevel",),
    "dbbackend": ("dbbackend",),
    "strictverify": ("strictverify",),
    "sqlite.dbfile": ("sqlite", "databasefilename"),
}


class CannotStart(Exception):  # noqa: N818 - the name of the condition
    """Why the gateway does not start, in one line, and the code with which Aperture ends."""

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(reason)
        self.code = code


class Closing(Invoices, Protocol):
    """Who makes invoices, over connections that are closed at the end."""

    def close(self) -> None:
        """Close them."""


def run_gateway(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Sell what the file says until SIGTERM or SIGINT, and return the exit code.

    Raises:
        CannotStart: the flags, or the file, are none to start with.
    """
    # Blocked in every thread that comes: a handler would run in the main one alone, which waits for a lock.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        with serving(arguments, environment, SystemClock()) as server:
            _say(f"listening on {server.url}")
            signal.sigwait(_ENDS)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


@contextmanager
def serving(
    arguments: Sequence[str], environment: Mapping[str, str], clock: Clock
) -> Iterator[LoopbackServer]:
    """Sell what the file says inside the block; yields the server that listens.

    Raises:
        CannotStart: the flags, or the file, are none to start with.
    """
    root = _settings(arguments, environment)
    with ExitStack() as opened:
        server = _server(root, clock, opened)
        opened.callback(server.stop)
        yield server


def _settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Section:
    given = _flags(arguments)
    folder = Path(given.get("basedir") or Path.home() / ".aperture").expanduser()
    named = given.get("configfile")
    path = Path(named).expanduser() if named else folder / "aperture.yaml"
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise CannotStart(f"unable to parse config file: {path}: {why}") from None
    decoded = decode(text, FILE)
    root = _with_flags(decoded.root, given)
    for refused in prevented(dataclasses.replace(decoded, root=root), environment):
        at = f"[{refused.place.line}:{refused.place.column}] "
        raise CannotStart(f"unable to start aperture: {at}{refused.reason}", refused.code)
    for line in unsupported(root):
        raise CannotStart(f"{path}: {line}")
    return root


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        found = _FLAG.fullmatch(argument)
        if found is None or found[1] not in _FLAGS:
            known = ", ".join(f"--{name}" for name in _FLAGS)
            raise CannotStart(f"unknown flag {printable(argument)}; the flags here are {known}")
        value = found[2]
        if value is None and found[1] not in ("insecure", "strictverify") and rest:
            value = rest.pop(0)
        given[found[1]] = "true" if value is None else value
    return given


def _with_flags(root: Section, given: Mapping[str, str]) -> Section:
    values: dict[str, Any] = dict(root.values)
    for name, value in given.items():
        key, *inner = _FLAGS[name]
        if inner:
            held = root.section(key)
            values[key] = Section(held.place, {**held.values, inner[0]: value}, held.places)
        else:
            values[key] = value == "true" if name in ("insecure", "strictverify") else value
    return Section(root.place, values, root.places, root.written)


def _server(root: Section, clock: Clock, opened: ExitStack) -> LoopbackServer:
    database = Path(
        root.section("sqlite").text("databasefilename") or _base(root) / "aperture.db"
    ).expanduser()
    try:
        keys = StoredRootKeys(database)
        opened.callback(keys.close)
        services = [service_as_written(service) for service in root.sections("services")]
        invoices = _invoices(root.section("authenticator"), root.flag("strictverify"))
    except sqlite3.Error as error:
        raise CannotStart(f"unable to start aperture: {database}: {error}") from None
    except (OSError, ValueError, NodeUnavailable) as error:
        raise CannotStart(f"unable to start aperture: {error}") from None
    opened.callback(invoices.close)
    harness = Harness(clock=clock, randomness=SystemRandomness())
    harness.journal = _Log(harness.clock)
    gateway = ProxyGateway(
        harness,
        services,
        node=invoices,
        seller_api=HttpBackend(),
        profile=GatewayProfile("aperture", strict_verify=root.flag("strictverify")),
        blocklist=filter(_is_address, root.texts("blocklist")),
        root_keys=keys,
    )
    host, _, port = root.text("listenaddr").rpartition(":")
    address = (host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - what `:8081` means to Aperture
    try:
        return LoopbackServer(_Told(gateway), one_at_a_time=False, address=address).start()
    except OSError as error:
        raise CannotStart(f"listen tcp {host}:{port}: {error.strerror or error}") from None


def _base(root: Section) -> Path:
    return Path(root.text("basedir") or Path.home() / ".aperture")


def _invoices(authenticator: Section, verifies: bool) -> Closing:
    if authenticator.text("wavelengthgateway"):
        from pytest_l402.stack.aperture.wavelength import WavelengthInvoices

        path = authenticator.text("wavelengthmacaroonpath")
        return WavelengthInvoices(
            authenticator.text("wavelengthgateway"), Path(path).read_bytes().hex() if path else ""
        )
    from pytest_l402.stack.aperture.lnd import LndInvoices

    made = LndInvoices(
        authenticator.text("lndhost"),
        Path(authenticator.text("tlspath")).expanduser(),
        Path(authenticator.text("macdir")).expanduser() / "invoice.macaroon",
    )
    if verifies:
        made.follow()
    return made


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        _say(f"Could not parse IP {text!r} in blocklist; skipping")
        return False
    return True


class _Told:
    """The gateway, with a line in the log for a defect of it: the client gets a 500."""

    def __init__(self, gateway: App) -> None:
        self._gateway = gateway

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return self._gateway.handle(request)
        except NetworkUnreachable:
            raise
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            _say(f"defect: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")
            return Response(500, (("Content-Type", "text/plain"),), b"defect of the gateway\n")


class _Log(Journal):
    """Says each line of the log, and keeps nothing: a process may run for months."""

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Print a line of the log; leave out the rest."""
        if table == "logs":
            _say(str(row["line"]))


def _say(line: str) -> None:
    from pytest_l402.boundary import redact_text

    print(steerless(redact_text(line)), file=sys.stdout, flush=True)
