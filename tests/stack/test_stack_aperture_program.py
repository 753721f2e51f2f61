"""The gateway as a program: how it starts, how it refuses, and what outlives it."""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aperture_conformance import (
    Seller,
    ask,
    bought,
    challenge,
    free_port,
    gateway,
    until_listening,
)

from pytest_l402.harness.child_process import ChildProcess
from pytest_l402.harness.clock import StackClock, SystemClock
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import Request, Response
from pytest_l402.protocol import decode_invoice
from pytest_l402.stack.aperture.program import CannotStart, run_gateway

SERVICES = """\
services:
  - name: paid
    hostregexp: '.*'
    pathregexp: '^/paid'
    address: "127.0.0.1:{port}"
    protocol: http
    auth: "on"
    price: 5
  - name: free
    hostregexp: '.*'
    pathregexp: '^/free'
    address: "127.0.0.1:{port}"
    protocol: http
    auth: "off"
    headers: {{X-Key: "k ${{KEY}}"}}
"""


def test_a_service_that_is_slow_holds_nobody_else_up(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow:
        def handle(self, request: Request) -> Response:
            if request.path == "/free/slow":
                entered.set()
                go_on.wait(30)
            return Response(200, (), b"there")

    with Seller() as seller, LoopbackServer(Slow(), one_at_a_time=False) as slow:
        services = SERVICES.format(port=slow.url.rpartition(":")[2]).replace("${KEY}", "x")
        settings = seller.settings(tmp_path, free_port()) + services
        with gateway(tmp_path, settings, None, SystemClock()) as port, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, port, "GET", "/free/slow")
            assert entered.wait(30)
            assert ask(port, "GET", "/free/quick")[2] == b"there"
            go_on.set()
            assert waiting.result()[0] == 200


@pytest.mark.parametrize(
    ("flags", "settings", "said"),
    [
        (["--configfile=nowhere.yaml"], "", "nowhere.yaml: No such file or directory"),
        (["--config=x"], "", "unknown flag --config=x; the flags here are --configfile"),
        ([], "services: [", "unable to start aperture: [2:1] "),
        ([], "servicess: []", "unable to start aperture: [1:1] invalid authenticator configuration"),
        ([], "tls", "insecure: expected true; TLS is not played here"),
        ([], "authenticator.enablempp", "authenticator.enablempp: expected false"),
        ([], "dbbackend", "dbbackend: expected sqlite, saw 'postgres'"),
        ([], "unset", "environment variable KEY referenced in a service header is not set"),
        ([], "taken", "Address already in use"),
        ([], "database", "unable to open database file"),
    ],
)
def test_it_does_not_start_and_says_why(tmp_path: Path, flags: list[str], settings: str, said: str) -> None:
    with Seller() as seller:
        port = int(seller.backend) if settings == "taken" else free_port()
        good = seller.settings(tmp_path, port) + SERVICES.format(port=seller.backend)
        text = {
            "tls": good.replace("insecure: true", "insecure: false"),
            "authenticator.enablempp": good.replace("authenticator:", "authenticator:\n  enablempp: true"),
            "dbbackend": good.replace('dbbackend: "sqlite"', "dbbackend: postgres"),
            "unset": good,
            "taken": good,
            "database": good,
        }.get(settings, settings)
        path = tmp_path / "aperture.yaml"
        path.write_text(text)
        database = tmp_path / "none/aperture.db" if settings == "database" else tmp_path / "aperture.db"
        environment = {} if settings == "unset" else {"KEY": "k"}
        given = flags or [f"--configfile={path}", f"--sqlite.dbfile={database}"]
        with pytest.raises(CannotStart) as refused:
            run_gateway(given, environment)
    [line] = str(refused.value).splitlines()
    assert said in line


def program(folder: Path) -> ChildProcess:
    command = [sys.executable, "-m", "pytest_l402", "gateway"]
    flags = [f"--configfile={folder / 'aperture.yaml'}", f"--sqlite.dbfile={folder / 'aperture.db'}"]
    env = {"HOME": str(folder), "KEY": "k", "PATH": "/usr/bin:/bin"}
    # Nobody reads its log while it runs.
    return ChildProcess([*command, *flags], env=env, stop_signal=signal.SIGTERM, output=folder / "log")


@pytest.mark.slow
def test_no_credential_that_was_handed_out_is_lost_by_kills(tmp_path: Path) -> None:
    chance = random.Random(402)
    handed_out: list[tuple[str, str]] = []
    with Seller() as seller:
        port = free_port()
        settings = seller.settings(tmp_path, port) + SERVICES.format(port=seller.backend)
        (tmp_path / "aperture.yaml").write_text(settings)

        def buy_until_it_is_gone() -> list[tuple[str, str]]:
            found: list[tuple[str, str]] = []
            try:
                while True:
                    found.append(bought(seller.node, port, "/paid/x"))
            except (OSError, IndexError, StopIteration, ValueError):
                return found

        for _ in range(100):
            with program(tmp_path) as child, ThreadPoolExecutor(2) as pool:
                until_listening(child, port)
                for macaroon, preimage in handed_out[-20:]:
                    proof = [("Authorization", f"L402 {macaroon}:{preimage}")]
                    assert ask(port, "GET", "/paid/x", proof)[0] == 200
                buyers = [pool.submit(buy_until_it_is_gone) for _ in range(2)]
                for _ in range(chance.randrange(1, 30)):
                    ask(port, "GET", "/free/x")
                child.sigkill()
                handed_out += [each for buyer in buyers for each in buyer.result()]
        with program(tmp_path) as child:
            until_listening(child, port)
            for macaroon, preimage in handed_out:
                proof = [("Authorization", f"L402 {macaroon}:{preimage}")]
                assert ask(port, "GET", "/paid/x", proof)[0] == 200
    assert len(handed_out) > 100


def test_the_seller_gets_the_headers_of_the_file_in_place_of_the_client_s(tmp_path: Path) -> None:
    with Seller() as seller:
        services = SERVICES.format(port=seller.backend).replace("${KEY}", "v")
        settings = seller.settings(tmp_path, free_port()) + services
        with gateway(tmp_path, settings, None, SystemClock()) as port:
            saw = json.loads(ask(port, "GET", "/free/x", [("x-key", "mine"), ("X-Key", "too")])[2])
    assert [line for line in saw["headers"] if line[0] == "x-key"] == [["x-key", "k v"]]


def test_with_strictverify_an_invoice_of_lnd_has_to_be_settled(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    from pytest_l402.stack.aperture.lnd_face import LndFace

    with Seller() as seller:
        face = LndFace(seller.node, tmp_path).start()
        try:
            wavelength = seller.settings(tmp_path, free_port()).splitlines()
            lnd = [f'  {key}: "{value}"' for key, value in face.settings.items()]
            services = SERVICES.format(port=seller.backend).replace("${KEY}", "x")
            settings = "\n".join([*wavelength[:-1], *lnd, "strictverify: true", services])
            with gateway(tmp_path, settings, None, StackClock(SystemClock().now_ms())) as port:
                macaroon, bolt11 = challenge(port, "/paid/x")
                payment_hash = decode_invoice(bolt11).payment_hash.hex()
                preimage = seller.node._held[payment_hash].preimage.hex()
                proof = [("Authorization", f"L402 {macaroon}:{preimage}")]
                assert ask(port, "GET", "/paid/x", proof)[0] == 402
                seller.node.settle(payment_hash)
                for _ in range(200):
                    status = ask(port, "GET", "/paid/x", proof)[0]
                    if status == 200:
                        break
                assert status == 200
        finally:
            face.stop()
