"""Asks a gateway what a real Aperture was asked, and writes its answers down as those were written down."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import signal
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pytest_l402.harness.child_process import ChildProcess
from pytest_l402.harness.clock import Clock, SystemClock
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol import Macaroon, decode_invoice, mint
from pytest_l402.stack.aperture.program import CannotStart, serving
from pytest_l402.stack.aperture.wavelength_face import WavelengthFace
from pytest_l402.stack.gateway.lightning_node import LightningNode

Lines = list[tuple[str, str]]
BOUGHT_AT = {
    "paid": "/paid/x",
    "exp": "/exp/x",
    "short": "/short/x",
    "pre2": "/pre2/x",
    "default": "/default",
}
# What no two runs have alike, and what only ours adds.
LEFT_OUT = {"date", "x-oa-request-id", "connection", "server", "content-length"}
NOT_SEEN = {("content-length", "0"), ("user-agent", "")}


class Service:
    """The service behind the gateway: it says what it saw."""

    def handle(self, request: Request) -> Response:
        query = "?" if request.query or request.bare_question else ""
        target = request.path + query + request.query
        found = re.search(r"/status/(\d+)", target)
        saw = {
            "method": request.method,
            "target": target,
            "headers": sorted([k.lower(), v] for k, v in request.headers if k.lower() != "connection"),
            "body": request.body.decode("latin1"),
        }
        lines = [("Content-Type", "application/json")]
        if "/cors" in target:
            lines += [
                ("Access-Control-Allow-Origin", "https://shop.example"),
                ("Access-Control-Allow-Methods", "PUT"),
                ("Access-Control-Expose-Headers", "X-Mine"),
            ]
        if "/setid" in target:
            lines += [("X-Mine", "1"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")]
            lines += [("Cache-Control", "max-age=60")]
        return Response(int(found[1]) if found else 200, tuple(lines), json.dumps(saw).encode())


class Seller:
    """A service and a node that makes the invoices for it."""

    def __init__(self) -> None:
        self.node = LightningNode(Harness(clock=SystemClock()))
        self._service = LoopbackServer(Service(), host="svc.test")
        self._face = WavelengthFace(self.node)

    def __enter__(self) -> Seller:
        self._service.start()
        self._face.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._face.stop()
        self._service.stop()

    @property
    def backend(self) -> str:
        """The service's port."""
        return self._service.url.rpartition(":")[2]

    def settings(self, folder: Path, port: int) -> str:
        """The settings of a gateway that is asked at `port`, without its services."""
        return (
            f'listenaddr: "127.0.0.1:{port}"\ninsecure: true\nbasedir: "{folder}"\ndbbackend: "sqlite"\n'
            f'authenticator:\n  network: "regtest"\n  wavelengthgateway: "{self._face.url}"\n'
        )


@contextmanager
def gateway(folder: Path, settings: str, program: str | None, clock: Clock) -> Iterator[int]:
    """Run a gateway with these settings, ours in this process or a program; yields where it listens.

    Raises:
        CannotStart: it does not start; `code` is that of its end.
    """
    found = re.search(r"^listenaddr: .*:([0-9]+)", settings, re.MULTILINE)
    assert found is not None
    port = int(found[1])
    path = folder / "aperture.yaml"
    path.write_text(settings)
    flags = [f"--configfile={path}", f"--sqlite.dbfile={folder / 'aperture.db'}"]
    if program is None:
        with serving(flags, {}, clock):
            yield port
        return
    child = ChildProcess(
        [program, *flags], env={"HOME": str(folder), "PATH": os.environ["PATH"]}, stop_signal=signal.SIGTERM
    )
    with child:
        until_listening(child, port)
        yield port


def until_listening(child: ChildProcess, port: int) -> None:
    """Wait until a program answers; raises `CannotStart` when it has ended."""
    for _ in range(1_000):
        if child.ended is not None:
            raise CannotStart(str(child.ended), child.ended.code or 1)
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        threading.Event().wait(0.02)
    raise CannotStart("it does not listen")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(
    port: int,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    host: str = "svc.test",
) -> tuple[int, Lines, bytes]:
    """Send one request as it stands, and return status, header lines and body of the answer."""
    lines = list(headers)
    text = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines)
    if body and not any(k.lower() in ("content-length", "transfer-encoding") for k, _ in lines):
        text += f"Content-Length: {len(body)}\r\n"
    data = b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall((text + "Connection: close\r\n\r\n").encode("latin1") + body)
        while part := connection.recv(65536):
            data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *others = head.decode("latin1").split("\r\n")
    named = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in others)]
    if ("transfer-encoding", "chunked") in named:
        rest = joined(rest)
    return int(first.split()[1]), named, rest


def joined(chunks: bytes) -> bytes:
    out = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        if not (length := int(size, 16)):
            break
        out, chunks = out + rest[:length], rest[length + 2 :]
    return out


def challenge(port: int, target: str) -> tuple[str, str]:
    lines = ask(port, "GET", target)[1]
    offer = next(v for k, v in lines if k == "www-authenticate" and v.startswith("L402"))
    found = re.search(r'macaroon="([^"]+)", invoice="([^"]+)"', offer)
    assert found is not None
    return found[1], found[2]


def bought(node: LightningNode, port: int, target: str) -> tuple[str, str]:
    """Buy at `target`; returns macaroon and preimage."""
    macaroon, bolt11 = challenge(port, target)
    return macaroon, node.settle(decode_invoice(bolt11).payment_hash.hex()).hex()


def normal(status: int, lines: Lines, body: bytes) -> dict[str, Any]:
    """Return an answer without what differs each time: caveats for a macaroon, msats for an invoice."""
    kept: dict[str, list[str]] = defaultdict(list)
    for name, value in lines:
        if name in LEFT_OUT:
            continue
        if name == "www-authenticate":
            value = re.sub(r'macaroon="([^"]*)"', lambda m: f'macaroon="{caveats(m[1])}"', value)
            value = re.sub(r'invoice="([^"]*)"', lambda m: f"invoice={msats(m[1])}", value)
        kept[name].append(value)
    out: dict[str, Any] = {"status": status, "headers": dict(sorted(kept.items()))}
    try:
        saw = json.loads(body)
        saw["headers"] = sorted(filter(None, map(seen_line, saw["headers"])))
        out["service_saw"] = saw
    except (ValueError, TypeError, LookupError):
        out["body"] = body.decode("latin1")[:200]
    found: dict[str, Any] = json.loads(json.dumps(out))
    return found


def msats(bolt11: str) -> int | None:
    return decode_invoice(bolt11).amount_msats


def caveats(macaroon: str) -> list[bytes]:
    found = Macaroon.from_base64(macaroon).caveats
    return [re.sub(rb"=\d+$", b"=T", caveat) if b"valid_until" in caveat else caveat for caveat in found]


def seen_line(line: list[str]) -> list[str] | None:
    name, value = line
    if name in ("x-oa-request-id", "x-oa-task-id", "host") or (name, value) in NOT_SEEN:
        return None
    if name in ("macaroon", "grpc-metadata-macaroon"):
        return None
    if name == "authorization":
        pattern = r"^(L402|LSAT) ([A-Za-z0-9+/=_-]+):([0-9a-fA-F]*)$"
        value = re.sub(pattern, lambda m: f"{m[1]} MAC:{len(m[3])}", value)
        # One that was passed on as it came is another each time, and was written down by its length.
        return None if len(value) >= 60 else [name, value]
    return [name, value]


def recorded(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a real Aperture, with the lines left out that are not compared."""
    saw = answer.get("service_saw")
    if saw is None:
        return answer
    dropped = ("macaroon", "grpc-metadata-macaroon")
    kept = [line for line in saw["headers"] if line[0] not in dropped and "…" not in line[1]]
    return {**answer, "service_saw": {**saw, "headers": kept}}


def presented(case: dict[str, Any], wallet: dict[str, tuple[str, str]]) -> Lines:
    """Return the header lines that carry the credential of a case, none when it has none."""
    asked = case["request"].get("credential")
    if asked is None:
        return []
    macaroon, preimage = altered(*wallet[asked["bought_for"]], asked["made"], asked["seed"])
    return header_lines(macaroon, preimage, asked["form"])


def altered(macaroon: str, preimage: str, made: str, seed: int) -> tuple[str, str]:
    raw, chance = base64.b64decode(macaroon), random.Random(seed)

    def encode(data: bytes) -> str:
        return base64.b64encode(data).decode()

    if made == "cut":
        return encode(raw[: chance.randrange(len(raw))]), preimage
    if made == "flip":
        data, place = bytearray(raw), chance.randrange(len(raw))
        data[place] ^= 1 << chance.randrange(8)
        return encode(bytes(data)), preimage
    genuine = Macaroon.from_base64(macaroon)
    signature = genuine.signature[:-1] + bytes([genuine.signature[-1] ^ 1])
    resigned = Macaroon(genuine.location, genuine.identifier, genuine.caveats, signature)
    reforged = mint(b"\x99" * 32, genuine.identifier, genuine.location, genuine.caveats)
    ways: dict[str, Callable[[], tuple[str, str]]] = {
        "good": lambda: (macaroon, preimage),
        "wrongpre": lambda: (macaroon, "11" * 32),
        "tampered": lambda: (resigned.to_base64(), preimage),
        "forged": lambda: (reforged.to_base64(), preimage),
        "nopad": lambda: (macaroon.rstrip("="), preimage),
        "hexmac": lambda: (raw.hex(), preimage),
        "upperpre": lambda: (macaroon, preimage.upper()),
        "shortpre": lambda: (macaroon, preimage[:-2]),
        "longpre": lambda: (macaroon, preimage + "00"),
        "nopre": lambda: (macaroon, ""),
        "badpre": lambda: (macaroon, "zz" * 32),
        "attenuated": lambda: (genuine.attenuate(b"foo=bar").to_base64(), preimage),
        "trail": lambda: (encode(raw + b"\0"), preimage),
        "twice": lambda: (encode(raw + raw), preimage),
        "spaced": lambda: (" " + macaroon, preimage),
        "empty": lambda: ("", preimage),
    }
    return ways[made]()


def header_lines(macaroon: str, preimage: str, form: str) -> Lines:
    try:
        hexed = base64.b64decode(macaroon + "==").hex()
    except ValueError:
        hexed = "zz"
    one, basic = f"{macaroon}:{preimage}", ("Authorization", "Basic eHg6eXk=")

    def line(text: str) -> Lines:
        return [("Authorization", text)]

    return {
        "L402": line(f"L402 {one}"),
        "LSAT": line(f"LSAT {one}"),
        "lower": [("authorization", f"l402 {one}")],
        "two": line(f"LSAT {one}") + line(f"L402 {one}"),
        "basicfirst": [basic, *line(f"L402 {one}")],
        "basiclast": [*line(f"L402 {one}"), basic],
        "badfirst": line(f"L402 {macaroon}x:{preimage}") + line(f"L402 {one}"),
        "grpcmeta": [("Grpc-Metadata-Macaroon", hexed)],
        "mac": [("Macaroon", hexed)],
        "macboth": [*line(f"L402 {one}"), ("Macaroon", hexed)],
        "blank2": line(f"L402  {one}"),
        "tab": line(f"L402\t{one}"),
        "tail": line(f"L402 {one} "),
        "comma": line(f"L402 {one}, Basic eHg6eXk="),
        "multi": line(f"L402 {macaroon},{one}"),
        "noscheme": line(one),
        "bearer": line(f"Bearer {one}"),
        "kv": line(f'L402 macaroon="{macaroon}", preimage="{preimage}"'),
        "colons": line(f"L402 {one}:{preimage}"),
        "prefixed": line(f"xL402 {one}"),
        "proxyauth": [("Proxy-Authorization", f"L402 {one}")],
        "glued": line(f"L402{one}"),
        "only": line("L402"),
        "L402:": line(f"L402: {one}"),
    }[form]


def services_yaml(services: list[dict[str, Any]], backend: str) -> str:
    lines = ["services:"]
    for service in services:
        lines += [
            f"  - name: {json.dumps(service['name'])}",
            f"    hostregexp: {json.dumps(service['hostregexp'])}",
            f"    pathregexp: {json.dumps(service['pathregexp'], ensure_ascii=False)}",
            f'    address: "127.0.0.1:{backend}"',
            "    protocol: http",
            f"    auth: {json.dumps(service['auth'])}",
        ]
        if service["price_sats"] is not None:
            lines.append(f"    price: {service['price_sats']}")
        if service["timeout_s"]:
            lines.append(f"    timeout: {service['timeout_s']}")
        if service["capabilities"]:
            lines.append(f"    capabilities: {json.dumps(service['capabilities'])}")
        if service["rewrite_prefix"]:
            lines += ["    rewrite:", f"      prefix: {json.dumps(service['rewrite_prefix'])}"]
        for key in ("authskipinvoicecreationpaths", "authwhitelistpaths"):
            if service[key]:
                lines += [f"    {key}:", *(f"      - {json.dumps(path)}" for path in service[key])]
    return "\n".join(lines)
