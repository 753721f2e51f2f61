"""What a deployed system may answer: bad answers end in one line that names it, and leave nothing behind."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hostile_server
import pytest
from hostile_server import Answer, Hostile, hostile, redirects, says
from served_platform import Platform

from pytest_l402.live import Bounds, EnvironmentVariableError, LiveError, LiveSystem, open_live_system
from pytest_l402.ops.reconcile.steps import FailureCode

P = "OA_LIGHTNING_OPS_"
SECRET = "supersecretopsvalue"
TOKEN = "tokenofthegatewayoperations"
PATIENT = Bounds(pauses_s=())
SILENT = PATIENT._replace(read_s=1.0)
ENDLESS = PATIENT._replace(total_s=1.5)

# Name: answer, stable code, and what the line says was seen.
ANSWERS: dict[str, tuple[Answer | None, str, str]] = {
    "silence": (None, "timeout", "none in time"),
    "hangs up": (hostile_server.hangs_up, "unreachable", "RemoteProtocolError"),
    "hangs up midway": (hostile_server.hangs_up_midway, "unreachable", "RemoteProtocolError"),
    "no HTTP": (hostile_server.speaks_no_http, "unreachable", "RemoteProtocolError"),
    "web page": (says(b"<html>hello</html>", kind="text/html"), "not_json", '18 bytes of "text/html"'),
    "HTML called JSON": (says(b"<html>hello</html>"), "not_json", "18 bytes"),
    "empty": (says(b""), "not_json", "0 bytes"),
    "cut off": (says(b'{"ok":true,"paywalls":['), "not_json", "23 bytes"),
    "not UTF-8": (says(b'{"ok":true,"paywalls":"\xff"}'), "not_json", "26 bytes"),
    "key twice": (says(b'{"ok":true,"ok":true}'), "not_json", "21 bytes"),
    "NaN": (says(b'{"ok":NaN}'), "not_json", "10 bytes"),
    "deep": (says(b"[" * 100_000), "not_json", "100000 bytes"),
    "10 MB": (hostile_server.ten_megabytes, "reply_too_large", "more than 1048576 bytes"),
    "endless body": (hostile_server.drips_its_body, "timeout", "not over after 1.5 s"),
    "endless headers": (hostile_server.drips_its_headers, "timeout", "not over after 1.5 s"),
    "endless hints": (hostile_server.says_continue_for_ever, "timeout", "not over after 1.5 s"),
    "gzip bomb": (hostile_server.gzip_bomb, "not_json", 'bytes of "application/json"'),
    "redirect": (redirects("https://evil.example/login?next=x"), "redirected", '"evil.example"'),
    "redirect to no URL": (redirects("http://[::1"), "unreachable", "RemoteProtocolError"),
    "redirect to what httpx alone takes for a URL": (
        redirects("//[##"),
        "redirected",
        "no place that is a URL",
    ),
    "redirect to a path": (redirects("/login"), "redirected", "another path"),
    "redirect without a place": (says(b"", status="302 Found"), "redirected", "a place it does not name"),
    "refused": (
        says(b'{"error":{"code":"invalid_ops_secret","message":"no"}}', status="401 No"),
        "status_401",
        "401 invalid_ops_secret",
    ),
    "secret in the error": (hostile_server.echoes, "status_401", "401;"),
    "secret as a key": (says(b'{"%s":1}' % SECRET.encode()), "secret_repeated", "a secret of ours"),
    "secret as a value": (
        says(b'{"ok":true,"paywalls":[{"paywallId":"p","status":"%s"}]}' % SECRET.encode()),
        "secret_repeated",
        "a secret of ours",
    ),
    "server error": (says(b"oops", status="500 Oops"), "status_500", "500;"),
    "unavailable": (says(b"", status="503 Later"), "status_503", "503;"),
    "array": (says(b"[]"), "wrong_schema", "list"),
    "text": (says(b'"ok"'), "wrong_schema", "str"),
    "null": (says(b"null"), "wrong_schema", "NoneType"),
    "error in a 200": (says(b'{"error":{"code":"ops_disabled"}}'), "refused", "ops_disabled"),
    "error of another form": (says(b'{"error":{"message":"x"}}'), "refused", "an error without a code"),
    "not ok": (says(b'{"ok":false}'), "refused", "an error without a code"),
    "other keys": (says(b'{"ok":true,"items":[]}'), "invalid_paywalls", "a list of paywalls"),
    "wrong paywall": (says(b'{"ok":true,"paywalls":[{"paywallId":1}]}'), "invalid_paywalls", "paywallId"),
}


@contextmanager
def against(
    state: Path,
    control_url: str,
    gateway_url: str,
    form: str = "API_BASE_URL",
    *,
    bounds: Bounds = PATIENT,
) -> Iterator[LiveSystem]:
    environment = {
        P + form: control_url,
        f"{P}SECRET": SECRET,
        f"{P}GATEWAY_BASE_URL": gateway_url,
        f"{P}GATEWAY_OPS_TOKEN": TOKEN,
        f"{P}PROXY_AUTHORIZATION_HEADER": f"L402 {'A' * 40}:{'0' * 64}",
    }
    with open_live_system(environment, folder=state, allow_changes=True, bounds=bounds) as live:
        yield live


def bounds_for(answer: Answer | None) -> Bounds:
    """Only who never comes to an end is not waited for: a machine under load must not fail the others."""
    if answer is None:
        return SILENT
    never_ends = ("drips", "says_continue_for_ever")
    return ENDLESS if answer.__name__.startswith(never_ends) else PATIENT


def assert_one_line(error: LiveError, server: Hostile) -> None:
    text = str(error)
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert server.url.partition("//")[2] in text
    assert "expected" in text
    assert "saw" in text
    for secret in (SECRET, TOKEN, "evil.example/login", "hello"):
        assert secret not in text


@pytest.mark.parametrize(("answer", "code", "seen"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_bad_control_plane_is_told_in_one_line_and_nothing_is_begun(
    answer: Answer | None, code: str, seen: str, tmp_path: Path
) -> None:
    with hostile(answer) as server, hostile(says(b"")) as gateway:
        with against(tmp_path, server.url, gateway.url, bounds=bounds_for(answer)) as live:
            with pytest.raises(LiveError) as caught:
                live.reconcile("bad-answer")
            assert caught.value.code == code
            assert seen in str(caught.value)
            assert_one_line(caught.value, server)
            assert live.history.rows("deployments") == ()
            assert live.history.open_intents() == ()
        assert gateway.requests == []
        assert server.requests
        # A read is asked for, and nothing else.
        assert all(
            request.startswith(b"POST /api/internal/lightning-ops/control-plane/query ")
            for request in server.requests
        )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"status":"error","errorMessage":"forbidden"}', "refused"),
        (b'{"status":"error","errorMessage":"supersecretopsvalue is wrong"}', "secret_repeated"),
        (b'{"status":"error"}', "refused"),
        (b'{"status":"success"}', "wrong_schema"),
        (b'{"value":{"ok":true,"paywalls":[]}}', "wrong_schema"),
        (b'{"status":"success","value":[]}', "wrong_schema"),
        (b'{"status":"success","value":{"ok":false}}', "refused"),
    ],
)
def test_a_bad_answer_in_the_form_of_convex(body: bytes, code: str, tmp_path: Path) -> None:
    with hostile(says(body)) as server, against(tmp_path, server.url, server.url, "KHALA_URL") as live:
        with pytest.raises(LiveError) as caught:
            live.control_plane.paywalls()
        assert caught.value.code == code
        assert_one_line(caught.value, server)


# Of a gateway every trouble is a failure code of the runbook, and the deployment is left as it was.
GATEWAY_REASONS = {
    "silence": "timeout",
    "hangs up": "unreachable",
    "web page": "not_json",
    "10 MB": "reply_too_large",
    "endless body": "timeout",
    "endless headers": "timeout",
    "gzip bomb": "not_json",
    "redirect": "redirected",
    "refused": "status_401",
    "secret in the error": "status_401",
    "unavailable": "status_503",
    "array": "wrong_schema",
    "other keys": "wrong_schema",
}


@pytest.mark.parametrize(("name", "reason"), GATEWAY_REASONS.items(), ids=GATEWAY_REASONS.keys())
def test_a_bad_gateway_is_a_lookup_that_failed(
    name: str, reason: str, shared: Platform, tmp_path: Path
) -> None:
    answer = ANSWERS[name][0]
    with hostile(answer) as server:
        with shared.live(
            tmp_path,
            allow_changes=True,
            bounds=bounds_for(answer),
            OA_LIGHTNING_OPS_GATEWAY_BASE_URL=server.url,
        ) as live:
            summary = live.reconcile(f"bad-gateway-{reason}-{len(server.url)}-{name.replace(' ', '-')}")
        assert (summary.failure_code, summary.failure_reason) == (FailureCode.ACTIVE_LOOKUP_FAILED, reason)
        assert all(request.startswith(b"GET /ops/deployment ") for request in server.requests)


@pytest.mark.parametrize(
    "body",
    [
        b'{"deployment":{"deploymentId":"d"}}',
        b'{"deployment":{"deploymentId":1,"configHash":"c"}}',
        b'{"deployment":[]}',
        b'{"deployment":"d"}',
    ],
)
def test_a_deployment_that_is_none(body: bytes, shared: Platform, tmp_path: Path) -> None:
    with (
        hostile(says(body)) as server,
        shared.live(tmp_path, bounds=PATIENT, OA_LIGHTNING_OPS_GATEWAY_BASE_URL=server.url) as live,
    ):
        summary = live.inspect("none")
    assert (summary.failure_code, summary.failure_reason) == ("active_lookup_failed", "wrong_schema")


PROBED = {
    "web page": (says(b"<html>", kind="text/html"), "challenge_status_200"),
    "challenge that is none": (says(b"", "WWW-Authenticate: Basic", status="402 Pay"), "challenge_no_l402"),
    "redirect": (redirects("https://evil.example/"), "challenge_status_302"),
    "silence": (None, "challenge_unreachable_ReadTimeout"),
    "endless body": (hostile_server.drips_its_body, "challenge_unreachable_ReplyTooSlow"),
    "10 MB": (hostile_server.ten_megabytes, "challenge_status_200"),
}


@pytest.mark.parametrize(("answer", "reason"), PROBED.values(), ids=PROBED.keys())
def test_a_probe_names_what_it_saw(
    answer: Answer | None, reason: str, shared: Platform, tmp_path: Path
) -> None:
    with (
        hostile(answer) as server,
        shared.live(
            tmp_path,
            bounds=bounds_for(answer),
            OA_LIGHTNING_OPS_CHALLENGE_URL=f"{server.url}/premium",
        ) as live,
    ):
        summary = live.inspect("probed")
        assert summary.failure_code == "challenge_check_failed"
        assert summary.failure_reason is not None
        assert summary.failure_reason.startswith(reason.rpartition("_no_")[0] or reason)
        assert not any(b"Authorization" in request for request in server.requests)


def test_a_large_resource_counts_as_delivered(shared: Platform, tmp_path: Path) -> None:
    proof = shared.environment["OA_LIGHTNING_OPS_PROXY_AUTHORIZATION_HEADER"].encode()
    refused = says(b"", status="402 Payment Required")

    def large_for_the_proof(connection: socket.socket, over: threading.Event, request: bytes) -> None:
        answer = hostile_server.ten_megabytes if proof in request else refused
        answer(connection, over, request)

    for answer, delivered in ((large_for_the_proof, True), (hostile_server.ten_megabytes, False)):
        with (
            hostile(answer) as server,
            shared.live(tmp_path, OA_LIGHTNING_OPS_PROXY_URL=f"{server.url}/premium") as live,
        ):
            # Large for everybody, it is given away.
            assert live.inspect("large").proxy_ok is delivered


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with against(tmp_path, url, url) as live, pytest.raises(LiveError, match="ConnectError") as caught:
        live.reconcile("nobody")
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 70}.example"])
def test_a_name_that_is_none(host: str, tmp_path: Path) -> None:
    url = f"http://{host}:1"
    with against(tmp_path, url, url) as live, pytest.raises(LiveError) as caught:
        live.control_plane.paywalls()
    assert caught.value.code == "unreachable"


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    with hostile(says(b"{}"), tls=True) as server:
        with against(tmp_path, server.url, server.url) as live, pytest.raises(LiveError) as caught:
            live.reconcile("self-signed")
        assert caught.value.code == "tls"
        assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
        assert_one_line(caught.value, server)
        assert server.requests == []


def test_a_certificate_that_the_operator_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(hostile_server.CERTIFICATE))
    with (
        hostile(says(b'{"ok":true,"paywalls":[]}'), tls=True) as server,
        against(tmp_path, server.url, server.url) as live,
    ):
        assert live.control_plane.paywalls() == ()


@pytest.mark.parametrize("certificates", ["missing.pem", "no.pem", "."])
def test_certificates_that_cannot_be_read_are_named(
    certificates: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / certificates))
    with (
        hostile(says(b"{}"), tls=True) as server,
        against(tmp_path, server.url, server.url) as live,
        pytest.raises(EnvironmentVariableError, match="SSL_CERT_FILE: expected certificates") as caught,
    ):
        live.control_plane.paywalls()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("answer", [hostile_server.drips_its_body, hostile_server.drips_its_headers])
def test_a_reply_that_never_ends_ends_behind_tls_too(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(hostile_server.CERTIFICATE))
    with (
        hostile(answer, tls=True) as server,
        against(tmp_path, server.url, server.url, bounds=ENDLESS) as live,
        pytest.raises(LiveError, match=r"not over after 1.5 s") as caught,
    ):
        live.control_plane.paywalls()
    assert caught.value.code == "timeout"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_sees_nothing(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with hostile(says(b"{}")) as proxy, hostile(says(b'{"ok":true,"paywalls":[]}')) as server:
        monkeypatch.setenv(variable, proxy.url)
        with against(tmp_path, server.url, server.url) as live:
            assert live.control_plane.paywalls() == ()
        assert proxy.requests == []


def test_plain_http_where_tls_was_asked_for(tmp_path: Path) -> None:
    with hostile(says(b"{}")) as server:
        url = server.url.replace("http:", "https:")
        with against(tmp_path, url, url) as live, pytest.raises(LiveError) as caught:
            live.control_plane.paywalls()
    assert caught.value.code in ("tls", "unreachable", "timeout")


def test_a_read_is_tried_again_and_a_change_is_not(tmp_path: Path) -> None:
    bounds = PATIENT._replace(pauses_s=(0.0, 0.0))
    environment = {f"{P}SECRET": SECRET}
    with hostile(says(b"", status="503 Later")) as server:
        environment |= {f"{P}API_BASE_URL": server.url, f"{P}GATEWAY_BASE_URL": server.url}
        with open_live_system(environment, folder=tmp_path, allow_changes=True, bounds=bounds) as live:
            with pytest.raises(LiveError, match="503"):
                live.control_plane.paywalls()
            assert len(server.requests) == 3
            live.permission.announce(live.control_plane.url, "here", "a pause")
            with pytest.raises(LiveError, match="503"):
                live.control_plane.mutation("lightning/security:setGlobalPause", {"active": False})
            assert len(server.requests) == 4


def test_an_answer_that_will_not_change_is_asked_for_once(tmp_path: Path) -> None:
    bounds = PATIENT._replace(pauses_s=(0.0, 0.0))
    with hostile(says(b"{}", status="404 No")) as server:
        environment = {f"{P}SECRET": SECRET, f"{P}API_BASE_URL": server.url}
        with open_live_system(environment, folder=tmp_path, bounds=bounds) as live:
            with pytest.raises(LiveError, match="not served there"):
                live.control_plane.paywalls()
            assert len(server.requests) == 1


def test_nothing_is_packed_and_no_cookie_or_netrc_goes_along(tmp_path: Path) -> None:
    with hostile(says(b'{"ok":true,"paywalls":[]}')) as server:
        with against(tmp_path, server.url, server.url) as live:
            live.control_plane.paywalls()
        head = server.requests[0].partition(b"\r\n\r\n")[0].lower()
        assert b"accept-encoding: identity" in head
        assert b"cookie" not in head
        assert b"authorization" not in head


@pytest.mark.parametrize(
    ("settlements", "expected"),
    [
        (b"{}", "an array under settlements"),
        (b"[1]", "an object under settlements[0]"),
        (b'[{"settlementId":"s"}]', "under settlements[0].paywallId"),
        (b'[{"settlementId":"s","paywallId":7}]', "text under settlements[0].paywallId"),
        (
            b'[{"settlementId":"s","paywallId":"p","ownerId":"o","paymentProofRef":"r","amountMsats":1.5}]',
            "an integer from 0 to 2^53-1 under settlements[0].amountMsats",
        ),
        (
            b'[{"settlementId":"s","paywallId":"p","ownerId":"o","paymentProofRef":"r","amountMsats":1}]',
            "under occurredAtMs or createdAtMs",
        ),
    ],
)
def test_settlements_that_are_none(settlements: bytes, expected: str, tmp_path: Path) -> None:
    with hostile(says(b'{"ok":true,"settlements":' + settlements + b"}")) as server:
        environment = {
            f"{P}SECRET": SECRET,
            f"{P}API_BASE_URL": server.url,
            f"{P}CRED_SETTLEMENT_READ": TOKEN,
        }
        with (
            open_live_system(environment, folder=tmp_path, bounds=PATIENT) as live,
            pytest.raises(LiveError) as caught,
        ):
            live.settlements.all()
        assert expected in str(caught.value)
        assert_one_line(caught.value, server)


def test_settlements_of_a_platform_that_speaks_protobuf(tmp_path: Path) -> None:
    row = (
        b'{"settlement_id":"s","paywall_id":"p","owner_id":"o","payment_proof_ref":"r","amount_msats":"2500",'
        b'"created_at_ms":"7"}'
    )
    with hostile(says(b'{"settlements":[' + row + b"]}")) as server:
        environment = {
            f"{P}SECRET": SECRET,
            f"{P}API_BASE_URL": server.url,
            f"{P}CRED_SETTLEMENT_READ": TOKEN,
        }
        with open_live_system(environment, folder=tmp_path, bounds=PATIENT) as live:
            (settlement,) = live.settlements.of_paywall("p/../q")
        assert (settlement["amountMsats"], settlement["occurredAtMs"], settlement["taskId"]) == (
            2500,
            7,
            None,
        )
        assert b"GET /api/lightning/paywalls/p%2F..%2Fq/settlements " in server.requests[0]
        assert f"Authorization: Bearer {TOKEN}".encode() in server.requests[0]


@pytest.mark.parametrize("variables", [{}, {f"{P}KHALA_URL": "http://127.0.0.1:9"}])
def test_settlements_that_nobody_lets_us_read(variables: dict[str, str], tmp_path: Path) -> None:
    environment = {f"{P}SECRET": SECRET, **(variables or {f"{P}API_BASE_URL": "http://127.0.0.1:9"})}
    with (
        open_live_system(environment, folder=tmp_path, bounds=PATIENT) as live,
        pytest.raises(LiveError, match=f"set {P}CRED_SETTLEMENT_READ") as caught,
    ):
        live.settlements.all()
    assert caught.value.code == "not_offered"
