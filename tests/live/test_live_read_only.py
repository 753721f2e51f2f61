"""A run without permission changes nothing, whoever asks it to, and sends nothing that could."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from served_platform import START_S, Platform

import pytest_l402.live
from pytest_l402.live import (
    ChangeNotAnnounced,
    ChangeRefused,
    LiveSystem,
    Permission,
    Queries,
    bounded_client,
)
from pytest_l402.ops.security.credentials import CredentialRole

ROOM = Path(pytest_l402.live.__file__).parent


def what_the_platform_holds(platform: Platform, state: Path) -> tuple[object, ...]:
    with platform.live(state) as live:
        return (
            live.gateway.active(request_id="look"),
            live.security.security_state(),
            live.security.credential_roles.states(),
            tuple(live.control_plane.paywalls()),
            live.settlements.all(),
        )


def test_everything_that_reads_sends_nothing_that_changes(platform: Platform, state: Path) -> None:
    before = what_the_platform_holds(platform, state)
    with platform.live(state) as live:
        assert not live.inspect("look").ok
        assert live.recover() == ()
        assert live.probed_price_msats() == 21_000
        assert live.security.gate("r", "owner_premium", None).allowed
        assert live.settlements.of_paywall("pw_premium") == live.settlements.all()
        assert live.settlements.of_paywall("pw_premium_expensive") == ()
        assert set(live.tables()) == {"records", "exchanges"}
    assert what_the_platform_holds(platform, state) == before
    assert len(platform.requests()) > 10
    assert platform.changes() == []
    assert not state.exists()


CHANGES: dict[str, Callable[[LiveSystem], object]] = {
    "reconcile": lambda live: live.reconcile("no"),
    "reconcile without keeping it": lambda live: live.reconcile("no", keep=False),
    "security drill": lambda live: live.run_security_drill(),
    "pause": lambda live: live.security.set_global_pause(True, "no"),
    "resume": lambda live: live.security.set_global_pause(False),
    "kill switch": lambda live: live.security.set_owner_kill_switch("owner", True),
    "rotate": lambda live: live.security.credential_roles.rotate(CredentialRole.GATEWAY_INVOICE),
    "revoke": lambda live: live.security.credential_roles.revoke(CredentialRole.GATEWAY_INVOICE),
    "activate": lambda live: live.security.credential_roles.activate(CredentialRole.GATEWAY_INVOICE),
    "mutation": lambda live: live.control_plane.mutation(
        "lightning/security:setGlobalPause", {"active": True}
    ),
    "mutation as a query": lambda live: live.control_plane.query(
        "lightning/security:setGlobalPause", {"active": True}
    ),
    "deploy": lambda live: live.gateway.apply(
        request_id="no", deployment_id="d", config_hash="h", aperture_yaml="y", image_digest=None
    ),
    "rollback": lambda live: live.gateway.rollback(
        request_id="no",
        deployment_id="d",
        target=live.gateway.active(request_id="no"),  # type: ignore[arg-type]
    ),
    "withdraw": lambda live: live.gateway.withdraw(request_id="no", deployment_id="d"),
    "announcement": lambda live: live.permission.announce(live.gateway.url, live.gateway.where, "no"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_nothing_that_changes_is_sent_without_permission(
    change: Callable[[LiveSystem], object], shared: Platform, state: Path
) -> None:
    said: list[str] = []
    with shared.live(state, said=said) as live, pytest.raises(ChangeRefused, match="--allow-live-changes"):
        change(live)
    assert shared.changes() == []
    assert said == []
    assert not state.exists()


def test_what_is_allowed_but_was_not_announced_is_not_sent(shared: Platform, state: Path) -> None:
    with shared.live(state, allow_changes=True) as live:
        with pytest.raises(ChangeNotAnnounced, match="without a word"):
            live.control_plane.mutation("lightning/security:setGlobalPause", {"active": True})
        live.permission.announce(live.gateway.url, live.gateway.where, "something at the gateway")
        with pytest.raises(ChangeNotAnnounced):
            live.control_plane.mutation("lightning/security:setGlobalPause", {"active": True})
    assert shared.changes() == []


URL = "http://127.0.0.1:9"
QUERY = f"{URL}/api/query"


@pytest.mark.parametrize(
    ("method", "url", "body", "passes"),
    [
        ("GET", f"{URL}/anything", None, True),
        ("HEAD", f"{URL}/anything", None, True),
        ("GET", f"{URL}/anything", {"a": 1}, False),
        ("POST", QUERY, {"path": "read"}, True),
        ("POST", QUERY, {"functionName": "read"}, True),
        ("POST", QUERY, {"path": "write"}, False),
        ("POST", QUERY, {"path": "read", "functionName": "write"}, False),
        ("POST", QUERY, {}, False),
        ("POST", f"{QUERY}/", {"path": "read"}, False),
        ("POST", f"{QUERY}?x=1", {"path": "read"}, False),
        ("POST", f"{URL}/api/mutation", {"path": "read"}, False),
        ("PUT", QUERY, {"path": "read"}, False),
        ("DELETE", f"{URL}/anything", None, False),
        ("OPTIONS", f"{URL}/anything", None, False),
    ],
)
def test_what_passes_as_a_read(method: str, url: str, body: object, passes: bool) -> None:
    permission = Permission(allowed=False, announce=lambda _: None)
    permission.know(Queries(QUERY, {"read"}))
    with bounded_client(permission) as client, pytest.raises((ChangeRefused, httpx.ConnectError)) as caught:
        client.request(method, url, json=body)
    assert (caught.type is httpx.ConnectError) is passes


def test_no_client_of_the_room_goes_past_the_permission() -> None:
    """By construction: one module makes clients and connections, and what it makes asks the permission."""
    makers = {"Client", "AsyncClient", "HTTPTransport", "ConnectionPool", "stream", "get", "post", "request"}
    found: dict[str, set[str]] = {}
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of = node.func.value
                if isinstance(of, ast.Name) and of.id in ("httpx", "httpcore") and node.func.attr in makers:
                    found.setdefault(path.name, set()).add(node.func.attr)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.partition(".")[0] for alias in node.names}
                names.add((getattr(node, "module", None) or "").partition(".")[0])
                assert names.isdisjoint({"socket", "urllib3", "requests", "http"}), path.name
    assert found == {"bounded_transport.py": {"Client", "ConnectionPool"}}


@pytest.mark.slow
def test_a_read_only_run_of_every_rehearsal_changes_nothing(platform: Platform, tmp_path: Path) -> None:
    before = what_the_platform_holds(platform, tmp_path / "state")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-m", "rehearsal", "-p", "no:cacheprovider"),
            f"--rootdir={Path(__file__).parents[2]}",
            str(Path(__file__).parents[2] / "rehearsals"),
            *("--l402-mode=live", f"--l402-artifact-dir={tmp_path / 'output'}"),
        ],
        env={**os.environ, **platform.environment},
        capture_output=True,
        text=True,
        timeout=10 * START_S,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "live change" not in ran.stdout + ran.stderr
    assert any(row["requestId"] == "staging:inspect" for row in platform.requests())
    assert platform.changes() == []
    assert what_the_platform_holds(platform, tmp_path / "state") == before
