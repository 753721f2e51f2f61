"""What workers meet outside: a seller that wants proof, a wallet with a key, points, a collector."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import pytest

from pytest_l402.harness.network import Request
from pytest_l402.harness.randomness import SeededRandomness
from pytest_l402.protocol import Preimage, format_credential, parse_challenges, preferred
from pytest_l402.workflow.points import NotReached, Points
from pytest_l402.workflow.seller import CannotPay, Seller
from pytest_l402.workflow.spans import SpanCollector, SpansUnreadable, read_spans
from pytest_l402.workflow.wallet import Wallet

CALL = {"workflowID": "run-1", "point": "begin", "step": "pay"}


@pytest.fixture
def seller() -> Seller:
    return Seller(SeededRandomness("seed"), 10_000, 1_735_000_000)


def ask(seller: Seller, credential: str | None = None) -> Any:
    headers = () if credential is None else (("Authorization", credential),)
    return seller.handle(Request("GET", "seller", "/premium", headers=headers))


def offer(seller: Seller) -> Any:
    answer = ask(seller)
    assert answer.status == 402
    return preferred(parse_challenges(answer.headers_of("WWW-Authenticate")))


def test_the_seller_delivers_for_a_payment_and_for_nothing_else(seller: Seller) -> None:
    wallet = Wallet(seller)
    challenge = offer(seller)
    paid = wallet.pay("key", "run-1", challenge.macaroon_base64, challenge.invoice)
    assert ask(seller, format_credential(paid.macaroon, paid.preimage)).status == 200
    assert ask(seller, format_credential(paid.macaroon, Preimage(bytes(32)))).status == 402
    assert ask(seller, format_credential(offer(seller).macaroon_base64, paid.preimage)).status == 402
    assert ask(seller, "L402 nonsense").status == 402
    assert len(seller.deliveries) == 1
    assert paid.preimage.hex() not in repr((paid, seller.deliveries, wallet.receipts, wallet.calls))


def test_the_wallet_pays_once_for_a_key_and_each_time_without_one(seller: Seller) -> None:
    wallet = Wallet(seller)

    def pay(key: str | None) -> str:
        challenge = offer(seller)
        return wallet.pay(key, "run-1", challenge.macaroon_base64, challenge.invoice).payment_hash

    assert pay("root") == pay("root")
    assert (len(wallet.receipts), [call["absorbed"] for call in wallet.calls]) == (1, [False, True])
    assert pay(None) != pay(None)
    assert len(wallet.receipts) == 3


@pytest.mark.parametrize("invoice", ["nonsense", "lnbc1", ""])
def test_no_invoice_of_this_seller_is_paid(seller: Seller, invoice: str) -> None:
    with pytest.raises(CannotPay):
        Wallet(seller).pay("key", "run-1", "macaroon", invoice)


def test_an_invoice_is_paid_once(seller: Seller) -> None:
    wallet, challenge = Wallet(seller), offer(seller)
    wallet.pay(None, "run-1", challenge.macaroon_base64, challenge.invoice)
    with pytest.raises(CannotPay):
        wallet.pay(None, "run-1", challenge.macaroon_base64, challenge.invoice)


def test_a_point_holds_whom_it_is_meant_for_until_it_lets_go() -> None:
    points = Points()
    told: list[str] = []
    with points.held("begin", workflowID="run-1") as hold:
        assert points.passed({**CALL, "workflowID": "run-2"}) == "go"
        caller = threading.Thread(target=lambda: told.append(points.passed(CALL)))
        caller.start()
        assert points.reached(hold)["told"] == "wait"
        # Only the first is held: a second execution goes on.
        assert points.passed(CALL) == "go"
        assert told == []
    caller.join()
    assert told == ["go"]
    assert [call["told"] for call in points.calls] == ["go", "wait", "go"]


def test_a_point_makes_a_body_fail_so_many_times() -> None:
    points = Points()
    with points.failing("begin", times=2):
        assert [points.passed(CALL) for _ in range(3)] == ["fail", "fail", "go"]


def test_what_was_injected_says_how_often_it_fired() -> None:
    points = Points()
    with points.failing("begin", times=2), points.held("left"):
        points.passed(CALL)
    assert points.injected == [
        {"point": "begin", "order": "fail", "times": 2, "fired": 1},
        {"point": "left", "order": "wait", "times": 1, "fired": 0},
    ]


def test_a_wait_that_is_over_names_what_it_waited_for() -> None:
    points = Points()
    with points.held("begin", step="pay") as hold:
        expected = "point begin step=pay: expected a worker to come there within 0.01 s, saw 0 calls"
        with pytest.raises(NotReached, match=expected):
            points.reached(hold, 0.01)


def test_spans_are_read_as_opentelemetry_wrote_them() -> None:
    pb = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    export = pb.ExportTraceServiceRequest()
    span = export.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.parent_span_id, span.name = b"\1" * 16, b"\2" * 8, b"\3" * 8, "pay"
    span.start_time_unix_nano, span.end_time_unix_nano = 1_735_000_000_000_000_000, 1_735_000_000_000_000_001
    values = {"text": "a", "flag": True, "small": -1, "large": 1 << 40, "real": 0.5}
    for key, value in values.items():
        kind = {str: "string", bool: "bool", int: "int", float: "double"}[type(value)]
        setattr(span.attributes.add(key=key).value, f"{kind}_value", value)
    [read] = read_spans(export.SerializeToString())
    assert read == {
        "traceID": "01" * 16, "spanID": "02" * 8, "parentID": "03" * 8, "name": "pay", "attributes": values,
        "startNs": 1_735_000_000_000_000_000, "endNs": 1_735_000_000_000_000_001,
    }  # fmt: skip


def test_a_collector_takes_exports_and_refuses_the_rest() -> None:
    collector = SpanCollector()
    pb = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    export = pb.ExportTraceServiceRequest()
    export.resource_spans.add().scope_spans.add().spans.add().name = "pay"
    body = export.SerializeToString()

    def post(body: bytes, *headers: tuple[str, str]) -> int:
        return collector.handle(Request("POST", "collector", "/v1/traces", headers=headers, body=body)).status

    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(body) + packer.flush()
    gzip = ("Content-Encoding", "gzip")
    assert [post(body), post(packed, gzip), post(b"")] == [200, 200, 200]
    assert [post(body[:-2]), post(b"\x0f"), post(b"no gzip", gzip), post(b"\xff" * 20)] == [400] * 4
    assert [span["name"] for span in collector.spans] == ["pay", "pay"]


@pytest.mark.parametrize("body", [b"\x0a\x05abc", b"\x80" * 12, b"\x0b", b"\x09\0"])
def test_what_is_cut_off_is_told(body: bytes) -> None:
    with pytest.raises(SpansUnreadable):
        list(read_spans(body))
